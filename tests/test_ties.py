"""Edges of the part-present contact and triggers of the bus: edge.plc.ties."""

from edge.plc.handshake import Expired
from edge.plc.ties import Ties
from edge.terms import Mode, Part, Trigger


def trigger(number: int, edge_s: float, error_s: float = 0.03) -> Trigger:
    return Trigger(Part("s1", 1, number), edge_s, error_s, Mode.AUTO, 1)


def edges(ties: Ties, now_s: float = 99.0) -> dict[int, float | None]:
    return {tied.part.number: edge_s for tied, _, edge_s in ties.tied(now_s)}


def test_without_the_contact_the_bus_says_when_the_edge_was() -> None:
    ties = Ties(has_contact=False, scan_s=0.01)
    ties.expect(trigger(1, 5.0), 5.4)
    assert ties.tied(5.0) == [(trigger(1, 5.0), 5.4, 5.0)]


def test_the_one_edge_that_fits_is_the_parts_own() -> None:
    ties = Ties(has_contact=True, scan_s=0.01)
    for edge_s in (4.5, 4.98, 5.5):
        ties.saw(edge_s)
    ties.expect(trigger(1, 5.0), 5.4)
    assert edges(ties) == {1: 4.98}


def test_no_edge_and_two_edges_are_nobodys() -> None:
    ties = Ties(has_contact=True, scan_s=0.01)
    for edge_s in (7.0, 7.02):
        ties.saw(edge_s)
    ties.expect(trigger(1, 5.0), 5.4)
    ties.expect(trigger(2, 7.03), 7.4)
    assert edges(ties) == {1: None, 2: None}


def test_an_edge_belongs_to_one_part_only() -> None:
    ties = Ties(has_contact=True, scan_s=0.01)
    ties.saw(5.0)
    ties.expect(trigger(1, 5.0), 5.4)
    ties.expect(trigger(2, 5.01), 5.41)
    assert edges(ties) == {1: 5.0, 2: None}


def test_a_trigger_waits_until_every_edge_that_could_be_its_own_has_been_seen() -> None:
    ties = Ties(has_contact=True, scan_s=0.01)
    ties.expect(trigger(1, 5.0), 5.4)
    assert ties.tied(5.01) == []
    assert ties.waits(1, 1)
    ties.saw(5.005)
    assert edges(ties, 5.02) == {1: 5.005}
    assert not ties.waits(1, 1)


def test_a_new_count_lets_go_of_who_was_not_tied() -> None:
    ties = Ties(has_contact=True, scan_s=0.01)
    ties.expect(trigger(3, 5.0), 5.4)
    assert ties.clear() == [Expired(1, 3, written=False)]
    assert ties.tied(99.0) == []
