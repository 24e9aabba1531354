"""Where a stream stands at the hub: its cursor, its family, and the gaps declared in it.

All functions run inside a transaction of hub.store.rows; the cursor's row lock is what keeps the
batches of one stream in order.
"""

from dataclasses import asdict, dataclass

from edge.mqtt.message import Birth, Compared
from hub.errors import RegistryError
from hub.intake import Arrival, Place
from hub.moments import milliseconds
from hub.store import branches, clock, session
from hub.store.session import Connection


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a stream stands; `hash` is None right after a declared gap."""

    next: int
    hash: str | None
    arrival: Arrival
    root: str
    branched: bool  # another stream shares its past
    new: bool = False
    lost: int = 0
    follows: str | None = None


def registered(connection: Connection, place: Place) -> None:
    """Raises RegistryError unless the node of this place may write."""
    if not session.rows(connection, "node_may_write", **asdict(place)):
        raise _stranger(place)


def _stranger(place: Place) -> RegistryError:
    return RegistryError(
        f"node {place.node} of {place.plant}/{place.line} is not registered or was revoked"
    )


def compared(connection: Connection, birth: Birth, cursor: Cursor) -> Compared | None:
    """Whether the row that the node asks about is here as it is there; None = it is not due yet."""
    mark = birth.mark
    if mark is None or mark.seq >= cursor.next:
        return None
    last = cursor.hash if mark.seq == cursor.next - 1 else None
    digest = last or branches.row_hash(connection, birth.stream, mark.seq)
    return Compared(seq=mark.seq, hash=mark.hash, same=digest == mark.hash)


def locked(
    connection: Connection,
    place: Place,
    stream: str,
    first: int,
    follows: str | None = None,
    begins: int = 1,
    born: bool = True,
) -> Cursor:
    """Lock the stream's cursor; a stream never seen gets one that starts at row `first`.

    Args:
        follows, begins: the stream that this one branched off from, and its own first row.
        born: its birth is being read. Nothing else says what the node no longer holds: a batch
            from the middle of a stream never seen is refused, for rows before it may be under way.

    Raises:
        RegistryError: the node may not write, or not into this stream, or its birth must come
            first; nothing was written.
        StoreError: the database's clock cannot be right; the same succeeds once it is.
    """
    where = {"stream": stream, **asdict(place)}
    found = session.rows(connection, "cursor_locked", **where)
    new = not found
    if new:
        registered(connection, place)
        if first > 1 and not born:
            raise RegistryError(f"ledger {stream} is not known, and row {first} is not its first")
        root = branches.root_of(connection, place.node, follows)
        if root is None or begins > first:
            follows, begins = None, 1
        past = branches.past_of(connection, follows, begins)
        session.rows(
            connection,
            "stream_known",
            **where,
            next=first,
            hash=past if first == begins else None,  # None: the first batch tells
            begins=begins,
            follows=follows,
            root=root or stream,
        )
        for low, high, held_by in ((1, begins - 1, follows), (begins, first - 1, None)):
            if low <= high:
                declare_gap(connection, stream, low, high, held_by)
        found = session.rows(connection, "cursor_locked", **where)
    row = found[0]
    if not row["may_write"]:
        raise _stranger(place)
    if row["node"] != place.node:
        raise RegistryError(f"stream {stream} belongs to node {row['node']}, not {place.node}")
    clock.plausible(row["now"], row["known"])
    arrival = Arrival(milliseconds(row["now"]), milliseconds(row["started_at"]))
    lost = first - begins if new else 0
    return Cursor(
        *(row["next"], row["hash"], arrival, row["root"], row["branched"], new, lost),
        follows if new else None,
    )


def declare_gap(
    connection: Connection, stream: str, first: int, last: int, held_by: str | None = None
) -> None:
    session.rows(connection, "gap_declared", stream=stream, first=first, last=last, held_by=held_by)
