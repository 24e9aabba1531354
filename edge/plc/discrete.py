"""Verdicts on a wire: when the OK output of a station is energised. No port, no clock.

    edge            the part-present contact or the gate eye: this part's own
    |<- delay ->|<--- width --->|
                [ window        )        OK is energised inside it, or never

OK is the energised state: a cut wire, a dead node, NG and "undecided" look the same. The output is
energised only for a part whose verdict OK was handed over (its row is on disk) before its deadline
and before its window began, inside the window of that part and of no other. Two windows that
overlap, a part too many at the gate and two parts that one edge could mean get nothing at all.

A part leaves as Taken when its window has passed as its verdict says: OK was read back energised,
or nothing was ever said. Everything else leaves as Expired.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge.plc.handshake import Expired, Taken
from edge.terms import Code

Key = tuple[int, int]
"""Epoch and number of a part."""

LATE_SHARE = 0.5  # of the window: a pulse that could not begin by then is not given


class Contact:
    """One input. A change counts once it has lasted, and is dated when it began.

    What is there at the first look is no edge: nobody knows when it came.
    """

    def __init__(self, debounce_s: float) -> None:
        self.closed: bool | None = None  # as believed; None before the first look
        self._debounce_s = debounce_s
        self._seen: tuple[bool, float] | None = None  # last level, and since when
        self._rises_s: list[float] = []

    def look(self, closed: bool, at_s: float) -> None:
        """The input is, or became, this; times must not step back."""
        self._settle(at_s)
        if self._seen is None or self._seen[0] != closed:
            self._seen = (closed, at_s)

    def rises(self, now_s: float) -> list[float]:
        """When it closed, of every closing that was not told yet and has lasted."""
        self._settle(now_s)
        rises_s, self._rises_s = self._rises_s, []
        return rises_s

    def _settle(self, now_s: float) -> None:
        if self._seen is None:
            return
        level, since_s = self._seen
        if level == self.closed or now_s - since_s < self._debounce_s:
            return
        if level and self.closed is not None:
            self._rises_s.append(since_s)
        self.closed = level


@dataclass(frozen=True, slots=True)
class Timing:
    """The window of a pulse, s."""

    delay_s: float
    width_s: float
    at_gate: bool = False  # counted from the gate eye, else from the part-present edge
    after_s: float = 0.0  # from the part-present edge to the gate eye ...
    tolerance_s: float = 0.0  # ... give or take
    lead_s: float = 0.0  # from the order to the output itself: OFF is ordered so much earlier


@dataclass(slots=True)
class _Part:
    key: Key | None  # None: a stranger at the gate, never OK
    edge_s: float
    deadline_s: float
    window: tuple[float, float] | None = None
    code: Code | None = None
    silent: bool = False  # OK is never said for it, and need not be
    spoiled: bool = False  # nothing (more) is said for it
    begun_s: float | None = None  # OK was ordered
    seen_s: float | None = None  # OK was read back
    told: bool = False  # left as Taken or Expired; its window still keeps others out

    def __post_init__(self) -> None:
        self.told = self.key is None


@dataclass(slots=True)
class Pulses:
    """Parts between their edge and the end of their window.

    An edge must be told within `delay_s` of its happening, or a pulse under way is cut too late.
    """

    timing: Timing
    _parts: list[_Part] = field(default_factory=list)

    def expect(
        self, key: Key, edge_s: float | None, deadline_s: float, silent: bool = False
    ) -> None:
        """A part was triggered.

        Args:
            edge_s: its part-present edge; None = nobody knows which it is, so that it gets nothing.
            deadline_s: a verdict that comes later is none.
            silent: a golden sample, rejected whatever its verdict.
        """
        part = _Part(key, -math.inf if edge_s is None else edge_s, deadline_s, silent=silent)
        self._parts.append(part)
        if edge_s is None:
            part.spoiled = True
        elif not self.timing.at_gate:
            self._open(part, edge_s)

    def at_gate(self, edge_s: float) -> None:
        """The gate eye saw something come."""
        if not self.timing.at_gate:
            return
        way = self.timing
        near = [
            part
            for part in self._parts
            if part.key is not None
            and part.window is None
            and abs(edge_s - part.edge_s - way.after_s) <= way.tolerance_s
        ]
        part = near[0] if len(near) == 1 else _Part(None, edge_s, -math.inf)
        if part.key is None:
            self._parts.append(part)
            for doubtful in near:
                doubtful.spoiled = True
        self._open(part, edge_s)

    def decide(self, key: Key, code: Code, now_s: float) -> None:
        """A verdict whose row is on disk. The first one stands; what comes too late is dropped."""
        for part in self._parts:
            start_s = part.window[0] if part.window else math.inf
            in_time = now_s <= min(part.deadline_s, start_s)
            if part.key == key and part.code is None and in_time and code is not Code.UNDEFINED:
                part.code = code

    def wanted(self, now_s: float) -> bool:
        """Shall the OK output be energised now?"""
        part = self._standing(now_s)
        if part is not None and part.begun_s is None:
            part.begun_s = now_s
        return part is not None

    def seen(self, now_s: float) -> None:
        """The output was energised and read back so at `now_s`."""
        part = self._standing(now_s)
        if part is not None and part.begun_s is not None and part.seen_s is None:
            part.seen_s = now_s

    def failed(self, now_s: float) -> None:
        """The output did not do as ordered: whoever has it now, or is about to, gets no more."""
        self._spoil(now_s, 0.0)

    def doubted(self, now_s: float) -> None:
        """Nobody knows whether the order came: it is repeated while a pulse may still begin."""
        self._spoil(now_s, LATE_SHARE)

    def due_s(self, now_s: float) -> float:
        """When `wanted` or `leave` may next change by itself; infinity if never."""
        return min(
            (when for part in self._parts for when in self._turns(part, now_s)), default=math.inf
        )

    def off_s(self, now_s: float) -> float:
        """When OFF must be ordered for the OK that stands now; infinity where none does."""
        part = self._standing(now_s)
        if part is None or part.window is None:
            return math.inf
        return part.window[1] - self.timing.lead_s

    def leave(self, now_s: float) -> list[Taken | Expired]:
        """Parts whose fate is sealed."""
        left = [one for part in self._parts for one in self._fate(part, now_s)]
        self._parts = [part for part in self._parts if not self._over(part, now_s)]
        return left

    def clear(self) -> list[Taken | Expired]:
        """Everything between edge and window is forgotten: the count begins anew."""
        parts, self._parts = self._parts, []
        return [
            Expired(*part.key, written=part.begun_s is not None)
            for part in parts
            if part.key is not None and not part.told
        ]

    # -- windows ------------------------------------------------------------------------------

    def _open(self, part: _Part, edge_s: float) -> None:
        """The part's window is known; one that overlaps another spoils both."""
        start_s = edge_s + self.timing.delay_s
        part.window = start_s, end_s = start_s, start_s + self.timing.width_s
        for other in self._parts:
            if other is not part and other.window is not None:
                first_s, last_s = other.window
                if first_s < end_s and start_s < last_s:
                    other.spoiled = part.spoiled = True

    def _spoil(self, now_s: float, share: float) -> None:
        """Whose window is past this share of it, and whose OK was not read back, gets no more."""
        for part in self._parts:
            if part.window is not None and part.seen_s is None:
                start_s, end_s = part.window
                part.spoiled |= start_s + share * (end_s - start_s) <= now_s < end_s

    def _standing(self, now_s: float) -> _Part | None:
        """The part for which OK stands on the wire now; windows do not overlap."""
        for part in self._parts:
            if part.code is not Code.OK or part.silent or part.spoiled or part.window is None:
                continue
            start_s, end_s = part.window
            begins = part.begun_s is not None or now_s < start_s + LATE_SHARE * (end_s - start_s)
            if start_s <= now_s < end_s - self.timing.lead_s and begins:
                return part
        return None

    def _turns(self, part: _Part, now_s: float) -> Iterable[float]:
        lost_s = part.edge_s + self.timing.after_s + self.timing.tolerance_s
        start_s, end_s = part.window or (lost_s, lost_s)
        turns = (start_s, end_s - self.timing.lead_s, end_s, part.deadline_s)
        return (when for when in turns if when > now_s)

    # -- what became of them ------------------------------------------------------------------

    def _fate(self, part: _Part, now_s: float) -> list[Taken | Expired]:
        if part.told or part.key is None:
            return []
        undecided = part.code is None and now_s > self._verdict_by_s(part)
        if not undecided and not self._over(part, now_s):
            return []
        part.told = True
        unsaid = part.spoiled or part.seen_s is None
        if part.code is None or (part.code is Code.OK and unsaid and not part.silent):
            return [Expired(*part.key, written=part.code is not None)]
        taken_s = part.seen_s if part.seen_s is not None else self._ends_s(part)
        return [Taken(*part.key, part.code, taken_s)]

    def _verdict_by_s(self, part: _Part) -> float:
        return min(part.deadline_s, part.window[0] if part.window else part.deadline_s)

    def _ends_s(self, part: _Part) -> float:
        """Its window is past; or it never came to the gate; or it has none."""
        if part.window is not None:
            return part.window[1]
        if part.edge_s == -math.inf:
            return part.deadline_s
        return part.edge_s + self.timing.after_s + self.timing.tolerance_s

    def _over(self, part: _Part, now_s: float) -> bool:
        return now_s >= self._ends_s(part)
