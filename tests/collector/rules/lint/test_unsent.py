from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_metric_nobody_sends_is_told_at_its_name(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: 'node_load1 > 2 and on (instance) windows_cpu_time_total == 0', for: 5m}"
    assert remarks("unsent", rule) == (
        f"r.yml:4:58: warning: A: no agent of ours sends windows_cpu_time_total\n        {rule}\n{'^':>62}"
    )


def test_a_slip_of_the_pen_is_guessed(remarks: Remarks) -> None:
    told = remarks("unsent", "- {alert: A, expr: 'node_memory_MemAvailable_byte < 1', for: 5m}")
    assert "did you mean node_memory_MemAvailable_bytes?" in told


def test_a_name_is_told_once_a_rule(remarks: Remarks) -> None:
    assert remarks("unsent", "- {alert: A, expr: 'nope > 1 or nope < 0', for: 5m}").count("nope\n") == 1


def test_what_the_files_record_and_what_the_collector_makes_is_known(remarks: Remarks) -> None:
    rules = "- {record: 'a:b', expr: node_load1}\n- {alert: A, expr: 'a:b > czuwak_host_presence', for: 5m}"
    assert remarks("unsent", rules) == ""


def test_what_only_a_script_writes_is_a_note(remarks: Remarks) -> None:
    told = remarks("unsent", "- {alert: A, expr: apt_upgrades_pending > 5, for: 5m}")
    assert told.startswith("r.yml:4:24: note: A: apt_upgrades_pending comes only where a script of the host writes it")
