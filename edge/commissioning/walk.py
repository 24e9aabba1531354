"""The walk through the steps: who does what with which station, and every record on disk at once.

A step or point is written down before the next one begins, so that a power cut costs the one that
was under way and no other.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from edge import clock
from edge.commissioning import camera_steps, manual, node_steps, rules, sentences, signing
from edge.commissioning.acceptance_page import page
from edge.commissioning.comparison import compare
from edge.commissioning.journal import GoLive, Person, Record, Result, Step
from edge.commissioning.line import Line
from edge.commissioning.looking import Looking
from edge.commissioning.made_with import site
from edge.commissioning.options import Options
from edge.commissioning.outcome import Outcome, judged
from edge.commissioning.plc_step import PlcStep, by_hand
from edge.commissioning.points import BY_NAME
from edge.commissioning.store import Store
from edge.commissioning.terminal import Terminal
from edge.commissioning.trial import Trial
from edge.commissioning.wired import WiredLine, WiredStep
from edge.errors import OPTIONS_HINT, EdgeError, LedgerError, SettingsError
from edge.settings import Settings, Station

FOLDER = "commissioning"
"""In data_dir: pictures of the walk and the acceptance page."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What is told of one step or point."""

    step: Step
    subject: str
    point: str
    result: Result
    text: str
    record: Record | GoLive | None  # as written down; None: only refused in words


