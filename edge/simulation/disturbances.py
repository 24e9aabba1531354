"""What goes wrong on the simulated line, on request: by chance per part, or at a second.

    --misbehave touching=0.02      2 % of the parts touch the one before
    --at 20:slip=40                20 s after the start the first part behind the camera slips 40 mm
    --drift lamp=-0.0005           every part finds the lamp a little darker

The same words do both. Pure: chance comes from a seeded generator, time is passed in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from edge.errors import OPTIONS_HINT, SettingsError

BY_CHANCE = {
    "touching": "the next part touches the one before: one pulse for two",
    "removed": "a hand takes a part away between camera and gate",
    "added": "a hand puts a part on the belt between camera and gate",
    "slip": "a part slides back on the belt by VALUE mm (default: 30 to 70)",
    "encoder_slip": "the encoder's wheel slips for VALUE mm (default: 60; negative: counts twice)",
    "bounce": "the photo-eye bounces: two pulses, the camera fires twice",
    "reverse": "the belt runs back for VALUE seconds (default: 0.8)",
}
"""Disturbances with a rate per part (--misbehave) or at a second (--at)."""

AT_ONCE = {
    "defective": "the next part is defective (by chance: --defect-rate)",
    "speed": "the belt's speed ramps to VALUE times the nominal one",
    "dead_pusher": "the gate's cylinder dies: everything goes to the good bin, until repair",
    "no_air": "the gate has no air: everything goes to the reject bin, until repair",
    "offset": "the gate acts VALUE mm of belt late (default: one part), until repair",
    "full_bin": "the reject bin takes VALUE more parts (default: 0), until repair",
    "repair": "the mechanic repairs gate and bin and presses reset",
    "bypass": "key switch, VALUE 1 or 0",
    "monitor": "key switch, VALUE 1 or 0",
    "sample": "the next part is a golden sample",
    "recipe": "the PLC asks for recipe VALUE from the next part on",
    "part": "one part more enters, at least its pitch behind the one before",
    "jog": "the belt in jog, VALUE 1 or 0: it moves, but LineRunning is off",
    "reset": "somebody presses reset",
    "power_cycle": "the PLC loses power for a moment: new start number, tracking empty",
    "unplug": "the PLC's serial cable is out (VALUE 0: in again)",
    "frozen": "the camera repeats its last picture (VALUE 0: it works again)",
    "lamp": "brightness, 1 = new",
    "defocus": "sigma of the blur, px",
    "dirt": "of the front glass, 0..1",
    "noise": "sigma of the sensor's noise, grey values",
    "shift": "the camera was knocked by VALUE px",
    "new_kind": "half of the defective parts have a defect the model never saw",
}
"""What only a second can be given for (--at); the optics' words also drift (--drift)."""

OPTICS = ("lamp", "defocus", "dirt", "noise", "shift")


@dataclass(frozen=True, slots=True)
class Happening:
    """One disturbance, now. `value` None: its default."""

    kind: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A disturbance at a second after the feed's start."""

    at_s: float
    happening: Happening


@dataclass(frozen=True, slots=True)
class Disturbances:
    """Rates per part, 0..1, and a schedule."""

    touching: float = 0.0
    removed: float = 0.0
    added: float = 0.0
    slip: float = 0.0
    encoder_slip: float = 0.0
    bounce: float = 0.0
    reverse: float = 0.0
    schedule: tuple[Scheduled, ...] = ()

    def drawn(self, rng: np.random.Generator) -> list[Happening]:
        """What chance brings with one part."""
        rates = [f.name for f in fields(self) if f.name != "schedule"]
        return [Happening(kind) for kind in rates if rng.random() < getattr(self, kind)]

    def between(self, after_s: float, until_s: float) -> list[Happening]:
        """What is scheduled in (after_s, until_s], in order."""
        due = (s for s in self.schedule if after_s < s.at_s <= until_s)
        return [s.happening for s in sorted(due, key=lambda s: s.at_s)]


def parse(rates: Iterable[str], schedule: Iterable[str]) -> Disturbances:
    """From the command line's words: `touching=0.02` and `20:slip=40`.

    Raises:
        SettingsError: with every word that is not understood.
    """
    problems: list[str] = []
    found = {}
    for word in rates:
        kind, _, text = word.partition("=")
        rate = _number(text)
        if kind not in BY_CHANCE or rate is None or not 0 <= rate <= 1:
            names = ", ".join(BY_CHANCE)
            problems.append(f"--misbehave {word}: expected KIND=RATE, 0 to 1, of {names}")
        else:
            found[kind] = rate
    plan = []
    for word in schedule:
        second, _, rest = word.partition(":")
        kind, equals, text = rest.partition("=")
        at_s, value = _number(second), _number(text)
        known = kind in BY_CHANCE or kind in AT_ONCE
        if at_s is None or at_s < 0 or not known or (equals and value is None):
            names = ", ".join((*BY_CHANCE, *AT_ONCE))
            problems.append(f"--at {word}: expected SECONDS:KIND[=VALUE] of {names}")
        else:
            plan.append(Scheduled(at_s, Happening(kind, value)))
    if problems:
        raise SettingsError("simulate", problems, OPTIONS_HINT)
    return Disturbances(**found, schedule=tuple(plan))


def parse_drift(words: Sequence[str]) -> dict[str, float]:
    """Change per part of the optics' words: `lamp=-0.001`.

    Raises:
        SettingsError: with every word that is not understood.
    """
    problems, drift = [], {}
    for word in words:
        kind, _, text = word.partition("=")
        change = _number(text)
        if kind not in OPTICS or change is None:
            problems.append(f"--drift {word}: expected KIND=CHANGE per part of {', '.join(OPTICS)}")
        else:
            drift[kind] = change
    if problems:
        raise SettingsError("simulate", problems, OPTIONS_HINT)
    return drift


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
