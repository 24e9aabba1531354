"""quanjian-calibration: measures what a camera needs to know about itself."""

import argparse
import sys

from calibration import flatfield
from edge.errors import EdgeError, SettingsError

EXAMPLES = """examples:
  quanjian-calibration flatfield --dark cap/ --white paper/ --out flat.json
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 failed, 2 wrong usage."""
    asked = _parser().parse_args(arguments)
    try:
        code: int = asked.command(asked)
    except EdgeError as wrong:
        sys.stderr.write(f"{wrong}\n{wrong.hint}\n")
        return 2 if isinstance(wrong, SettingsError) else 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quanjian-calibration",
        description="泉检 calibration: files for a node.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, text, add, run in (
        ("flatfield", "make every column equally bright", flatfield.add_arguments, flatfield.run),
    ):
        command = commands.add_parser(name, help=text, description=text)
        add(command)
        command.set_defaults(command=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
