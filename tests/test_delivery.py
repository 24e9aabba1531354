"""Whatever the wire loses, doubles or delays: every row once, in order, one batch under way."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from edge.mqtt.delivery import Delivery, SendBatch, SendBirth

BATCH = 5


@dataclass
class World:
    """A ledger, a hub and the acknowledgements between them."""

    delivery: Delivery = field(default_factory=lambda: Delivery(chance=lambda: 0.5))
    now_s: float = 0.0
    first: int = 1
    head: int = 1
    next: int = 1  # the hub's cursor
    batches: int = 0
    acks: list[tuple[int, str | None]] = field(default_factory=list)  # on their way, any order

    def turn(self, reaches: bool, refuses: bool) -> None:
        """Send what is due; it reaches the hub or not; the hub takes it or not."""
        step = self.delivery.due(self.now_s, self.head)
        if step is None or not reaches:
            return
        if isinstance(step, SendBatch):
            self.batches += 1
            assert self.first <= step.from_seq < self.head, "only rows the ledger holds"
            assert step.from_seq <= self.next, "a gap at the hub"
            if not refuses:
                self.next = max(self.next, min(self.head, step.from_seq + BATCH))
        said = "disk full" if refuses and isinstance(step, SendBatch) else None
        self.acks.append((self.next, said))

    def hear(self, number: int, again: bool) -> None:
        """One of the acknowledgements on their way arrives; it may arrive again later."""
        if not self.acks:
            return
        number %= len(self.acks)
        next_seq, refused = self.acks[number] if again else self.acks.pop(number)
        gone = self.delivery.heard(next_seq, refused, self.first, self.head, self.now_s, True)
        if gone is not None:
            assert self.first < gone <= self.next, "deleted before the hub had it"
            self.first = gone

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds


EVENTS = st.one_of(
    st.tuples(st.just("rows"), st.integers(1, 12)),
    st.tuples(st.just("turn"), st.booleans(), st.booleans()),
    st.tuples(st.just("turn"), st.just(True), st.just(False)),
    st.tuples(st.just("hear"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("time"), st.floats(0, 8)),
    st.tuples(st.just("cut")),
)


@given(st.lists(EVENTS, max_size=80))
def test_any_wire_delivers_every_row_once_it_behaves_again(
    events: list[tuple[object, ...]],
) -> None:
    world = World()
    world.delivery.online(0.0)
    for event in events:
        match event:
            case ("rows", int(count)):
                world.head += count
            case ("turn", bool(reaches), bool(refuses)):
                world.turn(reaches, refuses)
            case ("hear", int(number), bool(again)):
                world.hear(number, again)
            case ("time", float(seconds)):
                world.pass_time(seconds)
            case ("cut",):
                world.acks.clear()
                world.delivery.offline()
                assert world.delivery.due(world.now_s, world.head) is None
                world.delivery.online(world.now_s)
    for _ in range(200):
        if world.first == world.head:
            break
        world.turn(reaches=True, refuses=False)
        while world.acks:
            world.hear(0, again=False)
        world.pass_time(world.delivery.wait_s(world.now_s, 5.0))
    assert world.first == world.next == world.head
    assert world.delivery.fault is None


def online() -> Delivery:
    """At the hub's cursor 1, ten rows written, first batch under way at 0 s."""
    delivery = Delivery(chance=lambda: 0.5)
    delivery.online(0.0)
    assert delivery.due(0.0, head=11) == SendBirth(10)
    assert delivery.heard(1, None, first=1, head=11, now_s=0.0, same=True) is None
    assert delivery.due(0.0, head=11) == SendBatch(1)
    return delivery


def test_one_batch_is_under_way_until_the_hub_has_taken_something_of_it() -> None:
    delivery = online()
    assert delivery.due(4.9, head=11) is None
    assert (
        delivery.heard(1, None, first=1, head=11, now_s=1.0, same=True) is None
    )  # an old one: no news
    assert delivery.due(1.0, head=11) is None
    assert delivery.heard(6, None, first=1, head=11, now_s=2.0, same=True) == 6
    assert delivery.due(2.0, head=11) == SendBatch(6)


def test_silence_is_answered_by_asking_where_the_hub_stands() -> None:
    delivery = online()
    assert delivery.due(5.0, head=11) == SendBirth(10)
    assert delivery.due(9.9, head=11) is None
    assert delivery.due(10.0, head=11) == SendBirth(10)


