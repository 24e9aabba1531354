"""quanjian-edge: runs, checks and simulates a node, inspects pictures, explains recipes."""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from edge import (
    bus_check,
    cameras,
    check,
    enrol_command,
    explain,
    inspect,
    prepare,
    record,
    register_map,
    replay,
    settings,
    simulate,
    tune,
    web_command,
)
from edge.commissioning import command as commission
from edge.errors import EdgeError, SettingsError
from edge.node import Node

EXAMPLES = """examples:
  quanjian-edge check --config edge.toml          find every mistake, try camera, PLC, model, broker
  quanjian-edge run --config edge.toml            inspect until stopped
  quanjian-edge map --config edge.toml            the registers of this site, in Chinese
  quanjian-edge cameras --out snapshots           what is connected, and a picture of each
  quanjian-edge inspect pictures/ --model m.onnx  a verdict per picture
  quanjian-edge recipe explain r.toml a.png --model m.onnx     why it is NG
  quanjian-edge tune --config edge.toml --write   the fastest threads, workers and provider here
  quanjian-edge prepare --config edge.toml        build the engines of every model ahead
  quanjian-edge record --for 30m                  keep every frame for half an hour
  quanjian-edge replay data/recordings --model new.onnx --recipe r.toml
  quanjian-edge web --config edge.toml --recipe 3 continuous material: every defect with its metre
  quanjian-edge commission --config edge.toml     step by step to the signed go-live
  quanjian-edge simulate --port /tmp/plc --camera /tmp/camera --rate 4
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong usage or configuration."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if asked.verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        code: int = asked.command(asked)
    except SettingsError as wrong:
        sys.stderr.write(f"{wrong}\n{wrong.hint}\n")
        return 2
    except EdgeError as wrong:
        sys.stderr.write(f"{wrong}\n{wrong.hint}\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quanjian-edge",
        description="泉检 node: camera, detector, PLC, ledger.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="log every detail")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, add, run in (
        ("run", "inspect until stopped", _add_run, _run),
        ("check", "find every mistake and try every device", _add_check, check.run),
        (
            "enrol",
            "get this node's first certificate from the hub",
            enrol_command.add_arguments,
            enrol_command.run,
        ),
        (
            "map",
            "the registers of this site, in Chinese",
            register_map.add_arguments,
            register_map.run,
        ),
        ("cameras", "what is connected, and a picture of each", cameras.add_arguments, cameras.run),
        ("inspect", "a verdict per picture", inspect.add_arguments, inspect.run),
        ("tune", "measure and write the fastest [runtime]", tune.add_arguments, tune.run),
        ("prepare", "build the engines of every model ahead", _add_prepare, prepare.run),
        ("commission", "lead to the go-live", commission.add_arguments, commission.run),
        ("record", "keep full frames for a while", record.add_arguments, record.run),
        ("replay", "recorded frames again", replay.add_arguments, replay.run),
        ("recipe", "check a recipe, explain a verdict", explain.add_arguments, explain.run),
        ("web", "inspect continuous material", _add_web, web_command.run),
        (
            "simulate",
            "a simulated line: belt, camera and PLC",
            simulate.add_arguments,
            simulate.run,
        ),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add(command)
        command.set_defaults(command=run)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        help="edge.toml (default: %(default)s)",
    )
    parser.add_argument(
        "--unsigned",
        action="store_true",
        help="also run recipes and models without a pin; marks every row and shows red",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: quanjian-edge run --config /etc/quanjian/edge.toml"
    _add_config(parser)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: quanjian-edge check --config edge.toml --measure"
    _add_config(parser)
    parser.add_argument(
        "--measure",
        action="store_true",
        help="measure inference and commit for the timetable, with pictures being written",
    )
    parser.add_argument("--seconds", type=_seconds, help="how long --measure takes (default: 60)")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= bus_check.MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"got {text}, expected 1 to {bus_check.MOST_SECONDS} s")
    return seconds


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "example: quanjian-edge prepare --config edge.toml"
    _add_config(parser)


def _add_web(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    web_command.add_arguments(parser)


def _run(asked: argparse.Namespace) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    Node(settings.read(asked.config), unsigned=asked.unsigned).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
