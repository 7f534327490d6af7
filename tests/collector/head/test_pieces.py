import numpy as np
import pytest

from collector.head import STALE, Head, Match, Matcher, selection
from collector.labels import Labels
from collector.promql import evaluate, plan

SENT = (Matcher("__name__", Match.EQUAL, "sent_total"),)


def filled() -> Head:
    """Ten hosts of two series; the third host is late, the fifth has a gap, the seventh falls."""
    head, random = Head(), np.random.default_rng(7)
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
    return head


def test_pieces_of_windows_are_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_TOGETHER", 60)
    found = filled().select(SENT, 130.0, 430.0)
    whole, pieces = found.windows(), list(found.relative())
    assert len(pieces) > 2
    for rows, some in pieces:
        width = some.values.shape[1]
        assert np.array_equal(some.counts, whole.counts[rows])
        assert np.array_equal(some.values, whole.values[rows, :width])
        times = np.where(some.valid, some.times + 430.0, 0.0)
        assert times == pytest.approx(np.where(some.valid, whole.times[rows, :width], 0.0))


@pytest.mark.parametrize("function", ["rate", "delta", "deriv", "max_over_time", "changes"])
def test_a_window_in_pieces_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    head, asked = filled(), plan(f"{function}(sent_total[5m]) / {function}(lost_total[5m])")
    whole = evaluate(asked, head.select, 430.0).vector
    monkeypatch.setattr(selection, "_TOGETHER", 60)
    pieces = evaluate(asked, filled().select, 430.0).vector
    assert len(whole) == 10
    assert pieces.labels == whole.labels
    assert pieces.values == pytest.approx(whole.values, rel=1e-12, nan_ok=True)
