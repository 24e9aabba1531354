"""Structured text cut into tokens, each with its line and column. IEC 61131-3, clause 6.1.

(* ... *)  // ...        comments; they do not nest
eye_place, IF            words, upper and lower case the same
12  16#FF  UINT#5  -     whole numbers, `_` between digits, base 2, 8, 10 or 16, a type in front
T#1s500ms  TIME#250ms    durations, whole milliseconds
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge.errors import PlcProgramError

Kind = Literal["word", "number", "time", "sign", "end"]

LONGEST = 200_000
"""Characters of a program; a station needs a tenth of it."""

MOST_DIGITS = 40
"""Of one number: more than any type holds, and few enough to be shown."""

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>\(\*.*?\*\)|//[^\n]*)
  | (?P<open>\(\*)
  | (?P<time>(?:T|TIME)\#[0-9a-z_.]+)
  | (?P<real>[0-9][0-9_]*\.[0-9])
  | (?P<number>(?:[a-z]+\#)?(?:(?:2|8|16)\#[0-9a-f_]+|[0-9][0-9_]*))
  | (?P<word>[a-z_][a-z0-9_]*)
  | (?P<sign>:=|<=|>=|<>|\.\.|[-+*/=<>()\[\],;:.&])
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL | re.ASCII,
)
_PARTS = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m(?!s))?(?:([0-9]+)s)?(?:([0-9]+)ms)?")
_PARTS_MS = (86_400_000, 3_600_000, 60_000, 1000, 1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the text's name, line and column, both from 1."""

    source: str
    line: int
    column: int

    def wrong(self, text: str) -> PlcProgramError:
        """The error to raise about what stands here."""
        return PlcProgramError(f"{self.source}:{self.line}:{self.column}: {text}")


@dataclass(frozen=True, slots=True)
class Token:
    """A word or sign, in lower case; a number or time also with its value (ms) and its type."""

    kind: Kind
    text: str
    at: Place
    value: int = 0
    type_name: str | None = None  # in front of a number: `uint` of UINT#5


def tokenise(text: str, source: str) -> Iterator[Token]:
    """The tokens of a program, at last one of kind `end`.

    Raises:
        PlcProgramError: what is no token of this language, and where.
    """
    line, line_begins, place = 1, 0, 0
    if len(text) > LONGEST:
        raise Place(source, 1, 1).wrong(f"{len(text)} characters are more than {LONGEST}")
    while place < len(text):
        at = Place(source, line, place - line_begins + 1)
        found = _TOKEN.match(text, place)
        if found is None:
            raise at.wrong(_strange(text, place))
        if token := _token(found, at):
            yield token
        place = found.end()
        if broken := text.count("\n", found.start(), place):
            line += broken
            line_begins = text.rindex("\n", 0, place) + 1
    yield Token("end", "", Place(source, line, place - line_begins + 1))


def _token(found: re.Match[str], at: Place) -> Token | None:
    """What was found; None for what a program does not see."""
    text = found.group().lower()
    match found.lastgroup:
        case "word" | "sign" as kind:
            return Token(kind, "and" if text == "&" else text, at)
        case "number":
            return _number(text, at)
        case "time":
            return Token("time", text, at, _milliseconds(text, at), "time")
        case "real":
            raise at.wrong("REAL is not in this subset: count encoder steps and milliseconds")
        case "open":
            raise at.wrong("this comment has no end")
        case "comment" if "(*" in text[2:]:
            raise at.wrong("a comment in a comment: not every PLC reads that")
    return None


def _number(text: str, at: Place) -> Token:
    parts = text.split("#")
    type_name = parts.pop(0) if parts[0].isalpha() else None
    digits = parts[-1].replace("_", "")
    base = int(parts[0]) if len(parts) == 2 else 10
    if len(digits) > MOST_DIGITS:
        raise at.wrong(f"a number of {len(digits)} digits: no type holds it")
    try:
        value = int(digits, base)
    except ValueError:
        raise at.wrong(f"`{text}` is no number of base {base}") from None
    return Token("number", text, at, value, type_name)


def _milliseconds(text: str, at: Place) -> int:
    digits = text.partition("#")[2].replace("_", "")
    found = _PARTS.fullmatch(digits)
    if not digits or found is None or len(digits) > MOST_DIGITS:
        raise at.wrong(f"`{text}` is no duration; expected one such as T#1s500ms")
    return sum(int(n or 0) * ms for n, ms in zip(found.groups(), _PARTS_MS, strict=True))


def _strange(text: str, place: int) -> str:
    if text[place] in "\"'":
        return "STRING is not in this subset"
    return f"{text[place]!r} is no sign of structured text"
