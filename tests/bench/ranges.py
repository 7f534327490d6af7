"""Expressions over time: many steps worked out at once, beside the same steps one by one."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from collector.head import Head
from collector.promql import Plan, evaluate, evaluate_range, plan
from tests.bench.fleet import TYPICAL, Fleet

INTERVAL = 15.0
HISTORY = 241  # an hour of rounds
END = 1.8e9
HOSTS = 2_000
NEVER = "1e15"
ONE = '{instance="host000007"}'
MEMORY = "node_memory_Mem"
# what it is for, expression, seconds, step
CASES = (
    ("chart of one host over an hour", f"node_load1{ONE}", 3600.0, 15.0),
    ("chart of a ratio", f"{MEMORY}Available_bytes{ONE} / {MEMORY}Total_bytes{ONE}", 3600.0, 15.0),
    ("look-back over `for`, whole fleet, 10 min", f"node_load1 > {NEVER}", 600.0, 15.0),
    ("piece of a back-test, whole fleet, an hour", f"node_load1 > {NEVER} and node_load5 > {NEVER}", 3600.0, 60.0),
    ("subquery, whole fleet", f"max_over_time(node_load1[30m:1m]) > {NEVER}", 300.0, 60.0),
)


def run(_: Path) -> list[str]:
    """One line for each case, medians."""
    head = _filled()
    return [f"{HOSTS} hosts, an hour of 15 s", *(_line(head, *case) for case in CASES)]


def _line(head: Head, what: str, text: str, seconds: float, step: float) -> str:
    made, steps = plan(text), int(seconds / step) + 1
    together = _median(head, 5, lambda: evaluate_range(made, head.select, END - seconds, END, step))
    single = _median(head, 3, lambda: _one_by_one(made, head, steps, step))
    return f"{what}, {steps} steps: together {together * 1000:.1f} ms, one by one {single * 1000:.1f} ms"


def _one_by_one(made: Plan, head: Head, steps: int, step: float) -> None:
    for number in range(steps):
        _ = evaluate(made, head.select, END - number * step).vector.labels


def _median(head: Head, times: int, work: Callable[[], object]) -> float:
    took = []
    for _ in range(times):
        head._answers.forget()  # as after every batch
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _filled() -> Head:
    head = Head(interval=INTERVAL)
    fleet = Fleet(head, TYPICAL[:4], HOSTS)
    for number in range(HISTORY):
        fleet.round(END - INTERVAL * (HISTORY - 1 - number), keep=False)
    return head
