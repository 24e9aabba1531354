"""The contract between node and hub: rows of the ledger and the messages that carry them. No IO.

    qj/1/{plant}/{line}/{node}/parts   node -> hub  Batch: closed rows in order, one under way
                              /birth   node -> hub  Birth: "my stream; the next row I hold is N"
                              /state   node -> hub  State, retained; last will: online = false
                              /notice  node -> hub  Notice: preview of a not-OK part, not counted
                              /ack     hub -> node  Ack: rows below `next` are committed; only
                                                    this deletes rows

Every number in a hashed row is an integer (score 1e-4, box 0.1 px, times ms), so that hashes never
depend on how a language prints a float. A row's bytes are hashed as sent:
`hash = sha256(prev_hash + seq as 8 bytes big-endian + row)`.
"""

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from edge.terms import Cause, Code, Mode, Reason

VERSION = 1
GENESIS = "0" * 64
MAX_BATCH_ROWS = 500
MAX_BATCH_BYTES = 256 * 1024

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding can raise, whatever the bytes are; a RecursionError where they nest too deeply."""

NAME = "[a-z0-9-]{1,32}"
"""Levels of topics, stations, cameras, tags: the whole of the name."""

# \Z, as $ would let a line feed follow
Name = Annotated[str, Meta(pattern=rf"^{NAME}\Z", description="1 to 32 of a-z, 0-9, -")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="64 hex digits")]
StreamId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Text = Annotated[str, Meta(max_length=200)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Millis = Annotated[int, Meta(ge=0, lt=2**53)]
DeciPixel = Annotated[int, Meta(ge=-(2**31), lt=2**31)]
Scaled = Annotated[int, Meta(gt=-(2**53), lt=2**53)]

Clock = Literal["synced", "holdover", "unsynced"]
Trust = Literal["signed", "pinned", "unsigned"]
StateWord = Literal["preoperational", "initialized", "ready", "running", "error", "stopped"]
"""States of a station: words of OPC 40100-1 and PackML."""

LineWord = Literal[
    "undefined", "clearing", "stopped", "starting", "idle", "suspended", "execute", "stopping",
    "aborting", "aborted", "holding", "held", "unholding", "suspending", "unsuspending",
    "resetting", "completing", "complete",
]  # fmt: skip
"""States of a line in the order of their PackML numbers, 0 to 17 (ANSI/ISA-TR88.00.02)."""


class Wire(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Anything on the wire: unknown fields are refused."""


class Mark(Wire, frozen=True, kw_only=True):
    """One detection as stored."""

    label: Text
    score: Annotated[int, Meta(ge=0, le=10_000)]  # 1e-4
    box: tuple[DeciPixel, DeciPixel, DeciPixel, DeciPixel]  # x1 y1 x2 y2, 0.1 px of the frame


class View(Wire, frozen=True, kw_only=True):
    """One camera's frame of a part."""

    camera: Name
    code: Code
    reason: Reason | None = None
    frame: Count | None = None  # frame counter of the source
    exposed_ms: Annotated[int, Meta(ge=-(2**31), lt=2**31)] | None = None  # after the sensor edge
    width: Count | None = None  # px
    height: Count | None = None  # px
    marks: Annotated[tuple[Mark, ...], Meta(max_length=100)] = ()
    picture: Sha256 | None = None  # JPEG of the region, uploaded by HTTP PUT after its row
    thumbnail: Sha256 | None = None  # <= 64 KiB
    source: Text | None = None  # file name, for folder cameras


class Row(Wire, tag_field="kind", frozen=True, kw_only=True):
    """What every ledger row carries. `seq` and `hash` are given at closing and travel beside it."""

    station: Name
    epoch: Count
    at_ms: Millis  # UTC, milliseconds since 1970, as good as `clock` says
    mono_ms: Millis  # monotonic clock of this boot
    boot: StreamId
    clock: Clock


class PartRow(Row, tag="part", frozen=True, kw_only=True):
    """One judged part: `code` was settled with the PLC, `computed` is what the detector said."""

    number: Count
    code: Code
    reason: Reason | None = None
    computed: Code
    computed_reason: Reason | None = None
    defect: Text | None = None  # class of the deciding detection
    score: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    mode: Mode
    recipe: Text
    model: Sha256 | None = None
    trust: Trust
    product: Text | None = None  # None = unknown
    batch: Text | None = None
    serial: Text | None = None
    inspect_ms: Millis | None = None  # first frame to verdict
    latency_ms: Millis | None = None  # sensor edge to the echo seen
    views: Annotated[tuple[View, ...], Meta(max_length=16)] = ()


