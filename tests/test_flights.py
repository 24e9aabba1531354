"""What is on its way is exactly what a counter row calls open: edge.flights."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from edge.flights import Flight, Flights
from edge.terms import Mode, Part, Trigger


def flight(number: int, deadline_s: float = 1.0) -> Flight:
    return Flight(Trigger(Part("s1", 1, number), 0.0, 0.0, Mode.AUTO, 1), deadline_s)


def inside(flights: Flights) -> list[int]:
    return [number for numbers in flights.numbers() for number in numbers]


steps = st.sampled_from(["judge", "miss", "miss again", "settle some", "settle newest"])


@given(st.lists(st.tuples(steps, st.integers(1, 9)), max_size=80))
def test_a_number_is_inside_from_its_report_to_its_row(made: list[tuple[str, int]]) -> None:
    flights, model, counter = Flights(1, 0), set[int](), 0
    for step, many in made:
        if step == "judge":
            counter += 1
            flights.start(flight(counter))
            model.add(counter)
        elif step == "miss":
            flights.pass_by(counter + 1, counter + many)
            model |= set(range(counter + 1, counter + many + 1))
            counter += many
        elif step == "miss again" and model:
            flights.pass_by(min(model), min(model) + many)
            model |= set(range(min(model), min(model) + many + 1))
            counter = max(counter, *model)
        elif model:
            first = min(model) + 1 if step == "settle some" else max(model)
            flights.settle(first, first + many - 1)
            model -= set(range(first, first + many))
        assert inside(flights) == sorted(model)
        assert flights.open() == len(model)
        assert flights.counter == counter


def test_a_gap_of_a_million_numbers_takes_no_more_room_than_one_of_two() -> None:
    tracemalloc.start()
    try:
        flights = Flights(1, 0)
        flights.pass_by(1, 1_000_000)
        flights.settle(3, 999_999)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert (inside(flights), flights.open()) == ([1, 2, 1_000_000], 3)


def test_missed_parts_one_after_the_other_take_no_more_room_than_one_gap() -> None:
    flights = Flights(1, 0)
    for number in range(1, 100):
        flights.pass_by(number, number)
    assert flights.numbers() == [range(1, 100)]


def test_a_part_refused_by_the_ledger_turns_from_judged_to_missed_and_counts_once() -> None:
    flights = Flights(1, 0)
    flights.start(flight(1))
    flights.pass_by(1, 1)
    assert inside(flights) == [1]
    assert flights.get(1) is None
    assert not flights.overdue(99.0)


def test_a_part_past_its_deadline_without_a_row_is_overdue() -> None:
    flights = Flights(1, 0)
    flights.start(flight(1, deadline_s=5.0))
    assert not flights.overdue(5.0)
    assert flights.overdue(5.1)


def test_a_part_is_alone_when_no_other_waits_for_its_verdict() -> None:
    flights = Flights(1, 0)
    flights.start(flight(1))
    assert flights.alone(1)
    flights.start(flight(2))
    assert not flights.alone(1)
    flights.settle(2, 2)
    assert flights.alone(1)
