import math
from typing import Any

from collector.bench.member import MAX_LIVE_UNDER_WAY, NS, Member, Plan
from collector.bench.rounds import HIGH, LOW

START = 1_000_000 * NS


class Notes(list[tuple[str, dict[str, Any]]]):
    def __call__(self, what: str, **more: Any) -> None:
        self.append((what, more))

    def kinds(self) -> list[str]:
        return [what for what, _ in self]


def member(plan: Plan | None = None) -> tuple[Member, Notes]:
    notes = Notes()
    return Member(plan or Plan(), 1.0, notes, START), notes


def took(one: Member, at: float) -> int:
    """A round that goes out at once."""
    entry = one.round(at, START + int(at * NS))
    one.sent(entry.seq, at, replay=False)
    return entry.seq


def welcomed(one: Member, resume: int = 1, rewind_ns: int = 0, now: float = 0.0) -> list[int]:
    return [entry.seq for entry in one.welcome(resume, rewind_ns, 4, START + int(now * NS))]


def test_rounds_are_numbered_from_one_without_gaps() -> None:
    one, _ = member()
    assert [took(one, at) for at in range(3)] == [1, 2, 3]


def test_an_ack_settles_each_lane_by_its_own_number() -> None:
    one, _ = member()
    for at in range(4):
        took(one, at)
    assert one.ack(live=2, replay=0, credits_=4) == ([0, 1], 0)
    assert one.unacked == 2


def test_after_a_drop_the_newest_goes_live_and_the_rest_waits_for_replay() -> None:
    one, _ = member()
    for at in range(4):
        took(one, at)
    one.ack(live=1, replay=0, credits_=4)
    assert welcomed(one, now=4) == [4]
    assert [entry.seq for entry in one.replays()] == [2, 3]


def test_an_old_newest_round_is_no_news() -> None:
    one, _ = member()
    took(one, 0)
    assert welcomed(one, now=60) == []
    assert [entry.seq for entry in one.replays()] == [1]


def test_what_the_collector_says_is_durable_is_not_sent_again() -> None:
    one, _ = member()
    for at in range(3):
        took(one, at)
    assert welcomed(one, resume=3, now=3) == [3]
    assert one.replays() == []


def test_a_rewind_sends_acknowledged_batches_again() -> None:
    one, _ = member()
    for at in range(4):
        took(one, at)
    one.ack(live=4, replay=0, credits_=4)
    assert welcomed(one, resume=1, rewind_ns=START + 2 * NS, now=4) == [4]
    assert [entry.seq for entry in one.replays()] == [3]


def test_credits_bound_what_is_replayed() -> None:
    one, _ = member(Plan(backlog=10))
    assert welcomed(one) == []
    first = one.replays()
    assert [entry.seq for entry in first] == [1, 2, 3, 4]
    for entry in first:
        one.sent(entry.seq, 0.0, replay=True)
    assert one.replays() == []
    assert one.ack(live=0, replay=2, credits_=4) == ([], 2)
    assert [entry.seq for entry in one.replays()] == [5, 6]


def test_a_backlog_is_as_old_as_its_numbers_say() -> None:
    one, _ = member(Plan(backlog=10, step=15.0))
    entry = one.entry(1)
    assert entry is not None
    assert entry.taken_ns == START - 150 * NS
    assert one.round(0.0, START).seq == 11
    assert one.oldest() == 1


def test_a_stale_crossing_is_over_before_the_backlog_ends_and_a_burning_one_is_not() -> None:
    stale, _ = member(Plan(backlog=100, stale=True))
    burning, _ = member(Plan(backlog=100, first=0.0))

    def levels(one: Member) -> list[float]:
        return [entry.level for seq in range(1, 101) if (entry := one.entry(seq)) is not None]

    assert levels(stale)[39:49] == [HIGH] * 10
    assert levels(stale).count(HIGH) == 10
    assert levels(burning)[97:] == [HIGH] * 3
    assert burning.round(0.0, START).level == HIGH


def test_a_crossing_ends_only_after_it_was_acknowledged_live_over_its_hold() -> None:
    one, notes = member(Plan(first=1.0, hold=2.0))
    for at in range(6):
        took(one, at)
    assert [entry.level for entry in one.entries.values()] == [LOW, HIGH, HIGH, HIGH, HIGH, HIGH]
    one.ack(live=2, replay=0, credits_=4)
    assert one.entries[took(one, 6)].level == HIGH
    one.ack(live=4, replay=0, credits_=4)
    assert one.entries[took(one, 7)].level == LOW
    assert notes.kinds() == ["crossed", "confirmed", "back"]
    assert notes[-1][1]["held"] == 2.0
    assert one.restless
    one.ack(live=8, replay=0, credits_=4)
    assert not one.restless
    assert notes.kinds()[-1] == "cleared"


def test_the_ack_of_a_batch_from_before_the_hello_confirms_nothing() -> None:
    one, notes = member(Plan(first=0.0))
    took(one, 0)
    assert welcomed(one, now=1) == [1]
    one.sent(1, 1.0, replay=False)
    one.ack(live=1, replay=0, credits_=4)
    assert notes.kinds() == ["crossed"]
    one.ack(live=took(one, 2), replay=0, credits_=4)
    assert notes.kinds() == ["crossed", "confirmed"]


def test_a_crossing_returns_as_planned_until_it_is_calmed() -> None:
    one, notes = member(Plan(first=0.0, hold=1.0, every=5.0))
    for at in range(20):
        one.ack(live=took(one, at), replay=0, credits_=4)
    assert notes.kinds().count("crossed") == 4
    one.calm()
    for at in range(20, 40):
        one.ack(live=took(one, at), replay=0, credits_=4)
    assert notes.kinds().count("crossed") == 4
    assert not one.restless
    assert one.due == math.inf


def test_what_is_older_than_the_memory_is_counted_if_nobody_had_acknowledged_it() -> None:
    one, notes = member(Plan(memory=3.0))
    took(one, 0)
    took(one, 1)
    one.ack(live=1, replay=0, credits_=4)
    took(one, 10)
    assert one.dropped == 1
    assert notes == [("dropped", {"count": 1})]
    assert one.oldest() == 3
    assert [one.lost_before(seq) for seq in (2, 3, 4)] == [0, 1, 0]


def test_a_final_refusal_is_a_loss_and_another_waits() -> None:
    one, _ = member()
    took(one, 0)
    took(one, 1)
    one.refuse(1, final=True)
    one.refuse(2, final=False)
    assert one.dropped == 1
    assert list(one.waiting) == [2]


def test_too_many_live_batches_without_an_ack_are_no_longer_sent() -> None:
    one, _ = member()
    for at in range(MAX_LIVE_UNDER_WAY):
        assert one.may_send()
        took(one, at)
    assert not one.may_send()
