"""The same transactions by a master in C: what the pty and the kernel take, whoever asks."""

import shutil
import subprocess
from pathlib import Path

from edge.plc import punctual

SOURCE = Path(__file__).parent / "floor.c"


def compiled(folder: Path) -> Path | None:
    """The program; None where there is no compiler."""
    if shutil.which("gcc") is None:
        return None
    program = folder / "floor"
    subprocess.run(["gcc", "-O2", str(SOURCE), "-o", str(program)], check=True)
    return program


def ask(program: Path, port: str, requests: int, gap_s: float, *, real_time: bool) -> list[float]:
    """When each reply was read, monotonic s; `real_time` as our own thread is."""
    numbers = (requests, 1e9 * gap_s, 1e9 * punctual.AWAKE_S, punctual.PRIORITY * real_time)
    done = subprocess.run(
        [program, port, *(str(round(number)) for number in numbers)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [float(line) for line in done.stdout.splitlines()]
