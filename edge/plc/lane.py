"""The verdict lane of one station: which result stands in the PLC's registers. No port, no clock.

    expect    the part was triggered; it wants a verdict until its deadline
    submit    its verdict is known and waits
    due       one result at a time goes out, oldest deadline first, repeated every 50 ms until ...
    echo      ... the PLC shows its number and word, or its deadline passes

A result is overwritten by the next one only when it was echoed, when its deadline has passed (so
that the PLC cannot take an OK that is no longer counted as one), or when a read made two scans
after it had arrived shows that the PLC let it lie. Such a one gets its turn again after the others:
a part that the PLC cannot take holds up nobody, and no newer part cancels an older one.
"""

from dataclasses import dataclass

from edge.plc.blocks import NO_RESULT, Result, result_registers, verdict_word

REPEAT_S = 0.05  # the echo needs up to two scans; writing more often only delays the polls

Shown = tuple[int, int]
"""Result number and verdict word as the PLC shows them taken."""


@dataclass(slots=True)
class _Waiting:
    """A part between trigger and echo."""

    deadline_s: float
    result: Result | None = None
    written_s: float | None = None
    turns: int = 0  # how often it had the registers
    arrived_s: float | None = None  # of this turn: the PLC's port has had it since then
    left_lying: bool = False  # of this turn: the PLC's program saw it and did not take it
    stale: Shown | None = None  # shown as taken before it ever went out: of another part


class VerdictLane:
    """Parts that were triggered and are not yet answered, by their unwrapped number."""

    def __init__(self, scans_s: float) -> None:
        """`scans_s`: two scans of the PLC's program at their longest; an echo is there then."""
        self._scans_s = scans_s
        self._waiting: dict[int, _Waiting] = {}
        self._standing: int | None = None  # the number whose result is in the registers
        self._stale = True  # the registers hold something that must not be taken
        self._shown: Shown | None = None  # what the PLC showed last

    @property
    def repeating(self) -> bool:
        """Would `due` only write again what went out before?"""
        number = self._turn()
        return number is not None and self._waiting[number].written_s is not None

    def expect(self, number: int, deadline_s: float) -> None:
        """A part was triggered."""
        self._waiting[number] = _Waiting(deadline_s)

    def submit(self, result: Result, now_s: float) -> None:
        """A verdict. The first one stands; one for a part that is not expected is dropped."""
        part = self._waiting.get(result.number)
        if part is not None and part.result is None and now_s <= part.deadline_s:
            part.result = result

    def due(self, now_s: float) -> tuple[int, ...] | None:
        """The five result registers to write now, or None."""
        number = self._turn(now_s)
        if number is None:
            return NO_RESULT if self._standing is None and self._stale else None
        part = self._waiting[number]
        same = number == self._standing
        if part.result is None or now_s > part.deadline_s:
            return None
        if same and part.written_s is not None and now_s - part.written_s < REPEAT_S:
            return None
        if not same:
            self._standing = number
            part.turns, part.arrived_s, part.left_lying = part.turns + 1, None, False
        if part.written_s is None and self._shown == _shown(part.result):
            part.stale = self._shown
        part.written_s = now_s
        return result_registers(part.result)

    def acknowledged(self, registers: tuple[int, ...], at_s: float) -> None:
        """The PLC's port has taken these registers, at the latest at `at_s`."""
        if registers == NO_RESULT:
            self._stale = False
            return
        part = self._waiting.get(self._standing) if self._standing is not None else None
        if part is None or part.result is None or part.arrived_s is not None:
            return
        if registers == result_registers(part.result):
            part.arrived_s = at_s

    def echo(self, number_taken: int, word_taken: int, read_s: float) -> Result | None:
        """The result that the PLC's program shows as taken, if it is one that went out.

        Args:
            read_s: the PLC made this read no earlier.
        """
        self._shown = shown = (number_taken, word_taken)
        found: tuple[int, Result] | None = None
        for number, part in self._waiting.items():
            if part.result is None or part.written_s is None:
                continue
            part.stale = part.stale if part.stale == shown else None
            if _shown(part.result) == shown and part.stale is None:
                found = number, part.result
            elif number == self._standing and part.arrived_s is not None:
                part.left_lying |= read_s >= part.arrived_s + self._scans_s
        if found is None:
            return None
        number, result = found
        del self._waiting[number]
        if number == self._standing:
            self._standing = None
        return result

    def expire(self, now_s: float) -> list[tuple[int, bool]]:
        """Numbers whose deadline passed, with whether their result ever went out; they leave."""
        return self._drop([n for n, part in self._waiting.items() if now_s > part.deadline_s])

    def clear(self) -> list[tuple[int, bool]]:
        """The PLC counts anew: every part leaves, and what stands in the registers is wiped."""
        self._stale = True
        return self._drop(list(self._waiting))

    def _turn(self, now_s: float | None = None) -> int | None:
        """Whose result shall be in the registers."""
        standing = self._standing
        if standing is not None and not self._waiting[standing].left_lying:
            return standing
        ripe = [
            (part.turns, part.deadline_s, number)
            for number, part in self._waiting.items()
            if part.result is not None and (now_s is None or now_s <= part.deadline_s)
        ]
        others = [one for one in ripe if one[2] != standing] or ripe
        return min(others)[2] if others else standing

    def _drop(self, numbers: list[int]) -> list[tuple[int, bool]]:
        dropped = [(number, self._waiting.pop(number).written_s is not None) for number in numbers]
        if self._standing in numbers:
            self._standing, self._stale = None, True
        return dropped


def _shown(result: Result) -> Shown:
    return result.number & 0xFFFF, verdict_word(result.number, result.code)
