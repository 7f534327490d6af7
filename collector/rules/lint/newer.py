"""Fields that an older Prometheus refuses: the file needs at least the version named."""

from collections.abc import Iterator

from collector.rules.document import Item
from collector.rules.lint.subject import NOTE, Remark, Subject

_GROUP = {"query_offset": "2.53", "labels": "3.0"}
_RULE = {"keep_firing_for": "2.42"}


def check(subject: Subject) -> Iterator[Remark]:
    """Notes, one per field; those of a group stand at its first rule."""
    if subject.group.rules[0] is subject.rule:
        yield from _notes(subject, subject.place, _GROUP, "of a group ")
    yield from _notes(subject, subject.item, _RULE, "")


def _notes(subject: Subject, item: Item, versions: dict[str, str], what: str) -> Iterator[Remark]:
    for key, _ in item.pairs:
        if key.text in versions:
            yield subject.at(key, f"{key.text} {what}needs Prometheus {versions[key.text]} or newer", severity=NOTE)
