from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_level_without_for_is_told_at_its_comparison(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'node_load1 > 2'}"
    assert remarks("flapping", rule) == (
        "r.yml:4:36: warning: A: without `for` this opens a ticket at the first sample beyond the limit; "
        "wait some minutes, or compare over 5m or more\n"
        f"        {rule}\n"
        f"{'^':>40}"
    )


def test_patience_of_any_kind_is_enough(remarks: Remarks) -> None:
    calm = ["expr: node_load1 > 2, for: 1m", "expr: node_load1 > 2, keep_firing_for: 5m", "expr: node_load1 == 1",
            "expr: 'avg_over_time(node_load1[5m]) > 2'", "expr: 'max_over_time(node_load1[1m]) > 2'",
            "expr: time() - node_boot_time_seconds > 5", "expr: 'changes(node_load1[1m]) > 2'",
            "expr: absent(node_load1) > 0", "expr: node_time_seconds - node_boot_time_seconds < 600",
            "expr: node_load1 > 1, labels: {ticket: 'no'}", "expr: 'increase(a_total[10m]) > 0'"]  # fmt: skip
    for fields in calm:
        assert remarks("flapping", f"- {{alert: A, {fields}}}") == "", fields


def test_what_the_collector_judged_before_it_told_it_does_not_flap(remarks: Remarks) -> None:
    for expression in (
        "czuwak_outage_hosts{scope='site'} > 0",
        "czuwak_collector_blind_seconds > 0",
        "czuwak_host_unexpected_reboots >= 3",
        "czuwak_host_away_working_days >= 10",
    ):
        assert remarks("flapping", f'- {{alert: A, expr: "{expression}"}}') == "", expression
    assert "without `for`" in remarks("flapping", "- {alert: A, expr: czuwak_host_clock_offset_seconds > 5}")


def test_a_rate_over_a_moment_flaps_too(remarks: Remarks) -> None:
    for fields in (
        "expr: 'rate(a_total[1m]) > 2'",
        "expr: '100 * (1 - node_load1 / 4) < 3'",
        "expr: sum(node_load1) > 1",
    ):
        assert "without `for`" in remarks("flapping", f"- {{alert: A, {fields}}}"), fields
