"""docs/plc/ladder.zh-CN.md against docs/plc/station.st: what one of them has, the other has too.

Only the text is executed. A network quotes each condition that it stands for, in the text's order;
the names in it, and what the section assigns, must be in the network by their devices.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.plc.structured_text.grammar import parse
from edge.plc.structured_text.tree import Declaration, Number

PLC = Path(__file__).parent.parent / "docs" / "plc"
TEXT = (PLC / "station.st").read_text(encoding="utf-8")
PAGE = (PLC / "ladder.zh-CN.md").read_text(encoding="utf-8")
BLOCKS = {block.name: block for block in parse(TEXT, "station.st")}
EYE, STATION = BLOCKS["qj_eye"], BLOCKS["qj_station"]
DECLARED = {d.name: d for d in (*STATION.declarations, *EYE.declarations)}
FAMILIES = ("mode_", "want_", "did_", "why_", "not_")
WORDS = {"and", "or", "not", "abs", "mod", "true", "false", "if", "elsif", "then", "while", "do"}
WORDS |= {"for", "to", "case", "of", "word_to_uint", "udint_to_uint", "q"}
MODBUS = range(200)  # D0 to D199: what the node reads and writes, and the touch screen

Spans = list[tuple[str, range]]
"""Kind of device and its numbers, as `D300,D301；D310,D311` says."""


@dataclass(frozen=True)
class Network:
    """One row: its contacts and coils, and the conditions of the text that it stands for."""

    number: str
    contacts: str
    coils: str
    conditions: list[str]

    @property
    def drawn(self) -> str:
        """Both sides of the rung."""
        return f"{self.contacts} {self.coils}"


def cells(text: str) -> list[list[str]]:
    """The rows of the tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return [row for row in rows if not row[0].startswith(("-", "#", "软元件", "常数", "触点"))]


def chapter(head: str) -> str:
    """What stands below a heading that begins so."""
    return re.split(rf"^## {head}[^\n]*$", PAGE, flags=re.M)[1].split("\n## ")[0]


def spans(cell: str) -> Spans:
    """The devices of a cell; both ends of `–` are of one kind."""
    found = []
    for part in re.split("[；、]", cell):
        ends = [re.fullmatch(r"([DMXY])(\d+)", end) for end in re.split("[,–]", part)]
        assert all(ends), f"{part} is no device"
        first, last = ends[0], ends[-1]
        assert first
        assert last
        found.append((first[1], range(int(first[2]), int(last[2]) + 1)))
    return found


DEVICES: list[tuple[str, list[str], Spans]] = [
    (row[0], re.findall(r"`(\w+)`", row[1]), spans(row[0])) for row in cells(chapter("软元件"))
]
BY_NAME = {
    name: [span for _, variables, places in DEVICES if name in variables for span in places]
    for name in {name for _, variables, _ in DEVICES for name in variables}
}
CONSTANTS = [
    (re.findall(r"`([^`]+)`", row[1]), int(row[0].removeprefix("K")))
    for row in cells(chapter("常数"))
]
LEFT_OUT = {
    name.lower()
    for line in re.findall(r"^(?:不画的名字|`TRIGGER_READY`).*$", PAGE, flags=re.M)
    for name in re.findall(r"`(\w+)`", line)
}
SECTIONS = ["光电子程序", *(f"第 {number} 段" for number in range(9))]
NETWORKS = {
    head: [
        Network(row[0], row[1], row[2], re.findall(r"`([^`]+)`", row[3]))
        for row in cells(chapter(head))
    ]
    for head in SECTIONS
}


def told(head: str) -> str:
    """A section of the text, without comments and in one line."""
    body = re.search(r"FUNCTION_BLOCK QJ_Eye.*?END_FUNCTION_BLOCK", TEXT, re.S)
    assert body
    text = body[0].rsplit("END_VAR", 1)[1]
    if number := re.search(r"\d", head):
        text = "(*" + re.split(r"^\(\* -+ \d", TEXT, flags=re.M)[int(number[0]) + 1]
    return re.sub(r"\s+", " ", re.sub(r"\(\*.*?\*\)", " ", text, flags=re.S))


def names(text: str) -> set[str]:
    """The variables and constants of a piece of the text."""
    found = set(re.findall(r"\b[a-z]\w*\[\d+\]", text))  # one word of a block, such as `node[8]`
    text = re.sub(r"\b[a-z]\w*\[\d+\]", " ", text)
    found |= {word.lower() for word in re.findall(r"(?<![\w#.])[A-Za-z_]\w*(?!\w*\.)", text)}
    found |= {word.lower() for word in re.findall(r"(?<=eye\.)\w+", text)}
    return {word for word in found - WORDS - LEFT_OUT if not word.startswith(FAMILIES)}


