"""Runs promtool's test files on our own head, expressions and alert step, for the same verdicts.

promtool knows no "no data": a series that is not there counts as recovered here, and only here.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from collector.alerts.alert import Alert, AlertChanges, AlertState
from collector.head import Head
from collector.labels import Labels
from collector.promql import EvaluationError, PlanError, evaluate, plan
from collector.rules.alerting import ALERT_NAME
from collector.rules.errors import Mistake, RuleFileError
from collector.rules.load import load_files
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from collector.rules.testfile import AlertTest, ExpressionTest, RuleTest, TestFile, load_tests

MOST_EVALUATIONS = 200_000
_CLOSE = 1e-13


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that did not hold; `line` is that of the expectation in the test file."""

    file: str
    line: int
    test: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.test + ': ' if self.test else ''}{self.message}"


def run_tests(path: Path) -> tuple[Failure, ...]:
    """Failures of one test file, none when it passes. Raises RuleFileError for a file that cannot be run."""
    file = load_tests(path)
    groups = _ordered(load_files(_rule_files(file, path)), file)
    return tuple(failure for test in file.tests for failure in _Run(file, test, groups).failures())


def _rule_files(file: TestFile, path: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in file.rule_files:
        matches = sorted(path.parent.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not matches:
            raise RuleFileError((Mistake(file.name, 1, 1, f"no rule file matches {pattern!r}"),))
        found += matches
    return found


def _ordered(groups: Iterable[Group], file: TestFile) -> tuple[Group, ...]:
    place = {name: position for position, name in enumerate(file.order)}
    timed = (replace(group, interval=file.evaluation_interval) for group in groups)
    return tuple(sorted(timed, key=lambda group: place.get(group.name, len(place))))


class _Run:
    """One test's head and schedule, from time 0 to its last expectation."""

    def __init__(self, file: TestFile, test: RuleTest, groups: Sequence[Group]) -> None:
        self._file, self._test = file, test
        times = [one.at for one in test.alerts] + [one.at for one in test.expressions]
        self._end = max(times, default=0.0)
        if self._end / file.evaluation_interval > MOST_EVALUATIONS:
            raise RuleFileError((Mistake(file.name, 1, 1, f"more than {MOST_EVALUATIONS} evaluations"),))
        longest = max((len(one.values) for one in test.series), default=0)
        kept = longest + int(self._end / file.evaluation_interval) + 2
        self._head = Head(retention=self._end + 31_536_000.0, max_samples=kept)
        self._schedule = Schedule(groups, (), started_at=0.0, needs_proof=False)
        self._loaded = 0

    def failures(self) -> Iterator[Failure]:
        step = self._file.evaluation_interval
        for count in range(math.floor(self._end / step) + 1):
            at = count * step
            self._load_until(at)
            self._schedule.run(self._head.select, at, commit=_stored, record=self._head.set)
            yield from self._errors()
            for wanted in self._test.alerts:
                if at <= wanted.at < at + step:
                    yield from self._compare_alerts(wanted)
        self._load_until(self._end)
        for expression in self._test.expressions:
            yield from self._compare_samples(expression)

    def _load_until(self, at: float) -> None:
        while self._loaded * self._test.interval <= at:
            number, self._loaded = self._loaded, self._loaded + 1
            present = [(s.labels, s.values[number]) for s in self._test.series if number < len(s.values)]
            columns = [(labels, value) for labels, value in present if value is not None]
            if columns:
                self._head.set([one for one, _ in columns], [v for _, v in columns], number * self._test.interval)

    def _errors(self) -> Iterator[Failure]:
        for group in self._schedule.report():
            for rule in group.rules:
                if rule.health == "err":
                    yield self._failure(1, f"rule {rule.name} of group {group.name}: {rule.last_error}")

    def _compare_alerts(self, wanted: AlertTest) -> Iterator[Failure]:
        firing = [alert for alert in self._schedule.alerts() if alert.state is AlertState.FIRING]
        found = [alert for alert in firing if alert.labels.get(ALERT_NAME) == wanted.alertname]
        got = sorted(_told(alert.labels, alert.annotations.items()) for alert in found)
        expected = sorted(_told(alert.labels, alert.annotations.items()) for alert in wanted.alerts)
        if got != expected:
            yield self._failure(wanted.line, f"{wanted.alertname} at {wanted.at:g} s{_difference(expected, got)}")

    def _compare_samples(self, wanted: ExpressionTest) -> Iterator[Failure]:
        try:
            result = evaluate(plan(wanted.expression), self._head.select, wanted.at)
        except (PlanError, EvaluationError) as error:
            yield self._failure(wanted.line, f"{wanted.expression}: {error}")
            return
        got = sorted(zip(result.vector.labels, map(float, result.vector.values), strict=True))
        expected = sorted(wanted.samples)
        if not self._same(expected, got):
            lines = _difference([f"{n} {v!r}" for n, v in expected], [f"{n} {v!r}" for n, v in got])
            yield self._failure(wanted.line, f"{wanted.expression} at {wanted.at:g} s{lines}")

    def _same(self, expected: Sequence[tuple[Labels, float]], got: Sequence[tuple[Labels, float]]) -> bool:
        if [labels for labels, _ in expected] != [labels for labels, _ in got]:
            return False
        tolerance = _CLOSE if self._file.fuzzy else 0.0
        pairs = zip((v for _, v in expected), (v for _, v in got), strict=True)
        return all(a == b or math.isclose(a, b, rel_tol=tolerance) for a, b in pairs)

    def _failure(self, line: int, message: str) -> Failure:
        return Failure(self._file.name, line, self._test.name, message)


def _stored(changes: AlertChanges, _at: float) -> tuple[Alert, ...]:
    return changes.upserts


def _told(labels: Labels, annotations: Iterable[tuple[str, str]]) -> str:
    return f"{labels} {Labels.of(annotations)}"


def _difference(expected: Sequence[str], got: Sequence[str]) -> str:
    return "".join(
        (
            "\n    expected: " + ("\n              ".join(expected) or "nothing"),
            "\n    got:      " + ("\n              ".join(got) or "nothing"),
        )
    )
