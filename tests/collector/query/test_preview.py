"""Expressions people type, tried in a process that may die of them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest

from collector.head import STALE, Head, Want
from collector.labels import Labels
from collector.promql import EvaluationError, PlanError, PromqlError, evaluate_range, plan
from collector.query.errors import PreviewError
from collector.query.preview import Owner, Preview
from tests.bench import hostile

T = TypeVar("T")
X = Labels.of(__name__="x", host="a")


@pytest.fixture(scope="module")
def preview() -> Iterator[Preview]:
    made = Preview(seconds=5.0)
    yield made
    made.close()


def of(head: Head) -> Owner:
    """The head's owner, who is at once here."""

    def owner(work: Callable[[Head], T]) -> T:
        return work(head)

    return owner


NOTHING = of(Head())


def pid_of(preview: Preview) -> int | None:
    return None if preview._helper is None else preview._helper.pid


def test_an_expression_is_drawn_over_the_samples_given(preview: Preview) -> None:
    head = Head()
    for at, value in ((0.0, 1.0), (60.0, 2.0), (120.0, STALE)):
        head.set([X], [value], at)
    found = preview.preview("x * 2", of(head), start=0.0, end=180.0, step=60.0)
    assert [(line.labels, line.at, line.values) for line in found.lines] == [
        (Labels.of(host="a"), (0.0, 60.0), (2.0, 4.0)),
    ]
    assert (found.metrics, found.max_range) == (frozenset({"x"}), 0.0)


def test_without_samples_it_is_tried(preview: Preview) -> None:
    found = preview.preview("max_over_time(rate(y[5m])[1h:]) > 3 or vector(NaN)", NOTHING)
    assert (len(found.lines), found.metrics, found.max_range) == (1, frozenset({"y"}), 3900.0)


def test_a_mistake_keeps_its_column_and_the_helper(preview: Preview) -> None:
    preview.preview("x", NOTHING)
    before = pid_of(preview)
    with pytest.raises(PlanError, match="unknown function") as caught:
        preview.preview("x + nofunc(y)", NOTHING)
    assert caught.value.column == 5
    with pytest.raises(EvaluationError, match="steps"):
        preview.preview("x", NOTHING, start=0.0, end=1e9, step=1.0)
    assert pid_of(preview) == before


def test_a_label_that_doubles_itself_is_refused(preview: Preview) -> None:
    text = 'label_replace(vector(1), "a", "xxxxxxxx", "", "")'
    for _ in range(20):
        text = f'label_join({text}, "a", "", "a", "a")'
    with pytest.raises(EvaluationError, match="too long"):
        preview.preview(text, NOTHING)


def test_too_much_work_is_refused(preview: Preview) -> None:
    with pytest.raises(EvaluationError, match="too many samples"):
        preview.preview("max_over_time(vector(1)[100d:1ms])", NOTHING)


def test_a_helper_that_dies_is_replaced(preview: Preview) -> None:
    preview.preview("x", NOTHING)
    before = pid_of(preview)
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    preview._seconds = 0.2
    try:
        with pytest.raises(PreviewError, match=r"longer than 0\.2 s"):
            preview.preview("x", NOTHING)
    finally:
        preview._seconds = 5.0
    assert preview.preview("vector(3)", NOTHING).lines[0].values == (3.0,)
    assert pid_of(preview) != before


def test_a_helper_killed_between_two_questions_is_replaced(preview: Preview) -> None:
    preview.preview("x", NOTHING)
    helper = preview._helper
    assert helper is not None
    helper.kill()
    helper.wait()
    assert preview.preview("vector(4)", NOTHING).lines[0].values == (4.0,)


def test_memory_is_limited() -> None:
    small = Preview(seconds=5.0, memory=400 << 20)
    try:
        with pytest.raises((EvaluationError, PreviewError), match=r"memory|too many"):
            small.preview("sum_over_time(vector(1)[10d:100ms]) + sum_over_time(vector(2)[10d:100ms])", NOTHING)
        assert small.preview("1 + 1", NOTHING).lines[0].values == (2.0,)
    finally:
        small.close()


EXPRESSIONS = [
    "x",
    "x offset 1m > 3",
    "x offset -1m",
    'x{host=~"h[12]"} + on (host) y',
    'x{host!~"h1", host!="h2"}',
    'x{nothing=~".*"}',
    'x{host=~"nobody"}',
    '{__name__=~"x|y", host="h1"}',
    "sum by (host) (rate(c[2m]))",
    "max_over_time(c[5m:30s]) - c @ start() + c @ end()",
    "max_over_time(rate(c[1m])[3m:15s] offset 1m)",
    "absent(x{host='h3'})",
    "timestamp(x)",
    "x == x @ 1000",
    "topk(1, c) or y",
    "vector(1)",
]


