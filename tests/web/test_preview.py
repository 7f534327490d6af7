"""Typed expressions: charts, mistakes under their character, and nothing for those who see one company only."""

from collections.abc import Callable

import pytest

from tests.web.visitor import Visitor
from web.live import Line
from web.preview import mistake, preview

pytestmark = pytest.mark.usefixtures("estate")


@pytest.fixture
def anna(reader: Callable[[str], Visitor]) -> Visitor:
    return reader("anna")


def asked(anna: Visitor, expression: str, code: int) -> str:
    got = anna.client.get("/explore", query_string={"q": expression}, buffered=True)
    assert got.status_code == code
    return str(got.text)


def test_an_expression_is_drawn_over_the_last_hour(anna: Visitor) -> None:
    page = asked(anna, 'node_load1{instance!="srv-9"}', 200)
    assert page.count('<path class="line') == 4 + 4  # in the chart and beside the names
    assert "6 series" in page
    assert "the first 4 are drawn" in page
    assert "node_load1{company=&#34;alfa&#34;,instance=&#34;srv-5&#34;}" in page


def test_a_number_and_an_empty_answer_are_answers(anna: Visitor) -> None:
    assert "1 series" in asked(anna, "1 + 1", 200)
    assert "The answer is empty" in asked(anna, "nothing_at_all", 200)


def test_a_mistake_is_shown_under_its_character(anna: Visitor) -> None:
    page = asked(anna, "sum(node_load1)\r\n  + node_load1{}}", 400)
    assert "At character 32:" in page
    assert "  + node_load1{}}\n               ^</pre>" in page
    assert 'aria-invalid="true"' in page


@pytest.mark.parametrize(
    "expression",
    [
        "<script>alert(1)</script>",
        "a" * 5000,
        "(" * 300,
        "node_load1 * on () node_load1",
        "'text'",
        "up[5m]",
        "{{7*7}}",
    ],
)
def test_what_cannot_be_asked_is_told_and_never_an_error_of_ours(anna: Visitor, expression: str) -> None:
    page = asked(anna, expression, 400)
    assert "<script>alert" not in page
    assert 'role="alert"' in page


def test_without_an_expression_there_is_the_form(anna: Visitor) -> None:
    assert "stores nothing" in asked(anna, " ", 200)


def test_the_caret_stands_under_tabs_and_never_outside() -> None:
    assert (mistake("\ta +", "m", 4).line, mistake("\ta +", "m", 4).caret) == ("\ta +", "\t  ^")
    assert mistake("ab", "m", 99).caret == "  ^"
    assert mistake("", "m", 1).caret == "^"
    assert mistake("a\nb\nc", "m", 3).line == "b"


def test_values_that_are_no_numbers_are_gaps() -> None:
    got = preview([Line({"__name__": "m"}, (0.0, 30.0, 60.0), (1.0, float("nan"), float("inf")))], "m")
    assert got.rows == (("m{}", 1.0),)
    assert got.drawn == 1
