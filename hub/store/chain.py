"""The hub's own chain: what the hub did to its records, one entry after the other, never changed.

An entry is hashed as a node's row is, over "at_ms kind body": sha256(hash before + seq + that). The
table refuses UPDATE, DELETE and TRUNCATE; whoever gets around that breaks the chain, which shows.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from edge.mqtt.message import GENESIS, chain
from hub.moments import moment
from hub.store import session
from hub.store.session import Connection, converted

LOCK = 0x716A_0004  # advisory lock "qj" 4: one entry at a time


def append(connection: Connection, kind: str, body: Mapping[str, Any]) -> int:
    """Add one entry, in the caller's transaction if there is one; its sequence.

    Raises:
        StoreError: nothing was added.
    """
    at_ms = int(datetime.now(timezone.utc).timestamp() * 1000)
    text = msgspec.json.encode(body).decode()
    with converted("hub_chain"), connection.transaction():
        session.rows(connection, "hub_chain_locked", lock=LOCK)
        head = session.rows(connection, "hub_chain_head")
        previous: str = head[0]["hash"] if head else GENESIS
        seq: int = head[0]["seq"] + 1 if head else 1
        session.rows(
            connection,
            "hub_chain_appended",
            seq=seq,
            at=moment(at_ms),
            kind=kind,
            body=text,
            prev_hash=previous,
            hash=_hash(previous, seq, at_ms, kind, text),
        )
    return seq


def broken_at(entries: Iterable[Mapping[str, Any]]) -> str | None:
    """What is wrong with the entries of the chain, in order from the first, or None."""
    previous, expected = GENESIS, 1
    for entry in entries:
        if entry["seq"] != expected:
            return f"entry {expected} of the hub's chain is missing"
        at_ms = round(entry["at"].timestamp() * 1000)
        digest = _hash(previous, expected, at_ms, entry["kind"], entry["body"])
        if (entry["prev_hash"], entry["hash"]) != (previous, digest):
            return f"entry {expected} of the hub's chain is not what was written"
        previous, expected = digest, expected + 1
    return None


def _hash(previous: str, seq: int, at_ms: int, kind: str, body: str) -> str:
    return chain(previous, seq, f"{at_ms} {kind} {body}".encode())
