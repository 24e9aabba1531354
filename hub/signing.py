"""What duties does for the authority: signs what the gate took, renews the revocation list, throws
revoked nodes out of the broker, and says when a certificate is about to end.

Nothing is remembered here: what is due is read from the store and from the list itself, so that any
leader goes on where another stopped.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from hub import authority_folder
from hub.authority import NODE_LIFE, Authority, Revoked, facts, fingerprint
from hub.broker.kick import kick
from hub.errors import AuthorityError, BrokerError
from hub.settings import Settings
from hub.store import session
from hub.store.session import Connection

log = logging.getLogger(__name__)

CODES = ("token_reused", "certificate_ending", "authority_failed")
"""Of the troubles that `work` tells."""
LIST_EVERY = timedelta(days=1)
KICKED_FOR = timedelta(seconds=60)  # again and again: the broker needs a moment to read its list
ENDING = NODE_LIFE / 6  # left; a node renews when a third of its life is left
SERVER_ENDING = timedelta(days=30)  # left; a person makes the next, by `ca server`
_AT_ONCE = 50  # requests signed in one round
_KICKS = 3  # in one round: each may take 3 s, and the unit's watchdog waits 30 s


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing about certificates that a person must look at."""

    plant: str
    line: str
    node: str
    code: str
    detail: str


def work(connection: Connection, settings: Settings, now: datetime) -> list[Trouble]:
    """Do what is due at `now`; returns the troubles that stand. Nothing without [authority].

    Raises:
        StoreError: the database is away.
    """
    if settings.authority is None:
        return []
    troubles = [*_reused(connection), *_ending(connection, now)]
    try:
        _sign(connection, Path(settings.authority.dir), now)
        list_kept(connection, settings, now, anew=False)
        troubles += _server_ending(connection, settings, now)
    except AuthorityError as wrong:
        log.error("authority: %s; %s", wrong, wrong.hint)
        troubles += _everywhere(connection, "authority_failed", str(wrong))
    _kick(connection, settings)
    return troubles


def list_kept(connection: Connection, settings: Settings, now: datetime, anew: bool) -> bool:
    """Write the revocation list if it is a day old or says something else than the store; or
    anyway (`anew`). Returns whether it was written.

    Raises:
        AuthorityError: there is no authority, it has ended, or the file cannot be written.
        StoreError: the database is away.
    """
    if settings.authority is None:
        raise AuthorityError("hub.toml has no [authority]")
    authority = authority_folder.opened(Path(settings.authority.dir))
    authority.check(now)
    revoked = [
        Revoked(row["serial"], row["revoked_at"])
        for row in session.rows(connection, "revocations", now=now)
    ]
    file = Path(settings.authority.crl_file)
    if not anew and not _due(authority, file, {one.serial for one in revoked}, now):
        return False
    authority_folder.kept(file, authority.revocation_list(revoked, now), 0o644)
    log.info("authority: revocation list signed, %d certificates on it", len(revoked))
    return True


def _due(authority: Authority, file: Path, revoked: set[str], now: datetime) -> bool:
    try:
        known = authority.listed(file.read_bytes())
    except OSError:
        return True
    if known is None or known.serials != revoked:
        return True
    return not timedelta() <= now - known.signed_at < LIST_EVERY


def _sign(connection: Connection, folder: Path, now: datetime) -> None:
    waiting = session.rows(connection, "signing_waiting", limit=_AT_ONCE)
    if not waiting:
        return
    authority = authority_folder.opened(folder)
    authority.check(now)  # requests wait for the next one, they are not refused
    for row in waiting:
        request, node = row["request"], row["node"]
        try:
            if row["revoked"]:
                raise AuthorityError("the node is revoked")
            certificate = authority.node(bytes(row["csr"]), node, now)
        except AuthorityError as wrong:
            log.warning("authority: a request of %s is not signed: %s", node, wrong)
            session.rows(connection, "signing_refused", request=request, refused=str(wrong))
            continue
        said = facts(certificate)
        kept = session.rows(
            connection,
            "signing_signed",
            request=request,
            node=node,
            serial=said.serial,
            sha256=fingerprint(certificate),
            not_before=said.not_before,
            not_after=said.not_after,
            certificate=certificate.decode(),
            authority=authority.certificate.decode(),
        )
        if kept:
            log.info("authority: %s has a certificate until %s", node, said.not_after.date())
    session.rows(connection, "signing_trimmed")


def _kick(connection: Connection, settings: Settings) -> None:
    for row in session.rows(connection, "kicks_due", patience=KICKED_FOR)[:_KICKS]:
        try:
            kick(settings.broker, row["node"])
        except BrokerError as wrong:
            log.warning("%s; %s", wrong, wrong.hint)
            return
        session.rows(connection, "kicked", node=row["node"])
        log.info("%s: its certificate is revoked, thrown out of the broker", row["node"])


def _reused(connection: Connection) -> Iterator[Trouble]:
    for row in session.rows(connection, "enrolments_reused"):
        detail = f"a used token was shown again at {row['reused_at']:%Y-%m-%d %H:%M:%S} UTC"
        yield Trouble(row["plant"], row["line"], row["node"], "token_reused", detail)


def _ending(connection: Connection, now: datetime) -> Iterator[Trouble]:
    for row in session.rows(connection, "certificates_by_node"):
        if row["not_after"] - now < ENDING:
            detail = f"certificate ends at {row['not_after']:%Y-%m-%d %H:%M} UTC"
            yield Trouble(row["plant"], row["line"], row["node"], "certificate_ending", detail)


def _server_ending(connection: Connection, settings: Settings, now: datetime) -> list[Trouble]:
    """The gate's own certificate, which is the broker's too: once it has ended no node gets in."""
    if settings.nodes is None:
        return []
    file = Path(settings.nodes.certificate_file)
    try:
        said = facts(file.read_bytes())
    except OSError as wrong:
        raise AuthorityError(f"[nodes] certificate_file: cannot be read: {wrong}") from wrong
    if said.not_after - now >= SERVER_ENDING:
        return []
    told = f"{file} of the hub ends at {said.not_after:%Y-%m-%d %H:%M} UTC"
    return list(_everywhere(connection, "certificate_ending", told))


def _everywhere(connection: Connection, code: str, detail: str) -> Iterator[Trouble]:
    """Every node with a certificate is concerned: in time the broker lets none of them in."""
    for row in session.rows(connection, "certificates_by_node"):
        yield Trouble(row["plant"], row["line"], row["node"], code, detail)
