"""The structured text interpreter: what runs, and how."""

import pytest

from edge.errors import PlcProgramError
from edge.plc.structured_text.compiler import compiled
from edge.plc.structured_text.machine import Machine
from tests.structured_block import after, powered


def test_variables_begin_with_zero_or_what_they_are_given() -> None:
    machine = after("y := n;")
    assert machine.value("y") == -3
    assert machine.value("long") == 0
    assert machine.value("z") is False
    assert machine.values("list") == (0, 0, 0, 0)


def test_case_of_letters_does_not_matter() -> None:
    assert after("Y := Top; if Y = top THEN y := Y + 1; End_If;").value("y") == 5


def test_variables_keep_their_values_from_scan_to_scan() -> None:
    machine = powered("y := y + 1;")
    for _ in range(3):
        machine.scan(0)
    assert machine.value("y") == 3


@pytest.mark.parametrize(("x", "y"), [(0, 3), (1, 1), (2, 2), (3, 3)])
def test_if_takes_the_first_branch_that_is_true(x: int, y: int) -> None:
    body = "IF x = 1 THEN y := 1; ELSIF x = 2 THEN y := 2; ELSE y := 3; END_IF;"
    assert after(body, x).value("y") == y


@pytest.mark.parametrize(("x", "y"), [(-2, 1), (0, 2), (3, 2), (4, 2), (7, 3), (9, 4), (8, 4)])
def test_case_takes_values_and_ranges(x: int, y: int) -> None:
    body = "CASE x OF -2: y := 1; 0, 3..5: y := 2; 7: y := 3; ELSE y := 4; END_CASE;"
    assert after(body, x).value("y") == y


def test_a_case_without_else_may_match_nothing() -> None:
    assert after("y := 5; CASE x OF 1: y := 1; END_CASE;").value("y") == 5


@pytest.mark.parametrize(
    ("loop", "visited"),
    [
        ("1 TO 4", [1, 2, 3, 4]),
        ("4 TO 1 BY -1", [4, 3, 2, 1]),
        ("1 TO 4 BY 2", [1, 3]),
        ("3 TO 1", []),
        ("TOP - 1 TO TOP", [3, 4]),
    ],
)
def test_for_counts(loop: str, visited: list[int]) -> None:
    body = f"FOR n := {loop} DO y := y + 1; list[n] := y; END_FOR;"
    expected = [visited.index(n) + 1 if n in visited else 0 for n in range(1, 5)]
    assert list(after(body).values("list")) == expected


def test_exit_leaves_the_innermost_loop_only() -> None:
    body = """
    FOR n := 1 TO 3 DO
      WHILE TRUE DO
        y := y + 1;
        IF y > 0 THEN EXIT; END_IF;
        y := 100;
      END_WHILE;
      y := y + 10;
    END_FOR;
    """
    assert after(body).value("y") == 33


def test_while_goes_on_as_long_as_its_condition() -> None:
    assert after("WHILE y < x DO y := y + 3; END_WHILE;", 10).value("y") == 12


def test_both_sides_of_and_are_evaluated() -> None:
    body = "IF (x <= 4) AND (list[x] = 0) THEN y := 1; END_IF;"
    assert after(body, 4).value("y") == 1
    with pytest.raises(PlcProgramError, match=r"index 5 of `list` is outside 1\.\.4"):
        after(body, 5)


def test_comments_and_numbers_in_every_notation() -> None:
    body = "(* a (b) *) y := 16#1F + 2#1_0 + 8#17 + INT#1_000; // to the end\nw := WORD#16#00FF;"
    assert after(body).value("y") == 31 + 2 + 15 + 1000
    assert after(body).value("w") == 255


@pytest.mark.parametrize(
    ("written", "ms"),
    [("T#1s500ms", 1500), ("TIME#250ms", 250), ("t#1h_2m", 3_720_000), ("T#1d", 86_400_000)],
)
def test_durations(written: str, ms: int) -> None:
    assert after(f"span := {written} + T#1ms;").value("span") == ms + 1


