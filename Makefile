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

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench train-env base-model locks clean
# A stop with Ctrl-C is the demo's own to handle; nothing of ours runs beside it.
.NOTPARALLEL:

help:
	@echo 'make demo [SECONDS=60] [RATE=4] [DATA=DIR]   a line, a node and a hub on this computer, until Ctrl-C'
	@echo 'make test [PYTEST="-k words"]                every test, against real peers'
	@echo 'make lint                                    style and types'
	@echo 'make bench [BENCH=name]                      measures, and writes docs/benchmarks.md'
	@echo 'make train-env [TORCH_INDEX=URL]             .venv-train, where models are trained (AGPL-3.0)'
	@echo 'make base-model [OUT=DIR]                    trains the demo model again, from seeds'
	@echo 'make locks                                   requirements/*.txt anew, with uv'
	@echo 'make clean                                   removes what these commands made, not the history'
	@echo 'Every command takes PYTHON=/path/to/python3.11 for the virtual environment.'

demo:
	@.ci/environment demo $(PYTHON)
	@exec .venv/bin/python -m hub demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(RATE),--rate $(RATE)) $(if $(DATA),--data "$(DATA)")

test:
	@.ci/environment test $(PYTHON)
	@left_out=$$(.ci/peers); exec .venv/bin/python -m pytest $${left_out:+-m "$$left_out"} $(PYTEST)

lint:
	@.ci/environment test $(PYTHON)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

bench:
	@.ci/environment test $(PYTHON)
	@exec .venv/bin/python -m bench $(BENCH)

# ultralytics is AGPL-3.0 and needs torch: an environment and a process of its own (NOTICE).
train-env: .venv-train/.installed

.venv-train/.installed: requirements/train-py311.txt pyproject.toml
	python3.11 -m venv .venv-train
	.venv-train/bin/python -m pip install -q $(if $(TORCH_INDEX),--extra-index-url "$(TORCH_INDEX)") -c $< -e '.[train]'
	touch $@

clean:
	rm -rf .venv .venv-train build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
