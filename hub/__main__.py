"""quanjian-hub: the commands of the hub. Data on stdout, talk on stderr.

Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
"""

import argparse
import logging
import math
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hub import commands_ca
from hub.errors import HubError, SettingsError
from hub.settings import DEFAULT_PATH, Settings, read

_EPILOG = """examples:
  quanjian-hub demo                                  a whole line on this computer, until Ctrl-C
  quanjian-hub migrate --config hub.toml             brings the schema up to date
  quanjian-hub node add --config hub.toml jinan line-1 node-1
  quanjian-hub ca init --config hub.toml             an authority for the nodes' certificates
"""


def say(text: str) -> None:
    """One line of talk, to stderr."""
    sys.stderr.write(text + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="quanjian-hub",
        description="The hub: takes what nodes publish, keeps the ledger, shows pages.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True)
    for name, told in (
        ("check", "find every mistake in hub.toml, and every file of it that cannot be used"),
        ("migrate", "bring the schema up to date"),
        ("ingest", "take what nodes publish; any number may run"),
        ("duties", "alarms, partitions, chain checks; one of them leads"),
        ("serve", "the pages, the API and the upload of pictures"),
    ):
        example = f"example: quanjian-hub {name} --config {DEFAULT_PATH}"
        _configured(commands.add_parser(name, help=told, description=told, epilog=example))
    for name, told in (
        ("backup", "write the whole database into a new folder, while everything goes on"),
        ("restore", "read a backup into an empty database and check it"),
    ):
        example = f"example: quanjian-hub {name} --config {DEFAULT_PATH} /mnt/backup/2026-12-01"
        command = commands.add_parser(name, help=told, description=told, epilog=example)
        command.add_argument("folder", type=Path)
        _configured(command)
    _node(commands.add_parser("node", help="the nodes that may write, and their tokens"))
    commands_ca.add_arguments(
        commands.add_parser("ca", help="the authority of the nodes' certificates"), _configured
    )
    demo = commands.add_parser(
        "demo",
        help="a whole simulated line with node and hub on this computer",
        epilog="example: quanjian-hub demo --seconds 60 --rate 4",
    )
    demo.add_argument("--seconds", type=_seconds, help="stop by itself and print one JSON object")
    demo.add_argument("--rate", type=_rate, default=4.0, help="parts per second (default 4)")
    demo.add_argument("--data", type=Path, default=Path(".demo"), help="folder (default ./.demo)")
    demo.add_argument(
        "--pictures", type=Path, help="own pictures, a part each, in place of simulated plates"
    )
    demo.add_argument("--model", type=Path, help="with --pictures: the ONNX model for them")
    demo.add_argument("--recipe", type=Path, help="with --pictures: the recipe for them")
    demo.add_argument("--verdicts", type=Path, help="JSON lines: what became of every part")
    return top


def _number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected {least:g} to {most:g}")
    return value


def _seconds(text: str) -> float:
    return _number(text, 1, 1e6)


def _rate(text: str) -> float:
    return _number(text, 0.05, 20)  # as the simulated line takes it


def _configured(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, default=DEFAULT_PATH, help=f"hub.toml (default {DEFAULT_PATH})"
    )


def _node(command: argparse.ArgumentParser) -> None:
    command.epilog = "example: quanjian-hub node add --config hub.toml jinan line-1 node-1"
    actions = command.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="register a node and print its token, once")
    for level in ("plant", "line", "node"):
        add.add_argument(level, type=commands_ca.named)
    token = actions.add_parser("token", help="print a new token; the old one is worth nothing")
    token.add_argument("node", type=commands_ca.named)
    revoke = actions.add_parser("revoke", help="take nothing more from a node")
    revoke.add_argument("node", type=commands_ca.named)
    enrol = actions.add_parser("enrol", help="print a token for the node's first certificate")
    enrol.add_argument("node", type=commands_ca.named)
    listed = actions.add_parser("list", help="every node, one JSON object a line")
    for action in (add, token, revoke, enrol, listed):
        _configured(action)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    asked = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        if asked.command == "demo":
            return _demo(asked)
        return _run(asked, read(asked.config))
    except SettingsError as wrong:
        say(f"{wrong}\n{wrong.hint}")
        return 2
    except HubError as wrong:
        say(f"{wrong}\n{wrong.hint}" if wrong.hint else str(wrong))
        return 1


