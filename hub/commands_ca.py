"""`quanjian-hub ca`: the authority of the nodes' certificates, by hand.

Day by day nobody needs these: `duties` signs what nodes ask for by the gate, and the list.
"""

import argparse
import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from hub import authority_folder
from hub.authority import MAX_REQUEST_BYTES, alternative, facts, fingerprint
from hub.errors import OPTIONS_HINT, AuthorityError, RegistryError, SettingsError
from hub.settings import Authority, Settings

log = logging.getLogger(__name__)


def named(text: str) -> str:
    """An argument that names a plant, a line or a node, as a topic holds it."""
    if re.fullmatch("[a-z0-9-]{1,32}", text) is None:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected 1 to 32 of a-z, 0-9 and '-'")
    return text


def add_arguments(
    command: argparse.ArgumentParser, configured: Callable[[argparse.ArgumentParser], None]
) -> None:
    """The actions of `ca`."""
    command.epilog = "example: quanjian-hub ca init --config hub.toml"
    actions = command.add_subparsers(dest="action", required=True)
    init = actions.add_parser("init", help="make the authority and an empty revocation list, once")
    server = actions.add_parser("server", help="certificate and key for the broker and the gate")
    server.add_argument("name", nargs="+", help="host name or address it is reached by")
    server.add_argument("--out", type=Path, required=True, help="folder for server.pem, server.key")
    issue = actions.add_parser("issue", help="sign a node's request by hand, without the gate")
    issue.add_argument("node", type=named)
    issue.add_argument("request", type=Path, help="PEM file that `openssl req -new` wrote")
    revoke = actions.add_parser("revoke", help="a node's certificates are worth nothing any more")
    revoke.add_argument("node", type=named)
    listed = actions.add_parser("crl", help="sign the revocation list anew, now")
    for action in (init, server, issue, revoke, listed):
        configured(action)


def run(asked: argparse.Namespace, settings: Settings) -> None:
    """Carry out one action.

    Raises:
        SettingsError: hub.toml has no [authority], or an argument is wrong.
        AuthorityError: there is no authority, or its files or a request cannot be used.
        RegistryError: no such node. StoreError: the database is away.
    """
    wanted = settings.authority
    if wanted is None:
        missing = "[authority]: missing; expected dir and crl_file"
        raise SettingsError(str(asked.config), [missing])
    now = datetime.now(timezone.utc)
    if asked.action == "init":
        _init(wanted, now)
    elif asked.action == "server":
        _server(wanted, asked.name, asked.out, now)
    elif asked.action == "issue":
        _issue(wanted, settings, asked.node, asked.request, now)
    elif asked.action == "revoke":
        _revoke(settings, asked.node)
    else:
        _list(settings, now)


def enrolment_told(settings: Settings) -> Iterator[str]:
    """What a person needs at the node besides the token."""
    yield "This token is shown once and works once, within 15 minutes, for this node alone."
    if settings.nodes is None:
        yield "hub.toml has no [nodes]: without the gate the node cannot ask for a certificate."
        return
    try:
        told = fingerprint(Path(settings.nodes.ca_file).read_bytes())
    except OSError as wrong:
        raise AuthorityError(f"{settings.nodes.ca_file}: cannot be read: {wrong}") from wrong
    yield f"fingerprint of the authority: {told}"


def _init(wanted: Authority, now: datetime) -> None:
    authority = authority_folder.made(Path(wanted.dir), "Quanjian authority", now)
    authority_folder.kept(Path(wanted.crl_file), authority.revocation_list([], now), 0o644)
    sys.stdout.write(fingerprint(authority.certificate) + "\n")
    log.info("authority made in %s; keep a copy of that folder where nobody gets at it", wanted.dir)


def _server(wanted: Authority, names: list[str], folder: Path, now: datetime) -> None:
    problems = [] if folder.is_dir() else [f"--out {folder}: no such folder; make it first"]
    for name in names:
        try:
            alternative(name)
        except AuthorityError as wrong:
            problems.append(str(wrong))
    if problems:
        raise SettingsError("ca server", problems, OPTIONS_HINT)
    authority = authority_folder.opened(Path(wanted.dir))
    certificate, key = authority.server(names, now)
    try:
        authority_folder.kept(folder / "server.key", key, 0o600)
        authority_folder.kept(folder / "server.pem", certificate, 0o644)
        authority_folder.kept(folder / "ca.pem", authority.certificate, 0o644)
    except AuthorityError as wrong:
        raise AuthorityError(str(wrong), "Name a folder that this user may write.") from wrong
    log.info("%s: server.pem, server.key, ca.pem until %s", folder, facts(certificate).not_after)


def _issue(wanted: Authority, settings: Settings, node: str, request: Path, now: datetime) -> None:
    from hub.store import session

    try:
        with request.open("rb") as file:
            content = file.read(MAX_REQUEST_BYTES + 1)
    except OSError as wrong:
        told = f"{request}: cannot be read: {wrong.strerror}"
        raise SettingsError("ca issue", [told], OPTIONS_HINT) from wrong
    authority = authority_folder.opened(Path(wanted.dir))
    try:
        certificate = authority.node(content, node, now)
    except AuthorityError as wrong:
        # with a cause it is the library that could not read it; what that says is for programmers
        why = str(wrong) if wrong.__cause__ is None else "not a certificate request in PEM"
        made = "The node makes it: openssl req -new, a key on P-256, its name as the only subject."
        raise AuthorityError(f"{request}: {why}", made) from wrong
    said = facts(certificate)
    with session.connect(settings.database.dsn, "ca") as connection:
        kept = session.rows(
            connection,
            "certificate_kept",
            node=node,
            serial=said.serial,
            sha256=fingerprint(certificate),
            not_before=said.not_before,
            not_after=said.not_after,
        )
    if not kept:
        raise RegistryError(f"no node that may write is named {node}")
    sys.stdout.write(certificate.decode())


def _revoke(settings: Settings, node: str) -> None:
    from hub import registry

    gone = registry.revoke_certificates(settings.database.dsn, node)
    if not gone:
        raise RegistryError(f"{node} has no certificate that is worth anything")
    log.info("%d certificates of %s revoked; `duties` tells the broker within a round", gone, node)


def _list(settings: Settings, now: datetime) -> None:
    from hub import signing
    from hub.store import session

    with session.connect(settings.database.dsn, "ca") as connection:
        signing.list_kept(connection, settings, now, anew=True)
