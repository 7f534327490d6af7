"""Series that rules write back: recordings, ALERTS and ALERTS_FOR_STATE, and the end of those that are over. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from collector.alerts.alert import Alert, AlertState
from collector.head import STALE
from collector.labels import NAME, Labels
from collector.promql import Result
from collector.rules.errors import RuleError
from collector.rules.model import RecordRule

FAILING = "czuwak_collector_rule_failing"

Written = dict[Labels, float]


def recorded(rule: RecordRule, result: Result, group_labels: Mapping[str, str], limit: int) -> Written:
    """The result under the rule's name. Raises RuleError for duplicates and for more than `limit` (0: none)."""
    written: Written = {}
    for source, value in zip(result.vector.labels, result.vector.values, strict=True):
        labels = source.with_({**group_labels, **rule.labels, NAME: rule.name})
        if labels in written:
            raise RuleError(f"two results with the same labels {labels}")
        written[labels] = float(value)
    if limit and len(written) > limit:
        raise RuleError(f"{len(written)} series, more than the limit of {limit}")
    return written


def alert_series(alerts: Iterable[Alert]) -> Written:
    """ALERTS with the state, and ALERTS_FOR_STATE with the moment the condition began."""
    written: Written = {}
    for alert in alerts:
        state, began = _names(alert.labels, alert.state)
        written[state], written[began] = 1.0, alert.active_since
    return written


@lru_cache(maxsize=8192)
def _names(labels: Labels, state: AlertState) -> tuple[Labels, Labels]:
    """Both series of an alert; it has them as long as it lasts, a second at a time."""
    word = "firing" if state is AlertState.FIRING else "pending"
    return labels.with_({NAME: "ALERTS", "alertstate": word}), labels.with_({NAME: "ALERTS_FOR_STATE"})


def health(group: str, rule: str) -> Labels:
    """The series that is 1 while a rule cannot be judged."""
    return Labels.of(__name__=FAILING, group=group, rule=rule)


def with_ends(written: Written, before: Iterable[Labels]) -> tuple[Sequence[Labels], Sequence[float]]:
    """Columns to record: what is written now, and a stale marker for what was written last time only."""
    ended = [labels for labels in before if labels not in written]
    return [*written, *ended], [*written.values(), *([STALE] * len(ended))]
