"""A severity the helpdesk does not know gets the priority of none."""

from collections.abc import Iterator

from collector.rules.lint.subject import Remark, Subject

KNOWN = ("info", "warning", "critical")


def check(subject: Subject) -> Iterator[Remark]:
    """Alerts whose `severity` is not one of the three; one with a template is not judged."""
    item = subject.texts("labels").get("severity")
    if subject.alert is not None and item is not None and "{{" not in item.text and item.text not in KNOWN:
        yield subject.at(item, f"unknown severity {item.text[:40]!r}; known are {', '.join(KNOWN)}")
