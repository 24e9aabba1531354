"""Streams that share a past: a ledger whose disk was restored or copied goes on as a branch.

    old stream   1 ... 60  61 ... 100  101 ... 150     what the hub had when the disk was restored
    branch             begins at 101:  101 ... 130     what the node wrote after it

The branch carries on the epochs that were open where it begins: its law starts with what the old
stream had settled by then (`elsewhere`). The node of the branch does not know what rows 101 to 150
of the old stream settled, so it settles those parts again, mostly as missed: each number of a
branched epoch is looked up in the family's other streams, and what they have is in no count twice.
All functions run inside the transaction of hub.store.rows.
"""

import json
from collections.abc import MutableMapping, Sequence, Set

from edge.mqtt.message import GENESIS, CounterRow, EpochRow
from hub.intake import Bad, Good, Intake, Settled, numbers_of, once
from hub.store import session
from hub.store.session import Connection
from hub.tally import Law, Tally

EpochKey = tuple[str, int]  # station and number of an epoch


def row_hash(connection: Connection, stream: str, seq: int) -> str | None:
    """The hash of a row that is stored, or the last of an archive; None if it is not here."""
    found = session.rows(connection, "hash_of_row", stream=stream, seq=seq)
    return str(found[0]["hash"]) if found else None


def root_of(connection: Connection, node: str, stream: str | None) -> str | None:
    """The family of a stream of this node, with every stream of it locked; None = not known."""
    found = session.rows(connection, "stream_root", stream=stream, node=node) if stream else []
    if not found:
        return None
    root = str(found[0]["root"])
    session.rows(connection, "family_locked", root=root)
    return root


def past_of(connection: Connection, follows: str | None, begins: int) -> str | None:
    """The hash before the first row of a stream; None if the row before it is not here."""
    if begins == 1 or follows is None:
        return GENESIS
    return row_hash(connection, follows, begins - 1)


def alone(connection: Connection, roots: Set[str]) -> None:
    """Wait until no other stream of these families is being written; hold them off until the end.

    In one order, after every cursor is locked: two workers never wait for each other.
    """
    for root in sorted(roots):
        session.rows(connection, "family_alone", root=root)


def count_once(
    connection: Connection,
    node: str,
    stream: str,
    intake: Intake,
    tally: Tally,
) -> None:
    """Inherit the laws of epochs that a branch carries on, and set aside rows of settled parts.

    Args:
        intake: its rows whose parts another stream has become `Bad`.
        tally: with the laws that the rows touch, as stored; what is inherited is added.
    """
    laws = tally.laws
    counting: dict[EpochKey, list[int]] = {}  # -> places in intake.rows
    asked: set[EpochKey] = set(laws)  # an epoch opened here is nobody else's
    for place, taken in enumerate(intake.rows):
        epoch = _counted_in(taken)
        if epoch is None:
            continue
        if epoch not in asked and not (isinstance(taken, Good) and isinstance(taken.row, EpochRow)):
            _inherit(connection, stream, epoch, laws)
        asked.add(epoch)
        if isinstance(taken, Good) and numbers_of(taken.row) is not None:
            counting.setdefault(epoch, []).append(place)
    for epoch in asked & laws.keys():
        law = laws[epoch]
        others = session.rows(
            connection,
            "epoch_streams",
            origin=law.origin,
            stream=stream,
            station=law.station,
            epoch=law.epoch,
        )
        told = [row["counter"] for row in others if row["counter"] is not None]
        tally.reached[epoch] = max(told, default=0)
        streams = [row["stream"] for row in others]
        if streams and epoch in counting:
            _set_aside(connection, node, streams, epoch, intake, counting[epoch])


def _counted_in(taken: Good | Bad) -> EpochKey | None:
    """The epoch whose law a row changes, if it changes one."""
    if isinstance(taken, Good):
        row = taken.row
        counts = isinstance(row, EpochRow | CounterRow) or numbers_of(row) is not None
        return (row.station, row.epoch) if counts else None
    if taken.station is None or taken.epoch is None or not taken.parts:
        return None
    return taken.station, taken.epoch


def _inherit(
    connection: Connection, stream: str, epoch: EpochKey, laws: MutableMapping[EpochKey, Law]
) -> None:
    """The law of an epoch that was open where the branch begins, as the branch carries it on."""
    elsewhere, child = 0, stream
    inherited: Law | None = None
    while True:
        [branch] = session.rows(connection, "branch_of", stream=child)
        if branch["follows"] is None:
            break
        child = branch["follows"]
        wanted = [{"stream": child, "station": epoch[0], "epoch": epoch[1]}]
        found = session.rows(connection, "laws_of", wanted=json.dumps(wanted))
        if not found:
            continue
        law = Law(**{name: found[0][name] for name in Law.__slots__})
        inherited = inherited or law
        [below] = session.rows(
            connection,
            "settled_below",
            stream=child,
            seq=branch["begins"],
            station=epoch[0],
            epoch=epoch[1],
            base=law.base if law.base is not None else -1,
        )
        elsewhere += int(below["parts"])
    if inherited is None:
        return
    laws[epoch] = inherited.carried_on(elsewhere)
    session.rows(
        connection,
        "epoch_continued",
        stream=stream,
        origin=inherited.origin,
        station=epoch[0],
        epoch=epoch[1],
    )


def _set_aside(
    connection: Connection,
    node: str,
    streams: Sequence[str],
    epoch: EpochKey,
    intake: Intake,
    places: Sequence[int],
) -> None:
    rows = {place: row for place in places if isinstance(row := intake.rows[place], Good)}
    ranges = [told for row in rows.values() if (told := numbers_of(row.row)) is not None]
    known = session.rows(
        connection,
        "settled_in",
        node=node,
        streams=streams,
        first=min(first for first, _ in ranges),
        last=max(last for _, last in ranges),
        station=epoch[0],
        epoch=epoch[1],
    )
    settled = [Settled(**row) for row in known]
    for place, row in rows.items():
        intake.rows[place] = once(row, settled)
