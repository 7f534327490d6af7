"""Recovery by proof: for which label sets an evaluation had data, whether they matched or not."""

import numpy as np
import pytest

from collector.head import STALE, Head
from collector.labels import Labels
from collector.promql import evaluate, evaluate_steps, plan

A, B = Labels.of(host="a"), Labels.of(host="b")


@pytest.fixture
def head() -> Head:
    """Hosts a and b send x and y for ten minutes, a sends z; host b falls silent; a's w ends while a goes on."""
    head = Head()
    for name, host in (("a", "a"), ("b", "b")):
        more = ("z", "w") if host == "a" else ()
        head.register(name, b"s", [Labels.of(__name__=n, host=host, n=n) for n in ("x", "y", *more)])
    for at in range(0, 601, 15):
        head.append("a", b"s", float(at), np.array([True, True, True, at < 300]), np.array([1.0, 0.0, np.nan, 5.0]))
        head.append("b", b"s", float(at), None, np.array([9.0, 9.0]))
    head.mark_stale("b", 600.5)
    return head


@pytest.mark.parametrize(
    ("expression", "matched", "considered"),
    [
        ("sum by (host) (x) > 5", set(), {"a"}),
        ("sum by (host) (x) >= 0", {"a"}, {"a"}),
        ("5 < sum by (host) (x)", set(), {"a"}),
        ("sum by (host) (x > 5)", set(), {"a"}),
        ("count by (host) (x > 5) > 1", set(), {"a"}),
        ("max by (host) (max_over_time(x[10m])) > 5", {"b"}, {"a"}),
        ("max by (host) (rate(x[10m])) > 5", set(), {"a"}),
        ("max by (host) (x) / max by (host) (y) > 5", {"a"}, {"a"}),
        ("max by (host) (y) / max by (host) (y) > 5", set(), set()),
        ("max by (host) (z) > 5", set(), set()),
        ("max by (host) (x) > scalar(missing)", set(), set()),
        ("max by (host) (x) + on(host) missing > 5", set(), set()),
        ("max by (host) (x) and on(host) y", {"a"}, {"a"}),
        ("max by (host) (x) and on(host) (y > 5)", set(), {"a"}),
        ("max by (host) (x) and on(host) missing", set(), set()),
        ("max by (host) (x) unless on(host) y", set(), {"a"}),
        ("max by (host) (x) unless on(host) missing", {"a"}, {"a"}),
        ("max by (host) (x > 5) or max by (host) (y > 5)", set(), {"a"}),
        ("max by (host) (x > 5) or max by (host) (z > 5)", set(), set()),
        ("max by (host) (x > 5) or missing", set(), {"a"}),
        ("-abs(max by (host) (x)) > 5", set(), {"a"}),
        ("ceil(max by (host) (x)) > bool 5", {"a"}, {"a"}),
        ("topk by (host) (1, max by (host) (x)) > 5", set(), {"a"}),
        ('label_replace(max by (host) (x), "host", "$1", "host", "(.*)") > 5', set(), {"a"}),
        ("max_over_time(max by (host) (x)[5m:1m]) > 5", {"b"}, {"a", "b"}),  # at the newest step b was still there
        ("max_over_time((max by (host) (x) > 5)[5m:1m]) > 0", {"b"}, {"a", "b"}),
        ("max_over_time((max by (host) (z) > 5)[5m:1m]) > 0", set(), set()),
        ("sum_over_time(max by (host) (x)[30s:7m]) > 5", set(), set()),
        ("max by (host) (x @ 590) > 5", {"b"}, {"a", "b"}),
        ("max by (host) (x offset 1m) > 5", {"b"}, {"a", "b"}),
        ("max by (host) (mad_over_time(x[10m])) > 5", set(), {"a"}),
        ('max by (host) (histogram_quantile(0.5, label_replace(x, "le", "+Inf", "", ""))) > 5', set(), set()),
        ('max by (host) (count_values("v", x)) > 5', set(), set()),
        # w ended while its host went on: it need not be waited for.
        ('sum by (host) ({host="a", n=~"x|w"}) > 5', set(), {"a"}),
    ],
)
def test_considered(head: Head, expression: str, matched: set[str], considered: set[str]) -> None:
    result = evaluate(plan(expression), head.select, 601.0)
    assert {labels.get("host") for labels in result.vector.labels} == matched
    assert {labels.get("host") for labels in result.considered_labels()} == considered
    for labels in (A, B):
        assert result.considered(labels) is (labels.get("host") in considered), labels


