"""G5: several collectors tell of the same new problems at once, each in a process of its own, on PostgreSQL."""

import multiprocessing
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from collector.alerts.alert import Alert, AlertChanges, AlertEvent, AlertState, EventKind
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import hosts, open_store, upgrade
from collector.store import tables as t
from tests.chaos.outcome import fewer, held, violated
from tests.chaos.postgres import Postgres

GOAL = "10,000 keys x 4 writers: exactly 10,000 open tickets, commit p99 <= 50 ms"
WORST = 0.050
PIECE = 500


def run(budget_seconds: float, folder: Path, keys: int = 10_000, writers: int = 4) -> list[str]:
    """Every writer fires every key, piece by piece, each piece in an order of its own."""
    del folder
    with Postgres() as cluster:
        url = cluster.url()
        upgrade(url)
        with closing(open_store(url)) as store, store.write() as conn:
            hosts.add_company(conn, "test", "Test", time.time())
        return _race(url, keys, writers, max(5.0, budget_seconds - 20.0))


def write(url: str, keys: int, writer: int, start_at: float, stop_at: float) -> list[float]:
    """One writer: seconds of each of its commits. It stops after a whole piece of keys once the time is over."""
    took = []
    with closing(open_store(url)) as store:
        intake = Intake(store)
        time.sleep(max(0.0, start_at - time.time()))
        for start in range(0, keys, PIECE):
            piece = list(range(start, min(start + PIECE, keys)))
            random.Random(f"{start}/{writer}").shuffle(piece)  # noqa: S311 - to be repeated, no secret
            for key in piece:
                changes = fired(str(key), 1000.0 + writer)  # each saw it begin a moment later
                began = time.perf_counter()
                intake.alerts(changes, 2000.0)
                took.append(time.perf_counter() - began)
            if time.time() > stop_at:
                break
    return took


def fired(name: str, since: float) -> AlertChanges:
    """One alert begins to fire."""
    labels = Labels.of(alertname="Race", key=name)
    key = dedup_key("", "rules", labels)
    alert = Alert(key, "rule", labels, AlertState.FIRING, since, 2000.0, 1.0, {}, fired_at=2000.0)
    event = AlertEvent(EventKind.FIRED, "rules", key, labels, {}, 1.0, 2000.0, since, "rule", "Race")
    return AlertChanges((alert,), (), (event,))


def _race(url: str, keys: int, writers: int, seconds: float) -> list[str]:
    start_at = time.time() + 2.0 + writers
    with ProcessPoolExecutor(writers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(write, url, keys, writer, start_at, start_at + seconds) for writer in range(writers)]
        took = [job.result() for job in jobs]
    done = max(map(len, took))
    with closing(open_store(url)) as store, store.read() as conn:
        every = conn.scalar(sa.select(sa.func.count()).select_from(t.ticket)) or 0
        open_ = conn.scalar(sa.select(sa.func.count()).where(t.ticket.c.closed_at.is_(None))) or 0
    lines = [told(done, writers, every, open_), speed([seconds for one in took for seconds in one])]
    return [*lines, *([fewer(f"{done} keys instead of {keys}")] if done < keys else [])]


def told(keys: int, writers: int, every: int, open_: int) -> str:
    """The count in a sentence."""
    said = f"{keys} keys x {writers} writers: {every} tickets, {open_} open"
    return said if every == open_ == keys else violated(said)


def speed(took: Sequence[float]) -> str:
    """The times of commits in a sentence."""
    cuts = statistics.quantiles(took, n=100)
    p50, p99 = cuts[49], cuts[98]
    said = f"{len(took)} commits: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, max {max(took) * 1000:.0f} ms"
    return held(said, p99 <= WORST)