class MissedRow(Row, tag="missed", frozen=True, kw_only=True):
    """Parts the PLC counted and nobody judged: numbers first..last, both included."""

    first: Count
    last: Count
    cause: Cause


class BypassedRow(Row, tag="bypassed", frozen=True, kw_only=True):
    """Parts passed uninspected by the PLC's key switch: numbers first..last, both included."""

    first: Count
    last: Count


class EpochRow(Row, tag="epoch", frozen=True, kw_only=True):
    """A new run of the PLC's counter: parts base+1, base+2, ... What came before is unknown."""

    base: Count
    plc_start: Count
    cause: Literal["first_contact", "plc_restart", "step_back", "jump", "self_counted"]
    counted_by: Literal["plc", "self"]


class CounterRow(Row, tag="counter", frozen=True, kw_only=True):
    """One sample of the PLC's own counters; the only source of `triggers`.

    `open` counts triggers not settled when this row got its sequence, so that at this row
    triggers = ok + ng + undecided + missed + bypassed + open holds for the epoch.
    """

    counter: Count  # unwrapped part counter; triggers = counter - base
    open: Count
    good: Count | None = None  # second law, where the line has the sensors
    rejected: Count | None = None
    reject_confirmed: Count | None = None
    bypassed: Count | None = None
    reject_faults: Count | None = None


class StateRow(Row, tag="state", frozen=True, kw_only=True):
    """The station changed state (words of OPC 40100-1 and PackML)."""

    state: StateWord
    mode: Mode
    cause: Text | None = None


class AlertRow(Row, tag="alert", frozen=True, kw_only=True):
    """One cause = one alert: raised, counted up, cleared. `code` names the card of what to do."""

    code: Text
    active: bool
    count: Count
    detail: Text | None = None


class TagRow(Row, tag="tag", frozen=True, kw_only=True):
    """One figure of the line, as its PLC or meter tells it: value x 10 ** exponent, in `unit`.

    `station` is the station or the slave it was read from; tags belong to no epoch, so that is 0.
    """

    name: Name
    title: Annotated[str, Meta(max_length=40)] | None = None  # what people call it
    value: Scaled | None  # None = it could not be read
    exponent: Annotated[int, Meta(ge=-9, le=9)]
    unit: Annotated[str, Meta(max_length=16)]
    counts: bool  # it only goes up: what matters is its growth
    word: Annotated[str, Meta(max_length=40)] | None = None  # what people call this value
    fault: Text | None = None  # why there is no value


class LineRow(Row, tag="line", frozen=True, kw_only=True):
    """The line itself runs or stands, by its PLC; of no epoch, like a tag."""

    state: LineWord
    cause: Count | None = None  # the PLC's number for why it stands
    word: Annotated[str, Meta(max_length=40)] | None = None  # what people call that cause


class EvictionRow(Row, tag="eviction", frozen=True, kw_only=True):
    """A picture was deleted; counts never are.

    age: as the oldest of its class, to make place for newer ones. space: the cap was passed or the
    disk was short of room, or the file was lost.
    """

    picture: Sha256
    bytes: Count
    cause: Literal["age", "space"]


class SealRow(Row, tag="seal", frozen=True, kw_only=True):
    """The head of the node's chain when the UTC day `day` began for it, signed if it can sign.

    Who keeps a seal can show later that no row up to it was changed, left out or added since. It is
    of the whole node: `station` is the node's name and `epoch` 0. Signed is `seal_content`, by
    ECDSA over sha256 with the key of `certificate`.
    """

    day: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
    stream: StreamId
    sealed: Count  # sequence of the row whose hash is `head`; 0 = before the first row
    head: Sha256
    certificate: Annotated[str, Meta(max_length=8192)] | None = None  # PEM; None = unsigned
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{16,200}\Z")] | None = None  # DER, hex


AnyRow = (
    PartRow
    | MissedRow
    | BypassedRow
    | EpochRow
    | CounterRow
    | StateRow
    | AlertRow
    | TagRow
    | LineRow
    | EvictionRow
    | SealRow
)


class Entry(Wire, frozen=True, kw_only=True):
    """One row in a batch: its bytes exactly as hashed, and its hash."""

    hash: Sha256
    row: Raw


class Sent(Wire, frozen=True, kw_only=True):
    """What a node sends."""

    v: Literal[1]
    node: Name | None = None  # who sends it; another one than the topic's is refused


class Batch(Sent, frozen=True, kw_only=True):
    """Rows first, first+1, ... of one stream; `prev` is the hash of row first-1, or GENESIS."""

    stream: StreamId
    first: Annotated[int, Meta(ge=1, lt=2**53)]
    prev: Sha256
    rows: Annotated[list[Entry], Meta(min_length=1, max_length=MAX_BATCH_ROWS)]


