"""A Prometheus server's history: a real one, and what is no Prometheus at all."""

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collector import remote
from collector.remote import RemoteError, prometheus
from collector.rules.backtest import Report, backtest
from collector.rules.load import load_text

RULES = """
groups:
  - name: g
    rules:
      - {record: 'i:load', expr: node_load1 * 2}
      - {alert: High, expr: 'i:load > 10', for: 2m, labels: {severity: warning}}
      - {alert: Busy, expr: 'rate(node_intr_total[5m]) > 1'}
"""
START = 1_700_000_400


def page() -> str:
    """Six hours: load above 5 for the first six minutes of every hour; interrupts come faster in the third."""
    lines, interrupts = ["# TYPE node_load1 gauge"], 0.0
    minutes = range(6 * 60)
    series = 'node_load1{instance="a",job="node"}'
    lines += [f"{series} {9 if minute % 60 < 6 else 1} {START + minute * 60}" for minute in minutes]
    lines.append("# TYPE node_intr counter")
    for minute in minutes:
        interrupts += 120 if 120 <= minute < 180 else 6
        lines.append(f'node_intr_total{{instance="a",job="node"}} {interrupts} {START + minute * 60}')
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """A Prometheus whose storage holds the page as blocks."""
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "page.txt").write_text(page())
    (folder / "p.yml").write_text("global: {}\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "page.txt", "data"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=p.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}",
               "--storage.tsdb.retention.time=100y"]  # fmt: skip
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stderr=log) as process:
        try:
            wait_until_ready(f"http://{address}/-/ready", folder / "log")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)


def wait_until_ready(address: str, log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text())


def replay(server: str, *, step: float = 60.0) -> Report:
    groups = load_text(RULES, "r.yml")
    return backtest(groups, prometheus(server), START + 600.0, START + 6 * 3600.0 - 60.0, step)


@pytest.mark.server("prometheus", "promtool")
def test_the_history_of_a_real_server_is_replayed(server: str) -> None:
    report = replay(server)
    assert report.failures == ()
    assert report.series == 2
    high = [one for one in report.episodes if one.rule == "High"]
    assert [(one.fired_at - START, (one.ended_at or 0) - START) for one in high] == [
        (hour * 3600 + 120, hour * 3600 + 360) for hour in range(1, 6)
    ]
    assert [one.again for one in high] == [False, True, True, True, True]
    (busy,) = (one for one in report.episodes if one.rule == "Busy")
    assert 7200 <= busy.fired_at - START <= 7500
    assert busy.ended_at is not None
    assert 10800 <= busy.ended_at - START <= 11100
    assert report.summary() == (
        "this would have opened 2 tickets, opened one again 4 times, 1 healed by themselves within 5 min"
    )


@pytest.mark.server("prometheus", "promtool")
def test_what_the_server_refuses_is_told(server: str) -> None:
    with pytest.raises(RemoteError, match="parse error"):
        list(prometheus(server)("sum(", 0.0, 60.0, 60.0))


class Odd(BaseHTTPRequestHandler):
    """Answers every question with the server's `body`."""

    def do_POST(self) -> None:
        body: bytes = self.server.body  # type: ignore[attr-defined]  # set by the test
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[Callable[[bytes], str]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()

        def answer(body: bytes) -> str:
            server.body = body  # type: ignore[attr-defined]  # read by Odd
            return f"http://127.0.0.1:{server.server_port}"

        yield answer
        server.shutdown()
        thread.join()


def matrix(result: object) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", b'{"status": "error", "error": "no"}', b'{"status": "success"}',
        matrix([{"values": [[1, "1"]]}]), matrix([{"metric": {}, "values": [[1, "x"]]}]), matrix([1]), matrix(5),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_a_prometheus_is_told(odd: Callable[[bytes], str], body: bytes) -> None:
    with pytest.raises(RemoteError):
        list(prometheus(odd(body))("m", 0.0, 60.0, 60.0))


def test_an_answer_is_bounded(odd: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "LARGEST", 1 << 20)
    with pytest.raises(RemoteError, match="more than 1 MiB"):
        list(prometheus(odd(b" " * ((1 << 20) + 1)))("m", 0.0, 60.0, 60.0))


def test_a_server_that_is_not_there_and_an_address_that_is_none_are_told(free_port: Callable[[], int]) -> None:
    with pytest.raises(RemoteError, match="refused"):
        list(prometheus(f"http://127.0.0.1:{free_port()}")("m", 0.0, 60.0, 60.0))
    for url in ("127.0.0.1:9090", "file:///etc/passwd", "ftp://x", ""):
        with pytest.raises(RemoteError, match="is not the address"):
            prometheus(url)
