"""Expressions people type, tried in a process that may die of them."""

import os
import signal
from collections.abc import Iterator

import pytest

from collector.labels import Labels
from collector.promql import EvaluationError, PlanError
from collector.query.errors import PreviewError
from collector.query.preview import Preview

X = Labels.of(__name__="x", host="a")


@pytest.fixture(scope="module")
def preview() -> Iterator[Preview]:
    made = Preview(seconds=5.0)
    yield made
    made.close()


def pid_of(preview: Preview) -> int | None:
    return None if preview._helper is None else preview._helper.pid


def test_an_expression_is_drawn_over_the_samples_given(preview: Preview) -> None:
    samples = [(X, [0.0, 60.0, 120.0], [1.0, 2.0, None])]
    found = preview.preview("x * 2", samples, start=0.0, end=180.0, step=60.0)
    assert [(line.labels, line.at, line.values) for line in found.lines] == [
        (Labels.of(host="a"), (0.0, 60.0), (2.0, 4.0)),
    ]
    assert (found.metrics, found.max_range) == (frozenset({"x"}), 0.0)


def test_without_samples_it_is_tried(preview: Preview) -> None:
    found = preview.preview("max_over_time(rate(y[5m])[1h:]) > 3 or vector(NaN)")
    assert (len(found.lines), found.metrics, found.max_range) == (1, frozenset({"y"}), 3900.0)


def test_a_mistake_keeps_its_column_and_the_helper(preview: Preview) -> None:
    preview.preview("x")
    before = pid_of(preview)
    with pytest.raises(PlanError, match="unknown function") as caught:
        preview.preview("x + nofunc(y)")
    assert caught.value.column == 5
    with pytest.raises(EvaluationError, match="steps"):
        preview.preview("x", start=0.0, end=1e9, step=1.0)
    assert pid_of(preview) == before


def test_a_label_that_doubles_itself_is_refused(preview: Preview) -> None:
    text = 'label_replace(vector(1), "a", "xxxxxxxx", "", "")'
    for _ in range(20):
        text = f'label_join({text}, "a", "", "a", "a")'
    with pytest.raises(EvaluationError, match="too long"):
        preview.preview(text)


def test_too_much_work_is_refused(preview: Preview) -> None:
    with pytest.raises(EvaluationError, match="too many samples"):
        preview.preview("max_over_time(vector(1)[100d:1ms])")


def test_a_helper_that_dies_is_replaced(preview: Preview) -> None:
    preview.preview("x")
    before = pid_of(preview)
    assert before is not None
    os.kill(before, signal.SIGSTOP)
    preview._seconds = 0.2
    try:
        with pytest.raises(PreviewError, match=r"longer than 0\.2 s"):
            preview.preview("x")
    finally:
        preview._seconds = 5.0
    assert preview.preview("vector(3)").lines[0].values == (3.0,)
    assert pid_of(preview) != before


def test_a_helper_killed_between_two_questions_is_replaced(preview: Preview) -> None:
    preview.preview("x")
    helper = preview._helper
    assert helper is not None
    helper.kill()
    helper.wait()
    assert preview.preview("vector(4)").lines[0].values == (4.0,)


def test_memory_is_limited() -> None:
    small = Preview(seconds=5.0, memory=400 << 20)
    try:
        with pytest.raises((EvaluationError, PreviewError), match=r"memory|too many"):
            small.preview("sum_over_time(vector(1)[10d:100ms]) + sum_over_time(vector(2)[10d:100ms])")
        assert small.preview("1 + 1").lines[0].values == (2.0,)
    finally:
        small.close()