class RowMark(Wire, frozen=True, kw_only=True):
    """One row of a stream, by its hash."""

    seq: Annotated[int, Meta(ge=1, lt=2**53)]
    hash: Sha256


class Birth(Sent, frozen=True, kw_only=True):
    """Sent at every connect: the hub answers with an Ack, and the node resends from there.

    A ledger whose disk was restored or copied branches off: its new stream `follows` the old one,
    whose rows below `begins` are its past. Sequences and hash chain run on through the branch.
    """

    stream: StreamId
    next: Annotated[int, Meta(ge=1, lt=2**53)]  # lowest sequence the node still holds or will write
    head: Annotated[int, Meta(ge=1, lt=2**53)]  # sequence the next closed row will get
    software: Text
    follows: StreamId | None = None
    begins: Annotated[int, Meta(ge=1, lt=2**53)] = 1  # first sequence of this stream
    mark: RowMark | None = None  # a row the hub is to compare with its own; mostly head - 1


class Compared(Wire, frozen=True, kw_only=True):
    """Whether the hub has the row of a birth's `mark` as the node has it. True for ever.

    `hash` is the mark's own: two nodes that run from copies of one disk hear each other's answers.
    """

    seq: Annotated[int, Meta(ge=1, lt=2**53)]
    hash: Sha256
    same: bool


class Ack(Wire, frozen=True, kw_only=True):
    """Every row of `stream` below `next` is committed at the hub."""

    v: Literal[1]
    stream: StreamId
    next: Annotated[int, Meta(ge=1, lt=2**53)]
    hash: Sha256 | None = None  # of row next-1 as the hub has it; a node with another deletes none
    refused: Text | None = None  # why the last batch was not taken, in words
    compared: Compared | None = None  # in answer to a birth, for a row below `next`


FaultWord = Literal[
    "starting",
    "camera",
    "ledger",
    "detector",
    "overdue",
    "plc",
    "recipe",
    "setup",
    "change_over",
]
"""Why a station judges no parts: screens say it in their language."""


class StationState(Wire, frozen=True, kw_only=True):
    """One station as it is now, for screens; never counted."""

    station: Name
    state: StateWord
    mode: Mode
    epoch: Count
    triggers: Count
    recipe: Text
    trust: Trust
    fault: Text | None = None  # for logs
    fault_word: FaultWord | None = None
    fault_about: Text = ""  # the camera's name, the recipe's number


class State(Sent, frozen=True, kw_only=True):
    """The node as it is now (retained). The last will is the same with online = false."""

    online: bool
    stream: StreamId | None = None
    waiting: Count = 0  # rows not yet acknowledged
    at_ms: Millis = 0
    stations: Annotated[tuple[StationState, ...], Meta(max_length=64)] = ()


class Notice(Sent, frozen=True, kw_only=True):
    """Preview of a not-OK part, sent before its row is acknowledged; never counted."""

    station: Name
    epoch: Count
    number: Count
    code: Code
    reason: Reason | None = None
    defect: Text | None = None
    at_ms: Millis


def topic(plant: str, line: str, node: str, leaf: str) -> str:
    """qj/1/{plant}/{line}/{node}/{leaf}; the levels have been validated as `Name`."""
    return f"qj/{VERSION}/{plant}/{line}/{node}/{leaf}"


def chain(prev: str, seq: int, row: bytes) -> str:
    """Hash of row `seq` (hex), given the hash of row seq-1 and the row's bytes."""
    return hashlib.sha256(bytes.fromhex(prev) + seq.to_bytes(8, "big") + row).hexdigest()


def seal_content(node: str, day: str, stream: str, sealed: int, head: str) -> bytes:
    """The bytes that a seal signs."""
    return f"qj-seal-1 {node} {day} {stream} {sealed} {head}".encode()


_rows: msgspec.json.Decoder[AnyRow] = msgspec.json.Decoder(AnyRow)
_batches = msgspec.json.Decoder(Batch)


def encode(message: Wire) -> bytes:
    """Any message or row as canonical JSON: fields in the order of the class, no spaces."""
    return msgspec.json.encode(message)


def decode_row(data: bytes | Raw) -> AnyRow:
    """Strictly decode one row.

    Raises:
        UNREADABLE: with what was expected and where.
    """
    return _rows.decode(data)


def decode_batch(data: bytes) -> Batch:
    """Strictly decode a batch; its rows stay bytes, so that one bad row spoils only itself.

    Raises:
        UNREADABLE: with what was expected and where; also for a row that is nested too deeply.
    """
    return _batches.decode(data)
