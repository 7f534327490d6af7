import pytest

from collector.head import Decoder, Encoder, Head, Record, RecordError
from collector.labels import Labels
from tests.collector.head.fill import ALL, fill, kept, newest, numbers, series, want


def test_what_has_a_window_comes_back_from_its_records() -> None:
    wants = [want("up", 300.0), want("rec", 60.0)]
    head, again = Head(), Head()
    head.demand(wants)
    again.demand(wants)
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 101))
    head.set(series("own", "rec"), [7.0], 1499.0)
    encoder, decoder = Encoder(), Decoder()
    for record in head.records():
        come_back = decoder.decode(encoder.encode(record))
        again.restore(come_back)
        again.restore(come_back)
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
        Decoder().decode(damage)


def test_every_cut_record_is_refused() -> None:
    head = Head()
    head.register("1", b"s", series("a", "up", "load"))
    fill(head, range(1, 5))
    (record,) = head.records()
    data = Encoder().encode(record)
    for length in range(len(data)):
        with pytest.raises(RecordError):
            Decoder().decode(data[:length])


def test_label_sets_that_hosts_have_in_common_are_written_once() -> None:
    head = Head()
    for host in ("1", "2", "3"):
        head.register(host, b"s", series(host, "up", *(["load"] if host == "3" else [])))
        head.append(host, b"s", 1500.0, None, numbers(*([7.0] if host != "3" else [8.0, 9.0])))
    encoder = Encoder()
    first, second, third = (encoder.encode(record) for record in head.records())
    assert [b"up" in data for data in (first, second, third)] == [True, False, True]
    decoder = Decoder()
    own = [decoder.decode(data).own for data in (first, second, third)]
    assert own[0] == own[1] == (Labels.of(__name__="up"),)
    assert own[2] == (Labels.of(__name__="up"), Labels.of(__name__="load"))
    with pytest.raises(RecordError):
        Decoder().decode(second)


def test_a_record_that_names_a_series_twice_is_passed_over() -> None:
    head = Head()
    up = Labels.of(__name__="up")
    head.restore(Record("1", Labels.of(instance="a"), (up, up), ()))
    assert (head.stats.hosts, head.stats.series, head._table.own_sets.live) == (0, 0, 0)
