"""Whose frame goes next on a bus of several stations and slaves. No port, no clock.

    block   another   block   another   ...

Every second frame at least is a block read, of the station that waited longest. The others are, in
this order: a verdict, a heartbeat, a repeated verdict, status and counters, one frame of tags. So
there are never two frames of tags between two block reads, and one that has just begun costs a
verdict no more than itself.

Only a heartbeat that is due goes before the repetition of a verdict: on a slow bus one part that
the PLC never takes is due again at every turn, and a PLC that hears no heartbeat for a second takes
nothing at all. The two alternate, so that the heartbeats of several stations leave turns for the
repetition.

A PLC that is left alone keeps the bus for its whole silence when it is asked. So it is, as a silent
slave (edge/plc/tag_lane.py), only where that is over before a verdict may be wanted; but it may be
running again. Where its neighbours do not pause so long, it is asked briefly every 3 s: given up
when a PLC that lives would have answered, which has its place in the timetable whatever is under
way. One that answers more slowly is found by the whole question, after 5 s at the first moment at
which no part is between trigger and echo, and after 10 s whatever is under way.
"""

from collections.abc import Callable
from dataclasses import replace

from edge.plc.tag_lane import TagLane
from edge.plc.turns import Frame, Turns

Claim = Callable[[Turns, float], Frame | None]

BRIEFLY_S = 3.0
"""So long a PLC that is left alone waits for a pause of its neighbours; then a brief question."""

UNASKED_S = 5.0
"""So long the whole question to a PLC that is left alone waits for a pause of its neighbours; twice
that for none."""


class Roundabout:
    """The order of frames on one bus."""

    def __init__(
        self, turns: list[Turns], tags: TagLane | None = None, probe_s: float = 0.0
    ) -> None:
        """`probe_s`: how long a request to somebody silent keeps the bus, at the most."""
        self._turns = turns
        self._tags = tags or TagLane([], probe_s)
        self._probe_s = probe_s
        self._answered: Turns | None = None  # a sounding, and waits for its block
        self._wholly_s = {id(one): float("-inf") for one in turns}  # asked, and not briefly
        self._read_last = False
        self._beat_last = False  # of the frames that are no block reads

    def next(self, now_s: float) -> tuple[Turns | None, Frame] | None:
        """The next transaction and whose it is, None = a slave's; None while nobody may be asked.

        While no PLC may be asked, slaves are.
        """
        longest = sorted(self._turns, key=lambda turns: turns.asked_s)
        if self._read_last:
            found = self._between(longest, now_s) or self._tag(now_s)
            if found is not None:
                self._read_last = False
                return found
        for turns in longest:
            brief = not self._has_time(turns, now_s)
            due = not brief or now_s - turns.asked_s > BRIEFLY_S
            frame = turns.block(now_s) if due else None
            if frame is not None:
                self._read_last = True
                self._answered = None if turns is self._answered else self._answered
                self._wholly_s[id(turns)] = self._wholly_s[id(turns)] if brief else now_s
                return turns, replace(frame, brief=brief)
        return self._tag(now_s)

    def put_off(self, turns: Turns | None) -> None:
        """The frame that `next` gave has not gone out, as its turn went to a sounding.

        It is asked for anew; a block is next, so that a PLC that answers again is heard at once.
        """
        self._read_last = False
        self._answered = turns

    def _has_time(self, turns: Turns, now_s: float) -> bool:
        """Whether its answer may be waited for, though nobody may answer."""
        if not turns.left_alone or turns is self._answered:
            return True
        quiet_until_s = self._quiet_until_s(now_s)
        under_way = quiet_until_s == float("-inf")
        unasked_s = now_s - self._wholly_s[id(turns)]
        return (
            now_s + self._probe_s <= quiet_until_s
            or unasked_s > (2 if under_way else 1) * UNASKED_S
        )

    def _quiet_until_s(self, now_s: float) -> float:
        """Until when no verdict of any station can be wanted."""
        own_s = (turns.quiet_until_s(now_s) for turns in self._turns)
        return min(own_s, default=float("inf"))

    def _between(self, longest: list[Turns], now_s: float) -> tuple[Turns, Frame] | None:
        silent = sorted(self._turns, key=lambda turns: turns.beaten_s)
        for claim in self._claims():
            for turns in silent if claim is Turns.beat else longest:
                frame = claim(turns, now_s)
                if frame is not None:
                    self._beat_last = claim is Turns.beat
                    return turns, frame
        return None

    def _tag(self, now_s: float) -> tuple[Turns | None, Frame] | None:
        deaf = {turns.name for turns in self._turns if not turns.answers}
        group = self._tags.next(now_s, self._quiet_until_s(now_s), deaf)
        if group is None:
            return None
        own = next((turns for turns in self._turns if turns.name == group.source), None)
        return own, Frame("tag", group.request)

    def _claims(self) -> tuple[Claim, ...]:
        if self._beat_last:
            return Turns.first, Turns.urgent, Turns.beat, Turns.other
        return Turns.first, Turns.beat, Turns.urgent, Turns.other
