"""A window longer than the collector's memory sees only its newest part."""

from collections.abc import Iterator

from collector.promql.survey import reach
from collector.rules.duration import format_duration
from collector.rules.lint.brackets import brackets
from collector.rules.lint.subject import Remark, Subject


def check(subject: Subject) -> Iterator[Remark]:
    """Windows, with their offset, longer than the longest the collector keeps."""
    kept = subject.world.retention
    told = False
    for number, node in enumerate(brackets(subject.root)):
        if reach(node) > kept:
            told = True
            yield subject.at_bracket(number, _message(reach(node), kept))
    if not told and subject.rule.plan.max_range > kept:
        yield subject.in_expression(0, _message(subject.rule.plan.max_range, kept))


def _message(reached: float, kept: float) -> str:
    return f"looks back {format_duration(reached)}, the collector remembers {format_duration(kept)}"
