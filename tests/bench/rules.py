"""Five typical host rules over a fleet: our evaluation beside Prometheus' own figure, then ten times the hosts."""

import contextlib
import gc
import http.client
import json
import re
import resource
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cramjam
import numpy as np
from numpy.typing import NDArray

from collector.head import Head
from collector.ingest.demand import wants
from collector.ingest.engine import turns
from collector.labels import Labels
from collector.promql import evaluate, plan
from collector.rules.load import load_text
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from tests.bench.fleet import INTERVAL, TYPICAL, Fleet, labels
from tests.e2e.plant import fetch, ports, until

RULES = """
groups:
  - name: five
    interval: 2s
    rules:
      - alert: CpuBusy
        expr: 1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) > 0.999
        for: 5m
      - alert: MemoryShort
        expr: node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.001
        for: 2m
      - alert: DiskFull
        expr: node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.001 and node_filesystem_readonly == 0
        for: 2m
      - alert: DiskFillsInADay
        expr: predict_linear(node_filesystem_avail_bytes[5m], 24 * 3600) < -1e15
        for: 2m
      - alert: LoadHigh
        expr: node_load1 > 1e15
        for: 2m
"""
CHECK = 'sum(rate(node_cpu_seconds_total{mode="idle"}[5m]))'
HISTORY = 22  # rounds before the first evaluation
SAMPLE = np.dtype([("tag", "u1", 2), ("value_tag", "u1"), ("value", "<f8"), ("time_tag", "u1"), ("time", "u1", 6)])
_BATCH = 4600


def run(folder: Path, hosts: int = 10_000, rounds: int = 7, most: int = 100_000) -> list[str]:
    """Lines: both sides' seconds an evaluation over the same samples, the ratio, and ours with `most` hosts."""
    groups = load_text(RULES, "five.yml")
    with prometheus(folder) as port:
        head, fleet, schedule = fleet_of(groups, hosts)
        heads = [head_of(series) for host in range(hosts) for series in labels(TYPICAL, host)]
        began = time.time()
        past = [fleet.round(began - INTERVAL * (HISTORY - 1 - i)) for i in range(HISTORY)]
        write(port, heads, [t for t, _ in past], [v for _, v in past])
        gc.collect()
        gc.freeze()  # what the bench itself holds is not to be walked through
        mine, theirs, apart = [], [], 0.0
        for _ in range(rounds):
            times, values = fleet.round(time.time())
            write(port, heads, [times], [values])
            at, seconds = evaluated(port, time.time())
            at = round(at, 3)
            theirs.append(seconds)
            mine.append(timed(schedule, head, at))
            checked = float(evaluate(plan(CHECK), head.select, at).vector.values[0])
            apart = max(apart, abs(answer(port, at) / checked - 1))
    stats = head.stats
    del head, fleet, schedule, past
    grown, strained = json.loads(child("ours", most)), json.loads(child("strained", hosts))
    a, b = statistics.median(theirs), statistics.median(mine)
    return [
        (
            f"five rules over {hosts} hosts x {len(TYPICAL)} series, all with new samples, median of {rounds}: "
            f"Prometheus {a * 1000:.0f} ms, ours {b * 1000:.1f} ms, {a / b:.0f} times faster"
        ),
        (
            f"worst and best of ours {max(mine) * 1000:.1f} and {min(mine) * 1000:.1f} ms; answers differ by "
            f"{apart:.0e} (Prometheus 2 also counts a sample exactly on a window's far edge)"
        ),
        f"head: {stats.series} series, {stats.samples} samples, {stats.bytes / 2**20:.0f} MiB",
        (
            f"ours over {most} hosts: {grown['seconds'] * 1000:.0f} ms, {grown['seconds'] / b:.1f} times as long; "
            f"head {grown['bytes'] / 2**20:.0f} MiB, process {grown['peak'] / 2**20:.0f} MiB at most"
        ),
        (
            f"ours over {hosts} hosts beside a thread that never rests: {strained['beside'] * 1000:.0f} ms instead of "
            f"{strained['alone'] * 1000:.0f}; while windows that have become longer fill: at most "
            f"{strained['longer'] * 1000:.0f} ms"
        ),
    ]


def fleet_of(groups: tuple[Group, ...], hosts: int) -> tuple[Head, Fleet, Schedule]:
    """Ours, without a sample."""
    head = Head(interval=INTERVAL)
    head.demand(wants(groups))
    return head, Fleet(head, TYPICAL, hosts), Schedule(groups, (), started_at=0.0)


def timed(schedule: Schedule, head: Head, at: float) -> float:
    """Seconds of one evaluation with its alert step."""
    began = time.perf_counter()
    schedule.run(head.select, at, commit=lambda changes, _at: changes.upserts, record=head.set)
    return time.perf_counter() - began


