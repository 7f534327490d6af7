from collections.abc import Callable

from collector.rules.check import check_text, shown

Remarks = Callable[[str, str], str]
GROUP = """groups:
  - name: g
    query_offset: 1m
    labels: {team: a}
    rules:
      - {alert: A, expr: node_load1 > 1, for: 5m, keep_firing_for: 5m}
      - {alert: B, expr: node_load5 > 1, for: 5m}
"""


def test_fields_an_older_prometheus_refuses_are_noted_once() -> None:
    told = [shown(one, {"r.yml": GROUP.splitlines()}) for one in check_text(GROUP, "r.yml") if one.lint == "newer"]
    lines = [line for one in told for line in one.splitlines()]
    assert lines == [
        "r.yml:3:5: note: A: query_offset of a group needs Prometheus 2.53 or newer",
        "        query_offset: 1m",
        "        ^",
        "r.yml:4:5: note: A: labels of a group needs Prometheus 3.0 or newer",
        "        labels: {team: a}",
        "        ^",
        "r.yml:6:51: note: A: keep_firing_for needs Prometheus 2.42 or newer",
        "          - {alert: A, expr: node_load1 > 1, for: 5m, keep_firing_for: 5m}",
        f"{'^':>55}",
    ]


def test_a_note_does_not_count_as_a_finding() -> None:
    assert [one.counts for one in check_text(GROUP, "r.yml")] == [False, False, False]


def test_old_fields_need_nothing(remarks: Remarks) -> None:
    assert remarks("newer", "- {alert: A, expr: node_load1 > 1, for: 5m, labels: {a: b}}") == ""
