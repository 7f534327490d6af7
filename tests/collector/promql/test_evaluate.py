"""The vectorised engine against a slow, plain one in this file, and facts about its answers."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.head import STALE, Head
from collector.labels import Labels
from collector.promql import EvaluationError, evaluate, evaluate_range, plan

Point = tuple[float, float]
Data = dict[Labels, list[Point]]
AT = 600.0


def head_of(data: Data) -> Head:
    head = Head(retention=1e6)
    for labels, points in data.items():
        for at, value in points:
            head.set([labels], [value], at)
    return head


def answer(data: Data, expression: str, at: float = AT) -> dict[Labels, float]:
    vector = evaluate(plan(expression), head_of(data).select, at).vector
    return dict(zip(vector.labels, vector.values.tolist(), strict=True))


def is_stale(value: float) -> bool:
    return bool(np.array([value]).view(np.uint64)[0] == 0x7FF0000000000002)


def window(points: Iterable[Point], start: float, end: float) -> list[Point]:
    return [(t, v) for t, v in points if start < t <= end and not is_stale(v)]


def newest(points: Iterable[Point], at: float) -> float | None:
    before = [(t, v) for t, v in points if at - 300 < t <= at]
    return before[-1][1] if before and not is_stale(before[-1][1]) else None


def slow_increase(points: list[Point], start: float, end: float) -> float | None:
    """As Prometheus' documentation of extrapolation says, one series at a time."""
    if len(points) < 2:
        return None
    values = [v for _, v in points]
    grown = values[-1] - values[0] + sum(a for a, b in pairwise(values) if b < a)
    sampled = points[-1][0] - points[0][0]
    average = sampled / (len(points) - 1)
    before, after = points[0][0] - start, end - points[-1][0]
    before = average / 2 if before >= average * 1.1 else before
    after = average / 2 if after >= average * 1.1 else after
    if grown > 0 and values[0] >= 0:
        before = min(before, sampled * values[0] / grown)
    return grown * (sampled + before + after) / sampled


def slow_over_time(measure: Callable[[list[float]], float]) -> Callable[[list[Point], float, float], float | None]:
    return lambda points, _start, _end: measure([v for _, v in points]) if points else None


SLOW: dict[str, Callable[[list[Point], float, float], float | None]] = {
    "increase": slow_increase,
    "sum_over_time": slow_over_time(math.fsum),
    "avg_over_time": slow_over_time(lambda values: math.fsum(values) / len(values)),
    "min_over_time": slow_over_time(min),
    "max_over_time": slow_over_time(max),
    "count_over_time": slow_over_time(len),
    "last_over_time": slow_over_time(lambda values: values[-1]),
    "changes": slow_over_time(lambda values: sum(a != b for a, b in pairwise(values))),
    "resets": slow_over_time(lambda values: sum(b < a for a, b in pairwise(values))),
}
finite = st.integers(-1000, 1000).map(float)
times = st.lists(st.integers(1, 650), unique=True, max_size=12).map(lambda found: [float(t) for t in sorted(found)])
hosts = st.sampled_from(["a", "b", "c"])


@st.composite
def datasets(draw: st.DrawFn, name: str, extra: str) -> Data:
    labels = st.builds(lambda host, more: Labels.of({"__name__": name, "host": host, extra: more}), hosts, hosts)
    value = st.one_of(finite, st.just(STALE))
    return {one: [(t, draw(value)) for t in draw(times)] for one in draw(st.lists(labels, unique=True, max_size=5))}


@settings(max_examples=60, deadline=None)
@given(datasets("x", "disk"), st.sampled_from(sorted(SLOW)), st.integers(1, 700), st.integers(1, 100))
def test_functions_of_windows_agree_with_the_slow_reference(data: Data, name: str, seconds: int, offset: int) -> None:
    start, end = AT - offset - seconds, AT - offset
    wanted = {labels: SLOW[name](window(points, start, end), start, end) for labels, points in data.items()}
    kept = {
        (labels if name == "last_over_time" else labels.without("__name__")): pytest.approx(value, rel=1e-9, abs=1e-9)
        for labels, value in wanted.items()
        if value is not None
    }
    assert answer(data, f"{name}(x[{seconds}s] offset {offset}s)") == kept


@settings(max_examples=60, deadline=None)
@given(datasets("x", "disk"), datasets("y", "os"))
def test_joins_agree_with_the_slow_reference(left: Data, right: Data) -> None:
    many = {labels: v for labels, points in left.items() if (v := newest(points, AT)) is not None}
    one = {labels: v for labels, points in right.items() if (v := newest(points, AT)) is not None}
    by_host = [labels.get("host") for labels in one]
    expression = "x - on(host) group_left(os) y"
    if many and len(set(by_host)) < len(by_host):
        with pytest.raises(EvaluationError, match="many-to-many"):
            answer(left | right, expression)
        return
    wanted = {
        labels.without("__name__").with_({"os": other.get("os")}): value - against
        for labels, value in many.items()
        for other, against in one.items()
        if labels.get("host") == other.get("host")
    }
    assert answer(left | right, expression) == wanted


