"""quanjian-hub ingest: takes what nodes publish into the store, and acknowledges after the commit.

Any number may run; none keeps anything. A lost database is tried again with the same message, so
nothing is acknowledged that was not committed. Batches of several nodes that wait together share
a transaction. A message that cannot be used is counted, kept aside and never stops the others; one
row that the database refuses goes to quarantine by itself.
"""

import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from edge.mqtt.message import (
    MAX_BATCH_BYTES,
    UNREADABLE,
    Ack,
    Batch,
    Birth,
    Notice,
    Sent,
    State,
    decode_batch,
    encode,
    topic,
)
from hub.broker.link import Link, Message
from hub.errors import RegistryError, StatementError, StoreError
from hub.intake import Place
from hub.notify import notify
from hub.settings import Settings
from hub.store import rows, session
from hub.tellings import Tellings

log = logging.getLogger(__name__)

_births = msgspec.json.Decoder(Birth)
_states = msgspec.json.Decoder(State)
_notices = msgspec.json.Decoder(Notice)

_STREAM = re.compile(rb'"stream":\s*"([0-9a-f]{32})"')  # told without reading all the rest
_REPORT_S = 60.0
_LONGEST_PAUSE_S = 5.0
_TOGETHER = 16
_TOGETHER_BYTES = 2 * MAX_BATCH_BYTES
"""Batches that share a transaction, at most: they wait for each other's answers."""
_JITTER = random.Random()


