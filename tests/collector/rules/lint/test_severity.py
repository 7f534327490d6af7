from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_severity_nobody_knows_is_told_at_its_value(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: node_load1 > 1, for: 5m, labels: {severity: page}}"
    assert remarks("severity", rule) == (
        f"r.yml:4:68: warning: A: unknown severity 'page'; known are info, warning, critical\n        {rule}\n{'^':>72}"
    )


def test_the_three_and_templates_and_none_are_fine(remarks: Remarks) -> None:
    for severity in ("severity: info", "severity: warning", "severity: critical", "severity: '{{ $value }}'", ""):
        assert remarks("severity", f"- {{alert: A, expr: node_load1 > 1, for: 5m, labels: {{{severity}}}}}") == ""
