"""`quanjian-calibration flatfield`: a line-scan camera's flat field from two references.

Dark: strips with the cap on. White: strips of an even, bright surface, best while it moves. The
file goes beside the recipe, which names it in [web] flat_field.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge.errors import CameraError
from edge.vision import flat
from edge.vision.flat import Image
from edge.vision.folder import pictures_in
from edge.vision.image import decode_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = "example: quanjian-calibration flatfield --dark c/ --white w/ --out f.json"
    parser.add_argument(
        "--dark", type=Path, required=True, help="picture or folder, with the cap on"
    )
    parser.add_argument(
        "--white", type=Path, required=True, help="picture or folder, of an even bright surface"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write")


def run(asked: argparse.Namespace) -> int:
    """Measure and write.

    Raises:
        CameraError: a folder is empty or cannot be read, or the file cannot be written.
        ImageError: a reference that no flat field can be made from.
    """
    field = flat.from_references(_pictures(asked.dark), _pictures(asked.white))
    content = msgspec.json.encode(field)
    try:
        asked.out.write_bytes(content)
    except OSError as wrong:
        raise CameraError(f"{asked.out}: cannot be written: {wrong}") from wrong
    flat.read(asked.out)  # what a node will refuse must not leave here
    found = {
        "out": str(asked.out),
        "sha256": hashlib.sha256(content).hexdigest(),
        "width": field.width,
        "channels": field.channels,
        "gain": [min(field.gain), max(field.gain)],
        "dark": [min(field.dark), max(field.dark)],
    }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _pictures(path: Path) -> Iterator[Image]:
    """One after the other: a reference may be long."""
    paths = pictures_in(path) if path.is_dir() else [path]
    if not paths:
        raise CameraError(f"{path}: no picture in this folder")
    return map(decode_image, paths)
