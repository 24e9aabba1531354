"""quanjian-hub ingest: takes what nodes publish into the store, and acknowledges after the commit.

Any number may run; none keeps anything. A lost database is tried again with the same message, so
nothing is acknowledged that was not committed. A message that cannot be used is counted, kept aside
and never stops the others; one row that the database refuses goes to quarantine by itself.
"""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from edge.mqtt.message import Ack, Batch, Birth, Notice, State, decode_batch, encode, topic
from hub.broker.link import Link, Message
from hub.errors import RegistryError, StatementError, StoreError
from hub.intake import Place
from hub.notify import notify
from hub.settings import Settings
from hub.store import rows, session

log = logging.getLogger(__name__)

_births = msgspec.json.Decoder(Birth)
_states = msgspec.json.Decoder(State)
_notices = msgspec.json.Decoder(Notice)

_REPORT_S = 60.0
_LONGEST_PAUSE_S = 5.0
_JITTER = random.Random()


class Ingest:
    """One worker: one connection to the broker, one to the database, one thread."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._link = Link(settings.broker)
        self._database: session.Connection | None = None
        self.connected = self._link.connected
        self.counts: Counter[str] = Counter()  # messages, rows, parts, duplicates, ... so far

    @property
    def waiting(self) -> int:
        """Messages that came and were not taken yet."""
        return self._link.waiting

    def run(self) -> None:
        """Work until `stop` is set, then finish what was already received.

        Without a database nothing can be finished: the rest stays with the nodes, unacknowledged.

        Raises:
            BrokerError: the settings of the broker cannot be used.
        """
        report_at = time.monotonic() + _REPORT_S
        with self._link:
            notify("READY=1")
            while not self._stop.is_set() or self._link.waiting:
                message = self._link.next(timeout_s=0.5)
                if message is not None and not self._survive(message):
                    break
                notify("WATCHDOG=1")
                if time.monotonic() >= report_at:
                    report_at += _REPORT_S
                    log.info("last minute: %s", self._report())
        self._forget_database()

    def _survive(self, message: Message) -> bool:
        """No message ends the service: what nobody foresaw is logged once and left to the node.

        Returns:
            False if `stop` is set and the database cannot be reached.
        """
        try:
            return self._until_done(message)
        except Exception:
            self.counts["failed"] += 1
            log.exception("%s: not taken, by a fault of ours", message.topic)
            self._forget_database()
            return True

    def _report(self) -> str:
        told = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        self.counts.clear()
        return (told or "nothing came") + f", dropped so far {self._link.dropped}"

    def _until_done(self, message: Message) -> bool:
        """Try one message until the database has taken or refused it (True), or `stop` is set."""
        pause_s = 0.2
        while True:
            try:
                self._take(message)
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

    def _take(self, message: Message) -> None:
        self.counts["messages"] += 1
        levels = message.topic.split("/")
        place, leaf = Place(*levels[2:5]), levels[5]
        takers: dict[str, Callable[[Place, Message], None]] = {
            "parts": self._parts,
            "birth": self._birth,
            "state": self._state,
            "notice": self._notice,
        }
        try:
            takers[leaf](place, message)
        except RegistryError as wrong:
            self._refuse(message, str(wrong))
            self._answer_refusal(place, message, str(wrong))
        except (msgspec.MsgspecError, UnicodeDecodeError, StatementError) as wrong:
            self._refuse(message, str(wrong))

    def _refuse(self, message: Message, reason: str) -> None:
        self.counts["refused"] += 1
        log.warning("%s: not taken: %s", message.topic, reason)
        try:
            rows.refuse(self._connection(), message.topic, reason, message.payload)
        except StatementError as wrong:
            log.warning("%s: not kept either: %s", message.topic, wrong)

    def _answer_refusal(self, place: Place, message: Message, reason: str) -> None:
        """Tell the node why, if its message names a stream; next = 1 acknowledges nothing."""
        try:
            told = msgspec.json.decode(message.payload, type=_Streamed)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if len(told.stream) == 32:
            self._answer(place, Ack(v=1, stream=told.stream, next=1, refused=reason[:200]))

    def _birth(self, place: Place, message: Message) -> None:
        birth = _births.decode(message.payload)
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

    def _parts(self, place: Place, message: Message) -> None:
        batch = decode_batch(message.payload)
        try:
            taken = rows.taken(self._connection(), place, batch)
        except StatementError as wrong:
            log.warning("%s: taken row by row, because: %s", message.topic, wrong)
            taken = self._one_by_one(place, batch)
        self.counts["rows"] += taken.stored
        self.counts["parts"] += taken.parts
        self.counts["duplicates"] += taken.duplicates
        self.counts["quarantined"] += taken.quarantined
        if taken.quarantined:
            log.warning("%s: %d rows went to quarantine", message.topic, taken.quarantined)
        if taken.ack.refused:
            self._refuse(message, taken.ack.refused)
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
        rows.heard(self._connection(), place, state, message.retained)

    def _notice(self, place: Place, message: Message) -> None:
        rows.noticed(self._connection(), place, _notices.decode(message.payload))

    def _answer(self, place: Place, ack: Ack) -> None:
        self._link.publish(topic(place.plant, place.line, place.node, "ack"), encode(ack))


class _Streamed(msgspec.Struct):
    """Any message that names a stream."""

    stream: str


def _sum(one: rows.Taken, other: rows.Taken) -> rows.Taken:
    return rows.Taken(
        ack=other.ack,
        stored=one.stored + other.stored,
        duplicates=one.duplicates + other.duplicates,
        quarantined=one.quarantined + other.quarantined,
        parts=one.parts + other.parts,
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Run one worker until `stop`; any failure but a wrong setting is logged and tried again.

    Raises:
        BrokerError: the settings of the broker cannot be used.
    """
    Ingest(settings, stop).run()
