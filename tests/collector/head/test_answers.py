import numpy as np

from collector.head import Head, Match, Matcher
from collector.head.answers import Answers
from collector.labels import Labels

UP = (Matcher("__name__", Match.EQUAL, "up"),)


def test_an_answer_is_made_once_until_something_changes() -> None:
    answers, made = Answers(100), []

    def make() -> tuple[int, int]:
        made.append(1)
        return len(made), 20

    assert [answers.get("a", make), answers.get("a", make), answers.get("b", make)] == [1, 1, 2]
    answers.forget()
    assert answers.get("a", make) == 3


def test_answers_are_bounded() -> None:
    answers = Answers(100)
    for number in range(1000):
        answers.get(number, lambda: (0, 20))
    assert len(answers._kept) <= 5
    answers.get("large", lambda: (0, 99))
    assert "large" not in answers._kept


def test_a_host_s_sample_is_seen_though_the_question_is_the_same() -> None:
    head = Head()
    head.register("1", b"s", [Labels.of(__name__="up", instance="a")])
    for tick in range(1, 5):
        head.append("1", b"s", 10.0 * tick, None, np.array([float(tick)]))
        first, again = (head.select(UP, 0.0, 100.0).latest() for _ in range(2))
        assert first is again
        assert first.values.tolist() == [float(tick)]
        assert head.select(UP, 0.0, 100.0).windows().counts.tolist() == [tick]
    head.mark_stale("1", 50.0)
    assert not head.select(UP, 0.0, 100.0).latest().present.any()


def test_own_series_written_between_two_rules_are_seen() -> None:
    head = Head()
    one = Labels.of(__name__="up", instance="own")
    for tick in range(1, 4):
        head.set([one], [float(tick)], 10.0 * tick)
        assert head.select(UP, 0.0, 100.0).latest().values.tolist() == [float(tick)]
