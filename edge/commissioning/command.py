"""`quanjian-edge commission`: from the wired node to the signed go-live, step by step, in Chinese.

Talk on stderr, answers from stdin; with --json a JSON object per step or point on stdout.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import get_args

import msgspec

from edge import settings
from edge.commissioning import options as defaults
from edge.commissioning import store
from edge.commissioning.acceptance_page import page
from edge.commissioning.comparison import LEAST_PARTS, MOST_OVERKILL
from edge.commissioning.golden import LEAST_TIMES, Expect
from edge.commissioning.journal import Person, Step
from edge.commissioning.options import Options
from edge.commissioning.points import BY_NAME
from edge.commissioning.rules import NAMES, STEPS
from edge.commissioning.scale import Box, box_of
from edge.commissioning.terminal import Terminal
from edge.commissioning.walk import Tried, Walk
from edge.errors import OPTIONS_HINT, SettingsError
from edge.record import duration_s

RESULTS = {"passed": "通过", "failed": "没有通过", "refused": "不能做"}

EXAMPLES = """examples:
  quanjian-edge commission --config edge.toml               the whole walk, from where it ended
  quanjian-edge commission --config edge.toml --step focus  one step again
  quanjian-edge commission --step plc --point stop          one point again
  quanjian-edge commission --step golden --part bad-1 --expect bad --times 10
  quanjian-edge commission manual --csv inspected.csv       what a person found
  quanjian-edge commission report                           the acceptance page again

The node must not run meanwhile: systemctl stop quanjian-edge
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "what",
        nargs="?",
        choices=("walk", "manual", "status", "report"),
        default="walk",
        metavar="WHAT",
        help="walk (default), manual, status, or report: the last signed page",
    )
    default = settings.DEFAULT_PATH
    add("--config", type=Path, default=default, help="edge.toml (default: %(default)s)")
    add("--unsigned", action="store_true", help="also what has no pin; then there is no go-live")
    add("--step", choices=STEPS, help="only this step")
    add("--camera", help="of the step; needed where there are several")
    add("--station", help="of the step; needed where there are several")
    add("--who", help="who does it; asked otherwise")
    add("--json", action="store_true", help="one JSON object per step or point, on stdout")
    add(
        "--within",
        type=float,
        default=defaults.WITHIN_S,
        metavar="SECONDS",
        help="what is asked must be done within this (default: %(default)g)",
    )
    points = ", ".join(BY_NAME)
    add("--point", choices=tuple(BY_NAME), metavar="POINT", help=f"plc: only this of {points}")
    _add_by_step(parser)


