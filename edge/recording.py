"""Full frames of every part on disk while an engineer asks for it, and never longer than a week.

The node looks for the request that `quanjian-edge record` leaves in its data folder. Frames go
through a short queue to one thread of low priority: when it cannot follow, parts are left out and
counted, so that the line never waits. A full disk or a reached cap ends the recording, not more.
"""

import contextlib
import logging
import os
import queue
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from edge import clock
from edge.errors import EdgeError
from edge.judging import Judged
from edge.recorded import (
    FOLDER,
    MAX_LINE_BYTES,
    PARTS,
    REQUEST,
    RecordedPart,
    RecordedView,
    Request,
    decode_request,
    encode,
)
from edge.vision import annotate

log = logging.getLogger(__name__)

KEEP_DAYS = 7
KEEP_FREE_MB = 512  # of the disk; far more than pictures and ledger need to go on
QUEUE_PARTS = 8
QUEUE_BYTES = 256_000_000  # one part always, however large
LOOK_S = 1.0  # a request is honoured within this
_CLEAN_S = 600.0  # old recordings are looked for this often
_NICE = 10
_MB = 1_000_000


class Recording:
    """The recordings of one node. `offer` is safe from any thread and never waits."""

    def __init__(
        self,
        data: Path,
        scales: Mapping[str, float | None],
        keep_free_mb: int = KEEP_FREE_MB,
        user: int | None = None,
    ) -> None:
        """Nothing is recorded before `start` and a request.

        Args:
            data: the node's data folder, with the request and the recordings.
            scales: mm per px of each camera, as they go into the lines.
            keep_free_mb: this much of the disk stays free of recordings.
            user: whose requests are honoured; None = of the user this runs as.
        """
        self.active = False
        """Frames are being recorded now."""
        self.recorded = 0
        """Parts on disk, of the present or the last recording."""
        self.dropped = 0
        """Parts left out of it, because the disk could not follow or had no room."""
        self._request_file = data / REQUEST
        self._folder = data / FOLDER
        self._scales = scales
        self._user = os.geteuid() if user is None else user
        self._keep_free_bytes = keep_free_mb * _MB
        self._request: Request | None = None
        self._into: Path | None = None
        self._bytes = 0  # of all recordings
        self._refused: str | None = None  # why no more parts are taken, in words
        self._told: str | None = None  # the fault of a request, once in the log
        self._waiting_bytes = 0
        self._lock = threading.Lock()  # guards the two counters that `offer` changes
        self._parts: queue.Queue[Judged] = queue.Queue(QUEUE_PARTS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)

    def start(self) -> None:
        """Start looking for requests."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits and stop; safe to call twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def offer(self, judged: Judged) -> None:
        """One judged part; taken only while recording, and only if there is room for it now."""
        if not self.active:
            return
        size = _size(judged)
        with self._lock:
            if self._waiting_bytes and self._waiting_bytes + size > QUEUE_BYTES:
                self.dropped += 1
                return
            try:
                self._parts.put_nowait(judged)
            except queue.Full:
                self.dropped += 1
                return
            self._waiting_bytes += size

    def look(self) -> None:
        """Begin, go on or end as the request says; the thread asks every second."""
        wanted = self._read_request()
        if wanted is None or wanted.boot != clock.BOOT or clock.mono_ms() >= wanted.until_mono_ms:
            self._look_away("its time is over, or it was stopped")
            if wanted is not None:
                self._request_file.unlink(missing_ok=True)
        elif wanted != self._request:
            self._look_away("another was asked for")
            self._begin(wanted)

    def clean(self) -> None:
        """Delete recordings that are a week old."""
        if not self._folder.is_dir():
            return
        for folder in sorted(self._folder.iterdir()):
            ours = folder.is_dir() and not folder.is_symlink()
            if ours and time.time() - _newest_s(folder) > KEEP_DAYS * 86_400:
                shutil.rmtree(folder)
                log.info("recording %s is older than %d days: deleted", folder.name, KEEP_DAYS)

    # -- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        look_s = clean_s = 0.0
        trouble: str | None = None
        while not self._stop.is_set() or not self._parts.empty():
            now_s = time.monotonic()
            try:
                if now_s >= clean_s:
                    clean_s = now_s + _CLEAN_S
                    self.clean()
                if now_s >= look_s:
                    look_s = now_s + LOOK_S
                    self.look()
            except OSError as wrong:
                if str(wrong) != trouble:
                    log.warning("recordings: %s", wrong)
                trouble = str(wrong)
            self._take(LOOK_S / 4)
        self._look_away("the node stops")

    def _begin(self, wanted: Request) -> None:
        made = time.strftime("%Y%m%dt%H%M%Sz", time.gmtime(clock.utc_ms() / 1000))
        self._into = self._folder / made
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._into.mkdir(mode=0o700, exist_ok=True)
        self._bytes = sum(path.stat().st_size for path in self._folder.rglob("*.*"))
        self._request, self._refused = wanted, None
        self.recorded = self.dropped = 0
        self.active = True
        left_s = (wanted.until_mono_ms - clock.mono_ms()) // 1000
        log.info("recording every part into %s for %d s", self._into, left_s)

    def _look_away(self, why: str) -> None:
        if not self.active and self._request is None:
            return
        self.active = False
        self._request = None
        log.info("recording ended: %s; %d parts, %d left out", why, self.recorded, self.dropped)

    def _read_request(self) -> Request | None:
        """The request, if there is one that may be honoured."""
        fault = None
        try:
            return decode_request(_own_file(self._request_file, self._user))
        except FileNotFoundError:
            pass
        except (OSError, msgspec.MsgspecError) as wrong:
            fault = f"{self._request_file}: not honoured: {wrong}"
        if fault is not None and fault != self._told:
            log.warning("%s", fault)
        self._told = fault
        return None

    def _take(self, timeout_s: float) -> None:
        try:
            judged = self._parts.get(timeout=timeout_s)
        except queue.Empty:
            return
        with self._lock:
            self._waiting_bytes -= _size(judged)
        if self._request is None or self._into is None or self._refused is not None:
            self.dropped += 1
            return
        try:
            self._refused = self._write(judged, self._into, self._request.max_bytes)
        except (OSError, EdgeError) as wrong:
            self._refused = str(wrong)
        if self._refused is None:
            self.recorded += 1
        else:
            self.dropped += 1
            log.warning("recording takes no more parts: %s", self._refused)

    def _write(self, judged: Judged, into: Path, max_bytes: int) -> str | None:
        """Frames first, then the line; returns why not, if there is no room."""
        size = _size(judged) + MAX_LINE_BYTES
        if self._bytes + size > max_bytes:
            return f"the cap of {max_bytes / 1e9:g} GB is reached"
        free = shutil.disk_usage(into).free
        if free - size < self._keep_free_bytes:
            return f"only {free // _MB} MB are free on the disk"
        part = self._part(judged)
        written: list[Path] = []
        try:
            for view, look in zip(part.views, judged.looks, strict=True):
                if view.file is not None and look.frame is not None:
                    written.append(into / view.file)
                    content = annotate.bitmap(look.frame.image)
                    self._bytes += _private_write(written[-1], content, os.O_TRUNC)
            self._bytes += _private_write(into / PARTS, encode(part) + b"\n", os.O_APPEND)
        except (OSError, EdgeError):
            for path in written:
                path.unlink(missing_ok=True)
            raise
        return None

    def _part(self, judged: Judged) -> RecordedPart:
        trigger, verdict, loaded = judged.flight.trigger, judged.verdict, judged.loaded
        of_part = f"{trigger.part.station}-{trigger.part.epoch}-{trigger.part.number}"
        return RecordedPart(
            station=trigger.part.station,
            epoch=trigger.part.epoch,
            number=trigger.part.number,
            at_ms=clock.utc_ms(),
            mode=trigger.mode,
            code=verdict.code,
            reason=verdict.reason,
            defect=verdict.worst.label if verdict.worst else None,
            score=verdict.worst.score if verdict.worst else None,
            recipe=loaded.recipe.name if loaded else None,
            model=loaded.detector.sha256 if loaded else None,
            views=tuple(
                RecordedView(
                    camera=look.camera,
                    file=f"{of_part}-{look.camera}.bmp"
                    if look.frame is not None and look.frame.image.size
                    else None,
                    code=look.verdict.code,
                    reason=look.verdict.reason,
                    mm_per_px=self._scales.get(look.camera),
                )
                for look in judged.looks
            ),
        )


def _size(judged: Judged) -> int:
    return sum(look.frame.image.nbytes for look in judged.looks if look.frame is not None)


def _newest_s(folder: Path) -> float:
    """UTC seconds of the last change in a recording: its list grows with every part."""
    parts = folder / PARTS
    return (parts if parts.exists() else folder).stat().st_mtime


def _private_write(path: Path, content: bytes, flags: int) -> int:
    """Write to a file that only this user may read; returns the size of `content`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600), "wb") as file:
        file.write(content)
    return len(content)


def _own_file(path: Path, user: int) -> bytes:
    """A small file that this user alone could have written.

    Raises:
        OSError: it is not there (FileNotFoundError), a link, somebody else's, or too large.
    """
    with _opened(path) as descriptor:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != user:
            raise PermissionError("it must be a file of the node's own user")
        if found.st_mode & 0o022:
            raise PermissionError(f"its mode is {found.st_mode & 0o777:o}: others can write it")
        return os.read(descriptor, MAX_LINE_BYTES)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
