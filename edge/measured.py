"""What `quanjian-edge check --measure` found, as a file in data_dir for later checks.

It holds for this computer, [runtime], recipes, models, and each station's cameras and rate only.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge.errors import SettingsError
from edge.plc.timetable import Measured, rank_of
from edge.settings import Settings, Station
from edge.speed import machine, stamp

MAX_FILE_BYTES = 20_000


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the parts of one station took, ms."""

    parts: int
    inference_ms: float  # p99.9; of less than 1000 parts, the longest
    commit_ms: float
    inference_median_ms: float
    commit_median_ms: float
    mean_ms: float  # inference and commit of a part together


class Here(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the figures hold for."""

    machine: str
    runtime: str
    recipes: list[tuple[str, str | None]]  # hashes of recipe and model
    stations: list[tuple[str, tuple[str, ...], float]]  # name, cameras, highest rate per s
    buses: list[tuple[str, bool]]  # name, serial


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file timetable.json."""

    here: Here
    seconds: float
    stations: dict[str, Figures]
    frames_ms: dict[str, float]  # exposure to arrival, by camera
    late_ms: dict[str, float]  # the thread of each bus, the longest

    def of(self, station: Station) -> Measured:
        """For the timetable of this station."""
        own = self.stations[station.name]
        frames_s = {name: took_ms / 1000 for name, took_ms in self.frames_ms.items()}
        return Measured(
            own.inference_ms / 1000,
            own.commit_ms / 1000,
            frames_s,
            own.parts,
            own.mean_ms / 1000,
            self.late_ms[station.bus] / 1000 if station.bus else 0.0,
        )

    def lines(self) -> Iterator[str]:
        """For a person: what was measured, a line each."""
        for name, own in self.stations.items():
            rank = rank_of(own.parts)
            for what, median_ms, high_ms in (
                ("inference", own.inference_median_ms, own.inference_ms),
                ("commit to the ledger", own.commit_median_ms, own.commit_ms),
            ):
                place = f"{name}, {what}"
                yield f"{place:36} {high_ms:7.1f} ms {rank}, median {median_ms:.1f} ms"
        for camera, took_ms in self.frames_ms.items():
            place = f"{camera}, exposure to arrival"
            yield f"{place:36} {took_ms:7.1f} ms at the longest"
        for bus, late_ms in self.late_ms.items():
            place = f"{bus}, late thread of the bus"
            yield f"{place:36} {late_ms:7.1f} ms at the longest"


def here(wiring: Settings) -> Here:
    """This computer and edge.toml, as far as they matter.

    Raises:
        SettingsError: a recipe or model cannot be read.
    """
    runtime = msgspec.json.encode(wiring.runtime).decode()
    stations = [(s.name, s.cameras, s.max_rate_per_s) for s in wiring.station]
    buses = [(bus.name, bus.host is None) for bus in wiring.bus]
    return Here(machine(), runtime, [stamp(entry) for entry in wiring.recipe], stations, buses)


def read(wiring: Settings) -> Kept | None:
    """What was measured on this computer as it is now; None = nothing that still holds."""
    try:
        with _path(wiring).open("rb") as file:
            found = msgspec.json.decode(file.read(MAX_FILE_BYTES), type=Kept)
        now = here(wiring)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError, SettingsError):
        return None
    whole = found.stations.keys() >= {station.name for station in wiring.station}
    whole &= found.late_ms.keys() >= {bus.name for bus in wiring.bus}
    return found if found.here == now and whole else None


def write(wiring: Settings, kept: Kept) -> None:
    """Keep it, whole or not at all.

    Raises:
        SettingsError: it cannot be written.
    """
    path = _path(wiring)
    try:
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(kept))
        fresh.replace(path)
    except OSError as wrong:
        raise SettingsError(str(path), [f"cannot be written: {wrong}"]) from wrong


def _path(wiring: Settings) -> Path:
    return Path(wiring.node.data_dir) / "timetable.json"
