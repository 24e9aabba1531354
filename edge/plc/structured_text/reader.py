"""A place in the row of tokens: what comes next, what must come, and how an error is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from edge.plc.structured_text.tokens import Token, tokenise

DEEPEST = 40
"""Brackets and statements inside each other; nobody reads more."""

RESERVED = frozenset((
    "and", "array", "by", "case", "constant", "do", "else", "elsif", "end_case", "end_for",
    "end_function_block", "end_if", "end_var", "end_while", "exit", "false", "for",
    "function_block", "if", "mod", "not", "of", "or", "retain", "then", "to", "true", "var",
    "var_input", "var_output", "while", "xor",
))  # fmt: skip
"""Words of the language; no variable is called so."""

ELSEWHERE = frozenset((
    "abstract", "action", "any", "at", "byte", "char", "class", "configuration", "continue",
    "date", "date_and_time", "dt", "end_action", "end_class", "end_configuration", "end_function",
    "end_interface", "end_method", "end_namespace", "end_program", "end_property", "end_repeat",
    "end_resource", "end_struct", "end_type", "end_union", "extends", "function", "goto",
    "implements", "interface", "lint", "lreal", "lword", "method", "namespace", "non_retain",
    "persistent", "pointer", "program", "property", "real", "ref_to", "reference", "repeat",
    "resource", "return", "sint", "string", "struct", "super", "task", "this", "time_of_day",
    "tod", "type", "ulint", "union", "until", "usint", "var_access", "var_external", "var_global",
    "var_in_out", "var_temp", "wchar", "with", "wstring",
))  # fmt: skip
"""Words of the standard or its vendors that are not in this subset."""


class Reader:
    """Tokens, one after the other."""

    def __init__(self, text: str, source: str) -> None:
        """Args:
        source: the text's name in errors.

        Raises:
            PlcProgramError: what is no token.
        """
        self._tokens = list(tokenise(text, source))
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self._tokens[self._next]

    def take(self) -> Token:
        """The next token, which is then behind; the end stays."""
        token = self.token
        self._next += token.kind != "end"
        return token

    def sees(self, *texts: str) -> bool:
        """True if one of these words or signs comes next."""
        return self.token.kind in ("word", "sign") and self.token.text in texts

    def accept(self, *texts: str) -> Token | None:
        """The next token if it is one of these."""
        return self.take() if self.sees(*texts) else None

    def expect(self, text: str, where: str) -> Token:
        """The next token, which must be this one.

        Raises:
            PlcProgramError: it is another.
        """
        if not self.sees(text):
            self.fail(f"expected `{text.upper()}` {where}")
        return self.take()

    def name(self, what: str) -> Token:
        """A name that somebody chose.

        Raises:
            PlcProgramError: there is none, or the word has a meaning already.
        """
        token = self.token
        if token.kind != "word" or token.text in RESERVED:
            self.fail(f"expected the name of {what}")
        if token.text in ELSEWHERE:
            self.refuse(token)
        return self.take()

    def fail(self, text: str) -> NoReturn:
        """Say what was expected, and what stands here instead."""
        token = self.token
        if token.kind == "word" and token.text in ELSEWHERE:
            self.refuse(token)
        found = "the end of the text" if token.kind == "end" else f"`{token.text}`"
        raise token.at.wrong(f"{text}, found {found}")

    def refuse(self, token: Token) -> NoReturn:
        """Say that this word is not for this interpreter."""
        raise token.at.wrong(f"{token.text.upper()} is not in this subset of structured text")

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Inside one more bracket or statement.

        Raises:
            PlcProgramError: too deep.
        """
        self._depth += 1
        if self._depth > DEEPEST:
            raise self.token.at.wrong(f"more than {DEEPEST} brackets or statements in each other")
        yield
        self._depth -= 1
