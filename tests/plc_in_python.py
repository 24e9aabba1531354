"""docs/plc/station.st once more, in Python and floating point: what the structured text is held to.

A pure scan: images of inputs and of the registers the node wrote in, images of outputs out, time
passed in. Nothing of the node's own code is used, so that a mistake there meets another opinion.

    count    photo-eye breaks  -> part counter + 1, mode and recipe latched, encoder place kept
    take     word div 16 = number mod 4096, the part is between camera and gate, and has no
             verdict yet       -> taken once, echoed; a mismatch is a torn read and waits
    decide   gate eye breaks   -> the tracked part whose window this is; OK opens the gate
    confirm  a bin's sensor    -> as ordered, or reject fault and line stop

Everything not proved is rejected: the gate without power points to the reject bin. What tracking
cannot explain (a part too many, a part missing) makes every part between camera and gate doubtful.
"""

from dataclasses import dataclass, field

from edge.plc.images import (
    Counted,
    EyeEdge,
    Inputs,
    Outputs,
    Record,
    Refused,
    Settled,
    Taken,
    Why,
    WhyNot,
)
from edge.plc.program import Site
from edge.terms import MAP_VERSION, Code, Mode
from tests.beam_in_python import Beam

# Control bits, register 0 of the PLC's block.
ENABLE, LINE_RUNNING, RESET, BYPASS, MONITOR, SAMPLE_PART, REJECT_FAULT = (1 << n for n in range(7))

# Status bits, register 0 of the node's block, as far as the program acts on them.
TRIGGER_READY = 1 << 1
STOP_REQUEST = 1 << 6

_LENGTH_SHARE = 0.12  # a part longer or shorter by this share is not one part
_OPEN_EARLY_MM = 30.0  # for the gate's cylinder and one scan

_MODE_BITS = {
    Mode.AUTO: 0,
    Mode.MONITOR: MONITOR,
    Mode.BYPASS: BYPASS,
    Mode.SAMPLE: SAMPLE_PART,
}


@dataclass(slots=True)
class _Tracked:
    number: int
    edge_s: float
    rising_mm: float
    mode: Mode
    ready: bool
    before: tuple[int, int]  # result that already lay there: of another part, whatever it says
    length_mm: float | None = None
    word: int | None = None
    doubtful: bool = False


@dataclass(slots=True)
class _Expected:
    """A part the gate has dealt with, until a bin's sensor has seen it."""

    passes: bool | None  # None: the gate moved while it was there, either bin is right
    gate_mm: float  # encoder place at which it is in the gate
    opening: tuple[float, float] | None
    until_s: float | None = None


@dataclass(slots=True)
class _Counters:
    good: int = 0
    rejected: int = 0
    reject_confirmed: int = 0
    bypassed: int = 0
    reject_faults: int = 0


