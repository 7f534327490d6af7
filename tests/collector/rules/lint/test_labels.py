from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_label_that_is_aggregated_away_is_told_in_the_template(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: sum(node_load1) > 9, for: 5m, annotations: {summary: 'on {{ $labels.instance }}'}}"
    assert remarks("labels", rule) == (
        "r.yml:4:84: warning: A: the result has no label instance, so summary will show nothing there\n"
        f"        {rule}\n"
        f"{'^':>88}"
    )


def test_a_label_the_metric_has_not_is_told(remarks: Remarks) -> None:
    told = remarks("labels", "- {alert: A, expr: node_load1 > 9, for: 5m, labels: {disk: '{{ .Labels.device }}'}}")
    assert "no label device, so disk will show nothing" in told


def test_labels_that_can_be_there_are_fine(remarks: Remarks) -> None:
    for expression in (
        "count by (mode) (node_cpu_seconds_total) > 9",
        'label_replace(node_load1, "mode", "x", "", "") > 1',
        "nope > 1",
        'absent(node_cpu_seconds_total{mode="idle"})',
        "node_load1 * on (instance) group_left (mode) node_cpu_seconds_total > 1",
    ):
        rule = f"- {{alert: A, expr: '{expression}', for: 5m, annotations: {{s: '{{{{ $labels.mode }}}} .Labels.x'}}}}"
        assert remarks("labels", rule) == "", expression
