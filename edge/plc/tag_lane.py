"""The tag lane of one bus: what is read next, which readings are worth a row. No port, no clock.

due      every second; of those that are due the one that was read longest ago; neighbours share
         a frame no longer than the station block
silent   who did not answer is asked again after 1 s, 2 s ... 60 s, one frame only, and only if
         that is over before the bus may be wanted for a verdict
refused  asked again after a minute
a row    the first reading, a change beyond the dead band, the period, a fault that came or went
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from edge.plc import tags
from edge.plc.backoff import JITTER, Backoff
from edge.plc.blocks import BLOCK_SIZE
from edge.plc.transaction import AREAS, Request
from edge.settings import Slave, Station, Tag

READ_S = 1.0  # every tag is read so often, where the bus has room
REFUSED_S = 60.0
STALE_S = 3 * READ_S  # older than that and asked for in vain, a value says nothing of now
FAULTS = 2  # failures in a row before a row says so: one is a damaged frame
FIRST_S, MOST_S = 1.0, 60.0  # how long a silent slave is left alone
LEFT_ALONE_S = FIRST_S * (1 - JITTER)  # at the least


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure worth a row."""

    source: str  # name of the station or slave
    tag: Tag
    value: int | None  # None = it cannot be read, and `fault` says why
    fault: str | None
    made_s: float  # monotonic: when the slave made the answer, or the failure


@dataclass(slots=True)
class _Patience:
    """How often somebody who does not answer is asked."""

    backoff: Backoff
    silent: bool = False
    failures: int = 0  # in a row


@dataclass(slots=True)
class _Told:
    """What the last row of a tag said."""

    value: int | None
    at_s: float


@dataclass(slots=True)
class Group:
    """Tags that are read with one frame."""

    source: str
    request: Request
    tags: tuple[Tag, ...]
    patience: _Patience
    of_station: bool
    due_s: float = float("-inf")
    failures: int = 0
    told: dict[str, _Told] = field(default_factory=dict)  # by name of the tag
    latest: dict[str, tuple[int, float]] = field(default_factory=dict)  # value, when made; as told

    @property
    def in_vain(self) -> bool:
        """Was it asked for in vain, the last time?"""
        return self.patience.silent or self.failures > 0


def groups(
    wanted: Sequence[Tag],
    stations: Sequence[Station],
    slaves: Sequence[Slave],
    speaks: Callable[[Request], bool] = lambda _: True,
    backoff: Callable[[], Backoff] = lambda: Backoff(FIRST_S, MOST_S),
) -> list[Group]:
    """The frames that read these tags; those of other buses are left out.

    Args:
        speaks: can the protocol of the bus ask this? Its areas may touch without being one.
    """
    found: list[Group] = []
    places: list[tuple[Station | Slave, Tag]] = [
        *((s, tag) for s in stations for tag in wanted if tag.station == s.name),
        *((s, tag) for s in slaves for tag in wanted if tag.slave == s.name),
    ]
    slaves_patience = {slave.name: _Patience(backoff()) for slave in slaves}
    places.sort(key=lambda place: (place[0].name, place[1].area, place[1].address))
    for source, tag in places:
        if found and _joins(found[-1], source, tag):
            last = found[-1]
            joined = _request(source.unit, tag, last.request.address)
            if speaks(joined):
                last.request = joined
                last.tags += (tag,)
                continue
        request = _request(source.unit, tag, tag.address)
        patience = slaves_patience.get(source.name) or _Patience(backoff())
        of_station = isinstance(source, Station)
        found.append(Group(source.name, request, (tag,), patience, of_station))
    return found


def _request(unit: int, last: Tag, address: int) -> Request:
    return Request(unit, AREAS[last.area], address, last.address + last.size - address)


def _joins(group: Group, source: Station | Slave, tag: Tag) -> bool:
    """Only what touches: a PLC may refuse a frame over registers that it does not have."""
    asked = group.request
    return (
        group.source == source.name
        and asked.function == AREAS[tag.area]
        and tag.address <= asked.address + asked.count
        and asked.address + asked.count <= tag.address + tag.size <= asked.address + BLOCK_SIZE
    )