def test_a_group_with_a_lost_member_is_not_considered(head: Head) -> None:
    assert not evaluate(plan("max(x) > 100"), head.select, 601.0).considered(Labels())
    assert evaluate(plan("max(x) > 100"), head.select, 600.0).considered(Labels())


def test_the_name_of_the_metric_does_not_matter(head: Head) -> None:
    result = evaluate(plan("x > 5"), head.select, 601.0)
    assert result.considered(Labels.of(host="a", n="x"))
    assert result.considered(Labels.of(__name__="x", host="a", n="x"))
    assert not result.considered(Labels.of(host="a"))
    assert not result.considered(Labels.of(host="a", n="x", more="y"))
    assert not result.considered(Labels.of(host="never seen", n="x"))


def test_absent_is_always_considered(head: Head) -> None:
    present = evaluate(plan('absent(x{host="a"})'), head.select, 601.0)
    missing = evaluate(plan('absent(x{host="c"})'), head.select, 601.0)
    assert (len(present.vector), present.considered(A)) == (0, True)
    assert (len(missing.vector), missing.considered(Labels.of(host="c"))) == (1, True)


def test_a_window_running_empty_of_a_dead_host_proves_nothing(head: Head) -> None:
    late = evaluate(plan("count_over_time(x[10m]) > 30"), head.select, 1100.0)
    assert {labels.get("host") for labels in late.considered_labels()} == set()


def test_buckets_of_a_histogram_are_a_group() -> None:
    head = Head()
    buckets = [Labels.of(__name__="t_bucket", host="a", le=le) for le in ("1", "2", "+Inf")]
    head.set(buckets, [1.0, 3.0, 4.0], 10.0)
    low = evaluate(plan("histogram_quantile(0.5, t_bucket) > 5"), head.select, 20.0)
    assert (len(low.vector), low.considered(A)) == (0, True)
    head.set(buckets[:1], [STALE], 30.0)
    assert evaluate(plan("histogram_quantile(0.5, t_bucket)"), head.select, 40.0).vector.values.tolist() == [4 / 3]


def test_a_value_nobody_has_is_not_considered(head: Head) -> None:
    result = evaluate(plan('count_values("v", x)'), head.select, 600.0)
    assert result.considered(Labels.of(v="9"))
    assert not result.considered(Labels.of(v="8"))


def test_many_times_at_once_are_considered_as_one_by_one(head: Head) -> None:
    for text in (
        "max by (host) (x) > 5",
        "rate(x[3m]) > 1",
        "x * on(host) group_left (n) y",
        "max_over_time(x[5m:1m]) > 5",
    ):
        made = plan(text)
        for at, result in evaluate_steps(made, head.select, 500.0, 1100.0, 20.0):
            alone = evaluate(made, head.select, at)
            assert set(result.considered_labels()) == set(alone.considered_labels()), (text, at)
            assert dict(zip(result.vector.labels, result.vector.values.tolist(), strict=True)) == dict(
                zip(alone.vector.labels, alone.vector.values.tolist(), strict=True)
            ), (text, at)


def test_a_successor_with_other_labels_proves_for_the_match() -> None:
    head = Head()
    old, new = (Labels.of(__name__="x", host="a", version=v) for v in "12")
    head.set([old, Labels.of(__name__="y", host="a")], [1.0, 1.0], 10.0)
    head.set([old, new], [STALE, 1.0], 20.0)
    result = evaluate(plan("x * on(host) y > 5"), head.select, 30.0)
    assert result.considered(A)
