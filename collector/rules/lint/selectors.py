"""A matcher that no series can meet makes its selector empty."""

from collections.abc import Iterator

from collector.head import Matcher
from collector.labels import NAME
from collector.promql.nodes import Selector
from collector.rules.lint.catalogue import JOB, Catalogue
from collector.rules.lint.shape import name_of
from collector.rules.lint.subject import Remark, Subject


def check(subject: Subject) -> Iterator[Remark]:
    """Matchers on labels the metric never has, and on another job than our hosts'."""
    for node in subject.nodes:
        if isinstance(node, Selector):
            for matcher, message in unmet(node, subject.world.catalogue):
                yield subject.at_selector(node, message, matcher.name)


def unmet(node: Selector, catalogue: Catalogue) -> Iterator[tuple[Matcher, str]]:
    """Matchers that no series of the metric can meet, and why."""
    metric = catalogue.get(name_of(node))
    if metric is None or metric.sometimes is None:
        return
    for matcher in node.matchers:
        if matcher.name != NAME and matcher.name not in metric.sometimes and not matcher.accepts(""):
            yield matcher, f"{metric.name} has no label {matcher.name}, so nothing matches {matcher}"
        elif matcher.name == "job" and "job" in metric.always and not matcher.accepts(JOB):
            yield matcher, f'hosts\' series have job="{JOB}", so nothing matches {matcher}'
