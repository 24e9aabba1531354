"""Device names of PLCs: each notation counts as its maker's manual does, and back."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.plc.devices import Area, Kind, Notation, Place, name_of, place
from edge.plc.profile import names, read


def area(
    device: str, first: str, last: str, base: int = 0, kind: Kind = "coil",
    notation: Notation = "decimal", step: int = 1,
) -> Area:  # fmt: skip
    return Area(
        device=device, kind=kind, notation=notation, first=first, last=last, step=step, base=base,
        source="s", verified=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("notation", "text", "number"),
    [
        ("decimal", "15", 15),
        ("octal", "17", 15),
        ("octal", "20", 16),
        ("byte_bit", "1.7", 15),
        ("word_bit", "0.15", 15),
        ("word_bit", "1.00", 16),
        ("word_hex", "F", 15),
        ("word_hex", "10", 16),
        ("word_hex", "73F", 73 * 16 + 15),
        ("word_two", "15", 15),
        ("word_two", "100", 16),
        ("word_two", "99915", 999 * 16 + 15),
    ],
)
def test_each_notation_counts_as_its_maker_does(notation: Notation, text: str, number: int) -> None:
    one = area("M", text, text, notation=notation)
    assert one.number(text) == number
    assert one.name(0) == "M" + text


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        ("decimal", ""),
        ("decimal", "1F"),
        ("decimal", "-1"),
        ("decimal", "１"),
        ("octal", "18"),
        ("byte_bit", "0.8"),
        ("byte_bit", "0"),
        ("word_bit", "0.5"),
        ("word_bit", "0.16"),
        ("word_hex", "1G"),
        ("word_hex", "f"),
        ("word_two", "16"),
        ("word_two", "116"),
    ],
)
def test_what_is_no_number_of_a_notation_is_none(notation: Notation, text: str) -> None:
    assert area("M", "0", "0", notation=notation).number(text) is None


OWN = (
    area("D", "0", "4095", 0x1000, "holding"),
    area("D", "4096", "9999", 0x9000, "holding"),
    area("X", "0", "377", 0x400, "discrete", "octal"),
    area("VW", "0", "8190", 0, "holding", step=2),
    area("CIO", "0", "6143", 10_000, "holding"),
    area("CIO", "0.00", "9.15", 0, "coil", "word_bit"),
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("D0", Place("holding", 0x1000)),
        ("D4096", Place("holding", 0x9000)),
        ("X17", Place("discrete", 0x40F)),
        ("VW10", Place("holding", 5)),
        ("CIO12", Place("holding", 10_012)),
        ("CIO1.02", Place("coil", 18)),
    ],
)
def test_a_device_is_found_and_its_address_gives_its_name_back(name: str, found: Place) -> None:
    assert place(OWN, name) == found
    assert name_of(OWN, found.kind, found.address) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Q5", "'Q5' is no device of this PLC; there are D, X, VW, CIO"),
        ("X18", "'X18' is no number of X, which counts 0 to 7, 10 to 17, 20"),
        ("D", "'D' is no number of D"),
        ("D10000", "'D10000' does not exist; there are D0 to D4095, D4096 to D9999"),
        ("VW3", "'VW3' lies between two registers; they are 2 apart"),
        ("CIO10.00", "does not exist; there are CIO0 to CIO6143, CIO0.00 to CIO9.15"),
        ("", "'' is no device"),
        ("d5", "'d5' is no device"),
    ],
)
def test_what_does_not_exist_is_told_with_what_does(name: str, why: str) -> None:
    with pytest.raises(ValueError, match="^.*" + why.replace(".", r"\.")):
        place(OWN, name)


def test_a_device_whose_letters_begin_with_anothers_is_itself() -> None:
    both = (area("D", "0", "99", 0, "holding"), area("DM", "0", "99", 500, "holding"))
    assert place(both, "DM5") == Place("holding", 505)
    assert place(both, "D5") == Place("holding", 5)
    assert place(both[::-1], "DM5") == Place("holding", 505)


def test_an_address_between_the_areas_has_no_name() -> None:
    assert name_of(OWN, "holding", 0x8FFF) is None
    assert name_of(OWN, "coil", 0x1000) is None


@given(st.sampled_from(names()), st.data())
def test_every_device_of_every_profile_has_its_own_address(name: str, data: st.DataObject) -> None:
    areas = read(name).area
    one = data.draw(st.sampled_from(areas))
    address = data.draw(st.sampled_from(one.addresses))
    device = name_of(areas, one.kind, address)
    assert device is not None
    assert place(areas, device) == Place(one.kind, address)


def told_of(areas: Sequence[Area], name: str) -> Place | str:
    """Where the device is, or why nowhere."""
    try:
        return place(areas, name)
    except ValueError as wrong:
        return str(wrong)


@given(st.sampled_from(names()), st.text("DXYMVWRTCIO0123456789.AF１é ", max_size=8))
def test_no_text_raises_anything_but_ours(name: str, text: str) -> None:
    areas = read(name).area
    told = told_of(areas, text)
    if isinstance(told, Place):
        assert name_of(areas, told.kind, told.address) is not None
    else:
        assert repr(text) in told
