from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_sides_with_different_labels_never_meet(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'node_filesystem_avail_bytes / node_memory_MemTotal_bytes < 0.1', for: 5m}"
    assert remarks("joins", rule) == (
        "r.yml:4:53: warning: A: the two sides of / never match: only the left one has the label device\n"
        f"        {rule}\n"
        f"{'^':>57}"
    )


def test_what_never_meets(remarks: Remarks) -> None:
    apart = [
        "node_load1 > count by (instance) (node_cpu_seconds_total)",
        "node_load1 > on (instance, cpu) node_cpu_seconds_total",
        "node_load1 and node_cpu_seconds_total",
        "node_load1 and ignoring (mode) node_cpu_seconds_total",
        "node_load1 * on (device) group_left () node_disk_io_now",
        "sum(node_load1) / node_load5",
        "rate(node_cpu_seconds_total[5m]) / absent(node_load1)",
    ]
    for expression in apart:
        assert "never match" in remarks("joins", f"- {{record: r, expr: '{expression}'}}"), expression


def test_what_may_meet(remarks: Remarks) -> None:
    together = [
        "node_load1 > on (instance) count by (instance) (node_cpu_seconds_total)",
        "node_filesystem_avail_bytes / node_filesystem_size_bytes",
        "node_load1 * 2 > 3",
        "nope / node_load1",
        "node_load1 or node_cpu_seconds_total",
        "node_load1 unless node_cpu_seconds_total",
        "node_network_receive_bytes_total * on (instance, device) group_left (operstate) node_network_info",
        "node_load1 and ignoring (mode, cpu) node_cpu_seconds_total",
        "ALERTS * on (instance) group_right node_load1",
    ]
    for expression in together:
        assert remarks("joins", f"- {{record: r, expr: '{expression}'}}") == "", expression


def test_recordings_are_looked_through(remarks: Remarks) -> None:
    rules = "- {record: 'i:cpus:count', expr: count by (instance) (node_cpu_seconds_total)}\n"
    assert "never match" in remarks("joins", rules + "- {record: r, expr: 'node_load1 / i:cpus:count'}")
