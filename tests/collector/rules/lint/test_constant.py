from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_decided_comparison_is_told_at_its_operator(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'rate(node_intr_total{a!=\"b\"}[5m]) < 0', for: 5m}"
    assert remarks("constant", rule) == (
        f"r.yml:4:59: warning: A: never true: its values lie between 0 and inf\n        {rule}\n{'^':>63}"
    )


def test_what_is_decided_before_any_data(remarks: Remarks) -> None:
    always = ["count(node_load1) >= 1", "abs(node_load1) > -1", "hour() <= 23", "1 < bool 2", "absent(node_load1) == 1",
              "clamp_max(node_load1, 5) < 6", "node_load1 and vector(3) > 2", "sum(node_intr_total) >= 0",
              "node_intr_total / node_context_switches_total >= 0", "100 - clamp(node_load1, 0, 50) >= 50"]  # fmt: skip
    never = ["count(node_load1) < 1", "node_intr_total < 0", "month() == 13", "absent(node_load1) > 1",
             "minute() > 60", "-abs(node_load1) > 0", "clamp(node_load1, 0, 1) > 1", "2 < bool 1",
             "node_load1 > 9 and node_load1 < 3", "node_load1 == 1 and node_load1 > 5"]  # fmt: skip
    for word, expressions in (("always", always), ("never", never)):
        for expression in expressions:
            told = remarks("constant", f"- {{alert: A, expr: '{expression}', for: 5m}}")
            assert f"{word} true" in told, expression


def test_what_depends_on_the_data(remarks: Remarks) -> None:
    open_ = ["node_load1 > 2", "rate(node_intr_total[5m]) > 0", "count(node_load1) > 1",
             "node_load1 > 3 and node_load1 < 9", "absent(node_load1)",
             "topk(1, node_load1)", "node_load1 unless node_load5", "hour() > 6",
             "1 - node_load1 / node_load5 < 0.1", "something_wrong", "node_load1 % 2 == 1"]  # fmt: skip
    for expression in open_:
        assert remarks("constant", f"- {{alert: A, expr: '{expression}', for: 5m}}") == "", expression


def test_an_alert_without_a_condition_fires_for_every_series(remarks: Remarks) -> None:
    for expression in ("rate(node_intr_total[5m])", "node_load1 > bool 3", "node_load1 * 2", "sum(node_load1)"):
        assert "always true: the expression has no condition" in remarks(
            "constant", f"- {{alert: A, expr: '{expression}', for: 5m}}"
        )
    assert remarks("constant", "- {record: r, expr: 'rate(node_intr_total[5m])'}") == ""
