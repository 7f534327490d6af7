"""The ingest process' QueryService for tests of the pages: the real servicer on a real engine, over a local socket."""

import asyncio
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from collector.alerts.alert import Alert, AlertState
from collector.head import Head
from collector.ingest.engine import Engine
from collector.labels import Labels, dedup_key
from collector.metrics import Metrics
from collector.query.preview import Preview
from collector.query.service import QueryServicer
from collector.rules.load import load_text
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from collector.store import Store, alerts
from czuwak.v1 import query_pb2_grpc
from tests.web import seed

RULES = """groups:
  - name: host
    interval: 15s
    rules:
      - alert: HostLoadHigh
        expr: |-
          node_load1
            > 5
        for: 1m
        keep_firing_for: 5m
        labels: {severity: warning}
        annotations:
          summary: 'Load is {{ $value }} on {{ $labels.instance }}<script>alert(1)</script>'
          runbook_url: runbooks/en/HostCpuSaturated
      - {alert: HostLoadHigh, expr: node_load1 > 50, labels: {severity: critical}}
      - {alert: "odd/na me", expr: vector(1) > 2}
      - {record: instance:load, expr: node_load1 * 1}
  - name: broken
    rules:
      - {alert: Broken, expr: node_load1 * on () node_load1 > 5}
"""


def groups() -> tuple[Group, ...]:
    """The rules that run."""
    return load_text(RULES, "/etc/czuwak/rules/test.yml")


def filled() -> Head:
    """An hour of the load of six computers, one sample in 15 s; the first is above 5 in three minutes of every ten."""
    head = Head()
    names = [Labels.of(__name__="node_load1", instance=f"srv-{n}", company="alfa") for n in range(6)]
    for tick in range(240, -1, -1):
        first = 9.0 if 3 <= tick / 4 % 10 < 6 else 1.0
        values = [first, *(n + math.sin(tick / 20 + n) for n in range(1, 6))]
        head.set(names, values, seed.NOW - tick * 15)
    return head


def alarm(store: Store) -> list[Alert]:
    """Alerts of the first rule as rows: one fires, one waits, one is without data, one is of another company."""
    uid = groups()[0].rules[0].uid
    rows = []
    for number, state, company, unknown in (
        (0, AlertState.FIRING, "alfa", None),
        (1, AlertState.PENDING, "alfa", None),
        (2, AlertState.FIRING, "alfa", seed.NOW - 60),
        (3, AlertState.FIRING, "beta", None),
    ):
        labels = Labels.of(alertname="HostLoadHigh", instance=f"srv-{number}", company=company, extra="<b>bold</b>")
        at = seed.NOW - 600 + number
        key = dedup_key(company, "rules", labels)
        rows.append(Alert(key, uid, labels, state, at, at, 9.0, unknown_since=unknown))
    with store.write() as conn:
        alerts.write_alerts(conn, rows)
    return rows


@contextmanager
def answering(folder: Path, rules: tuple[Group, ...]) -> Iterator[str]:
    """The target of a QueryService over `filled` and these rules; its clock stands at the seed's now."""
    metrics = Metrics()
    engine = Engine(
        head=filled(),
        schedule=lambda _: Schedule(rules, (), started_at=seed.NOW),
        commit=lambda changes, _: changes.upserts,
        clock=lambda: seed.NOW,
        metrics=metrics,
    )
    preview = Preview()
    target, ready, loop = f"unix:{folder}/q", threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        servicer = QueryServicer(engine.call, metrics, lambda: seed.NOW, preview)
        query_pb2_grpc.add_QueryServiceServicer_to_server(servicer, server)
        server.add_insecure_port(target)
        await server.start()
        ready.set()
        await over.wait()
        await server.stop(None)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    engine.start()
    thread.start()
    ready.wait(10)
    try:
        yield target
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
        engine.stop()
        preview.close()
