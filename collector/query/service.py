"""QueryService: live values for the web.

Our own expressions are worked out in the engine's thread, in bounded pieces; what somebody typed is worked out by the
preview's helper process.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import NoReturn, TypeVar

import grpc

from collector.head import Head
from collector.labels import Labels
from collector.metrics import Metrics
from collector.promql import EvaluationError, Line, Plan, PlanError, PromqlError, evaluate, evaluate_range, plan
from collector.query import rehearsal
from collector.query.errors import EngineStoppedError, PreviewError
from collector.query.preview import Preview
from collector.query.rehearsal import Call
from collector.rules.errors import RuleError
from collector.rules.report import GroupReport
from collector.rules.schedule import Schedule
from czuwak.v1 import query_pb2 as pb
from czuwak.v1 import query_pb2_grpc

MAX_POINTS = 11_000  # of one line
MAX_ANSWER = 200_000  # points of all lines together
BUDGET = 2.0  # seconds
_PIECE = 60  # steps evaluated at once; others' work gets its turn between two pieces

T = TypeVar("T")
Abort = Callable[[grpc.StatusCode, str], Awaitable[NoReturn]]
_Drawn = dict[Labels, tuple[list[float], list[float]]]


class QueryServicer(query_pb2_grpc.QueryServiceServicer):
    """One per process, on a local socket. `now` is our clock; `preview` tries what people type, its maker closes it."""

    def __init__(self, call: Call, metrics: Metrics, now: Callable[[], float], preview: Preview | None = None) -> None:
        self._call = call
        self._metrics = metrics
        self._now = now
        self._preview = preview
        self._rehearsing = asyncio.Lock()
        self._typing = asyncio.Lock()

    async def Query(  # noqa: N802 - the protocol's name
        self, request: pb.QueryRequest, context: grpc.aio.ServicerContext[pb.QueryRequest, pb.QueryResponse]
    ) -> pb.QueryResponse:
        """An expression at one moment."""
        planned = await self._plan(request.expression, context.abort)
        if not math.isfinite(request.at):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The time is not a number.")
        at = request.at or self._now()
        result = await self._ask(lambda head, _, __: evaluate(planned, head.select, at), context.abort)
        pairs = zip(result.vector.labels, result.vector.values, strict=True)
        points = [pb.Point(labels=labels.as_dict(), value=float(value), at=at) for labels, value in pairs]
        return pb.QueryResponse(points=points)

    async def QueryRange(  # noqa: N802 - the protocol's name
        self,
        request: pb.QueryRangeRequest,
        context: grpc.aio.ServicerContext[pb.QueryRangeRequest, pb.QueryRangeResponse],
    ) -> pb.QueryRangeResponse:
        """An expression over time; at most 11,000 steps and 2 seconds."""
        wrong = _wrong_range(request)
        if wrong:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
        if request.typed and self._preview is not None:
            typed = await self._typed(self._preview, request, context.abort)
            if sum(len(line.at) for line in typed) > MAX_ANSWER:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"The answer has over {MAX_ANSWER} points.")
            return pb.QueryRangeResponse(
                lines=[pb.Line(labels=line.labels.as_dict(), at=line.at, values=line.values) for line in typed]
            )
        planned = await self._plan(request.expression, context.abort)
        until = time.monotonic() + BUDGET
        lines: _Drawn = {}
        for start, end in _pieces(request.start, request.end, request.step):
            if time.monotonic() > until:
                await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"The query took more than {BUDGET:g} s.")
            _join(lines, await self._ask(_piece(planned, start, end, request.step), context.abort))
            if sum(len(at) for at, _ in lines.values()) > MAX_ANSWER:
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"The answer has over {MAX_ANSWER} points.")
        drawn = [pb.Line(labels=labels.as_dict(), at=at, values=values) for labels, (at, values) in lines.items()]
        return pb.QueryRangeResponse(lines=drawn)

    async def HostValues(  # noqa: N802 - the protocol's name
        self,
        request: pb.HostValuesRequest,
        context: grpc.aio.ServicerContext[pb.HostValuesRequest, pb.HostValuesResponse],
    ) -> pb.HostValuesResponse:
        """The newest value of every series of one host."""
        found = await self._ask(lambda head, _, at: head.values_of(request.instance, at), context.abort)
        points = [pb.Point(labels=labels.as_dict(), value=value, at=at) for labels, value, at in found]
        return pb.HostValuesResponse(points=points, newest_at=max((point.at for point in points), default=0.0))

    async def ListRules(  # noqa: N802 - the protocol's name
        self,
        request: pb.ListRulesRequest,  # noqa: ARG002 - it is empty
        context: grpc.aio.ServicerContext[pb.ListRulesRequest, pb.ListRulesResponse],
    ) -> pb.ListRulesResponse:
        """Every group and rule with its health."""
        reports = await self._ask(lambda _, schedule, __: schedule.report(), context.abort)
        return pb.ListRulesResponse(groups=[_group(report) for report in reports])

    async def CheckRules(  # noqa: N802 - the protocol's name
        self,
        request: pb.CheckRulesRequest,
        context: grpc.aio.ServicerContext[pb.CheckRulesRequest, pb.CheckRulesResponse],
    ) -> pb.CheckRulesResponse:
        """What is wrong or doubtful about a text; needs no engine."""
        try:
            return await asyncio.to_thread(rehearsal.checked, request)
        except RuleError as error:
            return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def Backtest(  # noqa: N802 - the protocol's name
        self, request: pb.BacktestRequest, context: grpc.aio.ServicerContext[pb.BacktestRequest, pb.BacktestResponse]
    ) -> pb.BacktestResponse:
        """What a text would have done; one at a time, at most 20 seconds."""
        if self._rehearsing.locked():
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Another back-test runs; try again in a moment.")
        if not all(map(math.isfinite, (request.start, request.end, request.step))):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Start, end and step have to be numbers.")
        async with self._rehearsing:
            try:
                return await asyncio.to_thread(rehearsal.rehearse, request, self._call, self._now())
            except (RuleError, PromqlError) as error:
                return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except TimeoutError:
                return await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "The collector is busy; try again.")
            except EngineStoppedError as error:
                return await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    async def Metrics(  # noqa: N802 - the protocol's name
        self,
        request: pb.MetricsRequest,  # noqa: ARG002 - it is empty
        context: grpc.aio.ServicerContext[pb.MetricsRequest, pb.MetricsResponse],  # noqa: ARG002
    ) -> pb.MetricsResponse:
        """The ingest process' own metrics; answered without the engine, so that a busy one can be seen."""
        return pb.MetricsResponse(text_format=self._metrics.text())

    async def _typed(self, preview: Preview, request: pb.QueryRangeRequest, abort: Abort) -> tuple[Line, ...]:
        """What somebody typed, by the helper process; the engine only copies samples for it, one after the other."""
        ask = partial(
            preview.preview, request.expression, self._owner, start=request.start, end=request.end, step=request.step
        )
        async with self._typing:
            try:
                return (await asyncio.to_thread(ask)).lines
            except PromqlError as error:
                return await abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except PreviewError as error:
                return await abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
            except TimeoutError:
                return await abort(grpc.StatusCode.DEADLINE_EXCEEDED, "The collector is busy; try again.")
            except EngineStoppedError as error:
                return await abort(grpc.StatusCode.UNAVAILABLE, str(error))

    def _owner(self, work: Callable[[Head], T]) -> T:
        return self._call(lambda head, _schedule, _now: work(head)).result(BUDGET)

    async def _plan(self, expression: str, abort: Abort) -> Plan:
        try:
            return await asyncio.to_thread(plan, expression)
        except PlanError as error:
            return await abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

    async def _ask(self, work: Callable[[Head, Schedule, float], T], abort: Abort) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._call(work)), BUDGET)
        except TimeoutError:
            return await abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"The query took more than {BUDGET:g} s.")
        except EvaluationError as error:
            return await abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except EngineStoppedError as error:
            return await abort(grpc.StatusCode.UNAVAILABLE, str(error))


