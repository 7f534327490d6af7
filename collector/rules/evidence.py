"""The rule's series around a moment, frozen for the ticket's chart."""

import math

from collector.alerts.alert import Evidence, EvidenceLine
from collector.head import Select
from collector.labels import Labels
from collector.promql import EvaluationError, Plan, evaluate, evaluate_range, restrict, threshold
from collector.promql.excerpt import excerpt
from collector.rules.model import AlertRule

WINDOW = 3600.0  # seconds before the event
POINTS = 120
MOST_LINES = 8


def gather(rule: AlertRule, labels: Labels, select: Select, at: float) -> Evidence:
    """The left side of the rule's first comparison over the last hour, for the series of `labels`.

    `labels` are those of the result behind the alert, without what the rule adds. Lines may be empty
    where the head has nothing; a chart is never a reason to lose a ticket.
    """
    comparison = threshold(rule.plan)
    drawn = comparison.left if comparison else rule.plan
    lines = _lines(drawn, labels, select, at) or _lines(drawn, labels.keep("instance"), select, at)
    return Evidence(
        expression=rule.expression,
        threshold=comparison.limit if comparison else None,
        comparison=comparison.operator if comparison else "",
        lines=lines,
        series=excerpt(drawn) if comparison else rule.expression,
    )


def proof(rule: AlertRule, labels: Labels, select: Select, at: float) -> float:
    """What the rule's first comparison sees of `labels` now: the value that recovery rests on.

    NaN where that is not one number; a proof that cannot be shown is no reason to doubt it.
    """
    comparison = threshold(rule.plan)
    if comparison is None:
        return math.nan
    try:
        seen = evaluate(restrict(comparison.left, labels.as_dict()), select, at).vector.values
    except EvaluationError:
        return math.nan
    return float(seen[0]) if len(seen) == 1 else math.nan


def _lines(plan: Plan, labels: Labels, select: Select, at: float) -> tuple[EvidenceLine, ...]:
    step = WINDOW / POINTS
    try:
        found = evaluate_range(restrict(plan, labels.as_dict()), select, at - WINDOW + step, at, step)
    except EvaluationError:
        return ()
    return tuple(
        EvidenceLine(line.labels, tuple(map(float, line.at)), tuple(map(float, line.values)))
        for line in found[:MOST_LINES]
    )
