"""A range too short to hold two samples never gives a rate."""

from collections.abc import Iterator

from collector.promql.nodes import Range
from collector.rules.duration import format_duration
from collector.rules.lint.brackets import brackets
from collector.rules.lint.subject import Remark, Subject


def check(subject: Subject) -> Iterator[Remark]:
    """Ranges shorter than two sample intervals."""
    interval = subject.world.sample_interval
    for number, node in enumerate(brackets(subject.root)):
        if isinstance(node, Range) and node.seconds < 2 * interval:
            message = (
                f"a range of {format_duration(node.seconds)} can miss every pair of samples: "
                f"agents send every {format_duration(interval)}, so ask for {format_duration(2 * interval)} or more"
            )
            yield subject.at_bracket(number, message)
