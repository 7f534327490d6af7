from pathlib import Path

import pytest

from tests.chaos import g1, g35
from tests.chaos.__main__ import figure, names, sized
from tests.chaos.ledger import Verdict
from tests.chaos.outcome import fewer, held, judged, summed, violated


def test_the_worst_line_decides() -> None:
    assert summed(["fine"]) == "reached"
    assert summed(["fine", fewer("3 instead of 5")]) == "reached with fewer"
    assert summed([held("fast", good=False), fewer("3 instead of 5")]) == "missed"
    assert summed([held("fast", good=False), violated("one lost")]) == "VIOLATED"


def test_a_verdict_with_a_loss_is_a_violation() -> None:
    clean = Verdict(1, 1, (), (), (), ())
    assert summed([judged("R", clean)]) == "reached"
    assert summed([judged("R", Verdict(1, 0, ("a: 1 owed, 0 kept",), (), (), ()))]) == "VIOLATED"


def test_every_figure_says_its_goal_and_can_be_run() -> None:
    assert "g1" in names()
    for name in names():
        source = (Path(__file__).parent / f"{name}.py").read_text()
        assert "def run(" in source, name


def test_a_figure_that_breaks_down_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_seconds: float, _folder: Path) -> list[str]:
        raise AssertionError("planted")

    monkeypatch.setattr(g1, "run", broken)
    assert figure("g1", 1.0) == (g1.GOAL, ["violated: AssertionError: planted"])


def test_a_figure_can_be_given_sizes() -> None:
    assert sized("g9") == ("g9", {})
    assert sized("g1:agents=50,kills=20") == ("g1", {"agents": 50, "kills": 20})


def test_one_outlier_does_not_decide_a_slope() -> None:
    points = [(hour / 100, 200.0 + 3.0 * hour / 100) for hour in range(50)]
    assert abs(g35._slope([*points, (0.51, 150.0)]) - 3.0) < 0.5
