"""One camera's look at one part: take its frame, check it, detect, judge. Never raises.

Whatever goes wrong is a verdict with its reason; a part is OK only through a fresh frame of this
part and a run of the verified detector on it.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge import judgement
from edge.errors import EdgeError, ImageError
from edge.mqtt.message import Mark, View
from edge.pairing import Pairing
from edge.release import Loaded
from edge.setups import Setup
from edge.terms import Code, Detection, Frame, Reason, Trigger, Verdict
from edge.vision.camera import BadFrame, Capture
from edge.vision.quality import ImageCheck

READOUT_S = 0.05
"""A frame exposed at the last moment still needs to be read out and copied."""

EXPOSURE_ERROR_S = 0.002
"""A camera's own clock is known to about this: one asked at the first moment may tell an earlier
one, and its frame would be refused."""

MAX_MARKS = 100

DISAGREE = "picture and number disagree"


@dataclass(frozen=True, slots=True)
class Look:
    """What one camera saw of one part."""

    camera: str
    verdict: Verdict
    frame: Frame | None = None
    detections: tuple[Detection, ...] = ()
    fault: str | None = None  # in words, for the log and the page
    source: str | None = None
    findings: tuple[judgement.Finding, ...] = ()  # the detections as weighed by the recipe


class Eye:
    """One camera of a station, with what must be remembered from part to part."""

    def __init__(
        self,
        capture: Capture,
        pairing: Pairing,
        mm_per_px: float | None,
        setups: Mapping[int, Setup],
    ) -> None:
        """`setups`: what the camera must be set to, by the number of the recipe."""
        self.capture = capture
        self._setups = setups
        self._pairing = pairing
        self._lock = threading.Lock()  # guards the pairing: triggers come from another thread
        self._mm_per_px = mm_per_px
        self._check = ImageCheck()

    def prepare(self, recipe: int) -> None:
        """Have the camera set up for this recipe; `is_prepared` says when it is."""
        setup = self._setups[recipe]
        self.capture.apply(setup.number, setup.view)

    def is_prepared(self, recipe: int) -> bool:
        """Does every frame exposed from now on show what this recipe was made for?"""
        return self.capture.setup == self._setups[recipe].number

    def expect(self, trigger: Trigger) -> None:
        """The PLC has told of this part."""
        with self._lock:
            self._pairing.expect(trigger)

    def lose(self) -> None:
        """The PLC counts anew."""
        with self._lock:
            self._pairing.lose()

    def take(
        self, trigger: Trigger, deadline_s: float, loaded: Loaded, alone: Callable[[], bool]
    ) -> Frame | Look:
        """The part's frame, or an undecided look; blocks until no frame can come any more.

        Called for one part after the other, in their order. A camera that waits to be asked is
        asked when the part arrives under it.
        """
        with self._lock:
            earliest_s, latest_s = self._pairing.window(trigger)
        asked_s = min(earliest_s + EXPOSURE_ERROR_S, deadline_s)
        time.sleep(max(0.0, asked_s - time.monotonic()))
        self.capture.request()
        give_up_s = min(deadline_s, latest_s + self._pairing.delay_s + READOUT_S)
        found = self.capture.wait_for(lambda frame: self._is_candidate(trigger, frame), give_up_s)
        if found is None:
            return self._undecided(Reason.NO_FRAME, self.capture.fault or "no frame in time")
        kept, sole = self.capture.kept(), alone()  # before the lock: they take locks of their own
        with self._lock:
            distrust = self._pairing.take(trigger, found, kept, sole)
        if isinstance(found, BadFrame):
            return self._undecided(Reason.BAD_IMAGE, found.text, source=found.path)
        if distrust is not None:
            return self._undecided(distrust, DISAGREE, found)
        if found.setup != self._setups[loaded.number].number:
            return self._undecided(Reason.BAD_IMAGE, "taken under another recipe's setup", found)
        before = self.capture.before(found)
        fault = self._check.fault(
            found.image,
            loaded.recipe.image,
            before.image if before is not None else None,
            loaded.references.get(self.capture.name),
        )
        if fault is not None:
            return self._undecided(Reason.BAD_IMAGE, fault, found)
        return found

    def _is_candidate(self, trigger: Trigger, frame: Frame) -> bool:
        with self._lock:
            return self._pairing.is_candidate(trigger, frame)

    def judge(self, taken: Frame | Look, loaded: Loaded) -> Look:
        """The verdict of this view; a look that is undecided already stays so."""
        if isinstance(taken, Look):
            return taken
        frame = taken
        try:
            detector = loaded.detector.seen_by(self.capture.name)
            detections = tuple(detector.detect(frame.image, self._mm_per_px))
        except ImageError as wrong:
            return self._undecided(Reason.BAD_IMAGE, str(wrong), frame)
        except EdgeError as wrong:
            return self._undecided(Reason.MODEL_FAULT, str(wrong), frame)
        findings = judgement.weigh(detections, loaded.recipe, self.capture.name)
        verdict = judgement.decide(findings, loaded.recipe)
        return Look(
            self.capture.name, verdict, frame, detections, source=frame.path, findings=findings
        )

    def confirm(self, trigger: Trigger, look: Look) -> Look:
        """The same look, unless what came while it was judged speaks against its frame."""
        if look.frame is None or look.verdict.reason is Reason.PAIRING:
            return look
        kept = self.capture.kept()
        with self._lock:
            doubtful = self._pairing.is_doubtful(trigger, look.frame, kept)
        return self._undecided(Reason.PAIRING, DISAGREE, look.frame) if doubtful else look

    def missing(self) -> Look:
        """The look of a view that has not been taken when its part's time is over."""
        return self._undecided(Reason.VIEW_MISSING, self.capture.fault or "not taken in time")

    def _undecided(
        self, reason: Reason, fault: str, frame: Frame | None = None, source: str | None = None
    ) -> Look:
        verdict = Verdict(Code.UNDECIDED, reason)
        path = source or (frame.path if frame else None)
        return Look(self.capture.name, verdict, frame, fault=fault, source=path)


def view(look: Look, edge_s: float) -> View:
    """A look as it stands in the part's row; scores in 1e-4, boxes in 0.1 px.

    A detection that is no number has made the look undecided and has no mark.
    """
    frame = look.frame
    return View(
        camera=look.camera,
        code=look.verdict.code,
        reason=look.verdict.reason,
        frame=frame.number if frame else None,
        exposed_ms=round((frame.exposed_s - edge_s) * 1000) if frame else None,
        width=frame.image.shape[1] if frame else None,
        height=frame.image.shape[0] if frame else None,
        marks=tuple(_mark(d) for d in _strongest(look.detections)),
        source=look.source[-200:] if look.source else None,
    )


def _strongest(detections: tuple[Detection, ...]) -> list[Detection]:
    finite = [d for d in detections if d.is_finite]
    return sorted(finite, key=lambda d: d.score, reverse=True)[:MAX_MARKS]


def _mark(detection: Detection) -> Mark:
    x1, y1, x2, y2 = (round(edge * 10) for edge in detection.box)
    return Mark(label=detection.label, score=round(detection.score * 10_000), box=(x1, y1, x2, y2))
