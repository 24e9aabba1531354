"""Structured text: every mistake is told, with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import PlcProgramError
from edge.plc.structured_text.compiler import compiled
from edge.plc.structured_text.machine import check_interface
from edge.plc.structured_text.reader import ELSEWHERE, RESERVED
from tests.structured_block import BODY_LINE, after, block, powered

WRONG = [
    ("y := q;", 1, 6, "`q` is not declared"),
    ("y := 1", 2, 1, "expected `;` after the statement, found `end_function_block`"),
    ("y = 1;", 1, 3, "expected `:=`"),
    ("y := 1 +;", 1, 9, "expected a value, found `;`"),
    ("y := (1;", 1, 8, "expected `)`"),
    ("y := 40000;", 1, 6, "40000 is no INT: expected -32768 to 32767"),
    ("y := 16#12345;", 1, 6, "74565 is no INT"),
    ("y := 2#12;", 1, 6, "no number of base 2"),
    (f"y := 16#{'F' * 5000};", 1, 6, "a number of 5000 digits: no type holds it"),
    (f"y := {'9' * 5000};", 1, 6, "a number of 5000 digits: no type holds it"),
    (f"y := T#{'9' * 5000}s;", 1, 6, "is no duration"),
    ("y := 1.5;", 1, 6, "REAL is not in this subset"),
    ("y := 'a';", 1, 6, "STRING is not in this subset"),
    ("y := 1; $", 1, 9, "no sign of structured text"),
    ("y := 1; (* open", 1, 9, "comment has no end"),
    ("y := 1; (* a (* b *)", 1, 9, "a comment in a comment"),
    ("y := TRUE;", 1, 6, "`y`: expected INT, got BOOL"),
    ("z := 1;", 1, 6, "expected BOOL, got the number 1"),
    ("long := y;", 1, 9, "expected DINT, got INT; convert it with INT_TO_DINT"),
    ("y := y + long;", 1, 10, "right of +: expected INT, got DINT"),
    ("w := w + w;", 1, 8, "+ is not for WORD"),
    ("z := b + b;", 1, 8, "+ is not for BOOL"),
    ("z := y AND y;", 1, 8, "AND is not for INT"),
    ("z := w < w;", 1, 8, "< is not for WORD"),
    ("y := NOT y;", 1, 6, "NOT is for BOOL and bits, got INT"),
    ("w := -w;", 1, 6, "- in front of WORD, which has no sign"),
    ("y := y / 0;", 1, 8, "division by zero"),
    ("list[5] := 1;", 1, 6, "index 5 of `list` is outside 1..4"),
    ("y := list;", 1, 6, "`list` is of type ARRAY[1..4] OF INT, expected a single value"),
    ("y := y[1];", 1, 6, "`y` is of type INT, expected an array"),
    ("x := 1;", 1, 1, "`x` is an input"),
    ("TOP := 1;", 1, 1, "`top` is a constant"),
    ("FOR n := 1 TO 2 DO n := 5; END_FOR;", 1, 20, "`n` counts the FOR around this"),
    ("FOR b := 1 TO 2 DO END_FOR;", 1, 5, "`b` is an input"),
    ("FOR z := TRUE TO TRUE DO END_FOR;", 1, 5, "FOR counts with an integer, `z` is BOOL"),
    ("EXIT;", 1, 1, "EXIT stands in no loop"),
    ("RETURN;", 1, 1, "RETURN is not in this subset"),
    ("REPEAT y := 1; UNTIL TRUE END_REPEAT;", 1, 1, "REPEAT is not in this subset"),
    ("y := SQRT(y);", 1, 6, "there is no function SQRT"),
    ("y := MAX(y);", 1, 6, "MAX takes 2 value(s), got 1"),
    ("y := ABS(b);", 1, 6, "ABS is for numbers, got BOOL"),
    ("w := SHL(y, 1);", 1, 6, "SHL is for WORD and DWORD, got INT"),
    ("z := INT_TO_BOOL(y);", 1, 6, "INT to BOOL: PLCs do not agree"),
    ("edge(IN := b);", 1, 1, "R_TRIG has no input `in`"),
    ("edge(CLK := b, CLK := b);", 1, 16, "`clk` is given twice"),
    ("z := edge.before;", 1, 6, "R_TRIG has no output `before`"),
    ("y();", 1, 1, "`y` is of type INT, expected a function block"),
    ("y := edge;", 1, 6, "`edge` is a block (R_TRIG)"),
    ("IF y THEN y := 1; END_IF;", 1, 4, "the condition of IF: expected BOOL, got INT"),
    ("IF b THEN y := 1;", 2, 1, "expected a statement or `END_IF`"),
    ("CASE x OF 1: y := 1; 1: y := 2; END_CASE;", 1, 22, "1 stands in this CASE already"),
    ("CASE x OF 5..2: y := 1; END_CASE;", 1, 11, "5..2 holds nothing"),
    ("CASE x OF 0..30000: y := 1; END_CASE;", 1, 11, "holds more than 1000 values"),
    ("CASE x OF 40000: y := 1; END_CASE;", 1, 11, "is not within INT"),
    ("span := T#5;", 1, 9, "no duration"),
    ("y := BOOL#1;", 1, 6, "BOOL# is no type of a number here"),
    (f"y := {'(' * 50}1{')' * 50};", 1, 46, "more than 40 brackets"),
    (f"y := 1{' + 1' * 200};", 1, 412, "more than 100 operators in a row"),
]


@pytest.mark.parametrize(("body", "line", "column", "told"), WRONG, ids=[w[0][:30] for w in WRONG])
def test_a_mistake_is_told_with_its_place(body: str, line: int, column: int, told: str) -> None:
    with pytest.raises(PlcProgramError) as wrong:
        compiled(block(body), "t.st")
    assert f"t.st:{line + BODY_LINE - 1}:{column}: " in str(wrong.value)
    assert told in str(wrong.value)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("VAR a : REAL; END_VAR", "REAL is not in this subset"),
        ("VAR a : SPEED; END_VAR", "there is no type SPEED"),
        ("VAR a : INT; A : DINT; END_VAR", "there is a `a` already"),
        ("VAR ton : INT; END_VAR", "there is a `ton` already"),
        ("VAR if : INT; END_VAR", "expected the name of a variable"),
        ("VAR a : INT := TRUE; END_VAR", "TRUE is no INT"),
        ("VAR a : BOOL := 1; END_VAR", "1 is no BOOL"),
        ("VAR a : UINT := -1; END_VAR", "-1 is no UINT"),
        ("VAR a : TIME := 5; END_VAR", "5 is no TIME"),
        ("VAR a : ARRAY[3..1] OF INT; END_VAR", "expected 1 to 1024 elements"),
        ("VAR a : ARRAY[0..1] OF INT := 1; END_VAR", "an array begins with zeros"),
        ("VAR CONSTANT a : INT; END_VAR", "it needs one value"),
        ("VAR_INPUT a : TON; END_VAR", "a block stands in VAR"),
        ("VAR_IN_OUT a : INT; END_VAR", "VAR_IN_OUT is not in this subset"),
        ("VAR a AT %MW0 : INT; END_VAR", "no sign of structured text"),
        ("VAR a : INT; ", "expected the name of a variable, or `END_VAR`"),
    ],
)
def test_a_wrong_declaration_is_told(declared: str, told: str) -> None:
    with pytest.raises(PlcProgramError) as wrong:
        compiled(f"FUNCTION_BLOCK t {declared} END_FUNCTION_BLOCK", "t.st")
    assert str(wrong.value).startswith("t.st:1:")
    assert told in str(wrong.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected `FUNCTION_BLOCK` where a block begins, found the end of the text"),
        ("PROGRAM t END_PROGRAM", "PROGRAM is not in this subset"),
        ("FUNCTION_BLOCK ton END_FUNCTION_BLOCK", "there is a TON already"),
        ("FUNCTION_BLOCK a VAR b : a; END_VAR END_FUNCTION_BLOCK", "there is no type A"),
        ("x" * 200_001, "200001 characters are more than 200000"),
    ],
)
def test_a_wrong_text_is_told(text: str, told: str) -> None:
    with pytest.raises(PlcProgramError) as wrong:
        compiled(text, "t.st")
    assert told in str(wrong.value)


@pytest.mark.parametrize(
    ("body", "x", "told"),
    [
        ("y := 1;\ny := 7 / x;", 0, ":2:8: division by zero"),
        ("y := 1;\ny := 7 MOD x;", 0, ":2:8: division by zero"),
        ("y := list[x];", 0, ":1:11: index 0 of `list` is outside 1..4"),
        ("list[x + 1] := 2;", 4, ":1:8: index 5 of `list` is outside 1..4"),
        ("w := UINT_TO_WORD(INT_TO_UINT(x));", -1, ":1:19: INT -1 does not fit into UINT"),
        ("w := SHL(w, x);", -1, ":1:6: SHL by -1 places"),
        ("WHILE TRUE DO y := 1; END_WHILE;", 0, ":1:1: this WHILE does not end within a scan"),
        ("FOR n := 0 TO 32767 DO y := 1; END_FOR;", 0, ":1:5: this FOR does not end"),
        ("FOR n := 0 TO 1 BY x DO y := 1; END_FOR;", 0, ":1:5: FOR by steps of 0 has no end"),
    ],
)
def test_what_goes_wrong_in_a_scan_is_told_with_its_place(body: str, x: int, told: str) -> None:
    with pytest.raises(PlcProgramError) as wrong:
        after(body, x)
    line, rest = told[1:].split(":", 1)
    assert f"t.st:{int(line) + BODY_LINE - 1}:{rest}" in str(wrong.value)


def test_loops_may_turn_as_often_in_the_next_scan() -> None:
    machine = powered("FOR n := 1 TO 15000 DO y := n; END_FOR;")
    machine.scan(0)
    machine.scan(10)
    assert machine.value("y") == 15000


def test_a_program_that_does_not_fit_says_everything_that_is_missing() -> None:
    code = compiled(block(""), "t.st")
    check_interface(code, {"x": "input INT", "list": "var ARRAY[1..4] OF INT"}, "t.st")
    wanted = {"x": "input DINT", "nobody": "output BOOL", "edge.q": "output BOOL", "y.q": "var INT"}
    with pytest.raises(PlcProgramError) as wrong:
        check_interface(code, wanted, "t.st")
    assert str(wrong.value).splitlines() == [
        "t.st: T does not fit its surroundings",
        "  x: expected input DINT, got input INT",
        "  nobody: expected output BOOL, got nothing",
        "  y.q: expected var INT, got nothing",
    ]


words = st.sampled_from([*sorted(RESERVED | ELSEWHERE), "x", "y", "list", "edge", "1", "16#F"])
signs = st.sampled_from(
    [":=", ";", "(", ")", "[", "]", "..", ",", ":", "+", "-", "<>", "T#1s", "#"]
)


@given(st.lists(words | signs, max_size=40))
def test_no_row_of_words_does_anything_but_run_or_be_refused(row: list[str]) -> None:
    try:
        machine = powered(" ".join(row))
        machine.scan(0)
    except PlcProgramError:
        return


@given(st.text(max_size=80))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(PlcProgramError):
        compiled(text, "t.st")
