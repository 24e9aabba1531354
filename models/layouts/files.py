"""Pictures of a set as files: found, measured, copied. Part of models/layouts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import ImageError
from edge.vision.image import decode_image
from models.dataset import DataSetError, Picture

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")


def pictures_in(folder: Path, *, deep: bool = False) -> list[Path]:
    """Every picture of a folder, `deep` of its folders too, by their endings, in order."""
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(path for path in paths if path.suffix.lower() in ENDINGS and path.is_file())


def size_of(path: Path) -> tuple[int, int]:
    """Width and height, px.

    Raises:
        ImageError: it is no picture.
    """
    height, width = decode_image(path).shape[:2]
    return width, height


@contextmanager
def filled(out: Path) -> Iterator[Path]:
    """A folder to fill that gets its name when all is in it; nothing is left of one that broke off.

    Raises:
        DataSetError: there is something already, or it cannot be written.
    """
    out = out.absolute()
    fresh = out.with_name(f".{out.name}.new")
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataSetError(out, ["is there already; name a new folder"])
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        yield fresh
        if out.exists():
            out.rmdir()
        fresh.rename(out)
    except OSError as exc:
        raise DataSetError(out, [f"cannot be written: {exc}"]) from exc
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def twins(paths: Iterable[Path]) -> list[str]:
    """Pictures that differ in their ending alone, so that nobody knows whose the labels are."""
    seen: dict[Path, Path] = {}
    found = []
    for path in paths:
        other = seen.setdefault(path.with_suffix(""), path)
        if other != path:
            found.append(f"{path.name} and {other.name}: labels would be of both; rename one")
    return found


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
