"""What happened is committed in order, and tried again until it is: edge.recorder."""

import threading

from edge.errors import LedgerError
from edge.recorder import Recorder, Write


def test_a_write_the_disk_refused_is_tried_again_before_the_next() -> None:
    recorder = Recorder("s1")
    tries: list[str] = []
    done = threading.Event()

    def fails_once() -> None:
        tries.append("first")
        if len(tries) == 1:
            raise LedgerError("disk full")

    recorder.put(fails_once)
    recorder.put(lambda: tries.append("second"))
    recorder.put(done.set)
    recorder.start()
    assert done.wait(10)
    assert tries == ["first", "first", "second"]
    assert recorder.fault is None
    recorder.close()


def test_a_row_that_is_wrong_in_itself_does_not_hold_the_others() -> None:
    recorder = Recorder("s1")
    done = threading.Event()

    def wrong() -> None:
        raise LedgerError("settled twice", permanent=True)

    recorder.put(wrong)
    recorder.put(done.set)
    recorder.start()
    assert done.wait(10)
    recorder.close()


def test_closing_finishes_what_was_put() -> None:
    recorder = Recorder("s1")
    written: list[int] = []
    for number in range(100):
        recorder.put(lambda n=number: written.append(n))  # type: ignore[misc]
    recorder.start()
    recorder.close()
    assert written == list(range(100))


def test_a_disk_that_stays_full_shows_a_fault_and_does_not_hang_the_shutdown() -> None:
    recorder = Recorder("s1")
    asked = threading.Event()

    def never() -> None:
        asked.set()
        raise LedgerError("disk full")

    recorder.put(never)
    recorder.start()
    assert asked.wait(10)
    recorder.close(timeout_s=0.2)
    assert recorder.fault == "disk full"


def test_what_follows_from_a_write_is_written_once_even_if_the_disk_refuses_it_first() -> None:
    recorder = Recorder("s1")
    written: list[str] = []
    done = threading.Event()

    def follow() -> None:
        written.append("follow")
        if written.count("follow") == 1:
            raise LedgerError("disk full")

    def first() -> list[Write]:
        written.append("first")
        return [follow]

    recorder.put(first)
    recorder.put(done.set)
    recorder.start()
    assert done.wait(10)
    recorder.close()
    assert written == ["first", "follow", "follow"]
