"""Rows read by names met before: never another answer than the strict decoder's."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.message import AnyRow, Mark, PartRow, View, decode_row, encode
from edge.terms import Code
from hub.reading import RowReader
from tests.ledger_rows import counter_row, epoch_row, part_row

texts = st.one_of(
    st.sampled_from(["s1", "c1", "S 1", "", "c1\n", "a" * 33, "b" * 32, "0" * 64, "F" * 64]),
    st.text(max_size=40),
    st.none(),
    st.integers(-1, 5),
)


def read(reader: RowReader, raw: bytes) -> AnyRow | None:
    try:
        return reader.read(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def strictly(raw: bytes) -> AnyRow | None:
    try:
        return decode_row(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def told(number: int = 1, **views: Any) -> dict[str, Any]:
    view = View(camera="c1", code=Code.OK, marks=(Mark(label="x", score=1, box=(0, 0, 1, 1)),))
    row: dict[str, Any] = msgspec.to_builtins(part_row(number, views=(view,)))
    row["model"] = "a" * 64
    row["views"][0].update(views)
    return row


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["station", "boot", "model", "camera", "picture", "thumbnail"]), texts
        ),
        max_size=8,
    )
)
def test_whatever_stands_in_its_names_a_row_is_read_as_the_strict_decoder_does(
    changes: list[tuple[str, Any]],
) -> None:
    reader = RowReader()
    read(reader, msgspec.json.encode(told()))
    for name, value in changes:
        row = told(**{name: value}) if name in View.__struct_fields__ else {**told(), name: value}
        raw = msgspec.json.encode(row)
        for _ in range(2):  # a name that was refused is not met
            found, expected = read(reader, raw), strictly(raw)
            assert (found is None) == (expected is None), raw
            if found is not None and expected is not None:
                assert encoded(found) == encoded(expected)


def encoded(row: AnyRow) -> Any:
    return msgspec.to_builtins(row)


def test_a_part_of_known_names_is_a_part_row_and_its_bytes_may_still_be_wrong() -> None:
    reader = RowReader()
    raw = msgspec.json.encode(told())
    first, second = reader.read(raw), reader.read(raw)
    assert isinstance(first, PartRow)
    assert isinstance(second, PartRow)
    assert type(second) is not PartRow  # by the quick way
    assert encoded(second) == encoded(first)
    for spoilt in (
        raw.replace(b'"code":1', b'"code":9'),
        raw.replace(b'"number":1', b'"number":-1'),
        raw.replace(b"}", b',"colour":1}'),
        raw[:-1],
    ):
        assert read(reader, spoilt) is None


def test_rows_of_other_kinds_are_read_too() -> None:
    reader = RowReader()
    for row in (epoch_row(), counter_row(3)):
        assert reader.read(encode(row)) == row
