from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_window_longer_than_the_memory_is_told_at_its_bracket(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'avg_over_time(node_load1[1w]) > 4'}"
    assert remarks("retention", rule) == (
        f"r.yml:4:49: warning: A: looks back 1w, the collector remembers 1d\n        {rule}\n{'^':>53}"
    )


def test_an_offset_counts(remarks: Remarks) -> None:
    assert "looks back 1d5m" in remarks("retention", "- {record: r, expr: 'rate(a_total[5m] offset 1d)'}")
    assert "looks back 2d" in remarks("retention", "- {record: r, expr: node_load1 offset 2d}")


def test_a_day_is_kept(remarks: Remarks) -> None:
    assert remarks("retention", "- {record: r, expr: 'predict_linear(node_load1[6h], 3600)'}") == ""
