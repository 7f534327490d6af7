"""Prometheus as a remote-write receiver under the load that ours gets: as many hosts, series and batches a second.

usage: python -m tests.bench.remote_write PORT HOSTS SERIES INTERVAL SECONDS
A request is one host's round, as an agent's batch is. The requests of an interval are spread over it.
"""

import contextlib
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cramjam
import numpy as np

from collector.bench.rounds import schema
from collector.labels import Labels
from tests.bench.rules import SAMPLE, head_of, sized
from tests.e2e.plant import fetch, ports, until

SENDERS = 4
APPENDED = "prometheus_tsdb_head_samples_appended_total"


@contextlib.contextmanager
def receiver(folder: Path, rules: str | None = None) -> Iterator[tuple[int, int]]:
    """A Prometheus that takes remote writes: its process and its port. `rules` are files, judged each second."""
    port = ports(("prometheus",))["prometheus"]
    folder.mkdir()
    files = "" if rules is None else f"rule_files: [{rules}]\n"
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 1s}}\n{files}")
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
               "--web.enable-remote-write-receiver", f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("Prometheus answers", lambda: fetch(f"http://127.0.0.1:{port}/-/ready"))
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def load(port: int, hosts: int, series: int, interval: float, seconds: float) -> Iterator[None]:
    """The load, from a process of its own, while the block runs."""
    words = map(str, (port, hosts, series, interval, seconds))
    sender = subprocess.Popen([sys.executable, "-m", "tests.bench.remote_write", *words])
    try:
        yield
    finally:
        sender.terminate()
        sender.wait(30)


def heads(host: int, series: int) -> list[bytes]:
    """The label sets of a host, with what the collector stamps on an agent's."""
    name = f"host{host:06d}"
    stamped = {"instance": name, "job": "node", "host": name, "company": "acme", "site": "hq", "class": "server"}
    made = schema(series)
    return [
        head_of(Labels.of({**{x.name: x.value for x in s.labels}, **stamped, "__name__": s.name})) for s in made.series
    ]


def body(labels: list[bytes], at: float, number: int) -> bytes:
    """A host's round as a compressed request; counters grow."""
    samples = np.zeros(len(labels), SAMPLE)
    samples["tag"], samples["value_tag"], samples["time_tag"] = (0x12, 16), 0x09, 0x10
    samples["value"] = 6e10 + number * 0.9 * np.arange(len(labels))
    millis = int(at * 1000)
    for place in range(6):
        samples["time"][:, place] = (millis >> (7 * place)) & 0x7F | (0x80 if place < 5 else 0)
    text = b"".join(b"\x0a" + sized(head + sample.tobytes()) for head, sample in zip(labels, samples, strict=True))
    return bytes(cramjam.snappy.compress_raw(text))


def send(port: int, mine: list[tuple[int, list[bytes]]], hosts: int, interval: float, seconds: float) -> None:
    """These hosts' rounds, one each interval."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kind = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    began, number = time.time(), 0
    while time.time() - began < seconds:
        for host, labels in mine:
            time.sleep(max(0.0, began + interval * (number + host / hosts) - time.time()))
            connection.request("POST", "/api/v1/write", body(labels, time.time(), number), kind)
            answered = connection.getresponse()
            text = answered.read()
            if answered.status >= 300:
                sys.exit(f"{answered.status} {text[:200]!r}")
        number += 1


def main() -> None:
    port, hosts, series = map(int, sys.argv[1:4])
    interval, seconds = map(float, sys.argv[4:6])
    every = [(host, heads(host, series)) for host in range(hosts)]
    senders = [
        threading.Thread(target=send, args=(port, every[first::SENDERS], hosts, interval, seconds), daemon=True)
        for first in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


if __name__ == "__main__":
    main()
