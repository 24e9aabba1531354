"""What a station raises the alarm for. Pure: verdicts and faults in, alerts out.

One cause is one alert with a counter, raised once and cleared once. The rules live on the node,
so that they work while the hub is away. Each code has a card (docs/operator.zh-CN.md).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from edge.terms import Code


class AlertCode(str, Enum):
    """Every alert a node can raise."""

    CONSECUTIVE_NG = "consecutive_ng"  # many NG in a row: process or camera went bad
    UNDECIDED_SHARE = "undecided_share"  # many undecided: light, lens, pairing, load
    CAMERA_LOST = "camera_lost"
    PLC_LOST = "plc_lost"
    MAP_WRONG = "map_wrong"  # PLC block does not answer as agreed
    LEDGER_RESTORED = "ledger_restored"  # its disk was restored or copied: another stream began
    LEDGER_FAULT = "ledger_fault"  # rows cannot be written: every part is rejected
    RECIPE_UNKNOWN = "recipe_unknown"  # the PLC asks for a recipe this node does not have
    PAIRING_LOST = "pairing_lost"  # pictures and numbers disagree
    PARTS_MISSED = "parts_missed"  # the PLC counted parts nobody judged
    BYPASS = "bypass"  # parts pass uninspected
    UNSIGNED = "unsigned"  # a model or recipe without a valid pin is running
    STOP_REQUEST = "stop_request"  # the recipe's [stop] rules ask the PLC to stop the line


@dataclass(frozen=True, slots=True)
class Limits:
    """When a run of verdicts is an alarm."""

    consecutive_ng: int = 5  # parts in a row
    undecided_share: float = 0.10  # of the last `window` parts
    window: int = 50  # parts


@dataclass(frozen=True, slots=True)
class Change:
    """An alert was raised (active) or cleared; `count` = how often its cause was seen."""

    code: AlertCode
    active: bool
    count: int
    detail: str | None = None


class AlertBoard:
    """The alerts of one station."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._active: dict[AlertCode, Change] = {}
        self._ng_in_a_row = 0
        self._since_missed = 0  # settled parts since a number went by unjudged
        self._recent: deque[Code] = deque(maxlen=self._limits.window)

    @property
    def active(self) -> Mapping[AlertCode, Change]:
        """Alerts raised and not cleared, oldest first."""
        return dict(self._active)

    def seen(self, code: AlertCode, detail: str | None = None) -> list[Change]:
        """The cause is there (again): raised the first time, counted after that."""
        if code is AlertCode.PARTS_MISSED:
            self._since_missed = 0
        known = self._active.get(code)
        change = Change(code, True, known.count + 1 if known else 1, detail)
        self._active[code] = change
        return [] if known else [change]

    def gone(self, code: AlertCode) -> list[Change]:
        """The cause has gone: cleared if it was raised."""
        known = self._active.pop(code, None)
        return [Change(code, False, known.count, known.detail)] if known else []

    def judged(self, code: Code) -> list[Change]:
        """One more settled part; returns what its verdict raises or clears."""
        self._ng_in_a_row = self._ng_in_a_row + 1 if code is Code.NG else 0
        self._recent.append(code)
        self._since_missed += 1
        quiet = self._since_missed >= self._limits.window
        undecided = sum(c is Code.UNDECIDED for c in self._recent)
        full = len(self._recent) == self._limits.window
        changes = self.gone(AlertCode.PARTS_MISSED) if quiet else []
        return (
            changes
            + self._hold(
                AlertCode.CONSECUTIVE_NG,
                self._ng_in_a_row >= self._limits.consecutive_ng,
                f"{self._ng_in_a_row} in a row",
            )
            + self._hold(
                AlertCode.UNDECIDED_SHARE,
                full and undecided >= self._limits.undecided_share * self._limits.window,
                f"{undecided} of the last {len(self._recent)}",
            )
        )

    def _hold(self, code: AlertCode, holds: bool, detail: str) -> list[Change]:
        return self.seen(code, detail) if holds else self.gone(code)
