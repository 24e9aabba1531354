"""Register blocks: what one side writes the other reads, and a torn verdict is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.plc.blocks import (
    NO_RESULT,
    Control,
    LineCounters,
    PlcBlock,
    Result,
    StatusFlags,
    result_registers,
    status_registers,
    verdict_word,
    word_code,
)
from edge.terms import Code, Mode

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 2**32 - 1)
codes = st.sampled_from([Code.OK, Code.NG, Code.UNDECIDED])
blocks = st.builds(
    PlcBlock, st.integers(0, 127).map(Control), u16, u16, u16, u32, u16, u16, u16, u16, u16, u16
)
results = st.builds(Result, u16, codes, u16, st.integers(0, 1000).map(lambda n: n / 1000), u16)


@given(blocks)
def test_the_block_comes_back_as_it_was_written(block: PlcBlock) -> None:
    registers = block.encode()
    assert len(registers) == 12
    assert PlcBlock.decode(registers) == block


def test_the_block_stands_as_the_map_says() -> None:
    block = PlcBlock.decode([1, 7, 2, 30, 7, 1, 60, 1, 5, 81, 9, 3])
    assert block.counter == 65536 + 7
    assert block.agrees
    assert (block.heartbeat, block.map_version, block.plc_start) == (60, 1, 9)
    assert (block.result_taken, block.word_taken, block.recipe_wanted) == (5, 81, 3)


def test_control_bits_that_the_map_does_not_name_are_ignored() -> None:
    assert PlcBlock.decode([0xFF80 | 1, *[0] * 11]).control is Control.ENABLE


@pytest.mark.parametrize(
    ("control", "mode"),
    [
        (Control.ENABLE, Mode.AUTO),
        (Control.MONITOR, Mode.MONITOR),
        (Control.MONITOR | Control.SAMPLE_PART, Mode.SAMPLE),
        (Control.MONITOR | Control.SAMPLE_PART | Control.BYPASS, Mode.BYPASS),
    ],
)
def test_the_strongest_key_gives_the_mode(control: Control, mode: Mode) -> None:
    assert PlcBlock.decode([int(control), *[0] * 11]).mode is mode


@given(results)
def test_the_plc_takes_the_result_the_node_meant(result: Result) -> None:
    assert Result.decode(result_registers(result)) == result


@given(results, results)
def test_a_torn_result_is_never_another_verdict_for_the_part(old: Result, new: Result) -> None:
    torn = (*result_registers(old)[:4], result_registers(new)[4])
    taken = Result.decode(torn)
    if old.number % 4096 != new.number % 4096:
        assert taken is None
    else:
        assert taken is not None
        assert taken.code is new.code


def test_no_result_is_no_result() -> None:
    assert Result.decode(NO_RESULT) is None


@given(u32, codes, u16)
def test_a_verdict_word_names_its_number_and_code_only(number: int, code: Code, word: int) -> None:
    assert word_code(number, verdict_word(number, code)) is code
    assert verdict_word(number, code) <= 0xFFFF
    read = word_code(number, word)
    assert read is None or verdict_word(number, read) == word


def test_what_does_not_fit_saturates() -> None:
    result = Result(70_000, Code.NG, defect=70_000, score=1.2, inspect_ms=99_999)
    assert result_registers(result)[:4] == (0xFFFF, 1000, 0xFFFF, 70_000 - 65_536)


def test_status_registers_stand_as_the_map_says() -> None:
    flags = StatusFlags.ONLINE | StatusFlags.TRIGGER_READY
    assert status_registers(flags, 65_537, 2, 65_536 + 9, 4) == (3, 1, 2, 9, 4)


@given(st.builds(LineCounters, u32, u32, u32, u32, u32))
def test_counters_come_back_as_they_were_written(counters: LineCounters) -> None:
    assert LineCounters.decode(counters.encode()) == counters


@pytest.mark.parametrize("count", [0, 9, 11, 13])
def test_a_block_of_the_wrong_size_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="registers instead of"):
        PlcBlock.decode([0] * count)
    with pytest.raises(ValueError, match="registers instead of"):
        LineCounters.decode([0] * count)
