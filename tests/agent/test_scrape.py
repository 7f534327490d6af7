"""A real Prometheus scrapes the page."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.exposition import serve
from agent.probes import ProbeSettings, probes
from agent.round import take_round

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def query(base: str, expression: str) -> list[tuple[dict[str, str], float]]:
    url = f"{base}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
        found = json.load(answer)["data"]["result"]
    return [(series["metric"], float(series["value"][1])) for series in found]


def waited(base: str, expression: str) -> list[tuple[dict[str, str], float]]:
    for _ in range(200):
        try:
            if found := query(base, expression):
                return found
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"Prometheus had nothing for {expression}")


@pytest.fixture
def prometheus(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    round_ = take_round(probes(ProbeSettings()), wall=time.time(), boottime_ns=0, clock=time.perf_counter)
    with serve(("127.0.0.1", 0), lambda: round_) as exposition:
        (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=exposition.port))
        where = f"127.0.0.1:{free_port()}"
        started = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address={where}",
            ],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"http://{where}"
        finally:
            started.terminate()
            started.wait(10)


@pytest.mark.server("prometheus")
def test_prometheus_takes_every_series_and_knows_their_kinds(prometheus: str) -> None:
    (_, up), *_ = waited(prometheus, "up == 1")
    (_, scraped), *_ = waited(prometheus, "scrape_samples_scraped > 0")
    (_, stored), *_ = waited(prometheus, 'count({job="node", __name__=~"node_.+|czuwak_.+"})')
    ((named, _),) = waited(prometheus, "node_uname_info")
    with urllib.request.urlopen(f"{prometheus}/api/v1/metadata", timeout=5) as answer:  # noqa: S310
        metadata = json.load(answer)["data"]
    assert (up, scraped) == (1, stored)
    assert stored > 150
    assert named["nodename"]
    # Prometheus asks for OpenMetrics, whose counters are families without the suffix.
    assert [metadata[name][0]["type"] for name in ("node_cpu_seconds", "node_load1")] == ["counter", "gauge"]
