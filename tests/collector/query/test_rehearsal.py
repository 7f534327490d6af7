"""Pasted rules over a real socket, on an engine that runs."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from collector.head import Head
from collector.labels import Labels
from collector.promql import Line, Plan
from collector.query import rehearsal
from collector.rules.schedule import Schedule
from czuwak.v1 import query_pb2 as pb
from tests.collector.query.serving import Ask, Stub, refused, serve

RULES = "groups: [{name: g, rules: [{alert: High, expr: node_load1 > 5, for: 1m}]}]"


def with_service(folder: Path, ask: Ask) -> None:
    """An hour of node_load1, one sample a minute, above 5 in three minutes of every ten."""
    now = time.time()
    head = Head()
    labels = Labels.of(__name__="node_load1", instance="a")
    for minute in range(60, -1, -1):
        head.set([labels], [9.0 if minute % 10 in (3, 4, 5) else 1.0], now - minute * 60)
    serve(folder, ask, head, now)


def test_a_pasted_rule_is_checked(tmp_path: Path) -> None:
    async def ask(stub: Stub, _: float) -> None:
        assert not (await stub.CheckRules(pb.CheckRulesRequest(rules=RULES))).findings
        answer = await stub.CheckRules(pb.CheckRulesRequest(rules=RULES.replace("node_load1", "nope")))
        assert [(one.lint, one.severity, one.line, one.column) for one in answer.findings] == [
            ("blind", "warning", 1, 48), ("unsent", "warning", 1, 48)
        ]  # fmt: skip
        answer = await stub.CheckRules(pb.CheckRulesRequest(rules="groups: [{nope: 1}]"))
        assert {one.severity for one in answer.findings} == {"error"}
        code, detail = await refused(stub.CheckRules(pb.CheckRulesRequest(rules="#" * 200_000)))
        assert (code, detail) == (grpc.StatusCode.INVALID_ARGUMENT, "rules:1:1: the text is longer than 128 KiB")

    with_service(tmp_path, ask)


def test_a_pasted_rule_is_tried_on_the_last_hour(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        answer = await stub.Backtest(pb.BacktestRequest(rules=RULES, end=now))
        assert answer.summary == (
            "this would have opened 1 ticket, opened one again 5 times, 1 healed by themselves within 5 min"
        )
        assert (answer.tickets, answer.reopened, answer.healed) == (1, 5, 1)
        assert [episode.again for episode in answer.episodes] == [False, *[True] * 5]
        assert {episode.ended_at - episode.fired_at for episode in answer.episodes} == {120.0}
        assert dict(answer.episodes[0].labels) == {"alertname": "High", "instance": "a"}
        assert (answer.evaluations, answer.series, answer.step) == (61, 1, 60.0)
        assert answer.end == now

    with_service(tmp_path, ask)


def test_what_cannot_be_tried_is_told(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        for request in (
            pb.BacktestRequest(rules="nope"),
            pb.BacktestRequest(rules="#" * 200_000),
            pb.BacktestRequest(rules=RULES.replace("> 5", "> > 5")),
            pb.BacktestRequest(rules=RULES, start=float("nan")),
            pb.BacktestRequest(rules=RULES, step=0.01),
            pb.BacktestRequest(rules=RULES, start=now, end=now - 60),
        ):
            code, detail = await refused(stub.Backtest(request))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert detail

    with_service(tmp_path, ask)


def test_back_tests_wait_for_nobody(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        request = pb.BacktestRequest(rules=RULES, start=now - 3600, end=now, step=1)
        first = asyncio.create_task(_answer(stub, request))
        await asyncio.sleep(0.05)
        answers = [await _code(stub, request), await first]
        assert answers == [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK]

    with_service(tmp_path, ask)


async def _answer(stub: Stub, request: pb.BacktestRequest) -> grpc.StatusCode:
    await stub.Backtest(request)
    return grpc.StatusCode.OK


async def _code(stub: Stub, request: pb.BacktestRequest) -> grpc.StatusCode:
    code, _ = await refused(stub.Backtest(request))
    return code


def test_a_rule_that_costs_much_holds_the_engine_for_less_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[tuple[float, float]] = []
    work = rehearsal._work

    def noted(planned: Plan, start: float, end: float, step: float) -> Callable[[Head, Schedule, float], list[Line]]:
        pieces.append((start, end))
        return work(planned, start, end, step)

    async def ask(stub: Stub, now: float) -> None:
        monkeypatch.setattr(rehearsal, "_work", noted)
        whole = await stub.Backtest(pb.BacktestRequest(rules=RULES, end=now))
        monkeypatch.setattr(rehearsal, "_WORK", 3000)
        pieces.clear()
        answer = await stub.Backtest(pb.BacktestRequest(rules=RULES, end=now))
        assert answer == whole
        assert max(round(end - start) for start, end in pieces[2:]) <= 14 * 60
        monkeypatch.setattr(rehearsal, "_WORK", 10)
        code, detail = await refused(stub.Backtest(pb.BacktestRequest(rules=RULES, end=now)))
        assert (code, detail) == (
            grpc.StatusCode.INVALID_ARGUMENT, "the evaluation works on too many samples at once"
        )  # fmt: skip

    with_service(tmp_path, ask)
