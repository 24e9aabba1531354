"""Looks at the seals of nodes' ledgers: does the row here have that hash, and who signed it?

verified    the hub's own row has this hash, and a certificate of this node signed it
unverified  the hash is right; the certificate is none that this hub signed for the node
unsigned    the hash is right; the node has no identity to sign with
missing     the row is not here: declared lost, or kept in an archive
wrong       another hash than here, or a signature that is not of its certificate: an alarm
"""

import logging
from collections.abc import Mapping
from typing import Any, Literal

from edge.mqtt.message import GENESIS, seal_content
from hub import authority
from hub.errors import AuthorityError, StoreError
from hub.store import session
from hub.store.session import Connection

log = logging.getLogger(__name__)

AT_ONCE = 200  # seals of one round; a node makes one a day

State = Literal["verified", "unverified", "unsigned", "missing", "wrong"]


def judge(seal: Mapping[str, Any], here: str | None, known: bool) -> State:
    """What a seal is. Pure.

    Args:
        seal: a row of the table `seal`.
        here: hash of the sealed row as the hub has it; None = the row is not here.
        known: its certificate is one that this hub signed for the node, and not revoked.
    """
    if here is None:
        return "missing"
    if here != seal["head"]:
        return "wrong"
    if seal["certificate"] is None or seal["signature"] is None:
        return "unsigned"
    content = seal_content(
        seal["node"], seal["day"], seal["sealed_stream"], seal["sealed"], seal["head"]
    )
    signature = bytes.fromhex(seal["signature"])
    if not authority.signed_by(seal["certificate"].encode(), content, signature):
        return "wrong"
    return "verified" if known else "unverified"


def judge_new(connection: Connection) -> None:
    """Judge the seals that came since the last time.

    Raises:
        StoreError: the database is away.
    """
    for seal in session.rows(connection, "seals_new", limit=AT_ONCE):
        state = _judged(connection, seal)
        where = f"{seal['plant']}/{seal['line']}/{seal['node']}"
        level = logging.ERROR if state == "wrong" else logging.INFO
        log.log(level, "%s: seal of %s up to row %d: %s", where, seal["day"], seal["sealed"], state)
        session.rows(connection, "seal_judged", stream=seal["stream"], seq=seal["seq"], state=state)


def _judged(connection: Connection, seal: Mapping[str, Any]) -> State:
    here = _here(connection, seal)
    try:
        return judge(seal, here, _known(connection, seal))
    except StoreError:
        raise
    except Exception:  # whatever a node wrote, it must not keep the seals after it from being seen
        log.exception("%s: seal of %s cannot be judged", seal["node"], seal["day"])
        return "wrong"


def _here(connection: Connection, seal: Mapping[str, Any]) -> str | None:
    """The sealed row is mostly the one before the seal, so of the same week; else in an archive."""
    if seal["sealed"] == 0:
        return GENESIS
    found = session.rows(
        connection, "hash_of_row", stream=seal["sealed_stream"], seq=seal["sealed"]
    )
    return str(found[0]["hash"]) if found else None


def _known(connection: Connection, seal: Mapping[str, Any]) -> bool:
    if seal["certificate"] is None:
        return False
    try:
        sha256 = authority.fingerprint(seal["certificate"].encode())
    except AuthorityError:
        return False
    found = session.rows(connection, "certificate_known", sha256=sha256)
    return bool(found) and found[0]["node"] == seal["node"] and not found[0]["revoked"]