def _add_by_step(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--box", metavar="X1,Y1,X2,Y2", help="region: where the part lies, px")
    add("--width-mm", type=float, help="region: its known width")
    add("--axis", choices=("x", "y"), default="x", help="region: along which it is known")
    add("--part", help="golden: name of the part")
    add("--expect", choices=get_args(Expect), help="golden: what it is known to be")
    text = "golden: passages of each part (default: %(default)d)"
    add("--times", type=int, default=LEAST_TIMES, help=text)
    text = "monitor, manual: so many parts at least (default: %(default)d)"
    add("--parts", type=int, default=LEAST_PARTS, help=text)
    add("--for", dest="for_s", type=duration_s, help="monitor: at the most so long: 90s, 30m, 8h")
    add("--csv", type=Path, help="manual: file with number, ok or ng, defect")
    add("--most-escapes", type=int, default=0, help="manual: allowed (default: %(default)d)")
    text = "manual: allowed share of the good parts (default: %(default)g)"
    add("--most-overkill", type=float, default=MOST_OVERKILL, help=text)
    add("--first", metavar="NAME:ROLE", help="sign: the first person; asked otherwise")
    add("--second", metavar="NAME:ROLE", help="sign: the second")


def run(asked: argparse.Namespace) -> int:
    """Lead through the steps; 0 what was asked for is passed, 1 it is not.

    Raises:
        SettingsError: mistakes in edge.toml, in the options, or in the journal.
        LedgerError: the journal cannot be kept, or another commissioning has it.
    """
    wiring = settings.read(asked.config)
    data_dir = Path(wiring.node.data_dir)
    if asked.what == "report":
        return _report(data_dir)
    options = _options(asked)
    terminal = Terminal()
    with store.Store(data_dir) as held:
        if asked.what == "status":
            overview = Walk(wiring, held, terminal, "-", options).overview()
            sys.stdout.write("\n".join([*overview, ""]))
            return 0
        who = asked.who or terminal.ask("操作人姓名：")
        if not 0 < len(who.strip()) <= 50:
            problem = "--who: expected a name of 1 to 50 characters"
            raise SettingsError("commission", [problem], OPTIONS_HINT)
        walk = Walk(wiring, held, terminal, who.strip(), options)
        step: Step | None = "manual" if asked.what == "manual" else asked.step
        try:
            if step is not None:
                subject = _subject(walk, step, asked)
                return 0 if _done(walk, step, subject, terminal, asked.json) else 1
            return _whole(walk, terminal, asked.json)
        except KeyboardInterrupt:
            terminal.say("已中断。做过的都已存盘，再运行一次从这里接着做")
            return 1


def _whole(walk: Walk, terminal: Terminal, as_json: bool) -> int:
    """One step after the other, as the person wants; 0 once everything is done."""
    for line in walk.overview():
        terminal.say(line)
    while (following := walk.following()) is not None:
        step, subject = following
        name = f"{NAMES[step]}（{subject}）" if subject else NAMES[step]
        answer = terminal.ask(f"下一步：{name}。回车开始；写步骤名重做一步；q 退出：")
        if terminal.ended or answer == "q":
            return 1
        if answer:
            again = _named(answer, walk)
            if again is None:
                terminal.say(f"没有这一步：{answer}。步骤是 {'、'.join(NAMES.values())}")
                continue
            step, subject = again
        _done(walk, step, subject, terminal, as_json)
    terminal.say("全部完成，已上线签字")
    return 0


def _named(answer: str, walk: Walk) -> tuple[Step, str] | None:
    """`focus`, `对焦`, `focus c2`."""
    word, _, subject = answer.partition(" ")
    step = next((step for step in STEPS if word in (step, NAMES[step])), None)
    if step is None:
        return None
    subjects = walk.site.subjects(step)
    if subject and subject not in subjects:
        return None
    return step, subject or subjects[0]


def _done(walk: Walk, step: Step, subject: str, terminal: Terminal, as_json: bool) -> bool:
    """Do it and tell; True if everything tried is passed."""
    tried = []
    for one in walk.attempt(step, subject):
        tried.append(one)
        terminal.say(f"{RESULTS[one.result]}：{one.text}")
        if as_json:
            sys.stdout.write(json.dumps(_as_json(one), ensure_ascii=False) + "\n")
            sys.stdout.flush()
    return bool(tried) and all(one.result == "passed" for one in tried)


def _as_json(tried: Tried) -> dict[str, object]:
    return {
        "step": tried.step,
        "subject": tried.subject,
        "point": tried.point,
        "result": tried.result,
        "text": tried.text,
        "record": msgspec.to_builtins(tried.record),
    }


def _subject(walk: Walk, step: Step, asked: argparse.Namespace) -> str:
    """Whose step it is: the one named, or the only one."""
    subjects = walk.site.subjects(step)
    by_camera = step in ("camera", "focus", "region")
    option = "--camera" if by_camera else "--station"
    named: str | None = asked.camera if by_camera else asked.station
    if step == "sign" or (named is None and len(subjects) == 1):
        return subjects[0]
    if named not in subjects:
        problem = f"got {named!r}, expected one of {list(subjects)}"
        raise SettingsError(option, [problem], OPTIONS_HINT)
    return named


def _report(data_dir: Path) -> int:
    journal = store.read(data_dir)
    if journal is None or not journal.signed:
        sys.stderr.write(f"{data_dir}: 还没有签过字的验收记录\n")
        return 1
    sys.stdout.write(page(journal.signed[-1]))
    return 0


def _options(asked: argparse.Namespace) -> Options:
    """The options, checked.

    Raises:
        SettingsError: with every mistake in them.
    """
    problems: list[str] = []
    checks = (
        (asked.within > 0, f"--within: got {asked.within:g}, expected above 0"),
        (1 <= asked.times <= 1000, f"--times: got {asked.times}, expected 1 to 1000"),
        (1 <= asked.parts <= 100_000, f"--parts: got {asked.parts}, expected 1 to 100000"),
        (asked.most_escapes >= 0, f"--most-escapes: got {asked.most_escapes}, expected 0 or more"),
        (0 <= asked.most_overkill <= 1, f"--most-overkill: got {asked.most_overkill:g}, 0 to 1"),
        (
            (asked.part is None) == (asked.expect is None),
            "--part and --expect: expected both or none",
        ),
        (
            (asked.first is None) == (asked.second is None),
            "--first and --second: expected both or none",
        ),
        (not (asked.step and asked.what != "walk"), f"--step: means nothing with {asked.what}"),
    )
    problems += [text for good, text in checks if not good]
    step = "manual" if asked.what == "manual" else asked.step
    for option, value, own in (
        ("--point", asked.point, "plc"),
        ("--box", asked.box, "region"),
        ("--width-mm", asked.width_mm, "region"),
        ("--part", asked.part, "golden"),
        ("--for", asked.for_s, "monitor"),
        ("--csv", asked.csv, "manual"),
        ("--first", asked.first, "sign"),
    ):
        if value is not None and step != own:
            problems.append(f"{option}: means something only with --step {own}")
    box = _box(asked.box, problems)
    persons = [_person(text, problems) for text in (asked.first, asked.second) if text is not None]
    if problems:
        raise SettingsError("commission", problems, OPTIONS_HINT)
    return Options(
        within_s=asked.within,
        unsigned=asked.unsigned,
        box=box,
        width_mm=asked.width_mm,
        axis=asked.axis,
        point=asked.point,
        part=asked.part,
        expect=asked.expect,
        times=asked.times,
        parts=asked.parts,
        monitor_s=asked.for_s or defaults.MONITOR_S,
        csv=asked.csv,
        most_escapes=asked.most_escapes,
        most_overkill=asked.most_overkill,
        signers=(persons[0], persons[1]) if len(persons) == 2 else None,
    )


def _box(text: str | None, problems: list[str]) -> Box | None:
    if text is None:
        return None
    try:
        return box_of(text)
    except ValueError:
        problems.append(f"--box: got {text!r}, expected four numbers such as 76,112,436,400")
        return None


def _person(text: str, problems: list[str]) -> Person:
    name, _, role = (part.strip() for part in text.replace("：", ":").partition(":"))
    if not (0 < len(name) <= 50 and 0 < len(role) <= 50):
        problems.append(f"--first, --second: got {text!r}, expected NAME:ROLE")
    return Person(name=name, role=role)
