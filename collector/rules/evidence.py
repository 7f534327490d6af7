"""The rule's series around a moment, frozen for the ticket's chart."""

from collector.alerts.alert import Evidence, EvidenceLine
from collector.head import Select
from collector.labels import Labels
from collector.promql import EvaluationError, Plan, evaluate_range, restrict, threshold
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
