"""The verdict lane of one station: which result stands in the PLC's registers. No port, no clock.

    expect    the part was triggered; it wants a verdict until its deadline
    submit    its verdict is known and waits
    due       one result at a time goes out, oldest deadline first, repeated every 50 ms until ...
    echo      ... the PLC shows its number and word, or its deadline passes

A newer part never takes the registers from an older one. A result whose deadline passed is
overwritten, so that the PLC cannot take an OK that is no longer counted as one.
"""

from dataclasses import dataclass

from edge.plc.blocks import NO_RESULT, Result, result_registers, verdict_word

REPEAT_S = 0.05  # the echo needs up to two scans; writing more often only delays the polls


@dataclass(slots=True)
class _Waiting:
    """A part between trigger and echo."""

    deadline_s: float
    result: Result | None = None
    written_s: float | None = None


class VerdictLane:
    """Parts that were triggered and are not yet answered, by their unwrapped number."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._standing: int | None = None  # the number whose result is in the registers
        self._stale = True  # the registers hold something that must not be taken

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
        number = self._standing
        if number is None:
            ripe = [
                (part.deadline_s, number)
                for number, part in self._waiting.items()
                if part.result is not None and now_s <= part.deadline_s
            ]
            if not ripe:
                return NO_RESULT if self._stale else None
            number = min(ripe)[1]
        part = self._waiting[number]
        if part.result is None or now_s > part.deadline_s:
            return None
        if part.written_s is not None and now_s - part.written_s < REPEAT_S:
            return None
        self._standing, part.written_s = number, now_s
        return result_registers(part.result)

    def acknowledged(self, registers: tuple[int, ...]) -> None:
        """The PLC's port has taken these registers; its program has not yet."""
        if registers == NO_RESULT:
            self._stale = False

    def echo(self, number_taken: int, word_taken: int) -> Result | None:
        """The result that the PLC's program shows as taken, if it is the one in the registers."""
        if self._standing is None:
            return None
        result = self._waiting[self._standing].result
        if result is None or number_taken != result.number & 0xFFFF:
            return None
        if word_taken != verdict_word(result.number, result.code):
            return None
        del self._waiting[self._standing]
        self._standing = None
        return result

    def expire(self, now_s: float) -> list[tuple[int, bool]]:
        """Numbers whose deadline passed, with whether their result ever went out; they leave."""
        return self._drop([n for n, part in self._waiting.items() if now_s > part.deadline_s])

    def clear(self) -> list[tuple[int, bool]]:
        """The PLC counts anew: every part leaves, and what stands in the registers is wiped."""
        self._stale = True
        return self._drop(list(self._waiting))

    def _drop(self, numbers: list[int]) -> list[tuple[int, bool]]:
        dropped = [(number, self._waiting.pop(number).written_s is not None) for number in numbers]
        if self._standing in numbers:
            self._standing, self._stale = None, True
        return dropped
