"""What a search for connected cameras returns, and the search for those of the kernel (V4L2)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

V4L2 = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that is connected."""

    kind: Literal["v4l2", "gige", "usb3", "gentl"]
    source: str  # what `source` of a [[camera]] may be
    model: str
    serial: str = ""
    address: str = ""  # IP address, USB place, or the producer's name for it
    device: str | None = None  # gentl: `device` of the [[camera]]

    def answers_to(self, kind: str, source: str, device: str | None) -> bool:
        """Is it the camera of a [[camera]] with these keys?"""
        if self.kind == "gentl":
            same = source == self.source and device in (None, self.serial, self.address)
        elif self.kind == "v4l2":
            same = source in (self.source, self.source.removeprefix("/dev/video"))
        else:
            same = source in (self.source, self.serial, self.address)
        return kind == self.kind and same


def search_v4l2(root: Path = V4L2) -> list[FoundCamera]:
    """Every device of the kernel that gives pictures; a camera's second device has none."""
    return [
        FoundCamera("v4l2", f"/dev/{place.name}", _text(place / "name"), *_usb(place))
        for place in sorted(root.glob("video*"), key=lambda p: (len(p.name), p.name))
        if _text(place / "index") in ("", "0")
    ]


def _usb(place: Path) -> tuple[str, str]:
    """Serial number and place of the USB device that carries it, "" for each that it has not."""
    carrier = (place / "device").resolve().parent
    bus, number = _text(carrier / "busnum"), _text(carrier / "devnum")
    return _text(carrier / "serial"), f"usb {bus}:{number}" if bus else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