def _piece(
    planned: Plan, start: float, end: float, step: float
) -> Callable[[Head, Schedule, float], Mapping[Labels, tuple[list[float], list[float]]]]:
    def work(head: Head, _: Schedule, __: float) -> _Drawn:
        found = evaluate_range(planned, head.select, start, end, step)
        return {line.labels: (list(map(float, line.at)), list(map(float, line.values))) for line in found}

    return work


def _pieces(start: float, end: float, step: float) -> Iterable[tuple[float, float]]:
    """The steps from start to end in runs of `_PIECE`; every run begins where a single run would have had a step."""
    steps = math.floor((end - start) / step + 1e-9) + 1
    for first in range(0, steps, _PIECE):
        last = min(first + _PIECE, steps) - 1
        yield start + first * step, start + last * step


def _join(lines: _Drawn, more: Mapping[Labels, tuple[list[float], list[float]]]) -> None:
    for labels, (at, values) in more.items():
        known_at, known_values = lines.setdefault(labels, ([], []))
        known_at += at
        known_values += values


def _wrong_range(request: pb.QueryRangeRequest) -> str:
    if not all(map(math.isfinite, (request.start, request.end, request.step))) or request.step <= 0:
        return "Start, end and step have to be numbers, and the step greater than zero."
    if request.end < request.start:
        return "The end is before the start."
    points = (request.end - request.start) / request.step + 1
    return f"{points:.0f} steps are too many; {MAX_POINTS} are the limit." if points > MAX_POINTS else ""


def _group(report: GroupReport) -> pb.RuleGroup:
    return pb.RuleGroup(
        name=report.name,
        file=report.file,
        interval_seconds=report.interval,
        last_evaluation_at=report.last_evaluation_at,
        last_duration_seconds=report.last_duration,
        missed=report.missed,
        rules=[
            pb.Rule(
                name=rule.name,
                expression=rule.expression,
                kind=rule.kind,
                for_seconds=rule.for_seconds,
                health=rule.health,
                last_error=rule.last_error,
                pending=rule.pending,
                firing=rule.firing,
                unknown=rule.unknown,
                uid=rule.uid,
                keep_firing_for_seconds=rule.keep_firing_for,
                labels=rule.labels,
                annotations=rule.annotations,
                line=rule.line,
            )
            for rule in report.rules
        ],
    )
