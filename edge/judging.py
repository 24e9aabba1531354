"""The judge thread of a station: flights in, committed open rows and verdicts for the PLC out.

put          every camera's own thread takes its view of the part, each at its time
judge        the views in the order in which they come, fused at the part's deadline
"""

import contextlib
import functools
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from concurrent.futures import TimeoutError as FutureTimeoutError  # the builtin from 3.11 on
from dataclasses import dataclass

from edge import judgement
from edge.errors import EdgeError
from edge.eye import READOUT_S, Eye, Look
from edge.flights import Flight
from edge.release import Loaded, proofs, prove
from edge.terms import Code, Frame, Reason, Verdict

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


@dataclass(frozen=True, slots=True)
class _Job:
    """A part, with what its cameras' threads will have taken of it."""

    flight: Flight
    loaded: Loaded | None
    views: tuple["Future[Frame | Look]", ...]


class Judging:
    """Judges one part at a time, by every camera's view, under the recipe of its trigger."""

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
        self._jobs: queue.Queue[_Job | None] = queue.Queue()
        # one thread each, so that a view that comes late holds up no other camera
        self._takers = [
            ThreadPoolExecutor(1, thread_name_prefix=f"{name} {eye.capture.name}") for eye in eyes
        ]
        self._thread = threading.Thread(target=self._run, name=f"{name} judge", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, flight: Flight) -> None:
        """Have the part's views taken, and judge it after those before it."""
        trigger, number = flight.trigger, flight.trigger.part.number
        for eye in self._eyes:
            eye.expect(trigger)
        loaded = None if trigger.recipe in self.failed else self._recipes.get(trigger.recipe)
        views: tuple[Future[Frame | Look], ...] = ()
        if loaded is not None:
            alone = functools.partial(self._alone, number)
            views = tuple(
                taker.submit(eye.take, trigger, flight.deadline_s, loaded, alone)
                for eye, taker in zip(self._eyes, self._takers, strict=True)
            )

        def taken(_: "Future[Frame | Look]") -> None:
            if all(view.done() for view in views):
                self._acquired(number)  # the part may move while its pictures are judged

        for view in views:
            view.add_done_callback(taken)
        if not views:
            self._acquired(number)  # no picture will be taken of it
        self._jobs.put(_Job(flight, loaded, views))

    @property
    def running(self) -> bool:
        """Is the thread there?"""
        return self._thread.is_alive()

    def close(self, timeout_s: float = 5.0) -> None:
        """Judge what is waiting, then stop."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join(timeout_s)
        for taker in self._takers:
            taker.shutdown(wait=False, cancel_futures=True)
        if self._crew is not None:
            self._crew.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        proof_due_s = time.monotonic()
        while True:
            try:
                job = self._jobs.get(timeout=max(0.0, proof_due_s - time.monotonic()))
            except queue.Empty:
                self._prove()
                proof_due_s = time.monotonic() + IDLE_S
                continue
            if job is None:
                return
            self._deliver(self._judge(job))
            proof_due_s = max(proof_due_s, self.proved_s + IDLE_S)

    def _judge(self, job: _Job) -> Judged:
        started_s = time.monotonic()
        looks: tuple[Look, ...] = ()
        verdict = Verdict(Code.UNDECIDED, Reason.MODEL_FAULT)
        # parts that waited while a golden picture went wrong are not judged by that recipe either
        if started_s > job.flight.deadline_s:  # nobody waits for it, and others do
            looks, verdict = self._late(job), Verdict(Code.UNDECIDED, Reason.LATE)
        elif job.loaded is not None and job.loaded.number not in self.failed:
            looks = self._look(job, job.loaded)
            verdict = _fused(looks, job.loaded) if looks else verdict
        ended_s = time.monotonic()
        if any(look.frame is not None and look.fault is None for look in looks):
            self.proved_s = ended_s
        return Judged(job.flight, verdict, looks, job.loaded, started_s, ended_s)

    def _look(self, job: _Job, loaded: Loaded) -> tuple[Look, ...]:
        """Every camera's look, or none: a fault of our own spoils this part, not the station."""
        trigger = job.flight.trigger
        looks = [eye.missing() for eye in self._eyes]
        left_s = job.flight.deadline_s + READOUT_S - time.monotonic()
        try:
            judged: dict[int, Future[Look]] = {}
            with contextlib.suppress(FutureTimeoutError):  # a view that hangs is missing
                for view in as_completed(job.views, max(0.0, left_s)):
                    place = job.views.index(view)
                    eye, taken = self._eyes[place], view.result()
                    if self._crew is None:
                        looks[place] = eye.judge(taken, loaded)
                    else:
                        judged[place] = self._crew.submit(eye.judge, taken, loaded)
            for place, look in judged.items():
                looks[place] = look.result()
            return tuple(
                eye.confirm(trigger, look) for eye, look in zip(self._eyes, looks, strict=True)
            )
        except Exception:
            log.exception(
                "%s: part %d could not be judged", trigger.part.station, trigger.part.number
            )
            return ()

    def _late(self, job: _Job) -> tuple[Look, ...]:
        """The pictures of a part whose turn came after its deadline, for people to look at."""
        done = [view for view in job.views if view.done() and not view.cancelled()]
        taken = [view.result() for view in done if view.exception() is None]
        verdict = Verdict(Code.UNDECIDED, Reason.LATE)
        return tuple(
            Look(one.camera, verdict, one, source=one.path) if isinstance(one, Frame) else one
            for one in taken
        )

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