class TagLane:
    """Which tags of a bus are read next, and what came of it. Used by the bus thread."""

    def __init__(self, frames: Sequence[Group], probe_s: float) -> None:
        """`probe_s`: how long a frame to somebody silent keeps the bus, at the most."""
        self._groups = list(frames)
        self._probe_s = probe_s
        self._asked: Group | None = None
        self._group_of = {(group.source, tag.name): group for group in frames for tag in group.tags}

    def next(self, now_s: float, quiet_until_s: float, deaf: Collection[str]) -> Group | None:
        """The group to read now.

        Args:
            quiet_until_s: until then no station of the bus can want a verdict.
            deaf: stations whose PLC does not answer; it is left to their own block.
        """
        due = [
            group
            for group in self._groups
            if now_s >= group.due_s
            and not (group.of_station and group.source in deaf)
            and self._may(group.patience, now_s, quiet_until_s)
        ]
        self._asked = min(due, key=lambda group: group.due_s, default=None)
        return self._asked

    def _may(self, patience: _Patience, now_s: float, quiet_until_s: float) -> bool:
        if not patience.silent:
            return True
        return now_s >= patience.backoff.due_s and now_s + self._probe_s <= quiet_until_s

    def latest(self, source: str, tag: Tag, now_s: float) -> tuple[int, float] | None:
        """The newest value of a tag and when it was made (monotonic).

        None before any, after a fault, and once it is old and cannot be read: somebody silent may
        not be asked a second time for as long as parts come.
        """
        group = self._group_of.get((source, tag.name))
        found = group.latest.get(tag.name) if group is not None else None
        if group is None or found is None:
            return None
        return None if group.in_vain and now_s - found[1] > STALE_S else found

    # -- what came of the group that `next` gave -------------------------------------------------

    def answered(self, values: tuple[int, ...], made_s: float) -> list[Reading]:
        """Its good answer; returns what is worth a row."""
        group = self._taken()
        group.failures, group.due_s = 0, made_s + READ_S
        patience = group.patience
        patience.silent, patience.failures = False, 0
        patience.backoff.worked()
        return [
            reading
            for tag in group.tags
            if (reading := self._value(group, tag, values, made_s)) is not None
        ]

    def silent(self, why: str, now_s: float) -> list[Reading]:
        """Nobody answered."""
        group = self._taken()
        group.due_s = now_s + READ_S
        patience = group.patience
        patience.silent = True
        patience.failures += 1
        patience.backoff.failed(now_s)
        if patience.failures < FAULTS:
            return []
        mute = [other for other in self._groups if other.patience is patience]
        return [fault for other in mute for fault in self._faults(other, why, now_s)]

    def spoilt(self, why: str, now_s: float) -> list[Reading]:
        """A damaged or wrong answer: somebody is there."""
        return self._failed(self._taken(), why, now_s, READ_S)

    def refused(self, why: str, now_s: float) -> list[Reading]:
        """The slave is there and does not have it; that is a fault at once."""
        group = self._taken()
        group.failures = FAULTS
        return self._failed(group, why, now_s, REFUSED_S)

    def lost(self, sources: Collection[str], why: str, now_s: float) -> list[Reading]:
        """These stations or slaves cannot be asked at all."""
        mute = [group for group in self._groups if group.source in sources]
        return [fault for group in mute for fault in self._faults(group, why, now_s)]

    def _taken(self) -> Group:
        group, self._asked = self._asked, None
        assert group is not None, "nothing was asked"
        return group

    def _value(
        self, group: Group, tag: Tag, values: tuple[int, ...], made_s: float
    ) -> Reading | None:
        first = tag.address - group.request.address
        value = tags.value_of(tag, values[first : first + tag.size])
        if value is None:
            return self._fault(group, tag, "no number", made_s)
        group.latest[tag.name] = value, made_s
        told = group.told.get(tag.name)
        if told is not None and told.value is not None:
            fresh = made_s - told.at_s < tag.period_s
            if fresh and not tags.moved(tag, told.value, value):
                return None
        group.told[tag.name] = _Told(value, made_s)
        return Reading(group.source, tag, value, None, made_s)

    def _failed(self, group: Group, why: str, now_s: float, again_s: float) -> list[Reading]:
        group.failures += 1
        group.due_s = now_s + again_s
        return [] if group.failures < FAULTS else self._faults(group, why, now_s)

    def _faults(self, group: Group, why: str, now_s: float) -> list[Reading]:
        faults = (self._fault(group, tag, why, now_s) for tag in group.tags)
        return [fault for fault in faults if fault is not None]

    def _fault(self, group: Group, tag: Tag, why: str, now_s: float) -> Reading | None:
        """Said once: the next row is a value. What was read before says nothing any more."""
        group.latest.pop(tag.name, None)
        told = group.told.get(tag.name)
        if told is not None and told.value is None:
            return None
        group.told[tag.name] = _Told(None, now_s)
        return Reading(group.source, tag, None, why, now_s)
