"""What is on its way is exactly what a counter row calls open: edge.flights."""

from hypothesis import given
from hypothesis import strategies as st

from edge.flights import Flight, Flights
from edge.terms import Mode, Part, Trigger


def flight(number: int, deadline_s: float = 1.0) -> Flight:
    return Flight(Trigger(Part("s1", 1, number), 0.0, 0.0, Mode.AUTO, 1), deadline_s)


@given(
    st.lists(st.sampled_from(["judge", "miss", "settle oldest", "settle newest"]), max_size=80),
)
def test_a_number_is_inside_from_its_report_to_its_row(steps: list[str]) -> None:
    flights, model, counter = Flights(1, 0), set[int](), 0
    for step in steps:
        if step == "judge":
            counter += 1
            flights.start(flight(counter))
            model.add(counter)
        elif step == "miss":
            flights.pass_by(counter + 1, counter + 3)
            model |= {counter + 1, counter + 2, counter + 3}
            counter += 3
        elif model:
            number = min(model) if step == "settle oldest" else max(model)
            flights.settle([number])
            model.remove(number)
        assert flights.numbers() == sorted(model)
        assert flights.counter == counter


def test_a_part_refused_by_the_ledger_turns_from_judged_to_missed_and_counts_once() -> None:
    flights = Flights(1, 0)
    flights.start(flight(1))
    flights.pass_by(1, 1)
    assert flights.numbers() == [1]
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
    flights.settle([2])
    assert flights.alone(1)
