"""The judge thread of a station: flights in, committed open rows and verdicts for the PLC out."""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edge import judgement
from edge.errors import EdgeError
from edge.eye import Eye, Look
from edge.flights import Flight
from edge.release import Loaded, proofs, prove
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
        acquired: Callable[[int], None],
        deliver: Callable[[Judged], None],
    ) -> None:
        """`acquired` hears a part's number once all its pictures are taken; `deliver` is called on
        this thread for every flight, in order, and must not raise.
        """
        self.proved_s = float("-inf")  # monotonic time of the last good inference
        self._eyes = eyes
        self._recipes = recipes_by_number
        self.failed: frozenset[int] = frozenset()  # recipes whose golden pictures went wrong
        self._proofs = itertools.cycle(
            [(loaded, place) for loaded in recipes_by_number.values() for place in proofs(loaded)]
        )
        workers = max((loaded.workers for loaded in recipes_by_number.values()), default=1)
        self._crew = (  # views side by side, all in the one session of their model
            ThreadPoolExecutor(min(workers, len(eyes)), f"{name} view")
            if min(workers, len(eyes)) > 1
            else None
        )
        self._alone = alone
        self._acquired = acquired
        self._deliver = deliver
        self._flights: queue.Queue[Flight | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=f"{name} judge", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, flight: Flight) -> None:
        """Judge this part after those before it."""
        self._flights.put(flight)

    @property
    def running(self) -> bool:
        """Is the thread there?"""
        return self._thread.is_alive()

    def close(self, timeout_s: float = 5.0) -> None:
        """Judge what is waiting, then stop."""
        if self._thread.is_alive():
            self._flights.put(None)
            self._thread.join(timeout_s)
        if self._crew is not None:
            self._crew.shutdown(wait=False, cancel_futures=True)

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
        loaded = None if trigger.recipe in self.failed else self._recipes.get(trigger.recipe)
        looks: tuple[Look, ...] = ()
        verdict = Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)
        if loaded is not None:
            looks = self._look(flight, loaded)
            verdict = _fused(looks, loaded) if looks else verdict
        ended_s = time.monotonic()
        if any(look.frame is not None and look.fault is None for look in looks):
            self.proved_s = ended_s
        return Judged(flight, verdict, looks, loaded, started_s, ended_s)

    def _look(self, flight: Flight, loaded: Loaded) -> tuple[Look, ...]:
        """Every camera's look, or none: a fault of our own spoils this part, not the station."""
        trigger, number = flight.trigger, flight.trigger.part.number
        try:
            taken = [
                eye.take(trigger, flight.deadline_s, loaded, lambda: self._alone(number))
                for eye in self._eyes
            ]
            self._acquired(number)  # the part may move while its pictures are judged
            loadeds = [loaded] * len(taken)
            if self._crew is None:
                return tuple(map(Eye.judge, self._eyes, taken, loadeds))
            return tuple(self._crew.map(Eye.judge, self._eyes, taken, loadeds))
        except Exception:
            log.exception("%s: part %d could not be judged", trigger.part.station, number)
            return ()

    def _prove(self) -> None:
        """One golden picture, the next in turn: short enough that a part can come at any moment."""
        proof = next(self._proofs, None)
        if proof is None:
            return  # no recipe could be loaded, and nothing will be judged
        loaded, place = proof
        try:
            prove(loaded, place)
        except EdgeError as wrong:
            if loaded.number not in self.failed:
                log.error("recipe %d: %s %s", loaded.number, wrong, wrong.hint)
            self.failed |= {loaded.number}
        else:
            self.proved_s = time.monotonic()


def _fused(looks: Sequence[Look], loaded: Loaded) -> Verdict:
    """The part's verdict; what a class is allowed counts over all its views."""
    together = [finding for look in looks for finding in look.findings]
    whole = judgement.decide(together, loaded.recipe)
    return judgement.fuse([*(look.verdict for look in looks), whole])
