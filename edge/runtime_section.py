"""Puts tuned keys into the [runtime] section of edge.toml; every other byte stays as it is. No IO.

The new text is read again and held against the old: only the given keys of [runtime] may differ, or
nothing is returned. So a file that is written in a way not foreseen here is refused, not spoiled.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # JetPack 6 is Python 3.10
    import tomli as tomllib

_HEAD = re.compile(r"^[ \t]*\[[ \t]*runtime[ \t]*\][^\r\n]*(\r?\n|$)", re.M)
_VALUE = r"(?:\[[^\]]*\]|[^#\[\r\n]*?)"  # a list, over several lines perhaps, or one word
_NEXT = re.compile(r"^[ \t]*\[", re.M)


def section(keys: Mapping[str, object]) -> str:
    """The section, ready to paste."""
    return "\n".join(["[runtime]", *_lines(keys).values()]) + "\n"


def replaced(text: str, keys: Mapping[str, object]) -> str | None:
    """`text` with these keys in its [runtime] section; None where that cannot be done safely.

    Args:
        text: of edge.toml, valid TOML.
        keys: text, whole numbers, true or false, or lists of text.
    """
    end = "\r\n" if "\r\n" in text else "\n"
    head = _HEAD.search(text)
    if head is None:
        gap = "" if not text or text.endswith("\n") else end
        made = f"{text}{gap}{end}{section(keys).replace(chr(10), end)}"
    else:
        start = head.end() if head.group(1) else len(text)
        following = _NEXT.search(text, start)
        stop = following.start() if following else len(text)
        before = text[:start] if head.group(1) else text[:start] + end
        made = before + _body(text[start:stop], keys, end) + text[stop:]
    return made if _differs_only_in(text, made, keys) else None


def _body(body: str, keys: Mapping[str, object], end: str) -> str:
    """The section's lines; a key that is there keeps its place and the comment behind it."""
    missing = []
    for key, line in _lines(keys).items():
        there = re.search(rf"^[ \t]*({key}[ \t]*=[ \t]*{_VALUE})(?=[ \t]*(#|\r?$))", body, re.M)
        if there is None:
            missing.append(line + end)
        else:
            body = body[: there.start(1)] + line + body[there.end(1) :]
    return "".join(missing) + body


def _lines(keys: Mapping[str, object]) -> dict[str, str]:
    return {key: f"{key} = {_toml(value)}" for key, value in keys.items()}


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _differs_only_in(old: str, new: str, keys: Mapping[str, object]) -> bool:
    try:
        before, after = tomllib.loads(old), tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        return False
    wanted: dict[str, Any] = {**before, "runtime": {**before.get("runtime", {}), **keys}}
    return bool(after == wanted)
