"""What is wrong or doubtful about rule files, for `check-config` and `rules check`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.rules.duration import format_duration
from collector.rules.errors import RuleFileError, TemplateError
from collector.rules.load import load_files
from collector.rules.model import AlertRule, Group, Rule
from collector.rules.template import compile_template


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One remark on a rule file; `severity` is "error" or "warning", line and column count from 1."""

    file: str
    line: int
    column: int
    severity: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"


def check(paths: Iterable[Path], *, sample_interval: float = 15.0, retention: float = 3600.0) -> tuple[Finding, ...]:
    """Every mistake of the files, or, when there is none, what is doubtful about their rules.

    `sample_interval` and `retention` (seconds) are the agents' interval and how long the head remembers.
    """
    try:
        groups = load_files(paths)
    except RuleFileError as error:
        return tuple(Finding(m.file, m.line, m.column, "error", m.message) for m in error.mistakes)
    return tuple(_doubts(groups, sample_interval, retention))


def _doubts(groups: Iterable[Group], sample_interval: float, retention: float) -> Iterator[Finding]:
    for group in groups:
        for rule in group.rules:
            for message in (*_window(rule, sample_interval, retention), *_templates(rule)):
                yield Finding(group.file, rule.line, 1, "warning", f"{rule.name}: {message}")


def _window(rule: Rule, sample_interval: float, retention: float) -> Iterator[str]:
    window = rule.plan.max_range
    if window > retention:
        yield f"looks back {format_duration(window)}, the collector remembers {format_duration(retention)}"
    if 0 < window < 2 * sample_interval:
        yield f"a range of {format_duration(window)} holds fewer than two samples"


def _templates(rule: Rule) -> Iterator[str]:
    if not isinstance(rule, AlertRule):
        return
    for name, text in (*rule.labels.items(), *rule.annotations.items()):
        try:
            compile_template(text)
        except TemplateError as error:
            yield f"the template of {name} will show an error: {error}"
