"""Values of command line options: read, or refused with what was expected."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def number(
    kind: Callable[[str], Any], good: Callable[[Any], bool], expected: str
) -> Callable[[str], Any]:
    """A reader of one option's value, whose refusal says what was expected."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not good(value):
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
        return value

    return read
