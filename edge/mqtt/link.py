"""The node's line to the hub over MQTT 5: paho lives here and nowhere else on the node.

Two threads: paho's own moves bytes, and "link" connects, decides (edge/mqtt/delivery.py) and
publishes. Callbacks only leave a note; callers only leave a message: neither ever waits for the
network. Rows wait in their source until the hub acknowledges them, so nothing here needs to survive
a crash.
"""

import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge import settings
from edge.errors import LinkError
from edge.mqtt.delivery import ANSWER_S
from edge.mqtt.feed import Feed, RowSource
from edge.mqtt.message import MAX_BATCH_BYTES, Notice, State, Wire, encode, topic

log = logging.getLogger(__name__)

KEEPALIVE_S = 5  # a dead broker is noticed within twice this
RECONNECT_S = (1.0, 30.0)  # first and longest pause, doubling, with jitter
GREETING_S = 10.0  # from the TCP connection to the confirmed subscription
IN_FLIGHT = 4  # messages paho may hold: the outbox is the queue
TURN_S = 5.0  # the link looks at itself at least this often
STOP_S = 10.0
NOTICES = 64  # previews kept while the broker is slow; the oldest go
LEAST_BATCH_BYTES = 16 * 1024
PACKET_MARGIN_BYTES = 1024  # topic and header of a publish
TOO_LARGE, NO_SUBSCRIBERS, FAILURES = 0x95, 0x10, range(0x80, 0x100)  # MQTT 5 reason codes


@dataclass(frozen=True, slots=True)
class _Up:
    """Connected, and subscribed to the hub's answers."""

    largest_bytes: int  # of a packet, as the broker says


@dataclass(frozen=True, slots=True)
class _Down:
    """Not connected any more, or not yet."""

    why: str


@dataclass(frozen=True, slots=True)
class _Passed:
    """The broker has a message: not delivery, but its reason code may explain a silence."""

    reason: ReasonCode


_Note = _Up | _Down | _Passed | bytes  # bytes: an acknowledgement as it came


class _Session:
    """One connection, with a paho client that goes with it.

    A client that lives on would send again what it holds at each reconnect, and a message over
    which the broker hangs up would come for ever.
    """

    def __init__(
        self, node: settings.Node, hub: settings.Hub, will: State, note: Callable[[_Note], None]
    ) -> None:
        """Raises LinkError if nobody answers at the broker's address within 5 s."""
        self._node = node
        self._note = note
        self._largest_bytes = MAX_BATCH_BYTES + PACKET_MARGIN_BYTES
        self._client = client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=node.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(IN_FLIGHT)
        client.max_queued_messages_set(4 * IN_FLIGHT)
        client.will_set(self._topic("state"), encode(will), qos=1, retain=True)
        client.on_socket_open = _send_at_once
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        try:
            client.connect(hub.broker_host, hub.broker_port, KEEPALIVE_S, clean_start=True)
            client.loop_start()
        except (OSError, ValueError) as wrong:
            raise LinkError(str(wrong)) from wrong

    def broke_off(self) -> bool:
        """Did paho's thread end on bytes it cannot read? (It says so only to stderr.)"""
        return self._client.loop_start() == MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish(
        self, leaf: str, message: Wire, qos: int, retain: bool = False
    ) -> paho.MQTTMessageInfo:
        """Hand a message to paho.

        Raises:
            LinkError: it cannot take it now.
        """
        try:
            info = self._client.publish(self._topic(leaf), encode(message), qos, retain)
        except (OSError, ValueError, RuntimeError) as wrong:
            raise LinkError(f"{leaf} was not sent: {wrong}") from wrong
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError(f"{leaf} was not sent: {info.rc.name}")
        return info

    def goodbye(self, state: State) -> None:
        """A clean disconnect drops the last will, so the state is told in so many words."""
        try:
            self.publish("state", state, qos=1, retain=True).wait_for_publish(1.0)
        except (LinkError, ValueError, RuntimeError) as wrong:
            log.warning("no good-bye: %s", wrong)

    def discard(self) -> None:
        """Disconnect. A peer that hangs does not hold this up: its thread ends when it can."""
        self._client.disconnect()
        stopper = threading.Thread(target=self._client.loop_stop, name="link stop", daemon=True)
        stopper.start()
        stopper.join(STOP_S / 5)

    def _topic(self, leaf: str) -> str:
        return topic(self._node.plant, self._node.line, self._node.name, leaf)

    def _on_connect(
        self,
        client: paho.Client,
        _data: Any,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._note(_Down(f"refused: {reason}"))
            return
        self._largest_bytes = getattr(properties, "MaximumPacketSize", self._largest_bytes)
        client.subscribe(self._topic("ack"), qos=1)

    def _on_subscribe(
        self,
        _client: paho.Client,
        _data: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._note(_Down(f"the hub's answers may not be heard: {refused[0]}"))
        else:
            self._note(_Up(self._largest_bytes))

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: Any,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._note(_Down(str(reason)))

    def _on_publish(
        self,
        _client: paho.Client,
        _data: Any,
        _mid: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._note(_Passed(reason))

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._note(bytes(message.payload))


def _send_at_once(_client: paho.Client, _data: Any, wire: Any) -> None:
    """No Nagle: a batch behind a PUBACK would wait 40 ms for the other end's delayed TCP ack."""
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


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
        self._session: _Session | None = None
        self._sessions = 0
        self._online = False
        self._random = random.Random()  # jitter
        self._failures = 0  # attempts to connect since the last success
        self._due_s = time.monotonic()  # next attempt; or, while connecting, when to give up
        self._notes: deque[tuple[int, _Note]] = deque()  # with the number of their session
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
            self._session = _Session(self._node, self._hub, self._plain_state(False), note)
        except LinkError as wrong:
            self._lost(str(wrong), now_s)
        else:
            self._due_s = time.monotonic() + GREETING_S

    def _lost(self, why: str, now_s: float) -> None:
        """No connection: try again after a pause that a fleet does not share."""
        self._tell("down", f"down: {why}", logging.WARNING)
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

    def _read_note(self, note: _Note, now_s: float) -> None:
        match note:
            case _Up(largest_bytes):
                log.info("link to %s: up, %d rows wait", self._where, self._source.waiting)
                self._told.clear()
                self._failures = 0
                self._max_bytes = min(self._max_bytes, largest_bytes - PACKET_MARGIN_BYTES)
                self._online = self._state_due = True
                self._feed.delivery.online(now_s)
            case _Down(why):
                self._lost(why, now_s)
            case _Passed(reason):
                self._passed(reason)
            case bytes():
                first = self._source.first
                self._feed.read_ack(note, now_s)
                if self._source.first > first:
                    self._cut_batches = 0

    def _passed(self, reason: ReasonCode) -> None:
        if reason.value == TOO_LARGE:
            self._shrink_batches()
        elif reason.value == NO_SUBSCRIBERS or reason.value in FAILURES:
            self._tell("broker", f"the broker did not pass it on: {reason}", logging.WARNING)

    def _send(self, session: _Session, now_s: float) -> None:
        try:
            if self._state_due:
                self._state_due = False
                session.publish("state", self._state or self._plain_state(True), 0, retain=True)
            while self._notices:
                session.publish("notice", self._notices.popleft(), qos=0)
            step = self._feed.next_message(now_s, self._max_bytes)
            if step is not None:
                session.publish(*step, qos=1)
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

    def _note(self, session: int, note: _Note) -> None:
        self._notes.append((session, note))
        self._news.set()