def test_a_refusal_pauses_longer_each_time_until_something_is_taken() -> None:
    delivery = online()
    now_s, pauses = 0.0, []
    for _ in range(9):
        assert delivery.heard(1, "no room", first=1, head=11, now_s=now_s, same=True) is None
        assert "no room" in str(delivery.fault)
        pauses.append(delivery.wait_s(now_s, 1000.0))
        now_s += pauses[-1]
        assert delivery.due(now_s, head=11) == SendBirth(10)
        delivery.heard(1, None, first=1, head=11, now_s=now_s, same=True)
        assert delivery.due(now_s, head=11) == SendBatch(1)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert delivery.heard(6, "no room", first=1, head=11, now_s=now_s, same=True) == 6
    assert delivery.wait_s(now_s, 1000.0) == 1
    assert delivery.heard(11, None, first=6, head=11, now_s=now_s, same=True) == 11
    assert delivery.fault is None


class Parted:
    """A hub with rows of this stream up to `next`, of which those below `fork` are the node's."""

    def __init__(self, fork: int, next_seq: int) -> None:
        self.fork, self.next = fork, next_seq

    def answer(self, birth: SendBirth) -> tuple[int, tuple[int, bool] | None]:
        known = 0 < birth.mark < self.next
        return self.next, (birth.mark, birth.mark < self.fork) if known else None


@given(*(st.integers(low, 400) for low in (1, 0, 0, 1)), st.lists(st.integers(0, 9), max_size=30))
def test_the_place_where_ledger_and_hub_part_is_found_in_a_few_questions(
    first: int, common: int, own: int, others: int, wire: list[int]
) -> None:
    """However answers are lost or doubled; the hub has `others` rows this disk never wrote."""
    fork = first + common
    head, hub = fork + own, Parted(fork, fork + others)
    delivery = Delivery(chance=lambda: 0.5)
    now_s, asked, heard = 0.0, 0, []
    delivery.online(now_s)
    while delivery.branch is None:
        step = delivery.due(now_s, head)
        if step is None:
            now_s += delivery.wait_s(now_s, 5.0)
            continue
        assert isinstance(step, SendBirth), "no row may go into the stream of another"
        asked += 1
        what = wire.pop() if wire else 9
        if what < 3:
            continue  # lost
        heard.append(hub.answer(step))
        for next_seq, compared in (heard[-1], heard[what % len(heard)]):  # and an old one again
            same = next_seq - 1 < fork and next_seq <= head
            gone = delivery.heard(next_seq, None, first, head, now_s, same, compared)
            assert gone is None
        assert asked < 100
    assert delivery.branch == fork
    assert "restored or copied" in str(delivery.fault)
    delivery.begun(now_s)
    assert delivery.fault is None
    assert delivery.due(now_s, head) == SendBirth(head - 1)


def test_a_branch_that_the_disk_could_not_begin_is_tried_again_also_on_a_new_line() -> None:
    delivery = online()
    assert delivery.heard(12, None, first=1, head=11, now_s=1.0, same=False) is None
    assert delivery.due(1.0, head=11) == SendBirth(10)
    delivery.heard(12, None, 1, 11, now_s=1.1, same=False, compared=(10, True))
    assert delivery.branch == 11
    delivery.pause("disk full", now_s=1.1)
    delivery.offline()
    delivery.online(2.0)
    assert delivery.due(2.0, head=11) == SendBirth(10)
    assert delivery.heard(12, None, 1, 11, now_s=2.1, same=False, compared=(10, True)) is None
    assert (delivery.branch, delivery.phase) == (11, "comparing")


def test_answers_that_bring_no_news_ask_no_new_question() -> None:
    """Else each copy of an old answer would send a birth, and each birth another answer."""
    delivery = online()
    delivery.heard(50, None, first=1, head=11, now_s=1.0, same=False)
    assert delivery.due(1.0, head=11) == SendBirth(10)
    delivery.heard(50, None, first=1, head=11, now_s=1.1, same=False)
    assert delivery.due(1.2, head=11) is None
    assert delivery.due(6.0, head=11) == SendBirth(10)


def test_what_the_hub_says_of_rows_that_are_gone_here_is_not_compared() -> None:
    delivery = Delivery(chance=lambda: 0.5)
    delivery.online(0.0)
    delivery.due(0.0, head=11)
    assert delivery.heard(6, None, first=6, head=11, now_s=0.0, same=False) is None
    assert delivery.due(0.0, head=11) == SendBatch(6)


def test_a_hub_that_lost_rows_is_asked_twice_before_it_is_believed() -> None:
    delivery = Delivery(chance=lambda: 0.5)
    delivery.online(0.0)
    delivery.due(0.0, head=11)
    assert delivery.heard(3, None, first=6, head=11, now_s=0.0, same=True) is None
    assert delivery.fault is None
    assert delivery.due(1.0, head=11) == SendBirth(10)
    assert delivery.heard(3, None, first=6, head=11, now_s=1.0, same=True) is None
    assert "rows 3 to 5" in str(delivery.fault)
    assert delivery.due(1.0, head=11) == SendBatch(6)
