"""What `check` says of a bus beside its PLCs: tags, slaves, and whether the verdict is in time."""

import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from math import ceil

from edge import check_io, measure, measured, settings
from edge.errors import PlcError, SettingsError
from edge.plc.codecs import speaks
from edge.plc.links import Link
from edge.plc.plan import BusPlan
from edge.plc.tag_lane import Group, groups
from edge.plc.tags import exponent_of, value_of
from edge.plc.timetable import ENOUGH, Timetable, lost_frame, timetable, too_fast
from edge.settings import Bus, Settings, Station

Trial = tuple[str, Callable[[], str]]

INDENT = "\n       "  # below a trial's own line
MOST_SECONDS = 3600  # of a measurement


def trials(wiring: Settings, unsigned: bool, measure_s: float | None) -> Iterator[Trial]:
    """Tags of each source, then the timetable of each station.

    Args:
        measure_s: measure inference, commit and bus threads for so long first; None = believe what
            is kept.
    """
    for bus in wiring.bus:
        by_source: dict[str, list[Group]] = {}
        for group in groups(wiring.tag, *_on(wiring, bus), partial(speaks, bus)):
            by_source.setdefault(group.source, []).append(group)
        for source, own in by_source.items():
            yield f"tags {source}", partial(_try_tags, bus, own)
    if measure_s is not None:
        yield "measure", partial(_try_measure, wiring, unsigned, measure_s)
    for bus in wiring.bus:
        plan = plan_of(wiring, bus)
        if plan.stations:
            yield f"takt {bus.name}", partial(_try_takt, plan)
        for station in plan.stations:
            yield f"timetable {station.name}", partial(_try_timetable, wiring, plan, station)


def plan_of(wiring: Settings, bus: Bus) -> BusPlan:
    """What talks on this bus."""
    return BusPlan(bus, *_on(wiring, bus), wiring.tag)


def _on(wiring: Settings, bus: Bus) -> tuple[list[Station], list[settings.Slave]]:
    stations = [station for station in wiring.station if station.bus == bus.name]
    return stations, [slave for slave in wiring.slave if slave.bus == bus.name]


def _try_tags(bus: Bus, wanted: list[Group]) -> str:
    """Read each tag once.

    Raises:
        PlcError: nobody answers, or with every tag that is refused.
    """
    link = Link(bus)
    link.open()
    told, refused = [], []
    try:
        for group in wanted:
            try:
                values = link.transact(group.request).values
            except PlcError as wrong:
                if wrong.code is None:
                    raise
                refused.append(f"{', '.join(tag.name for tag in group.tags)}: {wrong}")
                continue
            for tag in group.tags:
                first = tag.address - group.request.address
                told.append(_figure(tag, values[first : first + tag.size]))
    finally:
        link.close()
    if refused:
        failed = PlcError(INDENT.join([*refused, f"read: {', '.join(told) or 'none'}"]))
        failed.hint = "Compare area and address of the refused tags with `quanjian-edge map`."
        raise failed
    return f"unit {wanted[0].request.unit} on {bus.place}: {', '.join(told)}"


def _figure(tag: settings.Tag, registers: tuple[int, ...]) -> str:
    """As a person compares it with the meter's own display."""
    value = value_of(tag, registers)
    if value is None:
        return f"{tag.name} no number"
    return f"{tag.name} {Decimal(value).scaleb(exponent_of(tag)):f} {tag.unit}".rstrip()


def _try_measure(wiring: Settings, unsigned: bool, seconds: float) -> str:
    kept = measure.measure(wiring, unsigned, seconds, lambda text: _say(f"measure: {text}"))
    fewest = min(own.parts for own in kept.stations.values())
    told = f"{fewest} parts in {kept.seconds:g} s, with pictures being written to the same disk"
    if fewest < ENOUGH:
        longer_s = ceil(ENOUGH / min(station.max_rate_per_s for station in wiring.station))
        told += f"; p99.9 needs {ENOUGH} parts" + (
            f": --seconds {longer_s}" if longer_s <= MOST_SECONDS else ""
        )
    return told + INDENT + INDENT.join(kept.lines())


def _try_takt(plan: BusPlan) -> str:
    problems = too_fast(plan)
    if problems:
        raise SettingsError(f"[bus {plan.bus.name}]", problems)
    told = (
        f"parts at their highest rate, two polls and a result each, need {plan.used:.0%} of the "
        f"bus; every PLC's block is read every {plan.poll_s * 1000:.0f} ms at the latest"
    )
    if not plan.slaves:
        return told
    asked_ms = 1000 * plan.probe_s
    return f"{told}; a silent slave may delay the first part after a pause by {asked_ms:.0f} ms"


def _try_timetable(wiring: Settings, plan: BusPlan, station: Station) -> str:
    """The chain in ms and mm.

    Raises:
        SettingsError: it does not fit.
    """
    cameras = {camera.name: camera for camera in wiring.camera}
    exposed_s = [(name, station.offset_s(cameras[name])) for name in station.cameras]
    io = next((io for io in wiring.io if io.name == station.io), None)
    order_s = check_io.order_ms(io) / 1000 if io is not None else None
    kept = measured.read(wiring)
    known = kept.of(station) if kept is not None else None
    way = timetable(plan, station, exposed_s, known, order_s)
    table = INDENT + INDENT.join([*way.lines(), lost_frame(plan, way)])
    problems = [*way.problems(), *(way.window_problems(io) if io is not None else ())]
    if problems:
        refused = SettingsError(f"[station {station.name}]", problems)
        refused.hint = f"{refused.hint}{table}"
        raise refused
    return _compared(way) + table


def _compared(way: Timetable) -> str:
    """What the table says, in one line."""
    station = way.station
    if way.spare_s is None and station.speed_mm_s == 0:
        told = "parts stand: there is no travel to compare with"
    elif way.spare_s is None:
        missing = "gate_mm" if station.gate_mm is None else "speed_mm_s"
        told = f"{missing} is not given: not compared with the travel to the gate"
    else:
        told = f"the gate has moved {way.spare_s * 1000:.0f} ms before the part is there"
    if way.unknown:
        told += f"; {len(way.unknown)} of {len(way.steps)} steps not known"
    return told


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
