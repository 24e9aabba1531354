"""What a person may ask of a page, checked. No IO.

A page's query comes from an address bar, so anything may stand in it. Every mistake is collected
and told in words (HTTP 422); nothing wrong reaches the database.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone, tzinfo

from edge.mqtt.message import NAME
from hub.errors import HubError

LONGEST = 200  # characters of any text filter, as in a row
HIGHEST = 2**53 - 1  # largest count a row can hold

_WHOLE = re.compile(r"[0-9]{1,16}")
_SHA256_START = re.compile(r"[0-9a-f]{1,64}")

Problem = tuple[str, dict[str, str]]
"""Key in `words` and what goes into it."""


class WrongQueryError(HubError):
    """A page was asked for something that cannot be; the answer is 422 with every problem."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(key for key, _ in problems))
        self.problems = problems


class Asked:
    """Reads one query string; `problems` says what was wrong with it, in order."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._query = query
        self.problems: list[Problem] = []

    def text(self, key: str) -> str | None:
        """Free text, or None where it was not asked."""
        given = self._given(key)
        if given is None or (len(given) <= LONGEST and given.isprintable()):
            return given
        self._wrong("asked.text", key)
        return None

    def name(self, key: str) -> str | None:
        """The name of a plant, line, station or node."""
        given = self._given(key)
        if given is None or re.fullmatch(NAME, given):
            return given
        self._wrong("asked.name", key)
        return None

    def sha256_start(self, key: str) -> str | None:
        """The first hex digits of a hash."""
        given = self._given(key)
        if given is None or _SHA256_START.fullmatch(given):
            return given
        self._wrong("asked.wrong", key)
        return None

    def one_of(self, key: str, choices: Sequence[str]) -> str | None:
        """One word of a fixed list."""
        given = self._given(key)
        if given is None or given in choices:
            return given
        self._wrong("asked.one_of", key, choices=", ".join(choices))
        return None

    def whole(self, key: str, low: int = 0, high: int = HIGHEST) -> int | None:
        """A whole number in decimal digits."""
        given = self._given(key)
        if given is None:
            return None
        if _WHOLE.fullmatch(given) and low <= int(given) <= high:
            return int(given)
        self._wrong("asked.whole", key, low=str(low), high=str(high))
        return None

    def moment(self, key: str, zone: tzinfo) -> datetime | None:
        """A local wall-clock time as browsers send it (2026-11-23T08:00), as aware UTC."""
        given = self._given(key)
        if given is None:
            return None
        try:
            found = datetime.fromisoformat(given)
        except ValueError:
            found = None
        if found is None or found.tzinfo is not None or not 2000 <= found.year <= 2099:
            self._wrong("asked.time", key, example="2026-11-23T08:00")
            return None
        return found.replace(tzinfo=zone).astimezone(timezone.utc)

    def day(self, key: str) -> date | None:
        """A local calendar day (2026-11-23)."""
        given = self._given(key)
        if given is None:
            return None
        try:
            found = date.fromisoformat(given)
        except ValueError:
            found = None
        if found is None or not 2000 <= found.year <= 2099:
            self._wrong("asked.time", key, example="2026-11-23")
            return None
        return found

    def _given(self, key: str) -> str | None:
        """The value without blanks around it; a form sends its empty fields too: not asked."""
        return self._query.get(key, "").strip() or None

    def _wrong(self, problem: str, key: str, **values: str) -> None:
        self.problems.append((problem, {"key": key, **values}))
