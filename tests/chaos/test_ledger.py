import json
from pathlib import Path

from tests.chaos.ledger import Book, Episode, Owed, Paid, judge, read

END = 1000.0


def owed(*episodes: Episode) -> Owed:
    return Owed(list(episodes))


KEPT = Episode("a", crossed=10.0, confirmed=11.0, back=40.0, cleared=41.0)


def test_an_owed_episode_with_its_ticket_is_clean() -> None:
    verdict = judge(owed(KEPT), {"a": Paid(1, 1, 1, 0)}, until=END)
    assert verdict.clean
    assert str(verdict) == "1 episodes owed, 1 kept, 0 missing, 0 extra, 0 twice, 0 not recovered"


def test_a_planted_loss_is_found() -> None:
    verdict = judge(owed(KEPT, Episode("b", 10.0, 11.0)), {"a": Paid(1, 1, 1, 0)}, until=END)
    assert verdict.missing == ("b: 1 owed, 0 kept",)
    assert not verdict.clean


def test_a_planted_second_open_ticket_is_found() -> None:
    verdict = judge(owed(KEPT), {"a": Paid(tickets=2, occurrences=2, open=2)}, until=END)
    assert verdict.twice == ("a: 2 open",)
    assert verdict.extra == ("a: at most 1 owed, 2 kept",)


def test_a_ticket_nobody_owes_is_found() -> None:
    assert judge(owed(), {"ghost": Paid(1, 1, 0)}, until=END).extra == ("ghost: at most 0 owed, 1 kept",)


def test_a_recurrence_counts_on_the_same_ticket() -> None:
    again = Episode("a", 100.0, 101.0, 140.0, 141.0)
    assert judge(owed(KEPT, again), {"a": Paid(tickets=1, occurrences=2, open=1)}, until=END).clean
    assert judge(owed(KEPT, again), {"a": Paid(tickets=1, occurrences=1, open=1)}, until=END).missing


def test_an_unacknowledged_episode_may_have_its_ticket_or_not() -> None:
    unheard = Episode("a", 10.0)
    assert judge(owed(unheard), {}, until=END).clean
    assert judge(owed(unheard), {"a": Paid(1, 1, 1)}, until=END).clean


def test_an_episode_shorter_than_its_for_owes_nothing() -> None:
    assert judge(owed(KEPT), {}, hold=60.0, until=END).clean
    assert judge(owed(KEPT), {}, hold=30.0, until=END).missing


def test_a_recovery_that_was_acknowledged_is_owed_too() -> None:
    assert judge(owed(KEPT), {"a": Paid(1, 1, 1, not_recovered=1)}, until=END).stuck == ("a burns",)


def test_pages_of_several_processes_are_read_in_order_of_time(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    with Book(one) as book:
        book.note("crossed", "a", "e", seq=5)
        book.note("confirmed", "a", "e", seq=5)
        book.note("dropped", "a", "e", count=3)
        book.note("acked", "a", "e", lane="live", through=7)
    with Book(two) as book:
        book.note("crossed", "b", "e", seq=1)
    found = read([two, one])
    assert [(each.agent, each.confirmed is not None) for each in found.episodes] == [("a", True), ("b", False)]
    assert found.acked == {("a", "e", "live"): 7}
    assert found.dropped == {"a": 3}
    assert found.fresh(since=0.0) == {"a"}


def test_a_line_cut_by_a_kill_does_not_count(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text(
        json.dumps({"what": "crossed", "agent": "a", "epoch": "e", "seq": 1, "at": 1.0}) + '\n{"what": "con'
    )
    assert [each.confirmed for each in read([page]).episodes] == [None]
