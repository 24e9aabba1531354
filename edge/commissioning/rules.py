"""Which step may follow, and which still holds. Pure.

    camera -> focus -> region --+
                                +--> golden -> monitor -> manual -> sign
    plc ------------------------+

A record holds while everything it was made with is unchanged (`made_with`): a lens that was focused
says nothing of another camera, a golden part nothing of another model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.commissioning.journal import Journal, Record, Step
from edge.commissioning.points import POINTS, Point

STEPS: tuple[Step, ...] = (
    *("camera", "focus", "region", "plc"),
    *("golden", "monitor", "manual", "sign"),
)

NAMES: Mapping[Step, str] = {
    "camera": "相机",
    "focus": "对焦",
    "region": "区域与比例",
    "plc": "PLC 点位",
    "golden": "标准件",
    "monitor": "观察运行",
    "manual": "人工比对",
    "sign": "上线签字",
}

BEFORE: Mapping[Step, tuple[Step, ...]] = {
    "camera": (),
    "focus": ("camera",),
    "region": ("camera", "focus"),
    "plc": (),
    "golden": ("camera", "focus", "region", "plc"),
    "monitor": ("golden",),
    "manual": ("monitor",),
    "sign": ("camera", "focus", "region", "plc", "golden", "monitor", "manual"),
}
"""What must hold before a step may begin."""

BY_CAMERA: tuple[Step, ...] = ("camera", "focus", "region")


@dataclass(frozen=True, slots=True)
class Site:
    """The stations of the node with their cameras, and the sha256 of everything as it is now."""

    cameras: Mapping[str, tuple[str, ...]]
    now: Mapping[str, str]  # keys as in `depends_on`
    # of stations with other points than POINTS; without a bus there are none: no PLC to ask
    own_points: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)

    def points(self, station: str) -> tuple[Point, ...]:
        """What is tried there one by one; none: a person answers for all of it."""
        return self.own_points.get(station, POINTS)

    def subjects(self, step: Step) -> tuple[str, ...]:
        """Of whom the step is done: each camera, each station, or the node once."""
        if step == "sign":
            return ("",)
        if step in BY_CAMERA:
            return tuple(camera for cameras in self.cameras.values() for camera in cameras)
        return tuple(self.cameras)

    def made_with(self, step: Step, subject: str) -> dict[str, str]:
        """What a record of this step depends on, as it is now."""
        keys = depends_on(step, subject)
        if keys is None:
            return dict(self.now)
        return {key: self.now[key] for key in keys if key in self.now}

    def holds(self, record: Record) -> bool:
        """Was it passed, and is everything still as it was then?"""
        now = self.made_with(record.step, record.subject)
        return record.result == "passed" and record.made_with == now


def depends_on(step: Step, subject: str) -> tuple[str, ...] | None:
    """Keys of `Site.now`; None = all of them. A scale counts only where it was measured."""
    if step in ("camera", "focus"):
        return (f"camera {subject}",)
    if step == "region":
        return f"camera {subject}", f"scale {subject}"
    return (f"plc {subject}",) if step == "plc" else None


def latest(records: Iterable[Record], step: Step, subject: str) -> dict[str, Record]:
    """The newest record of each point of the step."""
    found: dict[str, Record] = {}
    for record in records:
        if (record.step, record.subject) == (step, subject):
            found[record.point] = record
    return found


def open_fault(step: Step, subject: str, journal: Journal, site: Site) -> str | None:
    """Why the step is not done, in a sentence; None = it is, and still holds."""
    name = f"“{NAMES[step]}”{f'（{subject}）' if subject else ''}"
    found = latest(journal.records, step, subject)
    if step == "plc" and (points := site.points(subject)):
        left = [point.zh for point in points if not _held(found.get(point.name), site)]
        return f"{name}还有 {len(left)} 个点没有通过：{'、'.join(left)}" if left else None
    if step == "golden":
        return _golden_fault(name, found, site)
    record = found.get("")
    if record is None:
        return f"{name}还没有做"
    if record.result != "passed":
        return f"{name}上次没有通过：{record.text}"
    return None if site.holds(record) else f"{name}做过之后接线或模型改了，要重做"


def _held(record: Record | None, site: Site) -> bool:
    return record is not None and site.holds(record)


def _golden_fault(name: str, found: Mapping[str, Record], site: Site) -> str | None:
    bad = [part for part, record in found.items() if not site.holds(record)]
    if bad:
        return f"{name}没有通过、或通过之后接线或模型改了：{'、'.join(bad)}"
    expected = {record.figures.get("expect") for record in found.values()}
    if expected != {"good", "bad"}:
        return f"{name}至少要一件已知合格、一件已知不合格，都通过"
    return None


def hindrance(step: Step, subject: str, journal: Journal, site: Site) -> str | None:
    """Why the step may not begin yet; None = it may. Only what concerns the same station counts."""
    for before in BEFORE[step]:
        for one in _concerned(before, step, subject, site):
            fault = open_fault(before, one, journal, site)
            if fault is not None:
                return f"先做完前面的步骤：{fault}"
    return None


def _concerned(before: Step, step: Step, subject: str, site: Site) -> Sequence[str]:
    if step == "sign":
        return site.subjects(before)
    if before in BY_CAMERA and step not in BY_CAMERA:
        return site.cameras[subject]
    return (subject,)


def following(journal: Journal, site: Site) -> tuple[Step, str] | None:
    """The first step that is open, with whose it is; None = all are done, the signing too."""
    for step in STEPS:
        for subject in site.subjects(step):
            if step != "sign" and open_fault(step, subject, journal, site) is not None:
                return step, subject
    return None if journal.signed and is_current(journal, site) else ("sign", "")


def is_current(journal: Journal, site: Site) -> bool:
    """Is the newest go-live that of the node as it is now?"""
    return bool(journal.signed) and dict(journal.signed[-1].made_with) == dict(site.now)


def standing(journal: Journal, site: Site) -> tuple[Record, ...]:
    """The newest record of each step and point, of those that hold."""
    return tuple(
        record
        for step in STEPS
        for subject in site.subjects(step)
        for record in latest(journal.records, step, subject).values()
        if site.holds(record)
    )
