"""What our agents and the collector send: each metric's name, kind and labels, read from `metrics.txt`.

A line is `name kind label label?`; `?` marks a label that only some of its series have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

STAMPED = frozenset({"instance", "job", "host", "company", "site", "class"})  # by the collector, on every host's series
JOB = "node"
OWN = frozenset({"ALERTS", "ALERTS_FOR_STATE"})


@dataclass(frozen=True, slots=True)
class Metric:
    """`always` are the labels each of its series has, `sometimes` all a series can have; None: not known."""

    name: str
    kind: str  # gauge, counter, untyped
    always: frozenset[str] = frozenset()
    sometimes: frozenset[str] | None = frozenset()


Catalogue = Mapping[str, Metric]


@cache
def shipped() -> Catalogue:
    """The metrics of this version."""
    text = files("collector.rules.lint").joinpath("metrics.txt").read_text(encoding="utf-8")
    found = [_metric(line) for line in text.splitlines() if line and not line.startswith("#")]
    return {metric.name: metric for metric in found}


def _metric(line: str) -> Metric:
    name, kind, *labels = line.split()
    own = name in OWN or name.startswith("czuwak_collector_")
    stamped: frozenset[str] = frozenset() if own else STAMPED
    always = frozenset(label for label in labels if not label.endswith("?"))
    if name in OWN:
        return Metric(name, kind, always, None)
    return Metric(name, kind, always | stamped, frozenset(label.rstrip("?") for label in labels) | stamped)
