"""The judge thread of a station: flights in, committed open rows and verdicts for the PLC out."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge import recipe as recipes
from edge.errors import EdgeError
from edge.eye import Eye, Look
from edge.flights import Flight
from edge.release import Loaded, prove
from edge.terms import Code, Reason, Verdict

log = logging.getLogger(__name__)

IDLE_S = 2.0  # a detector that no part has proved for so long proves itself


@dataclass(frozen=True, slots=True)
class Judged:
    """One part as computed, before the ledger and the PLC heard of it."""

    flight: Flight
    verdict: Verdict
    looks: tuple[Look, ...]
    loaded: Loaded | None  # None: the PLC asked for a recipe this node does not have
    started_s: float
    ended_s: float


class Judging:
    """Looks at one part at a time, with every camera, under the recipe of its trigger."""

    def __init__(
        self,
        name: str,
        eyes: Sequence[Eye],
        recipes_by_number: Mapping[int, Loaded],
        alone: Callable[[int], bool],
        deliver: Callable[[Judged], None],
    ) -> None:
        """`deliver` is called on this thread for every flight, in order; it must not raise."""
        self.proved_s = float("-inf")  # monotonic time of the last good inference
        self._eyes = eyes
        self._recipes = recipes_by_number
        self._alone = alone
        self._deliver = deliver
        self._flights: queue.Queue[Flight | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=f"{name} judge", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, flight: Flight) -> None:
        """Judge this part after those before it."""
        self._flights.put(flight)

    def close(self, timeout_s: float = 5.0) -> None:
        """Judge what is waiting, then stop."""
        if self._thread.is_alive():
            self._flights.put(None)
            self._thread.join(timeout_s)

    def _run(self) -> None:
        proof_due_s = time.monotonic()
        while True:
            try:
                flight = self._flights.get(timeout=max(0.0, proof_due_s - time.monotonic()))
            except queue.Empty:
                self._prove()
                proof_due_s = time.monotonic() + IDLE_S
                continue
            if flight is None:
                return
            self._deliver(self._judge(flight))
            proof_due_s = max(proof_due_s, self.proved_s + IDLE_S)

    def _judge(self, flight: Flight) -> Judged:
        started_s = time.monotonic()
        trigger = flight.trigger
        loaded = self._recipes.get(trigger.recipe)
        looks: tuple[Look, ...] = ()
        verdict = Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)
        if loaded is not None:
            looks = self._look(flight, loaded)
            verdict = recipes.fuse([look.verdict for look in looks]) if looks else verdict
        ended_s = time.monotonic()
        if any(look.frame is not None and look.fault is None for look in looks):
            self.proved_s = ended_s
        return Judged(flight, verdict, looks, loaded, started_s, ended_s)

    def _look(self, flight: Flight, loaded: Loaded) -> tuple[Look, ...]:
        """Every camera's look, or none: a fault of our own spoils this part, not the station."""
        trigger, number = flight.trigger, flight.trigger.part.number
        try:
            return tuple(
                eye.look(trigger, flight.deadline_s, loaded, lambda: self._alone(number))
                for eye in self._eyes
            )
        except Exception:
            log.exception("%s: part %d could not be judged", trigger.part.station, number)
            return ()

    def _prove(self) -> None:
        """Run the golden pictures: the next part meets a detector that is known to see."""
        for loaded in self._recipes.values():
            try:
                prove(loaded)
            except EdgeError as wrong:
                log.error("recipe %d: %s %s", loaded.number, wrong, wrong.hint)
                self.proved_s = float("-inf")
                return
        if self._recipes:
            self.proved_s = time.monotonic()
