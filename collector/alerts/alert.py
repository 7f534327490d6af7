"""An alert's durable state and the events it causes; pure values, the same for every source.

Times are Unix seconds, UTC. Nothing here reads a clock or a database.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from collector.labels import Labels


class AlertState(StrEnum):
    """Inactive alerts have no row."""

    PENDING = "pending"
    FIRING = "firing"


class EventKind(StrEnum):
    """What can happen to an alert that a ticket cares about."""

    FIRED = "fired"
    CHANGED = "changed"  # severity or the annotations' text changed while firing
    RECOVERED = "recovered"  # proven by fresh, considered, false evidence
    UNKNOWN = "unknown"  # no data any more; neither true nor false
    KNOWN = "known"  # data is back and the condition is still true
    GONE = "gone"  # the object is not reported any more though its host is; or the rule was removed


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert instance as it is kept in the database; `key` is its identity."""

    key: str  # labels.dedup_key(company, source, labels)
    rule: str  # Rule.uid: stable over reloads, changes with the expression
    labels: Labels  # after rule labels and alertname
    state: AlertState
    active_since: float  # first evaluation that was true, minus nothing
    last_true: float  # evaluation time of the last true result
    value: float
    annotations: Mapping[str, str] = field(default_factory=dict)
    fired_at: float | None = None
    keep_since: float | None = None  # first false evaluation while keep_firing_for holds
    unknown_since: float | None = None  # last time it was considered, once UNKNOWN was told
    episode: int = 0  # +1 per inactive -> firing, counted by the database


@dataclass(frozen=True, slots=True)
class Evidence:
    """The rule's series around the event, frozen: one line per series, and the threshold where there is one."""

    expression: str
    threshold: float | None
    comparison: str  # ">", "<", ... or ""
    lines: tuple["EvidenceLine", ...] = ()
    series: str = ""  # the expression of the lines, without its comparison; empty where it is not known

    def as_json(self) -> dict[str, object]:
        """Plain data for the database; NaN and infinities become None."""
        return {
            "expression": self.expression,
            "threshold": self.threshold,
            "comparison": self.comparison,
            "series": self.series,
            "lines": [
                {"labels": line.labels.as_dict(), "at": list(line.at), "values": [_finite(v) for v in line.values]}
                for line in self.lines
            ],
        }


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One series of a chart; `at` in Unix seconds, as long as `values`."""

    labels: Labels
    at: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something happened to an alert; the only thing `intake` needs to know to change a ticket."""

    kind: EventKind
    source: str  # "rules", "alertmanager"
    key: str  # dedup key
    labels: Labels
    annotations: Mapping[str, str]
    value: float
    at: float  # evaluation time
    started_at: float  # when the condition began (active_since)
    rule: str = ""
    rule_name: str = ""
    expression: str = ""
    for_seconds: float = 0.0
    evidence: Evidence | None = None
    reason: str = ""  # of GONE: "rule changed", "rule removed"; empty when its object is not reported any more


@dataclass(frozen=True, slots=True)
class AlertChanges:
    """One evaluation's effect: rows to write, rows to delete (alert inactive again) and what tickets must hear."""

    upserts: tuple[Alert, ...] = ()
    deletes: tuple[str, ...] = ()  # keys
    events: tuple[AlertEvent, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.upserts or self.deletes or self.events)

    @property
    def keys(self) -> frozenset[str]:
        """Of all alerts in it."""
        return frozenset((*(a.key for a in self.upserts), *self.deletes, *(e.key for e in self.events)))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