@settings(max_examples=60, deadline=None)
@given(datasets("x", "disk"), st.sampled_from(["sum", "min", "max", "count", "avg"]))
def test_aggregations_agree_with_the_slow_reference(data: Data, operator: str) -> None:
    groups: dict[str, list[float]] = {}
    for labels, points in data.items():
        value = newest(points, AT)
        if value is not None:
            groups.setdefault(labels.get("host"), []).append(value)
    measures: dict[str, Callable[[list[float]], float]] = {
        "sum": math.fsum,
        "min": min,
        "max": max,
        "count": len,
        "avg": lambda values: math.fsum(values) / len(values),
    }
    wanted = {Labels.of(host=host): pytest.approx(measures[operator](values)) for host, values in groups.items()}
    assert answer(data, f"{operator} by (host) (x)") == wanted


@settings(max_examples=40, deadline=None)
@given(datasets("x", "disk"), datasets("y", "disk"), st.sampled_from(["and", "or", "unless"]))
def test_set_operators_agree_with_the_slow_reference(left: Data, right: Data, operator: str) -> None:
    lefts = {labels for labels, points in left.items() if newest(points, AT) is not None}
    rights = {labels for labels, points in right.items() if newest(points, AT) is not None}

    def matches(one: Labels, others: set[Labels]) -> bool:
        return any(one.get("host") == other.get("host") for other in others)

    wanted = {
        "and": {one for one in lefts if matches(one, rights)},
        "unless": {one for one in lefts if not matches(one, rights)},
        "or": lefts | {one for one in rights if not matches(one, lefts)},
    }[operator]
    assert set(answer(left | right, f"x {operator} on(host) y")) == wanted


def test_caches_follow_series_that_come_and_go() -> None:
    head, made = Head(), plan("sum by (host) (x) * on(host) group_left(os) y")
    x1, x2 = Labels.of(__name__="x", host="a", n="1"), Labels.of(__name__="x", host="a", n="2")
    linux, other = Labels.of(__name__="y", host="a", os="linux"), Labels.of(__name__="y", host="a", os="other")

    def now(at: float) -> dict[str, float]:
        vector = evaluate(made, head.select, at).vector
        return {labels.get("os"): value for labels, value in zip(vector.labels, vector.values.tolist(), strict=True)}

    head.set([x1, linux], [2.0, 1.0], 10.0)
    assert now(10.0) == {"linux": 2.0}
    head.set([x2], [3.0], 20.0)
    assert now(20.0) == {"linux": 5.0}
    head.set([linux, other], [STALE, 2.0], 30.0)
    assert now(30.0) == {"other": 10.0}
    head.set([x1], [STALE], 40.0)
    assert now(40.0) == {"other": 6.0}


def test_equal_evaluations_reuse_the_same_label_columns() -> None:
    head = Head()
    head.set([Labels.of(__name__="x", host=h) for h in "abc"], [1.0, 2.0, 3.0], 10.0)
    made = plan("sum by (host) (x) / on(host) x > 0")
    first, second = (evaluate(made, head.select, at)._frame for at in (10.0, 11.0))
    assert first is second


def test_a_range_evaluation_is_a_line_for_each_series() -> None:
    head = Head()
    for at in (0.0, 10.0, 20.0):
        head.set([Labels.of(__name__="x", host="a")], [at], at)
    lines = evaluate_range(plan("x * 2 > 10"), head.select, 0.0, 20.0, 10.0)
    assert [(line.labels, line.at, line.values) for line in lines] == [
        (Labels.of(host="a"), (10.0, 20.0), (20.0, 40.0)),
    ]
    with pytest.raises(EvaluationError, match="steps"):
        evaluate_range(plan("x"), head.select, 0.0, 1e9, 1.0)


@pytest.mark.parametrize(
    "text", ["-" * 200 + "x", "x" + "+x" * 200, "abs(" * 100 + "x" + ")" * 100, "(" * 100 + "x" + ")" * 100]
)
def test_the_deepest_allowed_expression_is_evaluated(text: str) -> None:
    assert len(answer({Labels.of(__name__="x", host="a"): [(590.0, 1.0)]}, text)) == 1


def test_too_much_at_once_is_an_error_of_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {Labels.of(__name__="x", host=host): [(float(at), 1.0) for at in range(500, 600)] for host in "abc"}
    monkeypatch.setattr("collector.head.windows._MAX_SAMPLES", 250)
    with pytest.raises(EvaluationError, match="100 samples by 3 series is too much"):
        answer(data, "rate(x[5m])")
    monkeypatch.setattr("collector.head.series._MAX_CELLS", 5)
    with pytest.raises(EvaluationError, match="3 series with 2 label names are too much"):
        answer(data, "x")


def test_a_scalar_is_one_value_without_labels() -> None:
    result = evaluate(plan("time() - 5"), Head().select, 100.0)
    assert (result.vector.labels, result.vector.values.tolist()) == ((Labels(),), [95.0])


def test_expressions_without_series_join_those_with_series() -> None:
    data = {Labels.of(__name__="x", host="a"): [(590.0, 1.0)]}
    made = 'label_replace(vector(7), "host", "a", "", "") + on(host) x'
    assert answer(data, made) == {Labels.of(host="a"): 8.0}
    assert answer(data, 'x or label_replace(vector(7), "host", "b", "", "")') == {
        Labels.of(__name__="x", host="a"): 1.0,
        Labels.of(host="b"): 7.0,
    }
