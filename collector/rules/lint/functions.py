"""A template with a function we do not have shows `<error expanding template: ...>`."""

from collections.abc import Iterator

from collector.rules.errors import TemplateError
from collector.rules.lint.subject import Remark, Subject
from collector.rules.template import compile_template


def check(subject: Subject) -> Iterator[Remark]:
    """Templates of labels and annotations that will not expand."""
    if subject.alert is None:
        return
    for field in ("labels", "annotations"):
        for name, item in subject.texts(field).items():
            try:
                compile_template(item.text)
            except TemplateError as error:
                offset = max(item.text.find(_word(str(error))), item.text.find("{{"), 0)
                yield subject.at(item, f"{name} will show an error: {error}", offset)


def _word(message: str) -> str:
    """The word the message quotes."""
    quoted = message.split('"')
    return quoted[1] if len(quoted) > 2 else "{{"
