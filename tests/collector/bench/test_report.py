import json

from collector.bench.report import Report, added, unpacked


def some(delays: list[float]) -> Report:
    report = Report(agents=2, connected=2, connects=3, cpu_seconds=1.5, seconds=10.0)
    report.counts["sent"] = len(delays)
    report.nacks["NACK_REASON_QUOTA"] = 1
    for delay in delays:
        report.delay(delay)
    return report


def test_quantiles_are_exact_to_two_percent() -> None:
    report = some([0.010] * 98 + [1.0, 1.0])
    assert abs((report.quantile(0.5) or 0) - 0.010) < 0.0002
    assert abs((report.quantile(0.99) or 0) - 1.0) < 0.02


def test_nothing_acknowledged_has_no_quantile() -> None:
    assert Report().quantile(0.5) is None
    assert Report().shown()["ack_seconds"] == {"p50": None, "p99": None, "max": None}


def test_reports_of_processes_add_up_over_json() -> None:
    parts = [unpacked(json.loads(json.dumps(some([delay]).packed()))) for delay in (0.01, 0.1)]
    shown = added(parts).shown()
    assert shown["agents"] == 4
    assert shown["reconnects"] == 2
    assert shown["sent"] == 2
    assert shown["nacks"] == {"NACK_REASON_QUOTA": 2}
    assert shown["cpu_seconds"] == 3.0
    assert shown["seconds"] == 10.0
