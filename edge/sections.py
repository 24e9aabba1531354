"""Turns a parsed TOML document into frozen structs and lists every mistake at once. No IO.

msgspec stops at its first error; a person who edits a file wants all of them. So each key is
converted by itself, and each mistake is told as `[section] key: what was expected`.
"""

import sys
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

if sys.version_info >= (3, 11):
    import tomllib
else:  # JetPack 6 is Python 3.10
    import tomli as tomllib

Shape = TypeVar("Shape", bound=msgspec.Struct)

HOST = r"^[0-9A-Za-z_:%-]{1,63}(\.[0-9A-Za-z_%-]{1,63})*\.?\Z"
Host = Annotated[str, Meta(pattern=HOST, description="a host name or an IP address")]
"""What can be connected to: DNS knows no empty part of a name, and none of above 63 letters."""

TOLD = object()
"""In the place of a value of a document: it is wrong, and that is told already."""


def parse(
    content: bytes,
    shape: type[Shape],
    crossed: Callable[[Shape], list[str]] | None = None,
    fill: Callable[[dict[str, Any]], list[str]] | None = None,
) -> tuple[Shape | None, list[str]]:
    """Parse a TOML file's bytes and convert them; returns as `convert` does.

    `crossed` finds mistakes that no single key shows. It is asked about a broken file too, where
    keys that are missing or wrong are None, so that one look at a file tells everything. `fill`
    completes the document before that, and tells what is wrong with what it looked at.
    """
    try:
        document = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as wrong:
        return None, [f"is not UTF-8: {wrong}"]
    except (tomllib.TOMLDecodeError, RecursionError) as wrong:  # arrays in arrays in arrays
        return None, [f"is not TOML: {wrong}"]
    told = fill(document) if fill is not None else []
    filled, problems = _fill(document, shape, "")
    problems = told + problems
    if filled is not None and crossed is not None:
        problems = problems + crossed(filled)
    return (None if problems else filled), problems


def convert(
    document: object, shape: type[Shape], where: str = ""
) -> tuple[Shape | None, list[str]]:
    """Convert `document` to `shape`.

    Args:
        document: what a TOML parser returned for this place.
        shape: a msgspec Struct; fields may be Structs (sections) or tuples of Structs (`[[...]]`).
        where: the section's name for messages, "" at the top.

    Returns:
        The struct and no problems, or None and every problem found below this place.
    """
    filled, problems = _fill(document, shape, where)
    return (None if problems else filled), problems


def _fill(document: object, shape: type[Shape], where: str) -> tuple[Shape | None, list[str]]:
    """As `convert`, but with None in the place of every key that is missing or wrong."""
    if not isinstance(document, Mapping):
        return None, [f"[{where}]: expected a section, got {_kind(document)}"]
    hints = get_type_hints(shape, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    problems = [_line(where, key, "unknown key") for key in document if key not in fields]
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in document:
            values[field.name], found = _value(document[key], hints[field.name], where, key)
            problems += found
        elif field.required:
            values[field.name] = None
            problems.append(_line(where, key, f"missing; expected {_expected(hints[field.name])}"))
    try:
        return shape(**values), problems
    except (ValueError, TypeError) as wrong:  # __post_init__: keys that do not go together
        return None, problems or [_line(where, "", str(wrong))]


def _value(given: object, hint: Any, where: str, key: str) -> tuple[Any, list[str]]:
    if given is TOLD:
        return None, []
    section = _struct_in(hint)
    place = f"{where}.{key}" if where else key
    if section is not None and get_origin(_bare(hint)) is tuple:
        return _tables(given, hint, section, place)
    if section is not None:
        return _fill(given, section, place)
    try:
        return msgspec.convert(given, hint), []
    except msgspec.ValidationError:
        return None, [_line(where, key, f"got {_shown(given)}, expected {_expected(hint)}")]


def _tables(
    given: object, hint: Any, section: type[msgspec.Struct], place: str
) -> tuple[Any, list[str]]:
    if not isinstance(given, list):
        return None, [f"[[{place}]]: expected tables in double brackets, got {_kind(given)}"]
    least = max((m.min_length or 0 for m in _metas(hint)), default=0)
    if len(given) < least:
        return None, [f"[[{place}]]: expected at least {least}, got {len(given)}"]
    values, problems = [], []
    for number, table in enumerate(given, 1):
        name = table.get("name", number) if isinstance(table, Mapping) else number
        value, found = _fill(table, section, f"{place} {name}")
        if value is not None:
            values.append(value)
        problems += found
    return tuple(values), problems


def _bare(hint: Any) -> Any:
    """The hint without Annotated."""
    return hint.__origin__ if hasattr(hint, "__metadata__") else hint


def _metas(hint: Any) -> list[Meta]:
    return [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Meta)]


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The Struct that a hint holds: S, S | None, tuple[S, ...]."""
    hint = _bare(hint)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if get_origin(hint) in (tuple, Union, types.UnionType):
        return next((s for s in map(_struct_in, get_args(hint)) if s is not None), None)
    return None


def _line(where: str, key: str, what: str) -> str:
    if not where:
        return f"{key}: {what}"
    return f"[{where}] {key}: {what}" if key else f"[{where}]: {what}"


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return "a section"
    return "a list" if isinstance(value, list) else _shown(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _expected(hint: Any) -> str:
    """What a key takes, in words: `one of "N", "E", "O"`, `a whole number from 1 to 247`."""
    bare = _bare(hint)
    if get_origin(bare) is Literal:
        return "one of " + ", ".join(map(repr, get_args(bare)))
    if get_origin(bare) in (Union, types.UnionType):
        options = [a for a in get_args(bare) if a is not type(None)]
        if all(get_origin(_bare(option)) is Literal for option in options):
            return "one of " + ", ".join(repr(a) for o in options for a in get_args(_bare(o)))
        return _expected(options[0])
    if get_origin(bare) is tuple:
        inner = _expected(get_args(bare)[0])
        return f"a list of {inner}" + "".join(map(_bounds, _metas(hint)))
    if _struct_in(bare) is not None:
        return "a section"
    told = [m.description for m in _metas(hint) if m.description]
    if told:  # a pattern in words
        return told[0]
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(bare, "a value") + "".join(map(_bounds, _metas(hint)))


def _bounds(meta: Meta) -> str:
    limits = (
        (" from {}", meta.ge),
        (" above {}", meta.gt),
        (" to {}", meta.le),
        (" below {}", meta.lt),
        (" matching {}", meta.pattern),
        (", at least {} of them", meta.min_length),
        (", at most {} of them", meta.max_length),
    )
    return "".join(text.format(limit) for text, limit in limits if limit is not None)
