import pytest

from collector.head import Head, RecordError
from tests.collector.head.fill import ALL, fill, kept, newest, numbers, series, want


def test_what_has_a_window_comes_back_from_its_records() -> None:
    wants = [want("up", 300.0), want("rec", 60.0)]
    head, again = Head(), Head()
    head.demand(wants)
    again.demand(wants)
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 101))
    head.set(series("own", "rec"), [7.0], 1499.0)
    for record in head.records():
        again.restore(record)
        again.restore(record)
    assert newest(again, 1501.0) == {}
    assert kept(again, "up", 1500.0, 300.0) == list(range(81, 101))
    assert kept(again, "rec", 1500.0, 60.0) == [7.0]
    assert kept(again, "up", 1500.0, 1400.0)[0] < 20
    assert not again.select(ALL, 1200.0, 1501.0).latest().present.any()
    assert again.select(ALL, 1200.0, 1501.0).latest().lost.all()
    again.register("1", b"t", series("a", "load", "up"))
    again.append("1", b"t", 1515.0, None, numbers(-101, 101))
    assert newest(again, 1515.0) == {"a.up": 101, "a.load": -101}
    assert kept(again, "up", 1515.0, 300.0) == list(range(82, 102))
    assert again.stats.series == 3


@pytest.mark.parametrize("damage", [b"", b"\xff\xff\xff\xff", b"\x02\x00\x00\x00{}", b"\x04\x00\x00\x00null"])
def test_bytes_that_are_no_record_are_refused(damage: bytes) -> None:
    with pytest.raises(RecordError):
        Head().restore(damage)


def test_every_cut_record_is_refused() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 5))
    (record,) = head.records()
    for length in range(len(record)):
        with pytest.raises(RecordError):
            Head().restore(record[:length])
