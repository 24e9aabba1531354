"""The demo model is what its card says: classes, thresholds, layout, hashes."""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from edge.vision.plates import CLASSES, MIN_SIZE_MM

BASE = Path(__file__).parent.parent / "models" / "base"


@pytest.fixture(scope="module")
def graph() -> Any:
    return onnx.load(BASE / "base.onnx")


@pytest.fixture(scope="module")
def card() -> Any:
    return json.loads((BASE / "card.json").read_text(encoding="utf-8"))


def metadata(graph: Any) -> dict[str, str]:
    return {p.key: p.value for p in graph.metadata_props}


def test_classes_and_minimum_sizes_are_those_of_the_simulated_plates(card: Any) -> None:
    assert [c["code"] for c in card["classes"]] == list(CLASSES)
    assert [c["min_size_mm"] for c in card["classes"]] == [MIN_SIZE_MM[c] for c in CLASSES]
    assert all(c["zh"] for c in card["classes"])
    assert set(card["thresholds"]) == set(CLASSES)


def test_the_graph_has_a_raw_head_that_every_runtime_of_the_node_reads(graph: Any) -> None:
    assert (BASE / "base.onnx").stat().st_size <= 12e6
    onnx.checker.check_model(graph)
    assert graph.ir_version <= 10
    assert max(o.version for o in graph.opset_import) <= 18
    (output,) = graph.graph.output
    shape = [d.dim_value for d in output.type.tensor_type.shape.dim]
    assert shape == [1, 4 + len(CLASSES), 2100]


def test_the_graph_carries_its_classes_and_the_hash_of_its_card(graph: Any, card: Any) -> None:
    kept = metadata(graph)
    assert list(ast.literal_eval(kept["names"]).values()) == list(CLASSES)
    assert ast.literal_eval(kept["imgsz"]) == [card["imgsz"]] * 2
    note = json.loads(kept["quanjian"])
    assert note["card_sha256"] == hashlib.sha256((BASE / "card.json").read_bytes()).hexdigest()
    assert note["thresholds"] == card["thresholds"]
    assert note["layout"] == card["layout"] == "raw-nms"
    assert "AGPL-3.0" in kept["license"]


def test_the_card_names_the_files_it_is_about_by_hash() -> None:
    text = (BASE / "CARD.md").read_text(encoding="utf-8")
    for name in ("base.onnx", "base.pt", "card.json"):
        digest = hashlib.sha256((BASE / name).read_bytes()).hexdigest()
        assert f"| {name} | {digest} |" in text


def test_the_files_name_no_folder_of_the_machine_that_made_them(graph: Any) -> None:
    assert not any("/" in metadata(graph)[key] for key in ("description", "names", "args"))
    weights = (BASE / "base.pt").read_bytes()
    here = str(BASE.parent.parent).encode()
    assert not [word for word in (b"/home/", b"/tmp/", b"/root/", here) if word in weights]
