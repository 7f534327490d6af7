from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_rate_of_a_gauge_is_told_at_its_name(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'rate(node_intr_total[5m]) > rate(node_load1[5m])', for: 5m}"
    assert remarks("counters", rule) == (
        "r.yml:4:58: warning: A: rate() is for counters, node_load1 is a gauge: use delta() or deriv()\n"
        f"        {rule}\n"
        f"{'^':>62}"
    )


def test_a_delta_of_a_counter_is_told(remarks: Remarks) -> None:
    told = remarks("counters", "- {record: r, expr: 'delta(node_intr_total[5m])'}")
    assert "delta() is for gauges, node_intr_total is a counter: use increase()" in told
    assert "is a counter" in remarks("counters", "- {record: r, expr: 'deriv(unheard_of_total[5m])'}")


def test_each_with_its_own_is_fine(remarks: Remarks) -> None:
    fine = [
        "rate(node_intr_total[5m])",
        "delta(node_load1[5m])",
        "rate(unheard_of[5m])",
        "rate(node_vmstat_pgmajfault[5m])",
    ]
    for expression in fine:
        assert remarks("counters", f"- {{record: r, expr: '{expression}'}}") == ""
