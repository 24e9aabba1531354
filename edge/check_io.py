"""What `check` tries of discrete I/O: each line's state, and whether outputs die with the node.

Only the stack light and the buzzer are switched: an OK, a Ready or a stop request would mean
something to the line.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

from edge import settings
from edge.errors import PlcError, SettingsError
from edge.plc.contacts import Lines
from edge.plc.discrete import Contact
from edge.plc.wires import open_lines

HARMLESS = ("warning", "buzzer")
LOOKS_S = 2.0  # every input must have been seen within this
SILENT_SHARE = 1.5  # of the watchdog's time: after that its outputs must be off


def trials(io: settings.Io) -> Iterator[tuple[str, Callable[[], str]]]:
    """Everything to try of one [[io]], with a way to do it."""
    yield f"io {io.name}", partial(_try_lines, io)
    yield f"io {io.name} left alone", partial(_try_alone, io)


def order_ms(io: settings.Io) -> float:
    """From a verdict to the energised output, at the most, once its window has begun."""
    return open_lines(io).lead_s * 1000


def _try_lines(io: settings.Io) -> str:
    shortest_ms = 4 * order_ms(io)
    if io.ok_width_ms < shortest_ms:
        raise SettingsError(
            f"[io {io.name}]",
            [
                f"ok_width_ms: {io.ok_width_ms}; expected at least {shortest_ms:.0f}, as this I/O "
                f"switches up to {order_ms(io):.0f} ms after the order"
            ],
        )
    lines = open_lines(io)
    try:
        lines.open()
        told = ["inputs " + _inputs(io, lines)] if _wired(io, settings.INPUTS) else []
        for role in _wired(io, HARMLESS):
            _switch(lines, role)
            _switch(lines)
        told.append(f"outputs {', '.join(_wired(io, settings.OUTPUTS))} off")
        return f"{io.port}: " + "; ".join(told)
    finally:
        lines.close()


def _inputs(io: settings.Io, lines: Lines) -> str:
    """Every input once it has stood still for its debounce, and how exactly edges are dated."""
    contacts = {role: Contact(io.debounce_ms / 1000) for role in _wired(io, settings.INPUTS)}
    deadline_s, unsure_s = time.monotonic() + LOOKS_S, 0.0
    while any(contact.closed is None for contact in contacts.values()):
        if time.monotonic() > deadline_s:
            shaky = [role for role, contact in contacts.items() if contact.closed is None]
            raise PlcError(f"io {io.name}: {', '.join(shaky)} did not stand still for {LOOKS_S} s")
        sight = lines.read(LOOKS_S)
        now_s = time.monotonic()
        unsure_s = max(unsure_s, sight.unsure_s)
        for level in sight.levels:
            contacts[level.role].look(level.closed, now_s if level.at_s is None else level.at_s)
        for contact in contacts.values():
            contact.rises(now_s)
    states = (f"{role} {'on' if c.closed else 'off'}" for role, c in contacts.items())
    return f"{', '.join(states)} (edges known to {1000 * unsure_s:.0f} ms)"


def _try_alone(io: settings.Io) -> str:
    """Switch a lamp on, say nothing more as a dead node would, and look at it."""
    harmless = _wired(io, HARMLESS)
    if not harmless:
        return "not tried: it takes a stack light (`warning`) or a buzzer to show that it drops"
    lines, role = open_lines(io), harmless[0]
    by_itself = io.kind == "gpio" or lines.drops_itself
    try:
        lines.open()
        _switch(lines, role)
        lines.abandon()
        time.sleep(io.watchdog_ms / 1000 * SILENT_SHARE if lines.drops_itself else 0.0)
        stands = lines.left_alone(role)
        lines.open()
    finally:
        lines.close()
    if stands and by_itself:
        kept = PlcError(f"io {io.name}: {role} stays on when the node is gone")
        kept.hint = (
            "Set the module's own watchdog as its manual says and name its register."
            if io.kind == "modbus"
            else "This chip keeps a released line: a relay that watches the beat of `ready` must "
            "cut the outputs, and the PLC must take no OK without it."
        )
        raise kept
    if stands:
        return (
            f"{role} stays on, as this module has no watchdog: `ready` beats, and whoever uses OK "
            f"must drop it when the beat stops for {io.watchdog_ms} ms"
        )
    return f"{role} went off by itself"


def _switch(lines: Lines, *on: str) -> None:
    """Exactly these; a damaged frame is made good as at the line."""
    while not lines.write(frozenset(on)):
        pass


def _wired(io: settings.Io, roles: tuple[str, ...]) -> list[str]:
    return [role for role in roles if getattr(io, role) is not None]
