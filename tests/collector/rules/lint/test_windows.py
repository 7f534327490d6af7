from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_range_that_cannot_hold_two_samples_is_told_at_its_bracket(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'rate(node_vmstat_pgmajfault[20s]) > 1 and rate(node_intr_total[5m]) > 0', for: 5m}"
    assert remarks("windows", rule) == (
        "r.yml:4:52: warning: A: a range of 20s can miss every pair of samples: "
        "agents send every 15s, so ask for 30s or more\n"
        f"        {rule}\n"
        f"{'^':>56}"
    )


def test_of_two_ranges_the_short_one_is_meant(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'rate(a_total[5m]) > rate(b_total[1s])', for: 5m}"
    assert remarks("windows", rule).startswith("r.yml:4:57: ")


def test_two_intervals_are_enough(remarks: Remarks) -> None:
    assert remarks("windows", "- {record: r, expr: 'rate(a_total[30s])'}") == ""


def test_a_subquery_is_no_window_of_samples_but_what_is_in_it_is(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'max_over_time(rate(a_total[10s])[1h:10s]) > 1', for: 5m}"
    assert remarks("windows", rule).startswith("r.yml:4:51: ")
    assert remarks("retention", rule.replace("1h:", "1w:")).startswith("r.yml:4:57: warning: A: looks back 1w10s")
