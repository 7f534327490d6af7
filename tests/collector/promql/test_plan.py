import pytest

from collector.head import Match, Matcher
from collector.promql import PlanError, metric_names, plan, restrict, threshold
from collector.promql.nodes import Aggregate, Binary, Call, Edge, Matching, Number, Operator, Range, Selector, Subquery


def test_a_rule_becomes_a_plan() -> None:
    made = plan('sum by (host) (rate(x_total{a=~"b.*"}[5m] offset 1m)) > bool 3')
    matchers = (Matcher("__name__", Match.EQUAL, "x_total"), Matcher("a", Match.REGEX, "b.*"))
    rate = Call("rate", (Range(Selector(matchers, 60.0), 300.0),))
    total = Aggregate("sum", rate, ("host",))
    assert made.root == Binary(Operator.GREATER, total, Number(3.0), Matching(), as_bool=True)
    assert made.max_range == 360.0
    assert not made.scalar


def test_subqueries_and_fixed_times_are_kept() -> None:
    root = plan("max_over_time(rate(a[5m] @ 100)[1h:30s] @ end() offset -1m)").root
    matchers = (Matcher("__name__", Match.EQUAL, "a"),)
    rate = Call("rate", (Range(Selector(matchers, pinned=100.0), 300.0),))
    assert root == Call("max_over_time", (Subquery(rate, 3600.0, 30.0, -60.0, Edge.END),))
    assert plan("max_over_time(a[1h:])").root == Call("max_over_time", (Subquery(Selector(matchers), 3600.0, 60.0),))


@pytest.mark.parametrize("zero", ["0s", "0", "-0s", "0m0s", "0ms", "0.0", "- 0"])
def test_an_offset_of_zero_is_none(zero: str) -> None:
    assert plan(f"rate(a[5m] offset {zero})").root == plan("rate(a[5m])").root
    assert plan(f"a offset {zero} @ 5").root == plan("a @ 5").root


def test_matching_is_kept() -> None:
    root = plan("a * on(x, y) group_left(z) b").root
    assert isinstance(root, Binary)
    assert root.matching == Matching(("x", "y"), on=True, many="left", include=("z",))


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("up @ -5", "a time before 1970 after @ is not supported", 6),
        ("up @ 1e300", "more than 3000 years", 4),
        ("up offset 291y7d13h", "more than 100 years", 11),
        ("a[5m:1m]", "a range of samples", 2),
        ("1 + histogram_sum(a)", "the function histogram_sum\\(\\) is not supported", 5),
        ("sum(a) + limitk(1, a)", "the aggregation limitk\\(\\) is not supported", 10),
        ('a + {x="1" or y="2"}', "'or' between matchers is not supported", 12),
        ("a + nofunc(b)", "unknown function", 5),
        ('a{b=~"("}', "regex", 6),
        ("sum(a", "unclosed left parenthesis", 5),
        ("a +", "not a PromQL expression", 1),
        ("", "no expression", 1),
        ('"text"', "a string", 1),
        ("a[5m]", "a range of samples", 2),
        ("a + rate(b)", "expected type matrix in call to function 'rate'", 5),
        ("a + on(x) fill(0) b", "fill is not supported", 11),
        ("a smoothed", "smoothed is not supported", 3),
        ("1 > 2", "BOOL", 1),
        ('label_replace(a, "b", "$1", "c", "(")', "label_replace\\(\\): invalid regular expression", 1),
        ('a{b="\\xff"}', "byte above 127", 5),
    ],
)
def test_what_is_not_possible_is_refused_by_name_and_column(text: str, message: str, column: int) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        plan(text)
    assert caught.value.column == column


def test_raw_strings_are_raw() -> None:
    root = plan(r"a{b=~`\d+\n`}").root
    assert isinstance(root, Selector)
    assert root.matchers[1] == Matcher("b", Match.REGEX, r"\d+\n")


def test_metric_names_are_those_asked_for_by_name() -> None:
    assert metric_names(plan('a + sum(rate(b[5m])) + {__name__="c"} + {__name__=~"d", e="f"}')) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("text", "left", "operator", "limit"),
    [
        ("a / b > 0.9", {"a", "b"}, ">", 0.9),
        ("0.9 < a", {"a"}, ">", 0.9),
        ("5 >= a", {"a"}, "<=", 5.0),
        ("a == -1", {"a"}, "==", -1.0),
        ("a > b and c < 3", {"c"}, "<", 3.0),
        ("count(a > 1) > 2", {"a"}, ">", 2.0),
    ],
)
def test_the_threshold_is_the_first_comparison_with_a_literal(
    text: str, left: set[str], operator: str, limit: float
) -> None:
    found = threshold(plan(text))
    assert found is not None
    assert (set(metric_names(found.left)), found.operator, found.limit) == (left, operator, limit)


def test_without_a_literal_there_is_no_threshold() -> None:
    assert threshold(plan("a > b")) is None
    assert threshold(plan("absent(a)")) is None


def test_restricting_adds_matchers_to_every_selector() -> None:
    made = restrict(plan("-sum(rate(a[5m])) / abs(b) > 3"), {"instance": "h1"})
    wanted = plan('-sum(rate(a{instance="h1"}[5m])) / abs(b{instance="h1"}) > 3')
    assert made.root == wanted.root
    assert made.expression == "-sum(rate(a[5m])) / abs(b) > 3"


def test_restricting_reaches_into_subqueries() -> None:
    made = restrict(plan("max_over_time(a[1h:1m])"), {"instance": "h1"})
    assert made.root == plan('max_over_time(a{instance="h1"}[1h:1m])').root


def test_how_far_back_an_expression_looks() -> None:
    assert plan("rate(a[5m]) + rate(b[1h] offset 1h) + c offset 3h").max_range == 3 * 3600
    assert plan("a offset -1h").max_range == 0.0
    assert plan("max_over_time(rate(a[5m])[1h:1m] offset 1m)").max_range == 3600 + 300 + 60
    assert plan("a @ 100 + rate(b[5m] @ start())").max_range == 0.0
    assert plan("1 + time()").scalar
