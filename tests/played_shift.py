"""What a node would send for the last 70 minutes: rows of a station with pictures of plates."""

import hashlib
import math
from typing import Any, cast

import cv2
import numpy as np

from edge.mqtt.message import (
    AlertRow,
    AnyRow,
    BypassedRow,
    CounterRow,
    EpochRow,
    Mark,
    MissedRow,
    PartRow,
    StationState,
    View,
)
from edge.terms import Cause, Code, Mode, Reason
from edge.vision.lens import FRAME_PX, Optics, expose, truth_boxes
from edge.vision.plates import CLASSES, make_plate

MODEL = hashlib.sha256(b"base.onnx").hexdigest()
BOOT = "b0" * 16
WATCH_MIN = 70
STEP_MS = 2_000  # between two parts of a station
SHARES = (0.4, 0.26, 0.17, 0.1, 0.07)  # of the defect classes


def stamp(station: str, at_ms: int, epoch: int = 1) -> dict[str, Any]:
    """The fields every row carries."""
    return {
        "station": station,
        "epoch": epoch,
        "at_ms": at_ms,
        "mono_ms": at_ms % 100_000_000,
        "boot": BOOT,
        "clock": "synced",
    }


def photograph(seed: int, defects: tuple[str, ...]) -> tuple[bytes, bytes, tuple[Mark, ...]]:
    """A picture of a simulated plate, its thumbnail, and its true boxes as marks."""
    rng = np.random.default_rng(seed)
    plate = make_plate(seed, defects)
    image = expose([(plate, 0.0, 0.0)], Optics(), rng)
    marks = tuple(
        Mark(
            label=found.label,
            score=int(rng.integers(7_600, 9_700)),
            box=cast(Any, tuple(round(edge * 10) for edge in found.box)),
        )
        for found in truth_boxes(plate, 0.0, 0.0)
    )
    small = cv2.resize(image, (192, 192), interpolation=cv2.INTER_AREA)
    return _jpeg(image, 88), _jpeg(small, 80), marks


def part(station: str, number: int, at_ms: int, code: Code, **more: Any) -> PartRow:
    """A judged part with plausible values where the caller does not care."""
    settled: dict[str, Any] = {
        "computed": code,
        "reason": None,
        "computed_reason": None,
        "mode": Mode.AUTO,
        "recipe": "plate-90x72",
        "model": MODEL,
        "trust": "pinned",
        "product": "QJ-90",
        "inspect_ms": 31 + number % 9,
        "latency_ms": 74 + number * 7 % 23,
        "views": (),
    }
    return PartRow(**stamp(station, at_ms), number=number, code=code, **{**settled, **more})


def station_now(name: str, state: Any, mode: Mode, trust: Any) -> StationState:
    return StationState(
        station=name,
        state=state,
        mode=mode,
        epoch=1,
        triggers=0,
        recipe="plate-90x72",
        trust=trust,
    )


def short_shift(station: str, start_ms: int, bypassed: int = 0) -> list[AnyRow]:
    sent: list[AnyRow] = [
        EpochRow(
            **stamp(station, start_ms), base=0, plc_start=3, cause="first_contact", counted_by="plc"
        )
    ]
    sent += [part(station, n, start_ms + n * STEP_MS, Code.OK) for n in range(1, 301)]
    end_ms = start_ms + 301 * STEP_MS
    if bypassed:
        sent.append(BypassedRow(**stamp(station, end_ms), first=301, last=300 + bypassed))
    sent.append(CounterRow(**stamp(station, end_ms), counter=300 + bypassed, open=0))
    return sent


