import pytest

from collector.head import HeadStats
from collector.ingest.demand import REST, rest, wants
from collector.rules.load import load_text

RULES = """
groups:
- name: g
  rules:
  - {alert: A, expr: 'rate(node_x_total{mode="idle"}[5m]) > 1 and node_y > 2 and predict_linear(node_y[1h], 60) < 0'}
  - {alert: B, expr: 'rate(node_x_total{mode="idle"}[10m]) > 1 or node_z offset 1h > 3'}
  - {record: 'a:b', expr: 'sum(node_w)'}
- name: late
  query_offset: 1m
  rules:
  - {alert: C, expr: 'node_v > 1'}
"""


def test_a_rule_wants_its_selectors_as_long_as_it_looks_back() -> None:
    found = {",".join(map(str, want.matchers)): want.seconds for want in wants(load_text(RULES, "r.yml"))}
    assert found == {
        '__name__="node_x_total",mode="idle"': 600.0,
        '__name__="node_y"': 3600.0,
        '__name__="node_z"': 3900.0,
        '__name__="node_w"': 0.0,
        '__name__="node_v"': 360.0,
    }


@pytest.mark.parametrize(
    ("series", "size", "before", "after"),
    [
        (10_000, 0, REST, REST),
        (100_000, 0, REST, REST),
        (200_000, 0, REST, 0.0),
        (100_000, 0, 0.0, 0.0),
        (10_000, 0, 0.0, REST),
        (10_000, 10**9, REST, 0.0),
    ],
)
def test_what_nobody_asks_for_is_kept_while_there_is_room(series: int, size: int, before: float, after: float) -> None:
    assert rest(HeadStats(1, series, 0, size), before, 15.0) == after


def test_room_is_made_before_a_fleet_that_is_known_comes() -> None:
    assert rest(HeadStats(0, 0, 0, 0), REST, 15.0, known=10_000) == 0.0
    assert rest(HeadStats(0, 0, 0, 0), REST, 15.0, known=4_000) == REST


def test_faster_rounds_leave_room_for_fewer_series() -> None:
    assert rest(HeadStats(1, 100_000, 0, 0), REST, 1.0) == 0.0
    assert rest(HeadStats(1, 8_000, 0, 0), REST, 1.0) == REST
