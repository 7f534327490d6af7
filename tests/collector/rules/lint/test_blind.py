from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_rule_without_any_possible_result_is_told_at_its_expression(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'sum by (instance) (rate(windows_cpu_time_total[5m])) > 1', for: 5m}"
    assert remarks("blind", rule) == (
        f"r.yml:4:25: warning: A: can never match what our agents send\n        {rule}\n{'^':>29}"
    )


def test_what_is_blind(remarks: Remarks) -> None:
    blind = [
        "nope > 1", "node_load1 > on (instance) nope", "nope unless node_load1", "nope or gone", "node_load1 and nope",
        'node_load1{job="x"} > 1', "node_load1 and node_cpu_seconds_total", "-nope > 1", "nope + 1 > 1",
    ]  # fmt: skip
    for expression in blind:
        assert "can never match" in remarks("blind", f"- {{record: r, expr: '{expression}'}}"), expression


def test_what_can_see(remarks: Remarks) -> None:
    seeing = [
        "node_load1 > 1", "node_load1 or nope", "node_load1 unless nope", "absent(nope)", '{instance="a"} > 1',
        "node_load1 > scalar(nope)", "vector(1)",
    ]  # fmt: skip
    for expression in seeing:
        assert remarks("blind", f"- {{record: r, expr: '{expression}'}}") == "", expression
