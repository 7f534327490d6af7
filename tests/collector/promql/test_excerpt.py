"""One side of a comparison, cut out as text that plans to the same."""

import pytest

from collector.promql import plan, threshold
from collector.promql.excerpt import excerpt


@pytest.mark.parametrize(
    ("expression", "side"),
    [
        ("a < 5", "a"),
        ("a / b < 0.08\n  and b < 10e9", "a / b"),
        ("0.1 > rate(a[5m])", "rate(a[5m])"),
        ("(a - b) / b * 100 > 90", "(a - b) / b * 100"),
        ("((a > 3))", "a"),
        ('a unless on (x) b{y!="1"} == 0', 'b{y!="1"}'),
        ("sum by (instance) (up == bool 0) > 2", "sum by (instance) (up == bool 0)"),
        ('count(m{x=~"a|b", y="<5"} > 1) by (z) >= 3', 'count(m{x=~"a|b", y="<5"} > 1) by (z)'),
        ("a > b > 5", "a > b"),
        ("# above\na  # below\n > 1 # tail", "a  # below"),
        ("clamp_max(a, 4) > 1", "clamp_max(a, 4)"),
        ("predict_linear(a[1h], 3600) < 0 and on () hour() >= 8", "predict_linear(a[1h], 3600)"),
    ],
)
def test_the_side_is_the_text_between_the_operators(expression: str, side: str) -> None:
    comparison = threshold(plan(expression))
    assert comparison is not None
    assert excerpt(comparison.left) == side
    assert plan(side).root == comparison.left.root


def test_what_is_no_side_of_a_comparison_has_no_text() -> None:
    assert excerpt(plan("a + b")) == ""
