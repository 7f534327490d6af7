"""Counters only grow and start again from 0; gauges go up and down. Each needs its own functions."""

from collections.abc import Iterator

from collector.promql.nodes import Call, Range, Selector
from collector.rules.lint.shape import name_of
from collector.rules.lint.subject import Remark, Subject

_FOR_COUNTERS = frozenset({"rate", "irate", "increase"})
_FOR_GAUGES = {"delta": "increase", "idelta": "irate", "deriv": "rate", "predict_linear": "rate"}


def check(subject: Subject) -> Iterator[Remark]:
    """Functions for counters on a gauge, and for gauges on a counter."""
    for node in subject.nodes:
        if not isinstance(node, Call) or not node.arguments or not isinstance(node.arguments[0], Range):
            continue
        selector = node.arguments[0].selector
        kind = _kind(subject, selector)
        if node.name in _FOR_COUNTERS and kind == "gauge":
            message = f"{node.name}() is for counters, {name_of(selector)} is a gauge: use delta() or deriv()"
            yield subject.at_selector(selector, message)
        elif node.name in _FOR_GAUGES and kind == "counter":
            message = f"{node.name}() is for gauges, {name_of(selector)} is a counter: use {_FOR_GAUGES[node.name]}()"
            yield subject.at_selector(selector, message)


def _kind(subject: Subject, selector: Selector) -> str:
    name = name_of(selector)
    metric = subject.world.catalogue.get(name)
    if metric is not None:
        return metric.kind
    return "counter" if name.endswith("_total") else ""
