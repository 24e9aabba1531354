"""`quanjian-edge replay`: recorded frames again with another model or recipe; prints what differs.

A view that had no picture to judge (no_frame, pairing, bad_image) stays as it was: another model
would not have seen more. Everything else is judged anew, and the views are fused as on the line.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge import judgement
from edge.errors import EdgeError
from edge.judgement import Finding
from edge.recorded import MAX_LINE_BYTES, PARTS, RecordedPart, decode_part
from edge.still import Stills
from edge.terms import Code, Reason, Verdict
from edge.vision.image import decode_image

EXAMPLES = """examples:
  quanjian-edge replay data/recordings --model new.onnx --recipe plate.toml
  quanjian-edge replay data/recordings/20261130t081500z --model new.onnx --recipe plate.toml --json
"""
UNSEEN = (Reason.NO_FRAME, Reason.PAIRING, Reason.BAD_IMAGE, Reason.VIEW_MISSING)
_TELL_EVERY = 100  # parts


@dataclass(frozen=True, slots=True)
class Replayed:
    """One part, then and now."""

    part: RecordedPart
    now: Verdict

    @property
    def change(self) -> str:
        """`ng -> ok`, in words; the same word twice where nothing changed."""
        return f"{self.part.code.name.lower()} -> {self.now.code.name.lower()}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, metavar="DIR", help="a recording, or a folder of them")
    parser.add_argument(
        "--model", type=Path, help="the ONNX detector to try; none where [spots] are the detector"
    )
    parser.add_argument("--recipe", type=Path, required=True, help="the recipe to try")
    parser.add_argument("--json", action="store_true", help="a JSON object a line, totals last")


def run(asked: argparse.Namespace) -> int:
    """0 done, whatever differs; 1 nothing could be replayed; 2 recipe or model cannot be used."""
    try:
        stills = Stills(asked.recipe, asked.model)
    except EdgeError as wrong:
        sys.stderr.write(f"{wrong}\n{wrong.hint}\n")
        return 2
    changes: Counter[str] = Counter()
    same = failed = 0
    for folder in _recordings(asked.folder):
        for line in _lines(folder / PARTS):
            try:
                replayed = replay(decode_part(line), folder, stills)
            except (EdgeError, msgspec.MsgspecError) as wrong:
                failed += 1
                sys.stderr.write(f"{folder.name}: not replayed: {wrong}\n")
                continue
            if replayed.part.code is replayed.now.code:
                same += 1
            else:
                changes[replayed.change] += 1
                sys.stdout.write((_as_json if asked.json else _as_text)(replayed) + "\n")
            if (same + changes.total()) % _TELL_EVERY == 0:
                sys.stderr.write(f"{same + changes.total()} parts\n")
    _tell_totals(same, changes, failed, asked.json)
    return 0 if same + changes.total() else 1


def replay(part: RecordedPart, folder: Path, stills: Stills) -> Replayed:
    """Judge one recorded part anew.

    Raises:
        ImageError: a frame is gone or damaged.
    """
    verdicts: list[Verdict] = []
    findings: list[Finding] = []
    for view in part.views:
        if view.file is None or view.reason in UNSEEN:
            verdicts.append(_recorded(view.code, view.reason))
            continue
        image = decode_image(folder / view.file)
        still = stills.judge(image, view.camera, view.mm_per_px)
        verdicts.append(still.verdict)
        findings += still.findings
    if not verdicts:
        return Replayed(part, _recorded(part.code, part.reason))
    return Replayed(part, judgement.fuse([*verdicts, judgement.decide(findings, stills.recipe)]))


def _recorded(code: Code, reason: Reason | None) -> Verdict:
    """A verdict from a file; one that makes no sense is undecided."""
    if code is Code.UNDECIDED:
        return Verdict(code, reason or Reason.VIEW_MISSING)
    return Verdict(code)


def _recordings(folder: Path) -> list[Path]:
    if (folder / PARTS).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{PARTS}"))
    if not found:
        sys.stderr.write(f"{folder}: no recording: no {PARTS} in it or below it\n")
    return found


def _lines(path: Path) -> Iterator[bytes]:
    """Each line; one too long comes in pieces, which no part is."""
    try:
        with path.open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES):
                yield line
    except OSError as wrong:
        sys.stderr.write(f"{path}: cannot be read: {wrong}\n")


def _as_text(replayed: Replayed) -> str:
    part, now = replayed.part, replayed.now
    before = _worded(part.code, part.reason, part.defect, part.score)
    worst = now.worst
    after = _worded(
        now.code, now.reason, worst.label if worst else None, worst.score if worst else None
    )
    return f"{part.station} epoch {part.epoch} part {part.number}: {before} -> {after}"


def _worded(code: Code, reason: Reason | None, defect: str | None, score: float | None) -> str:
    text = code.name.lower()
    if reason is not None:
        text += f" ({reason.value})"
    if defect is not None:
        text += f" by {defect}" + (f" {score:.3f}" if score is not None else "")
    return text


def _as_json(replayed: Replayed) -> str:
    part, now = replayed.part, replayed.now
    worst = now.worst
    return json.dumps(
        {
            "station": part.station,
            "epoch": part.epoch,
            "number": part.number,
            "before": {
                "verdict": part.code.name.lower(),
                "reason": part.reason.value if part.reason else None,
                "class": part.defect,
                "score": part.score,
            },
            "after": {
                "verdict": now.code.name.lower(),
                "reason": now.reason.value if now.reason else None,
                "class": worst.label if worst else None,
                "score": round(worst.score, 4) if worst else None,
                "box": [round(edge, 1) for edge in worst.box] if worst else None,
            },
        },
        ensure_ascii=False,
    )


def _tell_totals(same: int, changes: Counter[str], failed: int, as_json: bool) -> None:
    differ = changes.total()
    if as_json:
        totals = {"parts": same + differ, "same": same, "differ": differ}
        sys.stdout.write(json.dumps({**totals, "changes": changes, "failed": failed}) + "\n")
        return
    how = ", ".join(f"{count} {change}" for change, count in sorted(changes.items()))
    sys.stdout.write(
        f"{same + differ} parts: {same} same, {differ} differ{f' ({how})' if how else ''}"
        f"{f', {failed} not replayed' if failed else ''}\n"
    )
