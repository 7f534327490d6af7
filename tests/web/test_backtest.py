"""Pasted rules on the history of a real engine: the result, the mistakes in their lines, nothing for others."""

from collections.abc import Callable

import pytest

from collector.store import Store, search
from collector.tickets.query import Query, View
from tests.web import seed
from tests.web.visitor import Visit, Visitor

pytestmark = pytest.mark.usefixtures("estate")

RULES = """groups:
  - name: mine
    rules:
      - alert: Load
        expr: node_load1{instance="srv-0"} > 5
        for: 1m
"""


@pytest.fixture
def anna(reader: Callable[[str], Visitor]) -> Visitor:
    return reader("anna")


def tried(anna: Visitor, rules: str, code: int) -> str:
    got = anna.send("/backtest", {"rules": rules}, page="/backtest")
    assert got.status_code == code
    return str(got.text)


def test_pasted_rules_are_tried_and_nothing_is_stored(anna: Visitor, store: Store) -> None:
    page = tried(anna, RULES.replace("\n", "\r\n"), 200)
    assert "This would have opened 1 ticket." in page
    assert "1 of them healed within 5 minutes." in page
    assert "same ticket again" in page
    assert "every 1 min" in page
    assert "expr: node_load1{instance=&#34;srv-0&#34;} &gt; 5" in page  # to go on with
    with store.read() as conn:
        assert search.search(conn, Query(), None, at=seed.NOW, view=View.EVERY).total == 10


def test_rules_that_never_fire_say_so(anna: Visitor) -> None:
    page = tried(anna, RULES.replace("> 5", "> 500"), 200)
    assert "This would have opened 0 tickets." in page
    assert "healed" not in page


def test_mistakes_are_told_with_their_lines_and_nothing_is_tried(anna: Visitor) -> None:
    page = tried(anna, RULES.replace("for:", "fro:"), 422)
    assert "line 6, column 9" in page
    assert "        fro: 1m\n        ^</pre>" in page
    assert "This would have opened" not in page


@pytest.mark.parametrize(
    "rules", ["", "  ", "<script>alert(1)</script>", "groups: [" * 500, "a: &a [*a]", "{{ 7*7 }}", "\t: x", "groups: 1"]
)
def test_what_is_no_rule_file_is_told(anna: Visitor, rules: str) -> None:
    page = tried(anna, rules, 422)
    assert "<script>alert" not in page


def test_without_the_engine_the_page_says_so(browser: Visit) -> None:
    assert "does not answer in time" in tried(browser("anna"), RULES, 503)