class Walk:
    """One person at one node."""

    def __init__(
        self, wiring: Settings, store: Store, terminal: Terminal, who: str, options: Options
    ) -> None:
        self.site = site(wiring)
        self._wiring = wiring
        self._store = store
        self._terminal = terminal
        self._who = who
        self._options = options
        self._folder = Path(wiring.node.data_dir) / FOLDER

    def following(self) -> tuple[Step, str] | None:
        """The first step that is open; None = all done."""
        return rules.following(self._store.journal, self.site)

    def overview(self) -> list[str]:
        """How every step stands, a line each."""
        journal, lines = self._store.journal, []
        for step in rules.STEPS[:-1]:
            for subject in self.site.subjects(step):
                fault = rules.open_fault(step, subject, journal, self.site)
                mark = "未完成" if fault else "完成"
                lines.append(
                    f"{mark:　<3}  {rules.NAMES[step]}（{subject}）  {fault or ''}".rstrip()
                )
        done = rules.is_current(journal, self.site)
        lines.append(f"{'完成' if done else '未完成':　<3}  {rules.NAMES['sign']}")
        return lines

    def attempt(self, step: Step, subject: str) -> Iterator[Tried]:
        """Do one step; yields what came of it, of each point where it has several.

        Raises:
            SettingsError: an option or an answer that cannot be used.
            LedgerError: the record cannot be written.
        """
        hindered = rules.hindrance(step, subject, self._store.journal, self.site)
        if hindered is not None:
            yield Tried(step, subject, "", "refused", hindered, None)
        elif step == "sign":
            yield self._sign()
        elif step == "plc" and self.site.points(subject):
            yield from self._plc(subject)
        elif step == "golden":
            yield from self._golden(subject)
        else:
            yield self._written(step, subject, "", self._once(step, subject))

    # -- steps --------------------------------------------------------------------------------

    def _once(self, step: Step, subject: str) -> Outcome:
        """A step without points. What a device says against it is its outcome, not the end."""
        options, terminal = self._options, self._terminal
        try:
            if step == "monitor":
                with Trial(self._wiring, subject, options.unsigned) as trial:
                    return node_steps.watch(trial, terminal, subject, options)
            if step == "plc":
                return by_hand(self._station(subject), terminal)
            if step == "manual":
                return self._manual(subject)
            own = next(one for one in self._wiring.camera if one.name == subject)
            with Looking(self._wiring, own) as looking:
                if step == "camera":
                    return camera_steps.camera(
                        looking, self._wiring, terminal, self._folder, options
                    )
                if step == "focus":
                    return camera_steps.focus(looking, self._wiring, terminal, options)
                return camera_steps.region(looking, terminal, self._folder, options)
        except SettingsError:
            raise
        except EdgeError as wrong:
            return Outcome("failed", sentences.of(wrong))

    def _plc(self, subject: str) -> Iterator[Tried]:
        """Every point that does not hold yet; the one asked for in any case."""
        asked, points = self._options.point, self.site.points(subject)
        if asked and BY_NAME[asked] not in points:
            names = ", ".join(point.name for point in points)
            raise SettingsError(
                "--point", [f"{asked}: station {subject} has {names}"], OPTIONS_HINT
            )
        known = rules.latest(self._store.journal.records, "plc", subject)
        holds = {name for name, record in known.items() if self.site.holds(record)}
        chosen = [BY_NAME[asked]] if asked else [p for p in points if p.name not in holds]
        if not asked and holds:
            self._terminal.say(f"接着上次：{len(holds)} 个点已通过，还有 {len(chosen)} 个")
        with contextlib.ExitStack() as stack:
            try:
                step = self._points_tried(subject, stack)
            except EdgeError as wrong:
                yield Tried("plc", subject, "", "refused", sentences.of(wrong), None)
                return
            for point in chosen or points:
                try:
                    outcome = step.attempt(point)
                except EdgeError as wrong:
                    outcome = Outcome("failed", sentences.of(wrong))
                yield self._written("plc", subject, point.name, outcome)
                if not outcome.passed:
                    return

    def _points_tried(self, subject: str, stack: contextlib.ExitStack) -> PlcStep:
        """The station's line, open as long as `stack` is, and the way to try its points.

        Raises:
            EdgeError: it cannot be opened.
        """
        station, within_s = self._station(subject), self._options.within_s
        if station.io is None:
            line = stack.enter_context(Line(self._wiring, station))
            return PlcStep(line, self._terminal, within_s)
        wired = WiredLine(self._wiring, station)
        stack.enter_context(wired)
        return WiredStep(wired, self._terminal, within_s)

    def _golden(self, subject: str) -> Iterator[Tried]:
        """One part by its options, or one after the other as the person names them."""
        options = self._options
        try:
            with Trial(self._wiring, subject, options.unsigned) as trial:
                while True:
                    name = options.part or self._terminal.ask("标准件的名称（空行结束）：")
                    if not name:
                        return
                    expect = options.expect or (
                        "good" if self._terminal.confirms(f"{name} 是已知合格件？") else "bad"
                    )
                    outcome = node_steps.prove(trial, self._terminal, name, expect, options)
                    yield self._written("golden", subject, name[:50], outcome)
                    if options.part:
                        return
        except EdgeError as wrong:
            yield Tried("golden", subject, "", "refused", sentences.of(wrong), None)

    def _manual(self, subject: str) -> Outcome:
        options, journal = self._options, self._store.journal
        form = manual.Manual(journal.judged, subject)
        found = form.from_csv(options.csv) if options.csv else form.typed(self._terminal)
        fresh = tuple(manual.entries(found, subject, self._who, clock.utc_ms()))
        compared = compare(journal.judged, (*journal.entries, *fresh), subject)
        for line in compared.lines():
            self._terminal.say(line)
        outcome = judged(
            compared.fault(options.parts, options.most_escapes, options.most_overkill),
            "；".join(compared.lines()),
            parts=compared.parts,
            bad=compared.bad,
            good=compared.good,
            escapes=len(compared.escapes),
            escape_share_95=[round(share, 4) for share in compared.escape_share],
            overkills=len(compared.overkills),
            overkill_share_95=[round(share, 4) for share in compared.overkill_share],
            kappa=compared.kappa and round(compared.kappa, 3),
            undecided=compared.undecided,
            unknown=len(compared.unknown),
            most_escapes=options.most_escapes,
            most_overkill=options.most_overkill,
        )
        return Outcome(outcome.result, outcome.text, outcome.figures, entries=fresh)

    def _sign(self) -> Tried:
        journal = self._store.journal
        fault = signing.hindrances(journal, self.site, self._wiring)
        if fault is not None:
            return Tried("sign", "", "", "refused", fault, None)
        persons = self._options.signers or (self._person("第一位"), self._person("第二位"))
        fault = signing.persons_fault(*persons)
        if fault is not None:
            return Tried("sign", "", "", "refused", fault, None)
        at = clock.stamp()
        going = signing.signed(journal, self.site, self._wiring, persons, (at.at_ms, at.clock))
        self._store.keep(replace(journal, signed=(*journal.signed, going)))
        path = self._folder / f"验收记录-{going.sha256[:8]}.md"
        _write(path, page(going))
        names = (
            f"{going.first.name}（{going.first.role}）、{going.second.name}（{going.second.role}）"
        )
        return Tried("sign", "", "", "passed", f"{names} 已签字；打印存档：{path}", going)

    def _person(self, place: str) -> Person:
        name = self._terminal.ask(f"{place}签字人的姓名：")
        role = self._terminal.ask(f"{place}签字人的职务：")
        if not (0 < len(name) <= 50 and 0 < len(role) <= 50):
            raise SettingsError("sign", ["name and role: 1 to 50 characters each"])
        return Person(name=name, role=role)

    def _station(self, name: str) -> Station:
        return next(one for one in self._wiring.station if one.name == name)

    # -- on disk ------------------------------------------------------------------------------

    def _written(self, step: Step, subject: str, point: str, outcome: Outcome) -> Tried:
        """The outcome, on disk."""
        at, journal = clock.stamp(), self._store.journal
        record = Record(
            step=step,
            subject=subject,
            point=point,
            at_ms=at.at_ms,
            clock=at.clock,
            who=self._who,
            result=outcome.result,
            text=outcome.text,
            figures=outcome.figures,
            made_with=self.site.made_with(step, subject),
        )
        before = rules.latest(journal.records, step, subject).get(point)
        if step == "monitor" and (before is None or before.made_with != record.made_with):
            # parts judged by another model, or under another wiring, say nothing of this one
            journal = replace(
                journal,
                judged=tuple(one for one in journal.judged if one.station != subject),
                entries=tuple(one for one in journal.entries if one.station != subject),
            )
        self._store.keep(
            replace(
                journal,
                records=(*journal.records, record),
                judged=(*journal.judged, *outcome.judged),
                entries=(*journal.entries, *outcome.entries),
            )
        )
        return Tried(step, subject, point, outcome.result, outcome.text, record)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as wrong:
        raise LedgerError(f"{path}: cannot be written: {wrong}") from wrong
