"""Counting requests, and one page made of two processes' metrics."""

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.metrics import Metrics
from web import meter

INGEST = """# HELP czuwak_collector_hosts Hosts in the head
# TYPE czuwak_collector_hosts gauge
czuwak_collector_hosts 3.0
# HELP czuwak_collector_samples_total Samples
# TYPE czuwak_collector_samples_total counter
czuwak_collector_samples_total{lane="live"} 1200.0
# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 7.0e+07
"""


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }


def test_requests_are_counted_by_route_method_and_status() -> None:
    counted = meter.meter()
    counted.count("/ticket/<number>", "GET", 200, 0.02)
    counted.count("/ticket/<number>", "GET", 200, 0.02)
    found = samples(meter.page(counted.registry, None).decode())
    labels = (("method", "GET"), ("route", "/ticket/<number>"), ("status", "200"))
    assert found["czuwak_collector_web_requests_total", labels] == 2
    assert found["czuwak_collector_web_request_seconds_count", (("route", "/ticket/<number>"),)] == 2


@pytest.mark.parametrize("method", ["BREW", "GET\n", "\udcff"])
def test_a_made_up_method_and_a_path_without_a_route_add_no_series(method: str) -> None:
    counted = meter.meter()
    counted.count(None, method, 404, 0.001)
    found = samples(meter.page(counted.registry, None).decode())
    labels = (("method", "other"), ("route", "none"), ("status", "404"))
    assert found["czuwak_collector_web_requests_total", labels] == 1


def test_the_page_holds_what_ingest_says_and_tells_the_processes_apart() -> None:
    text = meter.page(meter.meter().registry, INGEST).decode()
    found = samples(text)
    assert found["czuwak_collector_hosts", ()] == 3
    assert found["czuwak_collector_samples_total", (("lane", "live"),)] == 1200
    assert found["process_resident_memory_bytes", (("process", "ingest"),)] == 7.0e7
    assert found["process_resident_memory_bytes", (("process", "web"),)] > 0
    assert text.count("# TYPE process_resident_memory_bytes") == 1


def test_the_page_says_that_ingest_is_away() -> None:
    assert samples(meter.page(meter.meter().registry, None).decode())["czuwak_collector_ingest_up", ()] == 0
    assert samples(meter.page(meter.meter().registry, "").decode())["czuwak_collector_ingest_up", ()] == 1


@pytest.mark.server("promtool")
def test_promtool_is_content_with_the_page_of_both_processes() -> None:
    counted, ingest = meter.meter(), Metrics()
    counted.count("/ticket/<number>", "GET", 200, 0.02)
    ingest.samples.inc(500)
    page = meter.page(counted.registry, ingest.text().decode())
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