def test_a_rising_and_a_falling_edge_are_seen_once() -> None:
    declared = "VAR_INPUT b : BOOL; END_VAR VAR r : R_TRIG; f : F_TRIG; ups, downs : INT; END_VAR "
    machine = powered(
        "r(CLK := b); f(CLK := b);"
        "IF r.Q THEN ups := ups + 1; END_IF; IF f.Q THEN downs := downs + 1; END_IF;",
        declared,
    )
    for b in (False, True, True, False, False, True):
        machine.put("b", b)
        machine.scan(0)
    assert (machine.value("ups"), machine.value("downs")) == (2, 1)


def timer(kind: str, played: list[tuple[int, bool]], begin_ms: int) -> list[tuple[bool, int]]:
    """Q and ET of a timer of 100 ms after each of these times with these inputs."""
    declared = "VAR_INPUT b : BOOL; END_VAR VAR_OUTPUT q : BOOL; e : TIME; END_VAR "
    declared += f"VAR t : {kind}; END_VAR "
    machine = powered("t(IN := b, PT := T#100ms); q := t.Q; e := t.ET;", declared)
    found = []
    for at_ms, b in played:
        machine.put("b", b)
        machine.scan(begin_ms + at_ms)
        found.append((bool(machine.value("q")), machine.value("e")))
    return found


BEGINS_MS = pytest.mark.parametrize("begin_ms", [0, (1 << 32) - 50])


@BEGINS_MS
def test_an_on_delay_waits_and_forgets(begin_ms: int) -> None:
    played = [(0, True), (99, True), (100, True), (300, True), (301, False), (302, True)]
    expected = [(False, 0), (False, 99), (True, 100), (True, 100), (False, 0), (False, 0)]
    assert timer("TON", played, begin_ms) == expected


@BEGINS_MS
def test_an_off_delay_holds(begin_ms: int) -> None:
    played = [(0, False), (1, True), (500, True), (501, False), (600, False), (601, False)]
    expected = [(False, 0), (True, 0), (True, 0), (True, 0), (True, 99), (False, 100)]
    assert timer("TOF", played, begin_ms) == expected


@BEGINS_MS
def test_a_pulse_has_its_length_whatever_its_input_does(begin_ms: int) -> None:
    played = [
        (0, True),
        (50, False),
        (99, True),
        (100, True),
        (150, True),
        (160, False),
        (170, True),
    ]
    expected = [
        (True, 0),
        (True, 50),
        (True, 99),
        (False, 100),
        (False, 100),
        (False, 0),
        (True, 0),
    ]
    assert timer("TP", played, begin_ms) == expected


def test_a_block_of_ones_own_has_a_memory_of_its_own() -> None:
    text = """
    FUNCTION_BLOCK Sum VAR_INPUT add : INT; END_VAR VAR_OUTPUT total : INT; END_VAR
      total := total + add;
    END_FUNCTION_BLOCK
    FUNCTION_BLOCK Main VAR a, b : Sum; END_VAR VAR_OUTPUT y : INT; END_VAR
      a(add := 1); a(); b(add := 10);
      y := a.total + b.total;
    END_FUNCTION_BLOCK
    """
    machine = Machine(compiled(text, "t.st"))
    machine.scan(0)
    machine.scan(0)
    assert machine.value("y") == 24
    assert machine.value("a.total") == 4


def test_only_var_retain_outlives_a_power_cut() -> None:
    declared = (
        "VAR RETAIN starts : UINT := 5; l : ARRAY[0..1] OF INT; END_VAR VAR n : INT; END_VAR "
    )
    machine = powered("starts := starts + 1; l[1] := 7; n := n + 1;", declared)
    machine.scan(0)
    again = Machine(machine.code, machine.retained())
    again.scan(0)
    assert (again.value("starts"), again.values("l"), again.value("n")) == (7, (0, 7), 1)


def test_a_machine_takes_only_what_fits() -> None:
    machine = powered("")
    for name, value in (("x", 32768), ("list", [1, 2, 3, 4, 5]), ("list", [40_000]), ("list", 1)):
        with pytest.raises(ValueError, match=f"{name} is "):
            machine.put(name, value)
    with pytest.raises(KeyError):
        machine.put("nobody", 1)
    with pytest.raises(KeyError):
        Machine(machine.code, {"x": 1})