def _demo(asked: argparse.Namespace) -> int:
    from hub import demo  # pulls in the embedded server, which no other command needs
    from hub.demo_wiring import FASTEST_PLATES, demo_product, own_product

    given = [asked.pictures, asked.model, asked.recipe]
    if any(given) and not all(given):
        say("--pictures, --model and --recipe belong together: give all three or none")
        return 2
    if asked.pictures is None and asked.rate > FASTEST_PLATES:
        say(
            f"--rate: got {asked.rate:g}, expected at most {FASTEST_PLATES:g}: faster plates are "
            "blurred by more than the demo model has seen"
        )
        return 2
    product = demo_product()
    if asked.pictures is not None:
        product = own_product(asked.pictures, asked.recipe, asked.model)
    return demo.run(demo.Order(asked.data, asked.rate, asked.seconds, product, asked.verdicts))


def _run(asked: argparse.Namespace, settings: Settings) -> int:
    if asked.command == "migrate":
        _migrate(settings)
    elif asked.command == "check":
        return _check(asked.config, settings)
    elif asked.command == "ca":
        commands_ca.run(asked, settings)
    elif asked.command == "node":
        _registry(asked, settings)
    elif asked.command == "serve":
        return _serve(settings)
    elif asked.command in ("backup", "restore"):
        from hub import commands_store

        return commands_store.run(asked.command, settings, asked.folder, say)
    elif asked.command == "ingest":
        from hub import ingest

        ingest.run(settings, _until_signal())
    else:
        from hub import duties

        duties.run(settings, _until_signal())
    return 0


def _until_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set: the service then ends in order."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _check(config: Path, settings: Settings) -> int:
    from hub import check

    wrong = check.unusable(settings)
    if wrong:
        say(f"{config}: well formed, but what it names cannot be used by this user")
        say("\n".join(f"  {text}" for text in wrong))
        return 1
    say(f"{config}: no mistakes; this user can use every file and folder it names")
    say("not tried: the database, the broker, and what is in the files")
    return 0


def _migrate(settings: Settings) -> None:
    from hub.store.migrate import advice, migrate

    for name in migrate(settings.database.dsn):
        say(f"applied {name}")
    say("the schema is up to date")
    missing = advice(settings.database.dsn)
    if missing is not None:
        say(missing)


def _serve(settings: Settings) -> int:
    from hub import serve
    from hub.store.pool import Store

    store = Store(settings.database.dsn, settings.database.connections)
    store.open()
    try:
        return serve.run(settings, store)
    finally:
        store.close()


def _registry(asked: argparse.Namespace, settings: Settings) -> None:
    from hub import registry

    dsn = settings.database.dsn
    if asked.action == "add":
        sys.stdout.write(registry.add(dsn, asked.plant, asked.line, asked.node) + "\n")
        say("This token is shown once. Put it into the node's token_file, mode 0600.")
    elif asked.action == "token":
        sys.stdout.write(registry.renew(dsn, asked.node) + "\n")
    elif asked.action == "revoke":
        registry.revoke(dsn, asked.node)
        say(f"nothing more is taken from {asked.node}")
    elif asked.action == "enrol":
        sys.stdout.write(registry.enrol(dsn, asked.node) + "\n")
        for line in commands_ca.enrolment_told(settings):
            say(line)
    else:
        for row in registry.known(dsn):
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")


if __name__ == "__main__":
    sys.exit(main())
