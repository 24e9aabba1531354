"""What on this computer spoils a serial port though it opens: other programs, consoles, latency.

Each hindrance is a sentence that says what to do. Nothing is changed here, and nothing is opened.
"""

from collections.abc import Iterator
from pathlib import Path

from edge.plc.system import System
from edge.plc.usb import adapters

BRAILLE = ("1a86:7523", "10c4:ea60", "0403:6001")
"""Adapters that brltty takes for Braille displays by its udev rules: CH340, CP210x, FT232."""

LATENCY_RULE = 'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
LATENCY_FILE = "/etc/udev/rules.d/99-quanjian-latency.rules"


def hindrances(device: Path, system: System) -> list[str]:
    """What spoils this port; `device` is the real device file."""
    name = device.name
    return [
        *_console(name, system),
        *_logins(name, system),
        *_braille(name, system),
        *_holders(device, system),
        *_latency(name, system),
    ]


def braille_runs(system: System) -> str | None:
    """The sentence for a port that is not there while brltty runs: it may have taken it."""
    for number, words in _processes(system):
        if Path(words[0]).name == "brltty":
            return (
                f"brltty (process {number}) takes USB adapters away for Braille displays: "
                "apt-get remove brltty, then plug the adapter in again"
            )
    return None


def _console(name: str, system: System) -> Iterator[str]:
    line = _said(system.proc / "cmdline")
    if any(word.split(",")[0] == f"console={name}" for word in line.split()):
        yield (
            f"the kernel writes its messages to {name} (console= in /proc/cmdline): take it out "
            "of the boot loader's settings and restart"
        )


def _logins(name: str, system: System) -> Iterator[str]:
    for number, words in _processes(system):
        program = Path(words[0].lstrip("-")).name
        if program.endswith("getty") and name in (Path(word).name for word in words[1:]):
            yield (
                f"{program} (process {number}) offers a login on {name}: "
                f"systemctl disable --now serial-getty@{name}"
            )


def _braille(name: str, system: System) -> Iterator[str]:
    taken = any(one.tty == name and one.identity in BRAILLE for one in adapters(system))
    running = braille_runs(system) if taken else None
    if running:
        yield running


def _holders(device: Path, system: System) -> Iterator[str]:
    """Programs that have the port open; those of other users only root can see."""
    if device.parent == Path("/dev/pts"):  # whoever made a pty keeps its other end open
        return
    for number, words in _processes(system):
        try:
            held = [link.readlink() for link in (system.proc / str(number) / "fd").iterdir()]
        except OSError:  # gone, or not ours to see
            continue
        if device in held:
            yield f"{Path(words[0]).name} (process {number}) has {device} open: stop it"


def _latency(name: str, system: System) -> Iterator[str]:
    said = _said(system.sys / "class" / "tty" / name / "device" / "latency_timer")
    if said.isdigit() and int(said) > 1:
        yield (
            f"latency_timer of {name} is {said} ms, and every reply may be so late: write the line "
            f"{LATENCY_RULE} into {LATENCY_FILE} and plug the adapter in again"
        )


def _processes(system: System) -> Iterator[tuple[int, list[str]]]:
    """Number and words of every process that has a command line."""
    for folder in system.proc.iterdir():
        if folder.name.isdigit():
            words = _said(folder / "cmdline").split("\0")
            if words[0]:
                yield int(folder.name), words


def _said(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
