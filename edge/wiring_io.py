"""What does not fit together in the [[io]] and [[station]] tables of edge.toml. Pure.

Lines that an I/O lacks or that two roles share, an OK that would be the state without power, pulses
that could mean two parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.settings import Io, Settings, Station

INPUTS = ("part_present", "gate_eye", "bypass_key", "reset_button")
OUTPUTS = ("ok", "ready", "stop", "warning", "buzzer")
"""Lines of an I/O, by what they mean."""

BEAT_MS = 250
"""Half a period of `ready` without a `watchdog_register`: a beat is not missed sooner."""
WATCHDOG_LEAST_MS = 100
"""The least `watchdog_ms` there is."""


def by_wire(settings: Settings) -> list[str]:
    """Mistakes of discrete I/O. Keys that are missing or wrong are None here and told already."""
    ios = {io.name: io for io in settings.io or () if io.name}
    stations = settings.station or ()
    problems = [problem for io in ios.values() for problem in (*lines(io), *gate(io))]
    problems += [p for station in stations for p in carried(station, ios)]
    used = [station.io for station in stations if station.io]
    problems += [
        f"[[station]] io: {name!r} is used twice; an I/O drops the outputs of one station"
        for name in sorted(set(used))
        if used.count(name) > 1
    ]
    return problems


def carried(station: Station, ios: dict[str, Io]) -> list[str]:
    """A station has a bus, or an I/O that counts; its window leaves time for the verdict."""
    where = f"[station {station.name}]"
    if station.io is not None and station.io not in ios:
        return [f"{where} io: no [[io]] is named {station.io!r}; there are {sorted(ios)}"]
    io = ios[station.io] if station.io is not None else None
    problems = []
    if io is not None and station.trigger in ("camera", "interval"):
        why = f"trigger = {station.trigger!r} rejects nothing"
        return [f"{where} io: {station.io!r}; {why}; expected no io"]
    if station.bus is None and io is not None:
        problems += alone(station, io, where)
    elif station.bus is not None and station.recipe is not None:
        problems.append(f"{where} recipe: the PLC on bus {station.bus!r} says it; expected none")
    if io is not None:
        problems += timed(station, io, where)
        if station.bus is not None and io.bypass_key is not None:
            problems.append(
                f"[io {io.name}] bypass_key: the PLC on bus {station.bus!r} says it; expected none"
            )
    return problems


def alone(station: Station, io: Io, where: str) -> list[str]:
    """Without a bus nobody else counts, says the recipe, or hears readiness."""
    problems = [
        f"[io {io.name}] {role}: missing; {where} has no bus, and {why}"
        for role, why in (
            ("part_present", "counts its parts by it"),
            ("ready", "nothing else drops when the node hangs"),
        )
        if getattr(io, role) is None
    ]
    if station.recipe is None:
        problems.append(f"{where} recipe: missing; expected a number, as no PLC asks for one")
    if station.counters_base is not None:
        problems.append(f"{where} counters_base: there is no bus to read them from; expected none")
    return problems


def stuck(station: Station, io: Io) -> list[str]:
    """An OK that a hung node leaves on is gone before the next part's window, or never seen there.

    The module's watchdog ends it; without one, whoever watches the beat of `ready`. Who takes
    nothing but its rising edge does not take it a second time.
    """
    if None in (io.watchdog_ms, io.ok_taken) or io.ok_taken == "rising_edge":
        return []
    takt_ms = station.takt_s * 1000
    longest_ms = takt_ms - io.ok_width_ms
    if io.watchdog_ms <= longest_ms:
        return []
    soonest_ms = BEAT_MS if io.watchdog_register is None else WATCHDOG_LEAST_MS
    soon = "" if longest_ms >= soonest_ms else f", sooner than the {soonest_ms} ms it takes to tell"
    return [
        f"[io {io.name}] watchdog_ms: {io.watchdog_ms}; expected at most {longest_ms:.0f}{soon}: "
        "an OK that a hung node leaves on must be gone before the next part, which max_rate_per_s "
        f"in [station {station.name}] lets come {takt_ms:.0f} ms later; or, if whoever takes OK "
        'takes nothing but its rising edge, ok_taken = "rising_edge"'
    ]


def lines(io: Io) -> list[str]:
    """Lines that two roles share, and an OK or Ready that stands without power."""
    where = f"[io {io.name}]"
    problems = [
        f"{where} {role}: missing; expected the output that says OK"
        for role in ("ok",)
        if io.ok is None
    ]
    groups = (INPUTS, OUTPUTS) if io.kind == "modbus" else ((*INPUTS, *OUTPUTS),)
    for roles in groups:
        owners: dict[int, str] = {}
        for role in roles:
            line = getattr(io, role)
            if line is None:
                continue
            number = int(line.lstrip("!"))
            if number in owners:
                problems.append(f"{where} {role}: line {number} is {owners[number]} already")
            owners.setdefault(number, role)
    problems += [
        f"{where} {role}: {getattr(io, role)!r} is on without power; expected no '!': OK is the "
        "energised state"
        for role in ("ok", "ready")
        if io.kind == "modbus" and (getattr(io, role) or "").startswith("!")
    ]
    if io.kind == "gpio" and io.watchdog_register is not None:
        problems.append(f"{where} watchdog_register: lines of the computer have none")
    return problems + watched(io, where)


def watched(io: Io, where: str) -> list[str]:
    """A watchdog's time that its register cannot hold would be another one, and longer perhaps."""
    if io.watchdog_register is None or None in (io.watchdog_ms, io.watchdog_unit_ms):
        return []
    ticks, over_ms = divmod(io.watchdog_ms, io.watchdog_unit_ms)
    if not over_ms:
        return []
    shorter, longer = (n * io.watchdog_unit_ms for n in (ticks, ticks + 1))
    fitting = f"{shorter} or {longer}" if shorter >= WATCHDOG_LEAST_MS else f"{longer}"
    return [
        f"{where} watchdog_ms: {io.watchdog_ms}; expected {fitting}, as register "
        f"{io.watchdog_register} counts in watchdog_unit_ms = {io.watchdog_unit_ms}"
    ]