class Ingest:
    """One worker: one connection to the broker, one to the database, one thread."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._link = Link(settings.broker)
        self._database: session.Connection | None = None
        self._held: Message | None = None  # taken off the queue, next in line
        self._tellings = Tellings()
        self.connected = self._link.connected
        self.counts: Counter[str] = Counter()  # messages, rows, parts, duplicates, ... so far

    @property
    def waiting(self) -> int:
        """Messages that came and were not taken yet."""
        return self._link.waiting + (self._held is not None)

    def run(self) -> None:
        """Work until `stop` is set, then finish what was already received.

        Without a database nothing can be finished: the rest stays with the nodes, unacknowledged.

        Raises:
            BrokerError: the settings of the broker cannot be used.
        """
        report_at = time.monotonic() + _REPORT_S
        with self._link:
            notify("READY=1")
            while not self._stop.is_set() or self.waiting:
                messages = self._next()
                if messages and not self._survive(messages):
                    break
                self._tell(time.monotonic())
                notify("WATCHDOG=1")
                if time.monotonic() >= report_at:
                    report_at += _REPORT_S
                    log.info("last minute: %s", self._report())
        self._tell(float("inf"))
        self._forget_database()

    def _next(self) -> list[Message]:
        """What to take next: one message, or the batches of several nodes that wait already."""
        wait_s = self._tellings.wait_s(time.monotonic())
        first, self._held = self._held, None
        if first is None:
            first = self._link.next(0.5 if wait_s is None else max(0.001, wait_s))
        if first is None:
            return []
        messages = {_place(first).node: first}
        while _is_batch(first) and len(messages) < _TOGETHER:
            if sum(len(message.payload) for message in messages.values()) > _TOGETHER_BYTES:
                break
            more = self._link.next(0)
            if more is None:
                break
            node = _place(more).node
            if not _is_batch(more) or node in messages:  # in the order in which they came
                self._held = more
                break
            messages[node] = more
        return list(messages.values())

    def _tell(self, now_s: float) -> None:
        """Tell the pages what was committed; without a database they ask again by themselves."""
        due = self._tellings.due(now_s)
        if due:
            try:
                rows.tell(self._connection(), due)
            except StoreError as wrong:
                log.warning("pages not told: %s", wrong)
                self._forget_database()
            self._tellings.was_told(now_s)

    def _survive(self, messages: list[Message]) -> bool:
        """No message ends the service: what nobody foresaw is logged once and left to the node.

        Returns:
            False if `stop` is set and the database cannot be reached.
        """
        try:
            return self._until_done(messages)
        except Exception:
            self._forget_database()
            if len(messages) > 1:  # the others must not suffer by one
                return all(self._survive([message]) for message in messages)
            self.counts["failed"] += 1
            log.exception("%s: not taken, by a fault of ours", messages[0].topic)
            return True

    def _report(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        self.counts.clear()
        nothing = "nothing came" if self.connected.is_set() else "not connected"
        return (told or nothing) + f", dropped so far {self._link.dropped}"

    def _until_done(self, messages: list[Message]) -> bool:
        """Try until the database has taken or refused the messages (True), or `stop` is set."""
        pause_s = 0.2
        while True:
            try:
                self._take(messages)
                return True
            except StoreError as wrong:
                self._forget_database()
                log.warning("%s; tried again in %.1f s", wrong, pause_s)
                if self._stop.wait(pause_s * _JITTER.uniform(0.5, 1.0)):
                    return False
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                notify("WATCHDOG=1")

    def _connection(self) -> session.Connection:
        if self._database is None:
            self._database = session.connect(self._settings.database.dsn, "ingest")
        return self._database

    def _forget_database(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _take(self, messages: list[Message]) -> None:
        self.counts["messages"] += len(messages)
        try:
            if _is_batch(messages[0]):
                self._parts(messages)
            else:
                self._say(messages[0])
        except RegistryError as wrong:
            self._refuse_node(messages[0], str(wrong))
        except (*UNREADABLE, StatementError) as wrong:
            self._refuse(messages[0], str(wrong))

    def _say(self, message: Message) -> None:
        """Anything but a batch."""
        takers: dict[str, Callable[[Place, Message], None]] = {
            "birth": self._birth,
            "state": self._state,
            "notice": self._notice,
        }
        takers[message.topic.split("/")[5]](_place(message), message)

    def _refuse_node(self, message: Message, reason: str) -> None:
        """Refuse a message and tell its node why, if it names a stream; next = 1 acknowledges
        nothing.
        """
        self._refuse(message, reason)
        named = _STREAM.search(message.payload)
        if named is not None:
            ack = Ack(v=1, stream=named[1].decode(), next=1, refused=reason[:200])
            self._answer(_place(message), ack)

    def _refuse(self, message: Message, reason: str) -> None:
        self.counts["refused"] += 1
        log.warning("%s: not taken: %s", message.topic, reason)
        try:
            rows.refuse(self._connection(), message.topic, reason, message.payload)
        except StatementError as wrong:
            log.warning("%s: not kept either: %s", message.topic, wrong)

    def _birth(self, place: Place, message: Message) -> None:
        birth = _births.decode(message.payload)
        _same_node(place, birth)
        born = rows.born(self._connection(), place, birth)
        where = f"{place.plant}/{place.line}/{place.node}"
        if born.follows:
            log.error(
                "%s: ledger %s was restored or copied; from row %d on it is %s",
                where, born.follows, birth.begins, birth.stream,
            )  # fmt: skip
        elif born.new:
            log.info("%s: new ledger %s from row %d", where, birth.stream, birth.next)
        if born.lost:
            log.error(
                "%s: %d rows of ledger %s are lost: the node gave them away, this database never "
                "got them. Was it restored from a backup?", where, born.lost, birth.stream,
            )  # fmt: skip
        self._answer(place, born.ack)

    def _parts(self, messages: list[Message]) -> None:
        """Batches of different nodes: taken together, answered once that is committed."""
        decoded = [(message, batch) for message in messages if (batch := self._decoded(message))]
        if not decoded:
            return
        try:
            outcomes = rows.taken_many(
                self._connection(), [(_place(message), batch) for message, batch in decoded]
            )
        except StatementError as wrong:
            if len(decoded) > 1:
                for message, _ in decoded:
                    self._parts([message])
                return
            [(message, batch)] = decoded
            log.warning("%s: taken row by row, because: %s", message.topic, wrong)
            outcomes = [self._one_by_one(_place(message), batch)]
        for (message, _), outcome in zip(decoded, outcomes, strict=True):
            if isinstance(outcome, RegistryError):
                self._refuse_node(message, str(outcome))
            else:
                self._became(message, outcome)

    def _decoded(self, message: Message) -> Batch | None:
        try:
            batch = decode_batch(message.payload)
            _same_node(_place(message), batch)
        except (*UNREADABLE, RegistryError) as wrong:
            self._refuse_node(message, str(wrong))
            return None
        return batch

    def _became(self, message: Message, taken: rows.Taken) -> None:
        """Count what became of a batch, and answer its node."""
        self.counts["rows"] += taken.stored
        self.counts["parts"] += taken.parts
        self.counts["duplicates"] += taken.duplicates
        self.counts["quarantined"] += taken.quarantined
        self.counts["misplaced"] += taken.misplaced
        if taken.quarantined:
            log.warning("%s: %d rows went to quarantine", message.topic, taken.quarantined)
        if taken.ack.refused:
            self._refuse(message, taken.ack.refused)
        place = _place(message)
        self._tellings.add(place, taken.told)
        self._answer(place, taken.ack)

    def _one_by_one(self, place: Place, batch: Batch) -> rows.Taken:
        """Take a batch that the database refused: only the row at fault goes to quarantine."""
        total = rows.Taken(Ack(v=1, stream=batch.stream, next=batch.first))
        prev = batch.prev
        for seq, entry in enumerate(batch.rows, batch.first):
            single = Batch(v=1, stream=batch.stream, first=seq, prev=prev, rows=[entry])
            total = _sum(total, self._single(place, single))
            prev = entry.hash
        return total

    def _single(self, place: Place, single: Batch) -> rows.Taken:
        try:
            return rows.taken(self._connection(), place, single)
        except StatementError as wrong:
            return rows.taken(self._connection(), place, single, condemned=str(wrong))

    def _state(self, place: Place, message: Message) -> None:
        state = _states.decode(message.payload)
        _same_node(place, state)
        rows.heard(self._connection(), place, state, message.retained)

    def _notice(self, place: Place, message: Message) -> None:
        notice = _notices.decode(message.payload)
        _same_node(place, notice)
        rows.noticed(self._connection(), place, notice)

    def _answer(self, place: Place, ack: Ack) -> None:
        self._link.publish(topic(place.plant, place.line, place.node, "ack"), encode(ack))


def _is_batch(message: Message) -> bool:
    return message.topic.endswith("/parts")


def _place(message: Message) -> Place:
    return Place(*message.topic.split("/")[2:5])


def _same_node(place: Place, told: Sent) -> None:
    """A message that says it is of another node than its topic went astray on its way."""
    if told.node is not None and told.node != place.node:
        raise RegistryError(f"the message is of node {told.node}, the topic of node {place.node}")


def _sum(one: rows.Taken, other: rows.Taken) -> rows.Taken:
    return rows.Taken(
        ack=other.ack,
        stored=one.stored + other.stored,
        duplicates=one.duplicates + other.duplicates,
        quarantined=one.quarantined + other.quarantined,
        parts=one.parts + other.parts,
        misplaced=one.misplaced + other.misplaced,
        told=one.told.and_then(other.told),
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Run one worker until `stop`; any failure but a wrong setting is logged and tried again.

    Raises:
        BrokerError: the settings of the broker cannot be used.
    """
    Ingest(settings, stop).run()
