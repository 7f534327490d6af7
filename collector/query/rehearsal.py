"""Rules that are not in force yet: checked, and back-tested on the head's history in bounded pieces."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from collector.head import Head
from collector.promql import Line, Plan, WorkError, evaluate_range, plan
from collector.rules.backtest import History, Report, aligned, backtest
from collector.rules.check import check_text
from collector.rules.errors import Mistake, RuleFileError
from collector.rules.load import load_text
from collector.rules.schedule import Schedule
from czuwak.v1 import query_pb2 as pb

LONGEST = 1 << 17  # characters of a pasted text
NAME = "rules"  # of the text, in messages
STEP = 60.0
BUDGET = 20.0  # seconds of one back-test
_PIECE = 60  # steps taken from the engine at once; its own work gets its turn between two pieces
_WORK = 20_000_000  # values that one piece may work on: a few tenths of a second
_PATIENCE = 2.0  # seconds for one piece

T = TypeVar("T")


class Call(Protocol):
    """Runs work in the engine's thread; the future has its result or its error, or EngineStoppedError."""

    def __call__(self, work: Callable[[Head, Schedule, float], T]) -> "Future[T]":
        """`work(head, schedule, now)`."""


def checked(request: pb.CheckRulesRequest) -> pb.CheckRulesResponse:
    """The findings on a text. Raises RuleFileError for one that is too long to paste."""
    _bounded(request.rules)
    findings = [
        pb.Finding(
            line=one.line, column=one.column, severity=one.severity, message=one.message, rule=one.rule, lint=one.lint
        )
        for one in check_text(request.rules, NAME)
    ]
    return pb.CheckRulesResponse(findings=findings)


def rehearse(request: pb.BacktestRequest, call: Call, now: float) -> pb.BacktestResponse:
    """The back-test of a text, in the caller's thread.

    Raises RuleFileError, BacktestError, EvaluationError, TimeoutError and EngineStoppedError.
    """
    _bounded(request.rules)
    groups = load_text(request.rules, NAME)
    end = request.end or now
    remembered = now - call(lambda head, _schedule, _now: head.retention).result(_PATIENCE)
    step = request.step or STEP
    start = aligned(max(request.start, remembered), end, step)
    stop_at = time.monotonic() + BUDGET
    report = backtest(groups, _history(call), start, end, step, give_up=lambda: time.monotonic() > stop_at)
    return _response(report)


def _bounded(text: str) -> None:
    if len(text) > LONGEST:
        raise RuleFileError((Mistake(NAME, 1, 1, f"the text is longer than {LONGEST >> 10} KiB"),))


def _history(call: Call) -> History:
    def lines(expression: str, start: float, end: float, step: float) -> Iterable[Line]:
        planned = plan(expression)
        steps, first, piece = round((end - start) / step) + 1, 0, _PIECE
        while first < steps:
            last = min(first + piece, steps) - 1
            begin, until = start + first * step, start + last * step
            try:
                yield from call(_work(planned, begin, until, step)).result(_PATIENCE)
            except WorkError:
                if piece == 1:
                    raise
                piece = max(1, piece // 4)  # the engine is held for less at once
            else:
                first = last + 1

    return lines


def _work(planned: Plan, start: float, end: float, step: float) -> Callable[[Head, Schedule, float], list[Line]]:
    return lambda head, _schedule, _now: evaluate_range(planned, head.select, start, end, step, budget=_WORK)


def _response(report: Report) -> pb.BacktestResponse:
    return pb.BacktestResponse(
        summary=report.summary(),
        tickets=report.tickets,
        reopened=report.reopened,
        healed=report.healed(),
        episodes=[
            pb.Episode(
                rule=one.rule,
                labels=one.labels.as_dict(),
                fired_at=one.fired_at,
                ended_at=one.ended_at or 0.0,
                end=one.end,
                value=one.value,
                again=one.again,
            )
            for one in report.episodes
        ],
        failures=[pb.RuleFailure(rule=rule, message=message) for rule, message in report.failures],
        start=report.start,
        end=report.end,
        step=report.step,
        evaluations=report.evaluations,
        series=report.series,
        samples=report.samples,
    )
