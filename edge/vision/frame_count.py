"""The frame counters of GenICam cameras as one number that never starts again. Pure.

Older GigE Vision cameras count in 16 bits and skip 0: 65535 is followed by 1. A frame whose packets
had to be sent again comes after its successors.
"""

_WRAP = 65_535
_LATE = 64
"""A frame so many places back is a late one; farther back, the camera began to count anew."""


class FrameCount:
    """Continues over a wrap of the camera's counter and over its new start."""

    def __init__(self) -> None:
        self._number = -1
        self._last: int | None = None  # the camera's counter at `_number`

    def next(self, counter: int) -> int:
        """Number of the frame that the camera numbered `counter`, from 0; gaps are lost frames."""
        ahead = 1 if self._last is None else _ahead(counter, self._last)
        if -_LATE <= ahead < 0:
            return max(0, self._number + ahead)
        self._last = counter
        self._number += max(1, ahead)  # 0: a camera that does not count
        return self._number

    def restart(self) -> None:
        """The camera may begin to count anew; its next frame follows the last one."""
        self._last = None


def _ahead(counter: int, last: int) -> int:
    """How many places `counter` is after `last`; negative: before it."""
    if max(counter, last) > _WRAP:
        return counter - last
    ahead = (counter - last) % _WRAP
    return ahead - _WRAP if ahead > _WRAP - _LATE else ahead