def ours(hosts: int, rounds: int = 7) -> dict[str, float]:
    """The same without a peer."""
    head, fleet, schedule = fleet_of(load_text(RULES, "five.yml"), hosts)
    at, took = 1.8e9, []
    for number in range(HISTORY + rounds):
        at += INTERVAL
        fleet.round(at)
        if number >= HISTORY:
            took.append(timed(schedule, head, at))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": statistics.median(took), "bytes": head.stats.bytes, "peak": peak}


def strained(hosts: int) -> dict[str, float]:
    """The same in bad moments: a busy thread beside it, windows of five minutes that become ten."""
    head, fleet, schedule = fleet_of(load_text(RULES, "five.yml"), hosts)
    at = 1.8e9

    def judged(rounds: int) -> list[float]:
        nonlocal at
        took = []
        for _ in range(rounds):
            at += INTERVAL
            fleet.round(at)
            took.append(timed(schedule, head, at))
        return took

    judged(HISTORY)
    alone, done = judged(7), threading.Event()
    busy = threading.Thread(target=lambda: all(not done.is_set() for _ in iter(int, 1)))
    busy.start()
    with turns(1e-4, after=5e-3):
        beside = judged(3)
    done.set()
    busy.join()
    longer = load_text(RULES.replace("[5m]", "[10m]"), "five.yml")
    head.demand(wants(longer))
    schedule.replace(longer, at)
    return {"alone": statistics.median(alone), "beside": statistics.median(beside), "longer": max(judged(HISTORY))}


def child(*words: object) -> str:
    """What a process of its own prints, so that its memory is its own."""
    command = [sys.executable, "-m", "tests.bench.rules", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[int]:
    """A Prometheus with the rules that takes remote writes; its port."""
    port = ports(("prometheus",))["prometheus"]
    (folder / "five.yml").write_text(RULES)
    (folder / "prometheus.yml").write_text("global: {}\nrule_files: [five.yml]\n")
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
               "--web.enable-remote-write-receiver", f"--web.listen-address=127.0.0.1:{port}"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until("Prometheus answers", lambda: fetch(f"http://127.0.0.1:{port}/-/ready"))
        yield port
    finally:
        process.terminate()
        process.wait(30)


def head_of(series: Labels) -> bytes:
    """The labels of a series in the remote-write message."""
    return b"".join(b"\x0a" + sized(b"\x0a" + sized(n.encode()) + b"\x12" + sized(v.encode())) for n, v in series)


def sized(data: bytes) -> bytes:
    """Bytes with their length before them."""
    size, length = len(data), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return length + bytes([size]) + data


def write(port: int, heads: list[bytes], times: list[NDArray[np.float64]], values: list[NDArray[np.float64]]) -> None:
    """Every series' samples of these rounds to Prometheus."""
    width = values[0].shape[1]
    samples = np.zeros((len(heads), len(times)), SAMPLE)
    samples["tag"], samples["value_tag"], samples["time_tag"] = (0x12, 16), 0x09, 0x10
    for number, (when, what) in enumerate(zip(times, values, strict=True)):
        samples["value"][:, number] = what.reshape(-1)
        millis = np.repeat(np.rint(when * 1000).astype(np.int64), width)
        for place in range(6):
            samples["time"][:, number, place] = (millis >> (7 * place)) & 0x7F | (0x80 if place < 5 else 0)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    sent = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    for first in range(0, len(heads), _BATCH):
        rows = range(first, min(len(heads), first + _BATCH))
        body = b"".join(b"\x0a" + sized(heads[row] + samples[row].tobytes()) for row in rows)
        connection.request("POST", "/api/v1/write", bytes(cramjam.snappy.compress_raw(body)), sent)
        answered = connection.getresponse()
        text = answered.read()
        if answered.status >= 300:
            raise RuntimeError(f"{answered.status} {text[:200]!r}")


def evaluated(port: int, since: float) -> tuple[float, float]:
    """Time and seconds of an evaluation that began after `since`."""
    page = f"http://127.0.0.1:{port}/metrics"

    def read() -> Callable[[str], float]:
        text = fetch(page) or ""
        return lambda name: float((re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE) or ["0"])[0])

    def ended() -> tuple[float, float] | None:
        value = read()
        at = value("prometheus_rule_group_last_evaluation_timestamp_seconds")
        return (at, value("prometheus_rule_group_last_duration_seconds")) if at > since else None

    at, seconds = until("Prometheus evaluates", ended)
    return at, seconds


def answer(port: int, at: float) -> float:
    """Prometheus' answer to the check."""
    asked = urllib.parse.urlencode({"query": CHECK, "time": f"{at:.3f}"})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{asked}", timeout=120) as answered:
        told = json.loads(answered.read())
    return float(told["data"]["result"][0]["value"][1])


if __name__ == "__main__":
    print(json.dumps({"ours": ours, "strained": strained}[sys.argv[1]](int(sys.argv[2]))))
