"""The head's memory for 10,000 hosts of 500 series with the default pack, and how long the pack takes over them."""

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from collector.head import Head
from collector.ingest.demand import wants
from collector.promql import evaluate, metric_names
from collector.rules.load import load_files
from collector.serve import DEFAULTS
from tests.bench import process
from tests.bench.fleet import INTERVAL, Fleet, broad

BUDGET = 1.5 * 2**30


def run(_: Path, hosts: int = 10_000, series: int = 500, history: int = 300) -> list[str]:
    """Lines: bytes of the head and of a process that holds it after `history` rounds, seconds of the pack."""
    command = [sys.executable, "-m", "tests.bench.memory", str(hosts), str(series), str(history)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path.cwd()).stdout)
    names, rules = told["names"], told["rules"]
    return [
        (
            f"{hosts} hosts x {series} series, {history} rounds, {rules} default rules that look at {names} metrics: "
            f"head {told['bytes'] / 2**20:.0f} MiB in arrays, {told['samples'] / told['series']:.1f} samples a series, "
            f"whole process {told['process'] / 2**20:.0f} MiB (budget {BUDGET / 2**20:.0f})"
        ),
        (
            f"expressions of the default pack over them, all with new samples: {told['seconds'] * 1000:.0f} ms median, "
            f"worst {told['worst'] * 1000:.0f} ms; slowest {told['slowest']}"
        ),
        f"append {told['append'] * 1e6:.2f} us a sample, register {told['register'] * 1e6:.1f} us a series",
    ]


def measure(hosts: int, size: int, history: int) -> dict[str, object]:
    """Everything `run` prints, in a process of its own."""
    groups = load_files(sorted(DEFAULTS.glob("*.yml")))
    rules = [rule for group in groups for rule in group.rules]
    names = sorted({name for rule in rules for name in metric_names(rule.plan)})
    series = broad([name for name in names if name.startswith(("node_", "czuwak_agent"))], size)
    head = Head(interval=INTERVAL)
    head.demand(wants(groups))
    began = time.process_time()
    fleet = Fleet(head, series, hosts)
    register = (time.process_time() - began) / hosts / size
    gc.collect()
    gc.freeze()
    at, took, append = 1.8e9, [], 0.0
    began = time.process_time()
    for number in range(history):
        at += INTERVAL
        fleet.round(at, keep=False)
        if number % 4 == 3:
            head.compact(at)  # each minute, as the engine does
        if number == history - 8:
            append = (time.process_time() - began) / (number + 1) / hosts / size
        if number >= history - 7:
            took.append({rule.name: timed(partial(evaluate, rule.plan, head.select, at)) for rule in rules})
    stats = head.stats
    sums = sorted(sum(one.values()) for one in took[1:])
    slow = sorted(took[-1].items(), key=lambda pair: -pair[1])[:3]
    return {
        "rules": len(rules), "names": len(names), "bytes": stats.bytes, "samples": stats.samples,
        "series": stats.series, "process": process.pss_mib(os.getpid()) * 2**20, "seconds": statistics.median(sums),
        "worst": sums[-1], "slowest": ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in slow),
        "append": append, "register": register,
    }  # fmt: skip


def timed(work: Callable[[], object]) -> float:
    """Seconds it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(measure(*map(int, sys.argv[1:4]))))
