"""One node: builds every part from edge.toml, runs them, and takes them down in order.

Power-up: the bus only reads; recipes are verified and proved; open rows of the last run are
settled; readiness comes last. Shutdown: no new part, what is on its way is settled, rows are handed
to the hub while it takes them, and what it did not take waits on disk.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Collection
from pathlib import Path

from edge import clock, moving
from edge.evidence import Evidence
from edge.eye import Eye
from edge.inspector import Inspector
from edge.ledger.epochs import LastEpoch
from edge.lights import Lights
from edge.line import Line
from edge.line_data import LineData
from edge.mqtt import identity
from edge.mqtt.enrol import Renewal
from edge.mqtt.link import Link
from edge.mqtt.message import Notice, State
from edge.mqtt.uploads import Uploads
from edge.notify import notify
from edge.outbox import Outbox
from edge.own_count import OwnCount
from edge.pairing import Pairing
from edge.pictures import PictureStore
from edge.plc import punctual
from edge.plc.bus import Bus
from edge.plc.handshake import Resume
from edge.plc.wires import Wires
from edge.recording import Recording
from edge.release import load_all
from edge.rows import Rows
from edge.seal import Sealer, Sign
from edge.settings import Bus as BusSettings
from edge.settings import Settings, Station
from edge.setups import setups
from edge.standing import Standing
from edge.station import StationPage
from edge.vision.camera import Capture

log = logging.getLogger(__name__)

STATE_S = 1.0  # the hub hears the state this often
COUNTS_S = 60.0  # the log tells the counts this often
DRAIN_S = 5.0  # at shutdown the hub has this long to take what waits


class Node:
    """Everything that runs on one node."""

    def __init__(self, settings: Settings, unsigned: bool = False) -> None:
        """Open the ledger and build the parts; nothing touches camera or PLC before `start`.

        Raises:
            LedgerError: the ledger cannot be opened, or another process has it.
            LinkError: the page's port is taken, or `pictures_url` is no address.
        """
        self.settings = settings
        data = Path(settings.node.data_dir)
        with contextlib.ExitStack() as opened:  # what fails here leaves nothing open behind it
            self.ledger = Outbox(data / "ledger.db")
            opened.callback(self.ledger.close)
            pictures = Path(settings.node.pictures_dir or data / "pictures")
            self._pictures = PictureStore(pictures, self.ledger, settings.node.max_pictures_mb)
            self._recipes, failed = load_all(
                settings.recipe, settings.runtime, unsigned, settings.scales, settings.lit
            )
            for wrong in failed:
                log.error("%s %s", wrong, wrong.hint)
            self.recipe_faults = [str(wrong) for wrong in failed]
            self._recording = Recording(data, settings.scales)
            self._lights = Lights(settings)
            opened.callback(self._lights.close)
            lamps = self._lights.lamps
            triggers = {name: s.exposure for s in settings.station for name in s.cameras}
            self._captures: dict[str, Capture] = {}
            for camera in settings.camera:
                trigger = triggers.get(camera.name, "free_run")
                capture = Capture(camera, trigger, lamps.get(camera.name))
                opened.callback(capture.close)
                self._captures[camera.name] = capture
            self._link = (
                Link(settings.node, settings.hub, self.ledger) if settings.hub is not None else None
            )
            self._uploads = self._make_uploads()
            self._renewal = self._make_renewal()
            self._sealer = Sealer(settings.node.name, self.ledger, self._make_sign())
            self._line_data = LineData(self.ledger)
            self._buses = {bus.name: self._make_bus(bus) for bus in settings.bus}
            self._own_counts = {
                station.name: self._make_own_count(station)
                for station in settings.station
                if station.self_counted
            }
            self._wires = {
                station.name: self._make_wires(station)
                for station in settings.station
                if station.io
            }
            self._inspectors = [self._make_inspector(station) for station in settings.station]
            self._page = StationPage(
                settings.page.host,
                settings.page.port,
                settings.node.name,
                [inspector.standing for inspector in self._inspectors],
                self._told_link,
            )
            opened.callback(self._page.close)
            self._opened = opened.pop_all()

    @property
    def page_url(self) -> str:
        """Address of the station page."""
        return self._page.url

    def unready(self, station: str) -> str | None:
        """Why parts of this station cannot be judged now; None = they can.

        Raises:
            KeyError: there is no such station.
        """
        standing = {inspector.name: inspector.standing for inspector in self._inspectors}[station]
        return None if standing.ready else standing.fault or "not ready yet"

    def run(self, stop: threading.Event) -> None:
        """Run until `stop`; then settle what is on its way and close everything."""
        punctual.prepare_process()
        self._page.start()
        self._recording.start()
        if self._link is not None:
            self._link.start()
        if self._uploads is not None:
            self._uploads.start()
        if self._renewal is not None:
            self._renewal.start()
        self._line_data.start()
        for bus in self._buses.values():
            bus.start()
        for own in self._own_counts.values():
            own.start()
        for wires in self._wires.values():
            wires.start()
        for inspector in self._inspectors:
            inspector.start()
        self._lights.watch(self._idle)
        log.info("node %s: page at %s", self.settings.node.name, self.page_url)
        notify("READY=1")
        try:
            self._watch(stop)
        finally:
            notify("STOPPING=1")
            self.close()

    def close(self) -> None:
        """Stop taking parts, settle, drain, close. Safe to call twice."""
        for inspector in self._inspectors:
            inspector.close()
        self._recording.close()
        for wires in self._wires.values():
            wires.close()
        for bus in self._buses.values():
            bus.close()
        for own in self._own_counts.values():
            own.close()
        self._line_data.close()
        if self._renewal is not None:
            self._renewal.close()
        if self._uploads is not None:
            self._uploads.close()
        if self._link is not None:
            self._link.close(DRAIN_S)
        self._opened.close()

    # -- building -----------------------------------------------------------------------------

    def _make_bus(self, bus: BusSettings) -> Bus:
        stations = [station for station in self.settings.station if station.bus == bus.name]
        resumes = {station.name: self._resume(station.name) for station in stations}
        slaves = [slave for slave in self.settings.slave if slave.bus == bus.name]
        return Bus(bus, stations, resumes, slaves, self.settings.tag, self._line_data.keep)

    def _make_own_count(self, station: Station) -> OwnCount:
        last = self.ledger.resume(station.name)
        capture = self._captures[station.cameras[0]]
        return OwnCount(station, last.epoch if last is not None else 0, capture)

    def _make_wires(self, station: Station) -> Wires:
        """The wires beside the station's bus, or alone."""
        bus = self._buses[station.bus].station(station.name) if station.bus is not None else None
        io = next(io for io in self.settings.io if io.name == station.io)
        last = self.ledger.resume(station.name)
        return Wires(station, io, bus, last.epoch if last is not None else 0)

    def _line(self, station: Station) -> Line:
        if station.io is not None:
            return self._wires[station.name]
        if station.bus is None:
            return self._own_counts[station.name]
        return self._buses[station.bus].station(station.name)

    def _resume(self, station: str) -> Resume | None:
        last = self.ledger.resume(station)
        if last is None:
            return None
        return Resume(last.epoch, last.base, last.counter, last.plc_start, _age_s(last))

    def _make_uploads(self) -> Uploads | None:
        hub = self.settings.hub
        if hub is None or hub.pictures_url is None or hub.token_file is None:
            return None
        authority = Path(hub.ca_file) if hub.ca_file is not None else None
        return Uploads(hub.pictures_url, Path(hub.token_file), self._pictures, authority=authority)

    def _make_renewal(self) -> Renewal | None:
        """Only where there is a certificate, and a gate to ask."""
        hub = self.settings.hub
        files = identity.files_of(hub) if hub is not None else None
        if hub is None or files is None or not (hub.pictures_url or "").startswith("https:"):
            return None
        return Renewal(str(hub.pictures_url), files, self.settings.node.name)

    def _make_sign(self) -> Sign | None:
        """With the key that the node shows the broker; without one its seals are unsigned."""
        files = identity.files_of(self.settings.hub) if self.settings.hub is not None else None
        return identity.signer(files) if files is not None else None

    def _make_inspector(self, station: Station) -> Inspector:
        eyes = [self._make_eye(station, camera) for camera in station.cameras]
        recipes = {number: loaded.recipe for number, loaded in self._recipes.items()}
        unfit = moving.unfit(station, self.settings, recipes)
        for told in unfit.values():
            log.error("%s", told)
        standing = Standing(station.name, eyes, self._recipes, self.recipe_faults, unfit)
        return Inspector(
            standing,
            self._line(station),
            self.ledger,
            Evidence(self._pictures),
            Rows(station.name),
            self._announce,
            self._recording.offer,
        )

    def _make_eye(self, station: Station, camera: str) -> Eye:
        settings = next(c for c in self.settings.camera if c.name == camera)
        pairing = Pairing(
            station.exposure,
            station.tolerance_s,
            station.offset_s(settings),
            station.takt_s,
            (settings.delay_ms or 0) / 1000,
        )
        recipes = {number: loaded.recipe for number, loaded in self._recipes.items()}
        return Eye(self._captures[camera], pairing, settings.mm_per_px, setups(camera, recipes))

    # -- running ------------------------------------------------------------------------------

    def _watch(self, stop: threading.Event) -> None:
        told_s = time.monotonic()
        while not stop.wait(STATE_S):
            if all(inspector.turning() for inspector in self._inspectors):
                notify("WATCHDOG=1")
            self._tell_state(online=True)
            self._pictures.keep_room()
            self._sealer.tend(clock.utc_ms(), clock.mono_ms())
            if time.monotonic() - told_s >= COUNTS_S:
                told_s = time.monotonic()
                for inspector in self._inspectors:
                    log.info("%s: %s", inspector.standing.name, inspector.standing.sentence())

    def _tell_state(self, online: bool) -> None:
        if self._link is None:
            return
        self._link.publish_state(
            State(
                v=1,
                online=online,
                stream=self.ledger.stream,
                waiting=self.ledger.waiting,
                at_ms=clock.utc_ms(),
                stations=tuple(inspector.standing.state() for inspector in self._inspectors),
            )
        )

    def _idle(self, cameras: Collection[str]) -> bool:
        """Is no part under way at the stations of these cameras?"""
        stations = {s.name for s in self.settings.station if not set(cameras).isdisjoint(s.cameras)}
        return not any(one.busy for one in self._inspectors if one.name in stations)

    def _announce(self, notice: Notice) -> None:
        if self._link is not None:
            self._link.publish_notice(notice)

    def _told_link(self) -> tuple[bool, int]:
        return self._link is not None and self._link.online, self.ledger.waiting


def _age_s(last: LastEpoch) -> float | None:
    """Seconds since the last known counter; None if no clock can tell."""
    if last.boot == clock.BOOT:
        return (clock.mono_ms() - last.mono_ms) / 1000
    if clock.quality() == "unsynced" or not clock.EARLIEST_MS <= last.at_ms <= clock.utc_ms():
        return None
    return (clock.utc_ms() - last.at_ms) / 1000
