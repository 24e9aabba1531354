"""Where this computer says what its serial ports are and who has them; other folders in tests."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class System:
    """The folders of a Linux computer."""

    dev: Path = Path("/dev")
    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    locks: Path = Path("/run/lock")  # where minicom, picocom, pppd and others keep theirs


LINUX = System()
