"""The node's line to the hub over MQTT 5.

Two threads: paho's own moves bytes (edge/mqtt/session.py), and "link" connects, decides
(edge/mqtt/delivery.py) and publishes. Callbacks only leave a note; callers only leave a message:
neither ever waits for the network. Rows wait in their source until the hub acknowledges them, so
nothing here needs to survive a crash.
"""

import logging
import random
import threading
import time
from collections import deque
from functools import partial

import msgspec

from edge import settings
from edge.errors import LinkError
from edge.mqtt.delivery import ANSWER_S
from edge.mqtt.feed import Feed, RowSource
from edge.mqtt.message import MAX_BATCH_BYTES, Notice, State
from edge.mqtt.session import PACKET_MARGIN_BYTES, Down, Note, Passed, Session, Up

log = logging.getLogger(__name__)

RECONNECT_S = (1.0, 30.0)  # first and longest pause, doubling, with jitter
GREETING_S = 10.0  # from the TCP connection to the confirmed subscription
TURN_S = 5.0  # the link looks at itself at least this often
STOP_S = 10.0
NOTICES = 64  # previews kept while the broker is slow; the oldest go
LEAST_BATCH_BYTES = 16 * 1024
TOO_LARGE, NO_SUBSCRIBERS, FAILURES = 0x95, 0x10, range(0x80, 0x100)  # MQTT 5 reason codes


