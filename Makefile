# The two commands: `make demo` runs a whole line on this computer, `make test` proves it.
# No root and no network beyond the Python package index; `make help` lists the rest.

PYTHON ?=
SECONDS ?=
RATE ?=
DATA ?=
BENCH ?=
OUT ?= runs/base
TORCH_INDEX ?=
PYTEST ?=
SHORT ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults lint bench train-env openvino-env base-model locks clean
# A stop with Ctrl-C is the demo's own to handle; nothing of ours runs beside it.
.NOTPARALLEL:

help:
	@echo 'make demo [SECONDS=60] [RATE=4] [DATA=DIR]   a line, a node and a hub on this computer, until Ctrl-C'
	@echo 'make test [PYTEST="-k words"]                every test but the fault runs, against real peers'
	@echo 'make test-faults [SHORT=1]                    while things fail; writes docs/faults.md; a fifth with SHORT'
	@echo 'make lint                                    style and types'
	@echo 'make bench [BENCH=name]                      measures, and writes docs/benchmarks.md'
	@echo 'make train-env [TORCH_INDEX=URL]             .venv-train, where models are trained (AGPL-3.0)'
	@echo 'make openvino-env                            .venv-openvino, OpenVINO on any x86-64 processor'
	@echo 'make base-model [OUT=DIR]                    trains the demo model again, from seeds'
	@echo 'make locks                                   requirements/*.txt anew, with uv'
	@echo 'make clean                                   removes what these commands made, not the history'
	@echo 'Every command takes PYTHON=/path/to/python3.11 for the virtual environment.'

demo:
	@.ci/environment demo $(PYTHON)
	@exec .venv/bin/python -m hub demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RATE),--rate $(RATE)) $(if $(DATA),--data "$(DATA)")

test:
	@.ci/environment test $(PYTHON)
	@left_out=$$(.ci/peers); exec .venv/bin/python -m pytest -n 2 --dist loadfile -m "not faults$${left_out:+ and $$left_out}" $(PYTEST)

test-faults:
	@.ci/environment test $(PYTHON)
	@left_out=$$(.ci/peers); exec .venv/bin/python -m pytest --faults-table=docs/faults.md -m "faults$${left_out:+ and $$left_out}" $(if $(SHORT),--short) $(PYTEST)

lint:
	@.ci/environment test $(PYTHON)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

bench:
	@.ci/environment test $(PYTHON)
	@exec .venv/bin/python -m bench $(BENCH)

# ultralytics is AGPL-3.0 and needs torch: an environment and a process of its own (NOTICE).
# TORCH_INDEX names an index with torch for another device, such as one without CUDA.
train-env: .venv-train/.installed

.venv-train/.installed: requirements/train-py311.txt pyproject.toml
	@$(or $(PYTHON),python3.11) -m venv .venv-train
	.venv-train/bin/python -m pip install -q $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") -c $< -e '.[train]'
	@touch $@

# OpenVINO for processors that are not Intel's is an onnxruntime of its own (docs/decisions/0006).
openvino-env: .venv-openvino/.installed

.venv-openvino/.installed: pyproject.toml
	@.ci/environment test $(PYTHON)
	@.venv/bin/python -m venv .venv-openvino
	v=$$(.venv/bin/python -c 'import sys; print("%d%d" % sys.version_info[:2])'); \
	.venv-openvino/bin/python -m pip install -q -c requirements/test-py$$v.txt -e '.[openvino-any]'
	@touch $@

# The demo model again, from its seeds: an hour on two cores. It lands in $(OUT), not in models/base.
base-model: train-env
	@.ci/environment test $(PYTHON)
	.venv/bin/quanjian-models synth --out "$(OUT)/plates" --count 3200 --seed 100000
	.venv/bin/quanjian-models train --data "$(OUT)/plates/data.yaml" --out "$(OUT)/run" --minutes 62
	.venv/bin/quanjian-models export --weights "$(OUT)/run/best.pt" --out "$(OUT)/base.onnx" --card models/base/card.json

# The test lock first: the demo's is what it says of the demo's packages, so one environment serves both.
locks: build/uv/bin/uv
	for v in 3.10 3.11 3.12; do \
	  t=py$$(echo $$v | tr -d .); \
	  $< pip compile -q -U $(UV_FORM) --python-version $$v $(DEMO_EXTRAS) --extra models --extra test pyproject.toml -o requirements/test-$$t.txt && \
	  $< pip compile -q -U $(UV_FORM) --python-version $$v $(DEMO_EXTRAS) -c requirements/test-$$t.txt pyproject.toml -o requirements/demo-$$t.txt || exit 1; \
	done
	$< pip compile -q -U $(UV_FORM) --python-version 3.11 --extra train pyproject.toml -o requirements/train-py311.txt

UV_FORM = --python-platform x86_64-manylinux_2_28 --no-header --no-annotate
DEMO_EXTRAS = --extra cpu --extra hub --extra demo

build/uv/bin/uv:
	@$(or $(PYTHON),python3) -m venv build/uv
	@build/uv/bin/python -m pip install -qq uv

clean:
	rm -rf .venv .venv-train .venv-openvino build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
