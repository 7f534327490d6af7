"""A template that uses a label the result cannot have shows an empty place."""

import re
from collections.abc import Iterator

from collector.labels import NAME
from collector.rules.lint.subject import Remark, Subject

_ACTION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_USED = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_][A-Za-z0-9_]*)")


def check(subject: Subject) -> Iterator[Remark]:
    """Labels named in templates that no row of the expression has."""
    if subject.alert is None:
        return
    shape = subject.shape(subject.root)
    for field in ("labels", "annotations"):
        for name, item in subject.texts(field).items():
            for action in _ACTION.finditer(item.text):
                for used in _USED.finditer(item.text, *action.span()):
                    if used[1] != NAME and shape.lacks(used[1]):
                        message = f"the result has no label {used[1]}, so {name} will show nothing there"
                        yield subject.at(item, message, used.start())