class Link:
    """One node's connection to its hub. Every method returns at once, save `close`."""

    def __init__(
        self,
        node: settings.Node,
        hub: settings.Hub,
        source: RowSource,
        answer_s: float = ANSWER_S,
        reconnect_s: tuple[float, float] = RECONNECT_S,
    ) -> None:
        """Prepare; `start` connects."""
        self._node, self._hub, self._source = node, hub, source
        self._reconnect_s = reconnect_s
        self._where = f"{hub.broker_host}:{hub.broker_port}"
        self._feed = Feed(source, answer_s)
        self._max_bytes = MAX_BATCH_BYTES
        self._cut_batches = 0  # connections lost in a row with a batch under way
        self._session: Session | None = None
        self._sessions = 0
        self._online = False
        self._random = random.Random()  # jitter
        self._failures = 0  # attempts to connect since the last success
        self._due_s = time.monotonic()  # next attempt; or, while connecting, when to give up
        self._notes: deque[tuple[int, Note]] = deque()  # with the number of their session
        self._state: State | None = None
        self._state_due = False
        self._notices: deque[Notice] = deque(maxlen=NOTICES)
        self._told: dict[str, str | None] = {}  # the last trouble of each kind in the log
        self._news = threading.Event()
        self._rest = threading.Event()  # nothing waits, or nobody is there to take it
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        source.on_rows(self._news.set)

    @property
    def online(self) -> bool:
        """Does the connection stand?"""
        return self._online

    @property
    def fault(self) -> str | None:
        """What keeps rows from moving although the connection stands, in words."""
        return self._feed.delivery.fault

    def start(self) -> None:
        """Connect and send what waits; keep trying for ever."""
        self._thread.start()

    def publish_state(self, state: State) -> None:
        """Have the node's state published, now and at every connect; the newest wins."""
        self._state, self._state_due = state, True
        self._news.set()

    def publish_notice(self, notice: Notice) -> None:
        """Preview a part that is not OK. Dropped without a connection: its row is what counts."""
        if self._online:
            self._notices.append(notice)
            self._news.set()

    def close(self, drain_s: float = 0.0) -> None:
        """Send what waits for up to `drain_s`, say good-bye, disconnect. Safe to call twice."""
        if self._thread.is_alive() and self._online:
            self._rest.clear()
            self._news.set()
            self._rest.wait(drain_s)
        self._stop.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    # -- the link thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn(time.monotonic())
                self._news.wait(self._wait_s(time.monotonic()))
                self._news.clear()
            except Exception:
                log.exception("link to %s: a turn broke off", self._where)
                self._stop.wait(1.0)
        if self._session is not None:
            if self._online:
                last = self._state or self._plain_state(online=False)
                waiting = self._source.waiting
                self._session.goodbye(msgspec.structs.replace(last, online=False, waiting=waiting))
            self._session.discard()
        self._online = False

    def _wait_s(self, now_s: float) -> float:
        if self._online:
            return self._feed.delivery.wait_s(now_s, TURN_S)
        return max(0.0, min(TURN_S, self._due_s - now_s))

    def _turn(self, now_s: float) -> None:
        while self._notes:
            number, note = self._notes.popleft()
            if number == self._sessions:
                self._read_note(note, now_s)
        if self._session is None and now_s >= self._due_s:
            self._connect(now_s)
        elif self._session is not None and self._session.broke_off():
            self._lost("the network thread broke off", now_s)
        elif self._session is not None and not self._online and now_s >= self._due_s:
            self._lost(f"the broker did not greet within {GREETING_S:.0f} s", now_s)
        if self._online and self._session is not None:
            self._send(self._session, now_s)
        if not self._online or self._source.waiting == 0:
            self._rest.set()

    def _connect(self, now_s: float) -> None:
        self._sessions += 1
        note = partial(self._note, self._sessions)
        try:
            self._session = Session(self._node, self._hub, self._plain_state(False), note)
        except LinkError as wrong:
            self._lost(str(wrong), now_s, wrong.hint)
        else:
            self._due_s = time.monotonic() + GREETING_S

    def _lost(self, why: str, now_s: float, hint: str = LinkError.hint) -> None:
        """No connection: try again after a pause that a fleet does not share."""
        self._tell("down", f"down: {why}", logging.WARNING, hint)
        if self._session is not None:
            self._session.discard()
            self._session = None
            self._sessions += 1  # what it may still note is of no interest
        if self._online and self._feed.delivery.phase == "under_way":
            self._cut_batches += 1
            if self._cut_batches == 2:  # perhaps it hangs up over their size
                self._shrink_batches()
        self._online = False
        self._notices.clear()
        self._feed.delivery.offline()
        first_s, longest_s = self._reconnect_s
        pause_s = min(longest_s, first_s * 2 ** min(self._failures, 10))
        self._failures += 1
        self._due_s = now_s + pause_s * self._random.uniform(0.5, 1.5)

    def _read_note(self, note: Note, now_s: float) -> None:
        match note:
            case Up(largest_bytes):
                log.info("link to %s: up, %d rows wait", self._where, self._source.waiting)
                self._told.clear()
                self._failures = 0
                self._max_bytes = min(self._max_bytes, largest_bytes - PACKET_MARGIN_BYTES)
                self._online = self._state_due = True
                self._feed.delivery.online(now_s)
            case Down(why, hint):
                self._lost(why, now_s, hint)
            case Passed(code, told):
                self._passed(code, told)
            case bytes():
                first = self._source.first
                self._feed.read_ack(note, now_s)
                if self._source.first > first:
                    self._cut_batches = 0

    def _passed(self, code: int, told: str) -> None:
        if code == TOO_LARGE:
            self._shrink_batches()
        elif code == NO_SUBSCRIBERS or code in FAILURES:
            self._tell("broker", f"the broker did not pass it on: {told}", logging.WARNING)

    def _send(self, session: Session, now_s: float) -> None:
        try:
            if self._state_due:
                self._state_due = False
                session.publish("state", self._state or self._plain_state(True), 0, retain=True)
            while self._notices:
                session.publish("notice", self._notices.popleft(), qos=0)
            step = self._feed.next_message(now_s, self._max_bytes)
            if step is not None:
                leaf, message = step
                session.publish(leaf, message, qos=1)
        except LinkError as wrong:  # what got lost is asked for again after the hub's silence
            self._tell("send", str(wrong), logging.WARNING)
        if self.fault is not None:
            hint = self._feed.delivery.hint or LinkError.hint
            self._tell("fault", self.fault, logging.ERROR, hint)
        elif self._told.pop("fault", None) is not None:
            log.info("link to %s: rows move again", self._where)

    def _shrink_batches(self) -> None:
        self._cut_batches = 0
        if self._max_bytes > LEAST_BATCH_BYTES:
            self._max_bytes = max(LEAST_BATCH_BYTES, self._max_bytes // 2)
            log.warning("link to %s: batches of %d bytes now", self._where, self._max_bytes)

    def _tell(self, kind: str, trouble: str, level: int, hint: str = LinkError.hint) -> None:
        """Log a trouble once, until another of its kind or a new connection."""
        if self._told.get(kind) != trouble:
            self._told[kind] = trouble
            log.log(level, "link to %s: %s; %s", self._where, trouble, hint)

    def _plain_state(self, online: bool) -> State:
        return State(v=1, online=online, stream=self._source.stream)

    def _note(self, session: int, note: Note) -> None:
        self._notes.append((session, note))
        self._news.set()
