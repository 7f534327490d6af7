from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_label_the_metric_never_has_is_told_at_its_matcher(remarks: Remarks) -> None:
    rule = '- {alert: A, expr: \'node_cpu_seconds_total{mode="idle",core="1"} > 1\', for: 5m}'
    assert remarks("selectors", rule) == (
        'r.yml:4:60: warning: A: node_cpu_seconds_total has no label core, so nothing matches core="1"\n'
        f"        {rule}\n"
        f"{'^':>64}"
    )


def test_hosts_have_one_job(remarks: Remarks) -> None:
    told = remarks("selectors", "- {alert: A, expr: 'node_load1{job=~\"windows.*\"} > 1', for: 5m}")
    assert told.startswith('r.yml:4:36: warning: A: hosts\' series have job="node", so nothing matches ')


def test_what_can_match_is_not_told(remarks: Remarks) -> None:
    fine = [
        'node_load1{job="node",class!="laptop"}', 'node_cpu_seconds_total{core=""}', 'nope{core="1"}',
        'ALERTS{anything="x"}', 'node_load1{core!="1"}',
    ]  # fmt: skip
    for expression in fine:
        assert remarks("selectors", f"- {{alert: A, expr: '{expression} > 1', for: 5m}}") == ""
