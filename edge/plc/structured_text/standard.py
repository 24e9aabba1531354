"""The standard's function blocks: edges and timers. IEC 61131-3, clause 6.6.3.5.

Time is that of the scan, so that a timer asked twice in one scan says the same twice.
"""

from edge.plc.structured_text.code import BlockCode, Memory, Step, Variable
from edge.plc.structured_text.datatypes import BOOL, TIME, UDINT, Elementary
from edge.plc.structured_text.tree import Section

_CLK, _EDGE, _BEFORE = 1, 2, 3
_IN, _PT, _Q, _ET, _SINCE, _RUNS = 1, 2, 3, 4, 5, 6


def _block(name: str, body: Step, *rows: tuple[str, Elementary, Section]) -> BlockCode:
    variables = {
        variable: Variable(type_, slot, section, type_.zero)
        for slot, (variable, type_, section) in enumerate(rows, 1)
    }
    return BlockCode(name, variables, body)


def _trigger(name: str, body: Step) -> BlockCode:
    return _block(
        name, body, ("clk", BOOL, "input"), ("q", BOOL, "output"), ("before", BOOL, "var")
    )


def _timer(name: str, body: Step) -> BlockCode:
    return _block(
        name,
        body,
        ("in", BOOL, "input"),
        ("pt", TIME, "input"),
        ("q", BOOL, "output"),
        ("et", TIME, "output"),
        ("since", UDINT, "var"),
        ("runs", BOOL, "var"),
    )


def _rises(m: Memory) -> None:
    m[_EDGE] = m[_CLK] and not m[_BEFORE]
    m[_BEFORE] = m[_CLK]


def _falls(m: Memory) -> None:
    m[_EDGE] = m[_BEFORE] and not m[_CLK]
    m[_BEFORE] = m[_CLK]


def _begin(m: Memory) -> None:
    m[_SINCE], m[_RUNS], m[_ET] = m[0].now_ms, True, 0


def _elapse(m: Memory) -> bool:
    """Let time pass; true once all of it has."""
    m[_ET] = min((m[0].now_ms - m[_SINCE]) & 0xFFFFFFFF, m[_PT])
    m[_RUNS] = m[_ET] < m[_PT]
    return not m[_RUNS]


def _on_delay(m: Memory) -> None:
    if not m[_IN]:
        m[_Q], m[_RUNS], m[_ET] = False, False, 0
    elif not m[_Q]:
        if not m[_RUNS]:
            _begin(m)
        m[_Q] = _elapse(m)


def _off_delay(m: Memory) -> None:
    if m[_IN]:
        m[_Q], m[_RUNS], m[_ET] = True, False, 0
    elif m[_Q]:
        if not m[_RUNS]:
            _begin(m)
        m[_Q] = not _elapse(m)


def _pulse(m: Memory) -> None:
    if m[_RUNS]:
        m[_Q] = not _elapse(m)
    elif m[_IN] and m[_ET] == 0:
        _begin(m)
        m[_Q] = not _elapse(m)
    if not m[_IN] and not m[_RUNS]:
        m[_ET] = 0


STANDARD = {
    block.name: block
    for block in (
        _trigger("r_trig", _rises),
        _trigger("f_trig", _falls),
        _timer("ton", _on_delay),
        _timer("tof", _off_delay),
        _timer("tp", _pulse),
    )
}
"""By name in lower case."""