class PlayedStation:
    """One station's shift: 3 % NG, a few undecided, a short bypass, two missed parts."""

    def __init__(self, name: str, sensors: bool, seed: int, start_ms: int) -> None:
        self.pictures: dict[str, bytes] = {}
        self._name = name
        self._sensors = sensors
        self._rng = np.random.default_rng(seed)
        self._start_ms = start_ms
        self._last = WATCH_MIN * 60_000 // STEP_MS - 1
        self._good = self._rejected = 0

    def rows(self) -> list[AnyRow]:
        name, start_ms = self._name, self._start_ms
        sent: list[AnyRow] = [
            EpochRow(
                **stamp(name, start_ms),
                base=120_000,
                plc_start=7,
                cause="first_contact",
                counted_by="plc",
            ),
            CounterRow(**stamp(name, start_ms), counter=120_000, open=0, **self._sensed()),
        ]
        for step in range(1, self._last + 1):
            at_ms = start_ms + step * STEP_MS - round(300 * math.sin(step / 40))
            sent += self._step(120_000 + step, step, at_ms)
            if step % 5 == 0 or step == self._last:
                sent.append(
                    CounterRow(
                        **stamp(name, at_ms), counter=120_000 + step, open=0, **self._sensed()
                    )
                )
        return sent

    def _step(self, number: int, step: int, at_ms: int) -> list[AnyRow]:
        name = self._name
        if 200 <= step < 230:  # the key switch was turned for a minute
            self._good += 1
            return [BypassedRow(**stamp(name, at_ms), first=number, last=number)]
        if step in (900, 901):
            self._rejected += 1
            row = MissedRow(**stamp(name, at_ms), first=number, last=number, cause=Cause.NO_TRIGGER)
            raised = AlertRow(**stamp(name, at_ms), code="parts_missed", active=True, count=2)
            cleared = AlertRow(
                **stamp(name, at_ms + 9_000), code="parts_missed", active=False, count=2
            )
            return [row, raised, cleared] if step == 901 else [row]
        if step == 1500:
            self._rejected += 1
            return [self._judged(number, at_ms, Code.NG, step, ("chip",), mode=Mode.SAMPLE)]
        chance = self._rng.random()
        if chance < 0.004:
            self._rejected += 1
            reason = [Reason.UNCERTAIN, Reason.BAD_IMAGE, Reason.LATE][step % 3]
            return [
                part(name, number, at_ms, Code.UNDECIDED, reason=reason, computed_reason=reason)
            ]
        if chance < 0.034 or step == self._last - 3:
            self._rejected += 1
            drawn = self._rng.choice(
                len(CLASSES), 1 + step % 7 // 6, p=(0.4, 0.26, 0.17, 0.1, 0.07)
            )
            kinds = tuple(CLASSES[int(k)] for k in drawn)
            return [self._judged(number, at_ms, Code.NG, step, kinds)]
        self._good += 1
        return [part(name, number, at_ms, Code.OK)]

    def _judged(
        self, number: int, at_ms: int, code: Code, step: int, kinds: tuple[str, ...], **more: Any
    ) -> PartRow:
        """An NG part; those of the last quarter of an hour have pictures."""
        jpeg, small, marks = photograph(step * 2 + (self._name == "back"), kinds)
        worst = max(marks, key=lambda mark: mark.score)
        named: dict[str, Any] = {}
        if step > self._last - 450:
            for key, content in (("picture", jpeg), ("thumbnail", small)):
                named[key] = hashlib.sha256(content).hexdigest()
                self.pictures[named[key]] = content
        view = View(
            camera="top",
            code=code,
            frame=step,
            exposed_ms=6,
            width=FRAME_PX,
            height=FRAME_PX,
            marks=marks,
            **named,
        )
        return part(
            self._name,
            number,
            at_ms,
            code,
            defect=worst.label,
            score=worst.score,
            views=(view,),
            **more,
        )

    def _sensed(self) -> dict[str, Any]:
        if not self._sensors:
            return {}
        return {
            "good": 5_000 + self._good,
            "rejected": 400 + self._rejected,
            "reject_confirmed": 390 + self._rejected,
        }


def _jpeg(image: Any, quality: int) -> bytes:
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return content.tobytes()
