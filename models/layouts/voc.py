"""Pascal VOC: an XML file for each picture.

    JPEGImages/N.jpg            pictures
    Annotations/N.xml           size, and for each defect its name and bndbox; none = nothing wrong
    ImageSets/Main/SPLIT.txt    names of the pictures of a split; test, val and train, where there

Pixels are counted from 1 and both ends belong to the box (VOC 2007 to 2012), so that a box of the
whole picture is 1 1 width height.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from edge.errors import ImageError
from models.dataset import SPLITS, DataSet, DataSetError, Mark, Picture, Split
from models.layouts import files

MAX_BYTES = 10_000_000


def read(source: Path) -> DataSet:
    """A folder with Annotations/.

    Raises:
        DataSetError: no annotations, one that cannot be read, a picture without one.
    """
    images = next((source / n for n in ("JPEGImages", "images") if (source / n).is_dir()), source)
    notes = sorted((source / "Annotations").glob("*.xml"))
    if not notes:
        raise DataSetError(source, ["no Annotations/*.xml in it"])
    there = files.pictures_in(images)
    by_stem = {path.stem: path for path in there}
    splits = _splits(source / "ImageSets" / "Main")
    wrong = [
        f"{by_stem[stem].name}: no Annotations/{stem}.xml; nobody looked at it"
        for stem in sorted(by_stem.keys() - {note.stem for note in notes})
    ]
    wrong += files.twins(there)
    labels: dict[str, None] = {}
    pictures = []
    for note in notes:
        try:
            if note.stem not in by_stem:
                raise ImageError(f"{note}: no picture {note.stem} in {images}")
            marks = _marks(note)
            width, height = files.size_of(by_stem[note.stem])
        except (ImageError, DataSetError) as exc:
            wrong.append(str(exc))
            continue
        labels |= dict.fromkeys(mark.label for mark in marks)
        pictures.append(
            Picture(
                *(by_stem[note.stem], width, height, marks, note.stem),
                split=splits.get(note.stem),
            )
        )
    if wrong:
        raise DataSetError(source, wrong)
    return DataSet(tuple(sorted(labels)), tuple(pictures))


def write(data: DataSet, out: Path) -> None:
    """Fill a folder."""
    notes, lists = out / "Annotations", out / "ImageSets" / "Main"
    notes.mkdir(parents=True)
    lists.mkdir(parents=True)
    for split in SPLITS:
        names = []
        for picture in data.of(split):
            name = files.copy(picture, out / "JPEGImages")
            stem = Path(name).stem
            (notes / f"{stem}.xml").write_bytes(_note(picture, name))
            names.append(f"{stem}\n")
        if names:
            (lists / f"{split}.txt").write_text("".join(names), encoding="utf-8")


def _marks(note: Path) -> tuple[Mark, ...]:
    try:
        if note.stat().st_size > MAX_BYTES:
            raise DataSetError(note, [f"larger than {MAX_BYTES} bytes"])
        content = note.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise DataSetError(note, ["declares entities; a VOC file has none"])
        root = ElementTree.fromstring(content)
        return tuple(_mark(found) for found in root.iter("object"))
    except (OSError, ElementTree.ParseError, ValueError, RecursionError) as exc:
        raise DataSetError(note, [f"not as VOC says: {exc}"]) from exc


def _mark(found: ElementTree.Element) -> Mark:
    label = (found.findtext("name") or "").strip()
    if not label:
        raise ValueError("an object without a name")
    keys = ("xmin", "ymin", "xmax", "ymax")
    x1, y1, x2, y2 = (float(found.findtext(f"bndbox/{key}") or "nan") for key in keys)
    if not (x1 <= x2 and y1 <= y2):  # nan is neither
        raise ValueError(f"{label}: expected xmin, ymin, xmax, ymax in order")
    return Mark(label, (x1 - 1, y1 - 1, x2, y2))


def _splits(folder: Path) -> dict[str, Split]:
    """By stem; lists of a class (`scratch_train.txt`) are something else."""
    found: dict[str, Split] = {}
    for split in SPLITS:
        file = folder / f"{split}.txt"
        if file.is_file():
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as exc:
                raise DataSetError(file, [f"cannot be read as UTF-8: {exc}"]) from exc
            words = (line.split() for line in lines)
            found |= dict.fromkeys((word[0] for word in words if word), split)
    return found


def _note(picture: Picture, name: str) -> bytes:
    root = ElementTree.Element("annotation")
    _say(root, "filename", name)
    size = ElementTree.SubElement(root, "size")
    for key, pixels in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        _say(size, key, str(pixels))
    _say(root, "segmented", "0")
    for mark in picture.marks:
        x1, y1, x2, y2 = mark.box
        one = ElementTree.SubElement(root, "object")
        _say(one, "name", mark.label)
        for key in ("truncated", "difficult"):
            _say(one, key, "0")
        box = ElementTree.SubElement(one, "bndbox")
        for key, value in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):
            _say(box, key, repr(round(value, 4)).removesuffix(".0"))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode").encode() + b"\n"


def _say(above: ElementTree.Element, key: str, text: str) -> None:
    ElementTree.SubElement(above, key).text = text
