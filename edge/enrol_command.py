"""`quanjian-edge enrol`: this node's first certificate, from the hub's gate.

It writes the files that [hub] names, so it runs as the user of the node.
"""

import argparse
import re
import ssl
import sys
from pathlib import Path

from edge import settings
from edge.errors import OPTIONS_HINT, LinkError, SettingsError
from edge.mqtt import identity
from edge.mqtt.enrol import GateClient, enrol

EXAMPLE = (
    "example: quanjian-edge enrol --hub https://hub:8443 --fingerprint 3a5f... "
    "--token-file /run/token"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `enrol`."""
    parser.epilog = EXAMPLE
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        help="edge.toml (default: %(default)s)",
    )
    parser.add_argument("--hub", required=True, help="the hub's gate, https://HOST:PORT")
    parser.add_argument(
        "--fingerprint", required=True, help="of the authority, as `quanjian-hub node enrol` prints"
    )
    parser.add_argument(
        "--token-file", type=Path, required=True, help="file with the one-time token, mode 0600"
    )


def run(asked: argparse.Namespace) -> int:
    """Enrol and say until when the certificate holds.

    Raises:
        SettingsError: edge.toml is wrong or has no places for the files, or an option is wrong.
        LinkError: the hub refuses or does not answer, or a file cannot be used.
    """
    wiring = settings.read(asked.config)
    files = identity.files_of(wiring.hub) if wiring.hub is not None else None
    if files is None:
        missing = "[hub] ca_file, certificate_file, key_file: missing; expected where to write them"
        raise SettingsError(str(asked.config), [missing])
    token = _token(asked)
    said = enrol(asked.hub, asked.fingerprint, token, files, wiring.node.name)
    sys.stdout.write(f"{files.certificate}: until {said.not_after:%Y-%m-%d %H:%M} UTC\n")
    try:
        asked.token_file.unlink()
    except OSError as wrong:
        raise LinkError(f"{asked.token_file}: is used up and cannot be deleted: {wrong}") from wrong
    return 0


def _token(asked: argparse.Namespace) -> str:
    """The one-time token, once every option is what it must be: a network is not asked before.

    Raises:
        SettingsError: with every mistake in the options.
    """
    problems, token = [], ""
    try:
        GateClient(asked.hub, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except LinkError:
        problems.append(f"--hub: got {asked.hub!r}, expected https://HOST:PORT")
    if re.fullmatch("[0-9a-fA-F]{64}", asked.fingerprint.replace(":", "").strip()) is None:
        expected = "64 hex digits, as `quanjian-hub node enrol` prints"
        problems.append(f"--fingerprint: got {asked.fingerprint!r}, expected {expected}")
    try:
        token = identity.secret(asked.token_file)
    except LinkError as wrong:
        absent = isinstance(wrong.__cause__, FileNotFoundError)
        told = f"{asked.token_file}: not there" if absent else str(wrong)
        problems.append(f"--token-file {told}")
    if problems:
        raise SettingsError("enrol", problems, OPTIONS_HINT)
    return token
