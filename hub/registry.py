"""The nodes that may write, and their tokens. A token is shown once; only its sha256 is stored."""

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from edge.mqtt.message import NAME
from hub.errors import RegistryError
from hub.store import session

ENROLMENT_LIFE = timedelta(minutes=15)


def token_hash(token: str) -> str:
    """What the store keeps of a token: its sha256, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def add(dsn: str, plant: str, line: str, node: str) -> str:
    """Register a node and return its token, which cannot be read again.

    Raises:
        RegistryError: a name that no topic may hold, or a node of this name exists.
        StoreError: the database is away.
    """
    for level in (plant, line, node):
        if re.fullmatch(NAME, level) is None:
            raise RegistryError(f"{level!r} is not a name: expected 1 to 32 of a-z, 0-9 and '-'")
    token = secrets.token_urlsafe(32)
    added = _ask(dsn, "node_added", plant=plant, line=line, node=node, token_hash=token_hash(token))
    if not added:
        raise RegistryError(f"a node named {node} exists; its name is unique in the whole hub")
    return token


def renew(dsn: str, node: str) -> str:
    """A new token for a node, which takes back a revocation; the old token is worth nothing.

    Raises:
        RegistryError: no such node.
        StoreError: the database is away.
    """
    token = secrets.token_urlsafe(32)
    if not _ask(dsn, "node_token", node=node, token_hash=token_hash(token)):
        raise RegistryError(f"no node is named {node}")
    return token


def revoke(dsn: str, node: str) -> None:
    """Take nothing more from a node, its certificates are worth nothing; what it wrote stays.

    Raises:
        RegistryError: no such node.
        StoreError: the database is away.
    """
    with session.connect(dsn, "registry") as connection, _whole(connection):
        known = session.rows(connection, "node_revoked", node=node)
        session.rows(connection, "certificates_revoked", node=node)
    if not known:
        raise RegistryError(f"no node is named {node}")


def revoke_certificates(dsn: str, node: str) -> int:
    """Every certificate of a node is worth nothing, and what it asked for is not signed; it may
    enrol anew. Returns how many certificates that were.

    Raises:
        StoreError: the database is away.
    """
    with session.connect(dsn, "registry") as connection, _whole(connection):
        session.rows(connection, "node_locked", node=node)
        return len(session.rows(connection, "certificates_revoked", node=node))


def enrol(dsn: str, node: str) -> str:
    """A one-time token with which the node asks for its first certificate, good for 15 minutes.

    Raises:
        RegistryError: no such node, or it is revoked.
        StoreError: the database is away.
    """
    token = secrets.token_urlsafe(32)
    made = _ask(dsn, "enrolment_made", node=node, token_hash=token_hash(token), life=ENROLMENT_LIFE)
    if not made:
        raise RegistryError(f"no node that may write is named {node}")
    return token


def known(dsn: str) -> list[dict[str, Any]]:
    """Every node: plant, line, node, created_at, revoked_at, online, waiting, rows_at, ...

    Raises:
        StoreError: the database is away.
    """
    return _ask(dsn, "nodes")


@contextmanager
def _whole(connection: session.Connection) -> Iterator[None]:
    """What is inside happens at once or not at all."""
    with session.converted("registry"), connection.transaction():
        yield


def _ask(dsn: str, name: str, **parameters: Any) -> list[dict[str, Any]]:
    with session.connect(dsn, "registry") as connection:
        return session.rows(connection, name, **parameters)