@dataclass(slots=True)
class Program:
    """One station's program from power-up on; only `start_number` is retentive."""

    site: Site
    start_number: int
    counter: int = 0
    counts: _Counters = field(default_factory=_Counters)
    reject_fault: bool = False
    _tracked: list[_Tracked] = field(default_factory=list)
    _expected: list[_Expected] = field(default_factory=list)
    _openings: list[tuple[float, float]] = field(default_factory=list)  # encoder from, to
    _records: list[Record] = field(default_factory=list)
    _eye: Beam = field(init=False)
    _gate_eye: Beam = field(init=False)
    _first_s: float | None = None
    _own_from_mm: float = 0.0  # parts before this place were on the belt at power-up
    _beats: int = 0
    _ready: bool = False
    _node_beat: int | None = None
    _node_changed_s: float | None = None
    _heard_s: float = 0.0  # last change, or the first scan
    _edge_s: float | None = None
    _recipe: int = 0
    _mode: Mode = Mode.AUTO
    _taken: tuple[int, int] = (0, 0)
    _refused: tuple[int, int] = (0, 0)
    _sample_next: bool = False
    _sample_before: bool = False
    _reset_before: bool = False
    _reset_until_s: float = float("-inf")
    _stop_asked: bool = False  # in the scan before
    _missing: int = 0  # parts that did not come since the last arrival
    _doubtful_then: frozenset[int] = frozenset()  # numbers, before the last of them was missed
    _stopped: bool = False  # a stop that the node asked for, until a person presses reset

    def __post_init__(self) -> None:
        self._eye = Beam(self.site.debounce_mm)
        self._gate_eye = Beam(self.site.debounce_mm)

    def scan(self, inputs: Inputs, now_s: float) -> Outputs:
        """One scan at `now_s` of the PLC's own clock."""
        self._records = []
        self._watch_node(inputs, now_s)
        self._press_buttons(inputs, now_s)
        self._eye.scans += 1
        self._gate_eye.scans += 1
        for edge in inputs.eye:
            self._at_eye(edge, inputs)
        self._take(inputs.node[8], inputs.node[9], now_s)
        for edge in inputs.gate_eye:
            self._at_gate_eye(edge, now_s)
        self._drop_lost(inputs.encoder_mm)
        self._missing = self._missing if self._tracked else 0
        self._confirm(inputs, now_s)
        highest_mm = max(self._eye.highest_mm, inputs.encoder_mm)
        self._eye.highest_mm = self._gate_eye.highest_mm = highest_mm
        return self._outputs(inputs, now_s)

    @property
    def in_flight(self) -> int:
        """Parts between camera and gate, and parts no bin's sensor has seen yet."""
        return len(self._tracked) + len(self._expected)

    def _watch_node(self, inputs: Inputs, now_s: float) -> None:
        if self._first_s is None:
            self._first_s = self._heard_s = now_s
            site = self.site
            self._own_from_mm = inputs.encoder_mm + site.eye_to_gate_eye_mm - site.window_mm
            self._recipe = inputs.recipe
        self._ready = bool(inputs.node[0] & TRIGGER_READY)
        beat = inputs.node[1]
        if self._node_beat is not None and beat != self._node_beat:
            self._node_changed_s = self._heard_s = now_s
        self._node_beat = beat

    def _alive(self, now_s: float) -> bool:
        """The node's heartbeat moves. The first second after power-up never counts as alive: a
        result of the PLC's run before may still be on the wire."""
        site = self.site
        powered_s = now_s - (now_s if self._first_s is None else self._first_s)
        changed_s = self._node_changed_s
        heard = changed_s is not None and now_s - changed_s <= site.heartbeat_s
        return heard and powered_s >= site.heartbeat_s

    def _press_buttons(self, inputs: Inputs, now_s: float) -> None:
        if inputs.sample_button and not self._sample_before:
            self._sample_next = True
        self._sample_before = inputs.sample_button
        asked, before = bool(inputs.node[0] & STOP_REQUEST), self._stop_asked
        self._stopped, self._stop_asked = self._stopped or (asked and not before), asked
        pressed = inputs.reset_button and not self._reset_before
        self._reset_before = inputs.reset_button
        if pressed:
            self._reset_until_s = now_s + 0.5  # long enough for the node to see it
            self.reject_fault = self._stopped = False
            self._expected.clear()

    def _at_eye(self, edge: EyeEdge, inputs: Inputs) -> None:
        accepted = self._eye.accept(edge)
        if self._eye.stood or (accepted and not edge.rising):
            length_mm = 0.0 if self._eye.stood else edge.encoder_mm - self._eye.rising_mm
            if self._tracked:
                self._tracked[-1].length_mm = length_mm
            self._suspect(length_mm)
        if not (accepted and edge.rising):
            return
        self.counter = (self.counter + 1) & 0xFFFFFFFF
        if self._sample_next:
            self._mode, self._sample_next = Mode.SAMPLE, False
        elif inputs.bypass_key:
            self._mode = Mode.BYPASS
        else:
            self._mode = Mode.MONITOR if inputs.monitor_key else Mode.AUTO
        self._edge_s, self._recipe = edge.at_s, inputs.recipe
        before = (inputs.node[8], inputs.node[9])
        part = _Tracked(self.counter, edge.at_s, edge.encoder_mm, self._mode, self._ready, before)
        self._tracked.append(part)
        self._records.append(Counted(part.number, edge.at_s, self._mode))

    def _take(self, number: int, word: int, now_s: float) -> None:
        if word % 16 == Code.UNDEFINED or word // 16 != number % 4096:
            return  # nothing there, or read between two writes
        if not self._alive(now_s):
            self._refused = (number, word)  # old news when the node is back
            return
        part = next((p for p in self._tracked if p.number & 0xFFFF == number), None)
        if part is None:
            ahead = (number - self.counter) & 0xFFFF
            self._refuse(number, word, "never_triggered" if 0 < ahead < 0x8000 else "gone")
        elif part.before == (number, word):
            return
        elif part.word == word:
            self._taken = (number, word)
        elif part.word is not None:
            self._refuse(number, word, "conflict")
        elif not part.ready or part.mode is Mode.BYPASS:
            self._refuse(number, word, "not_ready")
        else:
            part.word = word
            self._taken = (number, word)
            self._records.append(Taken(part.number, word, now_s))

    def _refuse(self, number: int, word: int, why: WhyNot) -> None:
        if (number, word) not in (self._refused, self._taken):
            self._refused = (number, word)
            self._records.append(Refused(number, word, why))

    def _at_gate_eye(self, edge: EyeEdge, now_s: float) -> None:
        accepted = self._gate_eye.accept(edge)
        if self._gate_eye.stood:
            self._suspect(0.0)
        elif accepted and not edge.rising:
            self._suspect(edge.encoder_mm - self._gate_eye.rising_mm)
        if not (accepted and edge.rising):
            return
        site = self.site
        self._drop_lost(edge.encoder_mm)
        way_mm = edge.encoder_mm - site.eye_to_gate_eye_mm
        part = next((p for p in self._tracked if abs(way_mm - p.rising_mm) <= site.window_mm), None)
        passes, opening = False, None
        why: Why = "unexplained"
        if part is None:
            if self._missing == 1:
                self._found_again()
            elif edge.encoder_mm >= self._own_from_mm:
                self._doubt()
            self._shut()
        else:
            passes, why = self._decide(part, now_s)
            self._tracked.remove(part)
        self._missing = 0
        if passes:
            # Open just before the plate's front is there, when one touching it is past the middle,
            # until its end is through, when one touching it is not yet halfway.
            start_mm = edge.encoder_mm + site.gate_eye_to_gate_mm - _OPEN_EARLY_MM
            end_mm = edge.encoder_mm + site.gate_eye_to_gate_mm + site.part_mm
            self._openings.append(opening := (start_mm, end_mm))
            self.counts.bypassed += why == "bypass"
        else:
            self.counts.rejected += 1
        gate_mm = edge.encoder_mm + site.gate_eye_to_gate_mm + site.part_mm / 2
        self._expected.append(_Expected(passes, gate_mm, opening))
        number = None if part is None else part.number
        self._records.append(Settled(number, "pass" if passes else "reject", why))

    def _decide(self, part: _Tracked, now_s: float) -> tuple[bool, Why]:
        """Pass it? Only for a reason; everything else is rejected."""
        length_mm = part.length_mm or 0.0
        if part.doubtful:
            return False, "tracking"
        if abs(length_mm - self.site.part_mm) > _LENGTH_SHARE * self.site.part_mm:
            return False, "length"
        if part.mode is Mode.SAMPLE:
            return False, "sample"
        if part.mode is Mode.BYPASS:
            return True, "bypass"
        if part.mode is Mode.MONITOR:
            return True, "monitor"
        if not self._alive(now_s):
            return False, "heartbeat"
        if part.word is None:
            return False, "no_verdict" if part.ready else "not_ready"
        code = part.word % 16
        if code == Code.OK:
            return True, "ok"
        return False, "ng" if code == Code.NG else "undecided"

    def _doubt(self) -> None:
        self.counts.reject_faults += 1
        for part in self._tracked:
            part.doubtful = True

    def _found_again(self) -> None:
        """The one part that did not come has come late: those behind it are in their places."""
        self.counts.reject_faults += 1
        for part in self._tracked:
            part.doubtful = part.number in self._doubtful_then

    def _suspect(self, length_mm: float) -> None:
        """A part too short means an encoder that slipped: no place on the belt is sure."""
        if length_mm < (1 - _LENGTH_SHARE) * self.site.part_mm:
            self._missing = 0
            self._doubt()
            self._shut()

    def _shut(self) -> None:
        """A stranger is at the gate: shut it, even on a part that may pass. A slipping encoder
        would hold it open for the stranger too."""
        self._openings.clear()
        for expected in self._expected:
            if expected.passes:
                expected.passes = None

    def _drop_lost(self, encoder_mm: float) -> None:
        """Parts that did not come to the gate eye; whoever comes later may be anyone."""
        late_mm = encoder_mm - self.site.eye_to_gate_eye_mm - self.site.window_mm
        while self._tracked and self._tracked[0].rising_mm < late_mm:
            lost = self._tracked.pop(0)
            self._records.append(Settled(lost.number, "lost", "lost"))
            self._missing += 1
            self._doubtful_then = frozenset(p.number for p in self._tracked if p.doubtful)
            self._doubt()

    def _confirm(self, inputs: Inputs, now_s: float) -> None:
        counts = self.counts
        for expected in self._expected:
            if expected.until_s is None and inputs.encoder_mm >= expected.gate_mm:
                expected.until_s = now_s + self.site.confirm_s
        for _ in range(inputs.good_pulses):
            counts.good += 1
            if not self._next_expected(passes=True):
                self._fail()
        for _ in range(inputs.reject_pulses):
            counts.reject_confirmed += 1  # one too many is safe: plates that touched, one pulse
            if self._in_gate() and not self._next_expected(passes=False):
                self._fail()
        while self._expected and (self._expected[0].until_s or now_s) < now_s:
            self._expected.pop(0)
            self._fail()
        if inputs.bin_full and not self.reject_fault:
            self._fail()

    def _next_expected(self, passes: bool) -> bool:
        """Take the oldest part that has been in the gate; is this what it was told?"""
        if not self._in_gate():
            return False
        part = self._expected.pop(0)  # through the gate: shut behind it, the belt may run back
        self._openings = [o for o in self._openings if o != part.opening]
        return part.passes in (passes, None)

    def _in_gate(self) -> bool:
        return bool(self._expected) and self._expected[0].until_s is not None

    def _fail(self) -> None:
        self.counts.reject_faults += 1
        self.reject_fault = True

    def _outputs(self, inputs: Inputs, now_s: float) -> Outputs:
        self._beats = (self._beats + 1) & 0xFFFF
        self._openings = [o for o in self._openings if inputs.encoder_mm <= o[1]]
        stop_s = self.site.stop_after_s
        silent = stop_s is not None and now_s - self._heard_s > stop_s
        run = not (self.reject_fault or silent or self._stopped or self._stop_asked)
        control = ENABLE | _MODE_BITS[self._mode]
        control |= LINE_RUNNING * run | REJECT_FAULT * self.reject_fault
        control |= RESET * (now_s < self._reset_until_s)
        age_ms = 0xFFFF
        if self._edge_s is not None:
            age_ms = min(0xFFFF, max(0, int((now_s - self._edge_s) * 1000)))
        block = (
            control, self.counter & 0xFFFF, self._recipe, age_ms,
            self.counter & 0xFFFF, self.counter >> 16, self._beats, MAP_VERSION,
            *self._taken, self.start_number & 0xFFFF, inputs.recipe,
        )  # fmt: skip
        c = self.counts
        totals = (c.good, c.rejected, c.reject_confirmed, c.bypassed, c.reject_faults)
        words = tuple(word for n in totals for word in (n & 0xFFFF, n >> 16 & 0xFFFF))
        gate_pass = any(start <= inputs.encoder_mm <= end for start, end in self._openings)
        return Outputs(block, words, gate_pass, run, tuple(self._records))
