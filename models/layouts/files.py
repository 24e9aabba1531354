"""Pictures of a set as files: found, measured, copied. Part of models/layouts."""

from __future__ import annotations

import shutil
from pathlib import Path

from edge.errors import ImageError
from edge.vision.image import decode_image
from models.dataset import Picture

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


def pictures_in(folder: Path) -> list[Path]:
    """Every picture of a folder, by its ending, in the order of the names."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and path.is_file()
    )


def size_of(path: Path) -> tuple[int, int]:
    """Width and height, px.

    Raises:
        ImageError: it is no picture.
    """
    height, width = decode_image(path).shape[:2]
    return width, height


def copy(picture: Picture, folder: Path) -> str:
    """Put a picture's file into a folder, bytes untouched; returns its name there.

    Raises:
        ImageError: it cannot be copied, or another one has its name.
    """
    target = folder / picture.path.name
    if target.exists():
        raise ImageError(f"{picture.path}: the set has another picture of that name")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(picture.path, target)
    except OSError as exc:
        raise ImageError(f"{picture.path}: cannot be copied: {exc}") from exc
    return target.name
