"""`czuwak rules check|test|query|backtest`: rules looked at before they wake anyone.

Exit codes: 0 ok, 1 finding or failure, 2 usage. Data on stdout, talk on stderr.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collector import config, remote
from collector.errors import CollectorError
from collector.labels import Labels
from collector.promql import PlanError, PromqlError, plan
from collector.query import client
from collector.rules import backtest
from collector.rules.check import Finding, check, shown, sources
from collector.rules.duration import format_duration
from collector.rules.errors import RuleError, RuleFileError
from collector.rules.load import load, read_text
from collector.rules.testfile import load_tests
from collector.rules.unit import Failure, run_tests

HEALED = 300.0  # seconds
MOST_SHOWN = 100  # episodes in a table


def run_check(args: argparse.Namespace) -> int:
    """Findings with the line and a caret; 1 when there is anything to mend."""
    findings = check(args.files, sample_interval=args.interval, retention=args.retention)
    if args.json:
        print(json.dumps([asdict(one) for one in findings], ensure_ascii=False))
    else:
        lines = sources(findings)
        for one in findings:
            print(shown(one, lines))
    print(_counted(findings, len(args.files)), file=sys.stderr)
    return int(any(one.counts for one in findings))


def run_test(args: argparse.Namespace) -> int:
    """One line a file and what did not hold; 1 when something did not."""
    outcomes = [_tested(path) for path in args.files]
    if args.json:
        print(json.dumps(outcomes, ensure_ascii=False))
    else:
        for outcome in outcomes:
            print(_outcome_text(outcome))
    failed = sum(not outcome["passed"] for outcome in outcomes)
    print(f"{_files(len(outcomes))}: {len(outcomes) - failed} passed, {failed} failed", file=sys.stderr)
    return int(failed > 0)


def run_query(args: argparse.Namespace) -> int:
    """The vector as a table or as JSON; a mistake with its column."""
    try:
        plan(args.expression)
    except PlanError as error:
        print(_under(args.expression, error), file=sys.stderr)
        return 1
    points = client.query(_socket(args), args.expression, args.at)
    if args.json:
        rows = [{"labels": p.labels, "value": _number(p.value), "at": p.at} for p in points]
        print(json.dumps(rows, ensure_ascii=False))
    else:
        print(_table([(_printable(Labels.of(p.labels)), f"{p.value:.10g}") for p in points]) or "no series")
    return 0


def run_backtest(args: argparse.Namespace) -> int:
    """One sentence and the episodes."""
    if args.end and args.end > time.time():
        raise CollectorError("the end is in the future")
    end = args.end or time.time()
    groups = load(args.file)
    start = backtest.aligned(end - args.days * 86_400.0, end, args.step)
    result = _remote(args, groups, start, end) if args.prometheus else _own(args, start, end)
    print(json.dumps(result, ensure_ascii=False) if args.json else _report_text(result))
    for failure in result["failures"]:
        print(f"{failure['rule']} could not be judged at times: {failure['message']}", file=sys.stderr)
    if not result["series"]:
        print("nothing matched: none of the rules' series was found there", file=sys.stderr)
    return int(bool(result["failures"]))


def _remote(args: argparse.Namespace, groups: Sequence[Any], start: float, end: float) -> dict[str, Any]:
    try:
        report = backtest.backtest(groups, remote.prometheus(args.prometheus), start, end, args.step)
    except (RuleError, PromqlError) as error:
        raise CollectorError(str(error)) from None
    episodes = [{**asdict(one), "labels": one.labels.as_dict(), "value": _number(one.value)} for one in report.episodes]
    return {
        "summary": report.summary(HEALED),
        "tickets": report.tickets,
        "reopened": report.reopened,
        "healed": report.healed(HEALED),
        "start": report.start,
        "end": report.end,
        "step": report.step,
        "evaluations": report.evaluations,
        "series": report.series,
        "samples": report.samples,
        "episodes": episodes,
        "failures": [{"rule": rule, "message": message} for rule, message in report.failures],
    }


def _own(args: argparse.Namespace, start: float, end: float) -> dict[str, Any]:
    answer = client.backtest(_socket(args), read_text(args.file), start, end, args.step)
    episodes = [
        {
            "rule": one.rule,
            "labels": dict(one.labels),
            "fired_at": one.fired_at,
            "ended_at": one.ended_at or None,
            "end": one.end,
            "value": _number(one.value),
            "again": one.again,
        }
        for one in answer.episodes
    ]
    names = ("summary", "tickets", "reopened", "healed", "start", "end", "step", "evaluations", "series", "samples")
    failures = [{"rule": one.rule, "message": one.message} for one in answer.failures]
    return {**{name: getattr(answer, name) for name in names}, "episodes": episodes, "failures": failures}


def _report_text(result: dict[str, Any]) -> str:
    span = f"from {_when(result['start'])} to {_when(result['end'])}, every {format_duration(result['step'])}"
    rows = [_episode_row(one) for one in result["episodes"][:MOST_SHOWN]]
    more = len(result["episodes"]) - len(rows)
    table = _table([("FIRED", "LASTED", "END", "RULE", "LABELS"), *rows]) if rows else ""
    rest = f"and {more} more; --json tells all" if more > 0 else ""
    return "\n".join(part for part in (result["summary"], span, table, rest) if part)


def _episode_row(one: dict[str, Any]) -> tuple[str, ...]:
    lasted = "" if one["ended_at"] is None else format_duration(round(one["ended_at"] - one["fired_at"]))
    end = one["end"] or "fires"
    labels = _printable(Labels.of(one["labels"]).without("alertname"))
    return (_when(one["fired_at"]), lasted, f"{end}, again" if one["again"] else end, _clean(one["rule"]), labels)


def _tested(path: Path) -> dict[str, Any]:
    began = time.monotonic()
    try:
        tests = len(load_tests(path).tests)
        failures = [_failure(one) for one in run_tests(path)]
    except RuleFileError as error:
        tests, failures = 0, [{"line": m.line, "test": "", "message": str(m)} for m in error.mistakes]
    passed = not failures
    return {
        "file": str(path), "passed": passed, "tests": tests, "seconds": round(time.monotonic() - began, 3),
        "failures": failures,
    }  # fmt: skip


def _failure(one: Failure) -> dict[str, Any]:
    return {"line": one.line, "test": one.test, "message": one.message}


def _outcome_text(outcome: dict[str, Any]) -> str:
    if outcome["passed"]:
        return f"ok    {outcome['file']}  ({outcome['tests']} tests, {outcome['seconds']:.2f} s)"
    lines = [f"FAIL  {outcome['file']}"]
    for one in outcome["failures"]:
        name = f"{one['test']}: " if one["test"] else ""
        lines += [f"      line {one['line']}: {name}{one['message']}".replace("\n", "\n      ")]
    return "\n".join(lines)


def _counted(findings: Iterable[Finding], files: int) -> str:
    kinds = [one.severity for one in findings]
    told = ", ".join(f"{kinds.count(kind)} {kind}s" for kind in ("error", "warning", "note"))
    return f"{_files(files)}: {told}"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _under(expression: str, error: PlanError) -> str:
    """The mistake under its column of the expression."""
    offset = max(0, min(error.column - 1, len(expression)))
    line = expression.count("\n", 0, offset)
    column = offset - (expression.rfind("\n", 0, offset) + 1)
    text = (expression.splitlines() or [""])[min(line, max(0, len(expression.splitlines()) - 1))]
    first = max(0, column - 80) if len(text) > 160 else 0
    return f"{_clean(text[first : first + 160])}\n{' ' * (column - first)}^\ncolumn {error.column}: {error.message}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _printable(labels: Labels) -> str:
    return _clean(str(labels))


def _clean(text: str) -> str:
    """Names and values come from agents: nothing of them may steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinities."""
    return value if math.isfinite(value) else "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _when(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def _socket(args: argparse.Namespace) -> Path:
    return config.load(args.config, os.environ).ingest.query_socket
