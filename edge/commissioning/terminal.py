"""Talking with the person at the terminal, in Chinese. Questions on stderr, answers from stdin.

The end of stdin answers every question with nothing, and nothing is never yes.
"""

import sys
from typing import TextIO

YES = ("y", "yes", "是", "好", "对")
_CLEAR = "\r\x1b[K"


class Terminal:
    """One person."""

    def __init__(self, talk: TextIO | None = None, heard: TextIO | None = None) -> None:
        """`talk`: stderr, `heard`: stdin, unless given."""
        self._talk = talk if talk is not None else sys.stderr
        self._heard = heard if heard is not None else sys.stdin
        self._live = False
        self.ended = False  # stdin is at its end: nobody is there

    def say(self, text: str) -> None:
        """One line."""
        self._write(f"{self._leave_live()}{text}\n")

    def live(self, text: str) -> None:
        """A line that the next one replaces, where this is a terminal."""
        if self._talk.isatty():
            self._live = True
            self._write(f"{_CLEAR}{text}")
        else:
            self._write(f"{text}\n")

    def ask(self, question: str, otherwise: str = "") -> str:
        """The answer without spaces around it; `otherwise` for an empty one."""
        hint = f"［{otherwise}］" if otherwise else ""
        self._write(f"{self._leave_live()}{question}{hint} ")
        if not self._talk.isatty():
            self._write("\n")
        line = self._heard.readline()
        self.ended = self.ended or not line
        return line.strip() or otherwise

    def confirms(self, question: str) -> bool:
        """Did the person say yes, in a word?"""
        return self.ask(f"{question} (y/n)").lower() in YES

    def _leave_live(self) -> str:
        live, self._live = self._live, False
        return "\n" if live else ""

    def _write(self, text: str) -> None:
        self._talk.write(text)
        self._talk.flush()