def gate(io: Io) -> list[str]:
    """A gate eye without its place, and a place without its eye."""
    where = f"[io {io.name}]"
    if io.gate_eye is None:
        wrong = io.ok_from == "gate_eye"
        return [f"{where} gate_eye: missing; ok_from counts from it"] if wrong else []
    problems = [
        f"{where} {key}: missing; expected ms between the part-present edge and the gate eye"
        for key in ("gate_after_ms", "gate_tolerance_ms")
        if getattr(io, key) is None
    ]
    known = None not in (io.debounce_ms, io.ok_delay_ms)
    if known and io.ok_from == "gate_eye" and io.ok_delay_ms < io.debounce_ms:
        problems.append(
            f"{where} ok_delay_ms: {io.ok_delay_ms}; expected at least debounce_ms "
            f"({io.debounce_ms:g}): the eye is believed no earlier"
        )
    return problems


def timed(station: Station, io: Io, where: str) -> list[str]:
    """The verdict comes before its window, and no window reaches into the next part's."""
    numbers = (station.deadline_ms, station.max_rate_per_s, io.ok_delay_ms, io.ok_width_ms)
    if None in numbers or io.ok_from is None:
        return []
    problems, takt_ms = [], station.takt_s * 1000
    begins_ms, told = io.ok_delay_ms, "ok_delay_ms"
    if io.ok_from == "gate_eye":
        begins_ms += (io.gate_after_ms or 0) - (io.gate_tolerance_ms or 0)
        told = "gate_after_ms - gate_tolerance_ms + ok_delay_ms"
    if station.deadline_ms > begins_ms:
        problems.append(
            f"{where} deadline_ms: {station.deadline_ms}; expected at most {begins_ms}, when the "
            f"window of its pulse begins ({told} of [io {io.name}])"
        )
    if io.ok_width_ms >= takt_ms:
        problems.append(
            f"[io {io.name}] ok_width_ms: {io.ok_width_ms}; expected less than the "
            f"{takt_ms:.0f} ms between two parts (max_rate_per_s of {where}): one pulse would "
            "mean both"
        )
    else:
        problems += stuck(station, io)
    if io.gate_eye is not None and 2 * (io.gate_tolerance_ms or 0) >= takt_ms:
        problems.append(
            f"[io {io.name}] gate_tolerance_ms: {io.gate_tolerance_ms}; expected less than "
            f"{takt_ms / 2:.0f}, half of the time between two parts (max_rate_per_s of {where})"
        )
    return problems
