"""Every mistake of a settings file at once: edge.sections."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge import sections


class Port(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    baudrate: Literal[9600, 19200] = 9600
    timeout_s: Annotated[float, Meta(gt=0, le=5)] = 0.5


class Whole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    port: Annotated[tuple[Port, ...], Meta(min_length=1)]
    page: Port | None = None
    tags: tuple[str, ...] = ()


def test_a_right_document_becomes_frozen_structs() -> None:
    whole, problems = sections.convert(
        {"port": [{"name": "a", "timeout_s": 1}], "page": {"name": "b"}, "tags": ["x"]}, Whole
    )
    assert problems == []
    assert whole == Whole(port=(Port(name="a", timeout_s=1.0),), page=Port(name="b"), tags=("x",))


def test_every_mistake_is_told_with_section_key_and_what_was_expected() -> None:
    whole, problems = sections.convert(
        {
            "port": [{"baudrate": 1, "timeout_s": 9, "speed": 2}, {"name": 3}],
            "page": 7,
            "colour": "red",
        },
        Whole,
    )
    assert whole is None
    assert problems == [
        "colour: unknown key",
        "[port 1] speed: unknown key",
        "[port 1] name: missing; expected text",
        "[port 1] baudrate: got 1, expected one of 9600, 19200",
        "[port 1] timeout_s: got 9, expected a number above 0 to 5",
        "[port 3] name: got 3, expected text",
        "[page]: expected a section, got 7",
    ]


def test_a_single_table_where_several_belong_is_said_plainly() -> None:
    assert sections.convert({"port": {"name": "a"}}, Whole)[1] == [
        "[[port]]: expected tables in double brackets, got a section"
    ]


def test_too_few_tables_are_a_mistake() -> None:
    assert sections.convert({"port": []}, Whole)[1] == ["[[port]]: expected at least 1, got 0"]


def test_a_number_is_never_taken_for_true_or_text() -> None:
    problems = sections.convert({"port": [{"name": True}]}, Whole)[1]
    assert problems == ["[port True] name: got True, expected text"]


def test_words_of_several_lists_and_of_a_pattern_are_all_told() -> None:
    class Camera(Struct):
        kind: Literal["a", "b"] | Literal["c"]
        name: Annotated[str, Meta(pattern="^[a-z]$", description="a small letter")]

    assert sections.convert({"kind": "d", "name": "7"}, Camera, "camera")[1] == [
        "[camera] kind: got 'd', expected one of 'a', 'b', 'c'",
        "[camera] name: got '7', expected a small letter",
    ]