def fleet(*, charts: bool = False) -> Head:
    """Twenty minutes of three hosts; one is silent for a while, one series ends for a while."""
    head = Head()
    if charts:
        head.demand([Want(tuple(plan("x").root.matchers), 60.0)], rest=60.0)  # type: ignore[union-attr]
    names = ("x", "y", "c")
    for host in range(3):
        head.register(
            f"{host}", b"s", [Labels.of(__name__=name, host=f"h{host}", instance=f"i{host}") for name in names]
        )
    for tick in range(80):
        at = 15.0 * tick
        for host in range(3):
            there = np.array([True, not (host == 1 and 20 <= tick < 40), True])
            if host == 2 and tick == 30:
                head.mark_stale("2", at)
            elif host != 2 or not 30 <= tick < 50:
                head.append(f"{host}", b"s", at + host, there, np.array([tick % 7, host, tick * 2.0]))
        head.set([Labels.of(__name__="own", a="b")], [float(tick)], at)
    return head


CASES = [(text, False) for text in EXPRESSIONS] + [(text, True) for text in EXPRESSIONS if "[" not in text]


@pytest.mark.parametrize(("text", "charts"), CASES)  # a head of charts keeps no windows
def test_the_helper_says_what_the_head_itself_would(preview: Preview, text: str, charts: bool) -> None:
    head = fleet(charts=charts)
    for start, end, step in ((600.0, 1200.0, 15.0), (300.0, 1500.0, 60.0), (1190.0, 1190.0, 1.0)):
        wanted = evaluate_range(plan(text), head.select, start, end, step)
        found = preview.preview(text, of(head), start=start, end=end, step=step).lines
        assert {(line.labels, line.at): line.values for line in found} == {
            (line.labels, line.at): line.values for line in wanted
        }


def test_a_window_that_is_not_kept_is_refused_as_the_head_does(preview: Preview) -> None:
    head = fleet(charts=True)
    head.demand([], rest=0.0)
    head.append("0", b"s", 1300.0, None, np.ones(3))
    with pytest.raises(EvaluationError, match="only the newest values"):
        preview.preview("rate(c[5m])", of(head), start=1300.0, end=1300.0, step=1.0)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MOST_LOOKED_AT", 'x{host="h1"}', "name a metric"),
        ("MOST_SERIES", "x", "too many to be tried"),
        ("MOST_SAMPLES", "x + y", "ask for fewer"),
        ("MOST_VALUES", 'x{host=~"h.*"}', "too many to be tried"),
    ],
)
def test_what_is_copied_for_an_expression_is_bounded(
    preview: Preview, monkeypatch: pytest.MonkeyPatch, name: str, text: str, said: str
) -> None:
    monkeypatch.setattr(f"collector.query.preview.{name}", 2)
    with pytest.raises(EvaluationError, match=said):
        preview.preview(text, of(fleet()), start=600.0, end=1200.0, step=15.0)
    monkeypatch.undo()
    assert preview.preview("y", of(fleet()), start=1200.0, end=1200.0, step=15.0).lines


def test_many_different_selectors_are_refused(preview: Preview) -> None:
    with pytest.raises(EvaluationError, match="31 different selectors"):
        preview.preview(" + ".join(f"m{n}" for n in range(31)), NOTHING)


def test_hostile_expressions_cost_the_owner_of_the_head_nothing(preview: Preview) -> None:
    head, worst = hostile.filled(), 0.0

    def owner(work: Callable[[Head], T]) -> T:
        nonlocal worst
        began = time.thread_time()
        try:
            return work(head)
        finally:
            worst = max(worst, time.thread_time() - began)

    outcomes = set[str]()
    for text in hostile.expressions(300, seed=5):
        try:
            preview.preview(text, owner, start=hostile.BASE, end=hostile.BASE + 900.0, step=15.0)
            outcomes.add("answered")
        except (PromqlError, PreviewError) as error:
            outcomes.add(type(error).__name__)
    assert outcomes >= {"answered", "PlanError", "EvaluationError"}
    assert worst < 0.1


def test_an_owner_that_is_away_leaves_the_helper_as_it_is(preview: Preview) -> None:
    def away(work: Callable[[Head], T]) -> T:
        del work
        raise TimeoutError

    before = pid_of(preview)
    with pytest.raises(TimeoutError):
        preview.preview("x", away)
    assert preview.preview("vector(5)", NOTHING).lines[0].values == (5.0,)
    assert before in {None, pid_of(preview)}
