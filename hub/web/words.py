"""The words on the screens, in Chinese and English. No IO.

One table, in the vocabulary of the design. A word that comes from the line and is not in the table
(a defect class of somebody's own model, an alert code of a later node) is shown as it came.
"""

from collections.abc import Callable
from typing import Literal

from hub.web.words_line import LINE_WORDS
from hub.web.words_pages import PAGE_WORDS

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
HTML_LANGUAGE = {"zh": "zh-CN", "en": "en"}

Say = Callable[..., str]
"""`say("verdict.ng")`, `say("page.of", done=3)`: one word of one language."""

WORDS: dict[str, tuple[str, str]] = {**LINE_WORDS, **PAGE_WORDS}
"""Chinese and English by key."""


def sayer(language: Language) -> Say:
    """The function that says words in one language."""
    column = LANGUAGES.index(language)

    def say(key: str, /, **values: object) -> str:
        return WORDS[key][column].format(**values)

    return say


def say_or(say: Say, group: str, word: str | None) -> str:
    """A word of the line (`group`.`word`) in the screen's language, or as it came; "" for None."""
    if word is None:
        return ""
    key = f"{group}.{word}"
    return say(key) if key in WORDS else word
