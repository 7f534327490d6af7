"""The rules as the ingest process tells them: groups, what is found in a text, what a back-test gives. Values only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from czuwak.v1 import query_pb2 as pb


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; durations in seconds, `health` is ok, err or unknown; labels and annotations are templates."""

    name: str
    expression: str
    is_alert: bool
    for_seconds: float
    keep_firing_for: float
    health: str
    error: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are judged together; times in Unix seconds, 0 before the first evaluation."""

    name: str
    file: str
    interval: float
    evaluated_at: float
    duration: float
    missed: int
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong (`error`) or doubtful (`warning`, `note`) about a text; line and column from 1."""

    line: int
    column: int
    severity: str
    message: str
    rule: str
    lint: str


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert that would have fired; `ended_at` None: it still would. `again`: the same ticket, opened once more."""

    rule: str
    labels: Mapping[str, str]
    fired_at: float
    ended_at: float | None
    end: str
    value: float
    again: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What rules would have done from `start` to `end`; `healed` counts tickets over within five minutes."""

    tickets: int
    reopened: int
    healed: int
    episodes: tuple[Episode, ...]
    failures: tuple[tuple[str, str], ...]
    start: float
    end: float
    step: float
    series: int


def groups(told: Iterable[pb.RuleGroup]) -> tuple[Group, ...]:
    """The groups of an answer, in its order."""
    return tuple(
        Group(
            name=group.name,
            file=group.file,
            interval=group.interval_seconds,
            evaluated_at=group.last_evaluation_at,
            duration=group.last_duration_seconds,
            missed=group.missed,
            rules=tuple(map(_rule, group.rules)),
        )
        for group in told
    )


def findings(told: Iterable[pb.Finding]) -> tuple[Finding, ...]:
    """The findings of an answer, in its order."""
    return tuple(Finding(one.line, one.column, one.severity, one.message, one.rule, one.lint) for one in told)


def rehearsal(told: pb.BacktestResponse) -> Rehearsal:
    """The back-test of an answer."""
    return Rehearsal(
        tickets=told.tickets,
        reopened=told.reopened,
        healed=told.healed,
        episodes=tuple(map(_episode, told.episodes)),
        failures=tuple((one.rule, one.message) for one in told.failures),
        start=told.start,
        end=told.end,
        step=told.step,
        series=told.series,
    )


def _rule(told: pb.Rule) -> Rule:
    return Rule(
        name=told.name,
        expression=told.expression,
        is_alert=told.kind == "alert",
        for_seconds=told.for_seconds,
        keep_firing_for=told.keep_firing_for_seconds,
        health=told.health,
        error=told.last_error,
        uid=told.uid,
        labels=dict(told.labels),
        annotations=dict(told.annotations),
        line=told.line,
    )


def _episode(told: pb.Episode) -> Episode:
    return Episode(
        rule=told.rule,
        labels=dict(told.labels),
        fired_at=told.fired_at,
        ended_at=told.ended_at or None,
        end=told.end,
        value=told.value,
        again=told.again,
    )
