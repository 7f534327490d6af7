"""What our agents and the collector send: each metric's name, kind and labels, read from `metrics.txt`.

A line is `name kind label label?`; `?` marks a label that only some of its series have. `textfiles.txt` names what
comes through an agent only where a script of the host's writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

STAMPED = frozenset({"instance", "job", "host", "company", "site", "class"})  # by the collector, on every host's series
JOB = "node"
TEXTFILE = "textfile"  # the kind of what only scripts write: kind and labels are theirs
OWN = frozenset({"ALERTS", "ALERTS_FOR_STATE"})
_UNSTAMPED = ("czuwak_collector_", "czuwak_certificate_", "czuwak_outage_")  # of the collector, not of a host
_PER_HOST = frozenset({"czuwak_collector_host_series_refused"})  # the exception among them


@dataclass(frozen=True, slots=True)
class Metric:
    """`always` are the labels each of its series has, `sometimes` all a series can have; None: not known."""

    name: str
    kind: str  # gauge, counter, untyped, textfile
    always: frozenset[str] = frozenset()
    sometimes: frozenset[str] | None = frozenset()


Catalogue = Mapping[str, Metric]


@cache
def shipped() -> Catalogue:
    """The metrics of this version."""
    found = [Metric(name, TEXTFILE, STAMPED, None) for name in _lines("textfiles.txt")]
    found += [_metric(line) for line in _lines("metrics.txt")]
    return {metric.name: metric for metric in found}


def _lines(name: str) -> list[str]:
    text = files("collector.rules.lint").joinpath(name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _metric(line: str) -> Metric:
    name, kind, *labels = line.split()
    own = name in OWN or (name.startswith(_UNSTAMPED) and name not in _PER_HOST)
    stamped: frozenset[str] = frozenset() if own else STAMPED
    always = frozenset(label for label in labels if not label.endswith("?"))
    if name in OWN:
        return Metric(name, kind, always, None)
    return Metric(name, kind, always | stamped, frozenset(label.rstrip("?") for label in labels) | stamped)
