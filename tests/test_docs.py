"""docs/reference.md against the code: what exists stands there, and what stands there exists.

A table's rows are compared by the first cell, in backticks; for settings also by the default.
"""

import argparse
import ast
import importlib
import re
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from bench.__main__ import NOT_BENCHES
from edge import terms
from edge.alerts import AlertCode
from edge.mqtt import message
from hub.web.words import WORDS

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
PROGRAMS = {
    "quanjian-edge": "edge",
    "quanjian-hub": "hub",
    "quanjian-models": "models",
    "quanjian-calibration": "calibration",
}

Rows = dict[str, list[str]]
"""First cell of each row of a table, without its backticks -> the other cells."""


def chapters(level: int, text: str) -> dict[str, str]:
    """The text below each heading of this level, by the heading without backticks."""
    mark = "#" * level
    parts = re.split(rf"^{mark} (.+)$", text, flags=re.M)[1:]
    return {head.replace("`", ""): body for head, body in zip(parts[::2], parts[1::2], strict=True)}


def rows(text: str) -> Rows:
    """Every table row whose first cell is in backticks."""
    found: Rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        name = re.fullmatch(r"`([^`]+)`", cells[0]) if cells else None
        if name:
            assert name.group(1) not in found, f"{name.group(1)} stands twice"
            found[name.group(1)] = cells[1:]
    return found


CHAPTERS = chapters(2, REFERENCE.read_text(encoding="utf-8"))


def settings_of(shape: type[msgspec.Struct], place: str, head: str) -> Iterator[tuple[str, Rows]]:
    """Each section of a settings file: its heading, and its keys with their defaults."""
    hints = get_type_hints(shape)
    keys: Rows = {}
    for field in msgspec.structs.fields(shape):
        hint = hints[field.name]
        section = struct_in(hint)
        if section is None:
            keys[field.encode_name] = ["required" if field.required else toml(default_of(field))]
            continue
        inner = f"{place}.{field.encode_name}" if place else field.encode_name
        many = get_origin(hint) is tuple
        yield from settings_of(section, inner, f"[[{inner}]]" if many else f"[{inner}]")
    if keys:
        yield head, keys


def default_of(field: msgspec.structs.FieldInfo) -> object:
    """What a key is when it is left out."""
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The Struct that a hint holds, if it holds one."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if get_origin(hint) in (tuple, types.UnionType):
        return next((found for found in map(struct_in, get_args(hint)) if found), None)
    return None


def toml(value: object) -> str:
    """A default as the page shows it."""
    if value is None:
        return "none"
    return f"`{_toml(value)}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


@pytest.mark.parametrize(
    ("chapter", "module"),
    [("edge.toml", "edge.settings"), ("hub.toml", "hub.settings"), ("A recipe", "edge.recipe")],
)
def test_every_setting_is_documented_with_its_default(chapter: str, module: str) -> None:
    shape = getattr(importlib.import_module(module), SHAPES[module])
    exist = dict(settings_of(shape, "", f"top of {chapter}"))
    written = {
        head: {key: [cells[1]] for key, cells in rows(body).items()}
        for head, body in chapters(3, CHAPTERS[chapter]).items()
    }
    assert written == exist


SHAPES = {"edge.settings": "Settings", "hub.settings": "Settings", "edge.recipe": "Recipe"}


def parser_of(program: str) -> argparse.ArgumentParser:
    """The command line of a program."""
    module = importlib.import_module(f"{PROGRAMS[program]}.__main__")
    made: argparse.ArgumentParser = (getattr(module, "parser", None) or module._parser)()
    return made


def parsers_of(
    parser: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command of a program, with words such as `quanjian-hub node add`."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from parsers_of(inner, f"{name} {word}")


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Options and arguments of one command itself."""
    apart = (argparse._SubParsersAction, argparse._HelpAction)
    return {
        max(action.option_strings, key=len, default=str(action.metavar or action.dest))
        for action in parser._actions
        if not isinstance(action, apart)
    }


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_and_option_is_documented(program: str) -> None:
    exist = {name: options_of(inner) for name, inner in parsers_of(parser_of(program), program)}
    exist = {name: options for name, options in exist.items() if options}
    written = {head: set(rows(body)) for head, body in chapters(3, CHAPTERS[program]).items()}
    assert written == exist


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_has_an_example_in_its_help(program: str) -> None:
    root = parser_of(program)
    without = [
        name
        for name, parser in parsers_of(root, program)
        if len(name.split()) == 2 and f"{name} " not in f"{root.epilog} {parser.epilog}"
    ]
    assert without == []


def test_every_topic_is_documented() -> None:
    leaves = set(re.findall(r"/(\w+) +(?:node|hub) ->", message.__doc__ or ""))
    assert {"parts", "ack"} <= leaves
    assert set(rows(CHAPTERS["Topics"])) == leaves


def test_every_kind_of_row_is_documented() -> None:
    kinds = {kind.__struct_config__.tag for kind in get_args(message.AnyRow)}
    assert set(rows(CHAPTERS["Rows of the ledger"])) == kinds


@pytest.mark.parametrize("words", [terms.Reason, terms.Cause, terms.Mode])
def test_every_word_a_row_may_carry_is_documented(words: type[Enum]) -> None:
    written = chapters(3, CHAPTERS["Words"])
    assert set(rows(written[words.__name__])) == {word.value for word in words}


def test_every_error_is_documented() -> None:
    written = chapters(3, CHAPTERS["Errors"])
    for place in ("edge", "hub"):
        tree = ast.parse((ROOT / place / "errors.py").read_text(encoding="utf-8"))
        classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        assert set(rows(written[f"{place}/errors.py"])) == classes


def test_every_page_that_a_page_links_to_is_there() -> None:
    pages = [ROOT / "README.md", ROOT / "README.zh-CN.md", *(ROOT / "docs").rglob("*.md")]
    gone = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert gone == []


def test_every_bench_stands_on_its_page() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    benches = {path.stem for path in (ROOT / "bench").glob("*.py")}
    benches -= NOT_BENCHES
    assert set(re.findall(r"`bench\.(\w+)`", page)) == benches


def test_every_alert_has_its_card() -> None:
    cards = rows((ROOT / "docs" / "operator.zh-CN.md").read_text(encoding="utf-8"))
    shown = {re.sub(r"^alert\.", "", key) for key in WORDS if re.fullmatch(r"alert\.\w+", key)}
    assert set(cards) == shown
    assert {code.value for code in AlertCode} <= shown
    assert {code: cells[0] for code, cells in cards.items()} == {
        code: WORDS[f"alert.{code}"][0] for code in shown
    }
