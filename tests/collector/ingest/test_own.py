from collector.head import Head
from collector.ingest.own import OwnSeries, named
from collector.labels import Labels

ONLINE = Labels.of(__name__="czuwak_host_presence", state="online")
OFFSET = named("czuwak_host_clock_offset_seconds")
HQ, LAB = Labels.of(instance="pc1", site="hq"), Labels.of(instance="pc1", site="lab")


def told(head: Head, at: float) -> dict[str, tuple[float, float]]:
    """Value and time of each series of the host."""
    return {str(labels): (value, when) for labels, value, when in head.values_of("pc1", at)}


def test_what_is_told_between_two_writes_is_written_once_and_stands() -> None:
    head = Head()
    own = OwnSeries(head)
    own.tell("1", HQ, {ONLINE: 0.0})
    own.tell("1", HQ, {OFFSET: 2.0})
    own.tell("1", HQ, {ONLINE: 1.0})
    own.write(100.0)
    own.write(101.0)
    online = 'czuwak_host_presence{instance="pc1",site="hq",state="online"}'
    offset = 'czuwak_host_clock_offset_seconds{instance="pc1",site="hq"}'
    assert told(head, 101.0) == {online: (1.0, 100.0), offset: (2.0, 100.0)}
    assert len(list(own.repeating(lambda: 115.0))) == 1
    assert told(head, 115.0) == {online: (1.0, 115.0), offset: (2.0, 115.0)}


def test_a_series_that_comes_later_leaves_the_others_their_past() -> None:
    head = Head()
    own = OwnSeries(head)
    own.tell("1", HQ, {ONLINE: 0.0})
    own.write(100.0)
    own.tell("1", HQ, {OFFSET: 2.0})
    own.write(200.0)
    assert told(head, 150.0) == {'czuwak_host_presence{instance="pc1",site="hq",state="online"}': (0.0, 100.0)}
    assert len(told(head, 200.0)) == 2


def test_a_host_that_moved_has_its_series_only_where_it_is_now() -> None:
    head = Head()
    own = OwnSeries(head)
    own.tell("1", HQ, {ONLINE: 1.0})
    own.write(100.0)
    own.tell("1", LAB, {OFFSET: 2.0})
    own.write(101.0)
    assert told(head, 101.0) == {
        'czuwak_host_presence{instance="pc1",site="lab",state="online"}': (1.0, 101.0),
        'czuwak_host_clock_offset_seconds{instance="pc1",site="lab"}': (2.0, 101.0),
    }


def test_of_a_host_that_is_forgotten_nothing_is_written_any_more() -> None:
    head = Head()
    own = OwnSeries(head)
    own.tell("1", HQ, {ONLINE: 1.0})
    own.write(100.0)
    own.tell("1", HQ, {ONLINE: 0.0})
    own.forget("1")
    own.write(101.0)
    assert (told(head, 101.0), len(own), head.stats.hosts) == ({}, 0, 0)