def is_drawn(name: str, drawn: str) -> bool:
    """The networks hold a device of this variable, or a number made of this constant."""
    values = [value for made_of, value in CONSTANTS if name in names(" ".join(made_of))]
    variable, _, index = name.rstrip("]").partition("[")
    places = [f"{kind}{numbers[int(index or 0)]}" for kind, numbers in BY_NAME.get(variable, [])]
    marks = places + [f"K{value}" for value in values]
    return any(re.search(rf"{mark}(?!\d)", drawn) for mark in marks)


@pytest.mark.parametrize("head", SECTIONS)
def test_the_networks_of_a_section_quote_its_conditions_in_their_order(head: str) -> None:
    expected = re.findall(
        r"\b(?:IF|ELSIF)\b.*?\bTHEN\b|\b(?:WHILE|FOR)\b.*?\bDO\b|\bCASE\b.*?\bOF\b", told(head)
    )
    quoted = [piece for network in NETWORKS[head] for piece in network.conditions]
    assert quoted == expected


@pytest.mark.parametrize("head", SECTIONS)
def test_a_network_holds_every_name_of_the_conditions_it_quotes(head: str) -> None:
    missing = {
        f"{network.number} {name}"
        for network in NETWORKS[head]
        for name in names(" ".join(network.conditions))
        if not is_drawn(name, network.drawn)
    }
    assert missing == set()


@pytest.mark.parametrize("head", SECTIONS)
def test_the_networks_of_a_section_set_what_the_text_sets(head: str) -> None:
    text = re.sub(r"\b\w+\([^;]*?:=[^;]*\);", "", told(head))
    assigned = {word.lower() for word in re.findall(r"(\w+)(?:\[[^]]*\])? :=", text)} - LEFT_OUT
    assert len(assigned) >= 4
    coils = " ".join(network.coils for network in NETWORKS[head])
    assert {name for name in assigned if not is_drawn(name, coils)} == set()


def test_every_variable_has_a_device_or_is_said_to_have_none() -> None:
    constants = {name.lower() for made_of, _ in CONSTANTS for name in made_of}
    shown = set(BY_NAME) | LEFT_OUT | constants
    assert {n for n in DECLARED if n not in shown and not n.startswith(FAMILIES)} == set()
    assert {n for n in BY_NAME if n not in DECLARED} == set()
    assert {n for n in LEFT_OUT if n not in DECLARED} == set()


def width(declared: Declaration) -> int:
    """Registers or relays that a variable takes."""
    many = declared.bounds.high - declared.bounds.low + 1 if declared.bounds else 1
    return many * (2 if declared.type_name in ("dint", "udint") else 1)


def test_every_device_is_as_wide_as_its_variable_and_nobody_elses() -> None:
    used: dict[tuple[str, int], str] = {}
    for cell, variables, places in DEVICES:
        for kind, numbers in places:
            for number in numbers:
                assert used.setdefault((kind, number), cell) == cell
            for name in variables:
                if name != "control":  # the first word of `plc`, which it is put together in
                    assert len(numbers) == width(DECLARED[name]), name


def test_the_first_scan_clears_everything_but_the_start_number() -> None:
    first = NETWORKS["第 0 段"][0]
    cleared = {
        (kind, number)
        for kind, low, high in re.findall(r"ZRST ([DM])(\d+) [DM](\d+)", first.drawn)
        for number in range(int(low), int(high) + 1)
    }
    kept = {
        name
        for cell, variables, places in DEVICES
        for kind, numbers in places
        for number in numbers
        if (kind == "M" or (kind == "D" and number not in MODBUS)) and (kind, number) not in cleared
        for name in variables or [cell]
    }
    retained = {d.name for d in STATION.declarations if d.section == "retain"}
    assert kept == retained | {"started"}  # the relay of the first scan itself


def test_the_constants_are_those_of_the_text() -> None:
    for made_of, value in CONSTANTS:
        for expression in made_of:
            assert value == worth(expression.lower()), expression


def worth(expression: str) -> int:
    """What `a`, `a - b`, `a + b` or `a + b / 2` is, with the first values of the text."""
    added, _, taken = expression.partition(" - ")
    total = sum(divided(term) for term in added.split(" + "))
    return total - (divided(taken) if taken else 0)


def divided(term: str) -> int:
    """What `a` or `a / 2` is; the eyes' settings are the station's."""
    name, _, by = term.partition(" / ")
    initial = DECLARED[f"set_{name}" if f"set_{name}" in DECLARED else name].initial
    assert isinstance(initial, Number)
    return initial.value // int(by or 1)


def test_every_number_in_a_network_is_one_of_the_constants() -> None:
    known = {value for _, value in CONSTANTS} | {10, 12, 70}  # what BMOV moves
    used = {
        int(number)
        for networks in NETWORKS.values()
        for network in networks
        for number in re.findall(r"K(\d+)", network.drawn)
    }
    assert used - known == set()
