import numpy as np
import pytest
from numpy.typing import NDArray

from collector.head import STALE, Head, Match, Matcher, Want, Windows, windows
from collector.labels import Labels
from collector.promql import evaluate, plan

END = 430.0
Pieces = list[tuple[slice | NDArray[np.intp], Windows]]
SENT = (Matcher("__name__", Match.EQUAL, "sent_total"),)


def filled(*, often: tuple[int, ...] = (), wanted: tuple[str, ...] = ()) -> Head:
    """Ten hosts of two series; the third host is late, the fifth has a gap, the seventh falls.

    Those that send `often` outgrow the others' slab, or of what is `wanted` have the oldest in their charts alone.
    """
    head, random = Head(), np.random.default_rng(7)
    if wanted:
        head.demand([Want((Matcher("__name__", Match.EQUAL, name),), 300.0) for name in wanted])
    for host in range(10):
        sets = [Labels.of(__name__=name, instance=f"h{host}") for name in ("sent_total", "lost_total")]
        head.register(f"{host}", b"s", sets)
    level = 1e6 * random.random((10, 2))
    for tick in range(1, 30):
        level += random.random((10, 2))
        level[6] = 0.0 if tick == 15 else level[6]
        for host in range(10):
            values = np.where(host == 4 and tick == 12, STALE, level[host])
            if host != 2 or tick > 20:
                head.append(f"{host}", b"s", 15.0 * tick + host / 10, None, values)
            for more in range(1, 10 if host in often else 1):
                head.append(f"{host}", b"s", 15.0 * tick + host / 10 + more, None, values)
    return head


def check(pieces: Pieces, whole: Windows) -> None:
    """Every series is in one piece, as it is in the whole."""
    places = np.arange(len(whole.counts))
    assert sorted(np.concatenate([places[rows] for rows, _ in pieces]).tolist()) == places.tolist()
    for rows, some in pieces:
        width = some.values.shape[1]
        assert np.array_equal(some.counts, whole.counts[rows])
        assert np.array_equal(some.values, whole.values[rows, :width])
        times = np.where(some.valid, some.times + END, 0.0)
        assert times == pytest.approx(np.where(some.valid, whole.times[rows, :width], 0.0))


@pytest.mark.parametrize("often", [(), (1, 8)])
def test_pieces_of_windows_are_the_windows(monkeypatch: pytest.MonkeyPatch, often: tuple[int, ...]) -> None:
    monkeypatch.setattr(windows, "_TOGETHER", 60)
    found = filled(often=often).select(SENT, 130.0, END)
    assert len(found.place.fine) == (2 if often else 1)  # slabs
    whole, pieces = found.windows(), list(found.relative())
    assert len(pieces) > 2
    check(pieces, whole)


def test_hosts_whose_oldest_samples_are_in_their_charts_are_the_only_ones_put_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "_TOGETHER", 60)
    found = filled(often=(1, 8), wanted=("sent_total",)).select(SENT, 130.0, END)
    whole, pieces = found.windows(), list(found.relative())
    assert [np.arange(10)[rows].tolist() for rows, _ in pieces[-2:]] == [[1], [8]]
    check(pieces, whole)


@pytest.mark.parametrize("often", [(), (1, 8)])
@pytest.mark.parametrize("function", ["rate", "delta", "deriv", "max_over_time", "changes"])
def test_a_window_in_pieces_gives_the_same_answer(
    monkeypatch: pytest.MonkeyPatch, function: str, often: tuple[int, ...]
) -> None:
    asked = plan(f"{function}(sent_total[5m]) / {function}(lost_total[5m])")
    whole = evaluate(asked, filled(often=often).select, END).vector
    monkeypatch.setattr(windows, "_TOGETHER", 60)
    pieces = evaluate(asked, filled(often=often).select, END).vector
    assert len(whole) == 10
    assert pieces.labels == whole.labels
    assert pieces.values == pytest.approx(whole.values, rel=1e-12, nan_ok=True)


def test_what_one_piece_of_a_window_shows_is_not_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_TOGETHER", 1)
    head = Head()
    for host, at in (("h0", END), ("h1", 100.0)):
        head.register(host, b"s", [Labels.of(__name__="sent_total", instance=host)])
        head.append(host, b"s", at, None, np.array([1.0]))
    assert len(evaluate(plan("absent_over_time(sent_total[1m])"), head.select, 440.0).vector) == 0
    assert len(evaluate(plan("absent_over_time(sent_total[1m])"), head.select, 540.0).vector) == 1


def test_selections_of_the_same_hosts_share_what_follows_from_their_times() -> None:
    head = filled()
    lost = (Matcher("__name__", Match.EQUAL, "lost_total"),)
    one, other = (next(head.select(asked, 130.0, END).relative())[1] for asked in (SENT, lost))
    assert one.memo is other.memo
    assert one.time_rows is other.time_rows
