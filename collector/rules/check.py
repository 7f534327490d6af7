"""What is wrong or doubtful about rule files, for `check-config` and `rules check`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from collector.promql.survey import nodes
from collector.rules.errors import RuleFileError
from collector.rules.lint import lint
from collector.rules.lint.catalogue import Catalogue, Metric, shipped
from collector.rules.lint.shape import shape
from collector.rules.lint.subject import NOTE, Subject, World
from collector.rules.load import read_text, reading, reading_text, repeated
from collector.rules.model import RecordRule
from collector.rules.schema import Reading

ERROR = "error"
SAMPLE_INTERVAL = 15.0  # seconds between two rounds of an agent
RETENTION = 86_400.0  # seconds of history the collector is meant to hold in memory
_WIDTH = 160  # of a source line that is shown


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One remark on a rule file; `severity` is error, warning or note, line and column count from 1.

    `lint` names the check, empty for what keeps the file from loading.
    """

    file: str
    line: int
    column: int
    severity: str
    message: str
    rule: str = ""
    lint: str = ""

    @property
    def counts(self) -> bool:
        """False for a note: there is nothing to mend."""
        return self.severity != NOTE

    def __str__(self) -> str:
        name = f"{self.rule}: " if self.rule else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {name}{self.message}"


def check(
    paths: Iterable[Path], *, sample_interval: float = SAMPLE_INTERVAL, retention: float = RETENTION
) -> tuple[Finding, ...]:
    """Every mistake of the files, and what is doubtful about the rules that can be read.

    `sample_interval` is the agents', `retention` how long the head remembers; seconds.
    """
    readings = [(str(path), reading(path)) for path in paths]
    return tuple(sorted(_findings(readings, sample_interval, retention)))


def check_text(text: str, name: str) -> tuple[Finding, ...]:
    """The same for a text that is in no file yet."""
    return tuple(sorted(_findings([(name, reading_text(text, name))], SAMPLE_INTERVAL, RETENTION)))


def shown(finding: Finding, lines: Mapping[str, list[str]]) -> str:
    """The finding, its line of the source and a caret under the column."""
    source = lines.get(finding.file, [])
    if not 0 < finding.line <= len(source):
        return str(finding)
    line, at = source[finding.line - 1], finding.column - 1
    first = max(0, at - _WIDTH // 2) if len(line) > _WIDTH else 0
    part = "".join(c if c.isprintable() or c == "\t" else "?" for c in line[first : first + _WIDTH])
    lead = "".join("\t" if c == "\t" else " " for c in part[: at - first])
    return f"{finding}\n    {part}\n    {lead}^"


def sources(findings: Iterable[Finding]) -> dict[str, list[str]]:
    """The lines of the files behind findings, of those that can be read."""
    found: dict[str, list[str]] = {}
    for name in {finding.file for finding in findings}:
        try:
            found[name] = read_text(Path(name)).splitlines()
        except RuleFileError:
            continue
    return found


def _findings(readings: list[tuple[str, Reading]], sample_interval: float, retention: float) -> Iterator[Finding]:
    mistakes = [mistake for _, one in readings for mistake in one.mistakes]
    mistakes += repeated(group for _, one in readings for group in one.groups)
    yield from (Finding(m.file, m.line, m.column, ERROR, m.message) for m in mistakes)
    world = World(_known(readings), sample_interval, retention)
    for name, one in readings:
        for subject in _subjects(one, world):
            for lint_name, remark in lint(subject):
                where = (name, remark.line, remark.column)
                yield Finding(*where, remark.severity, remark.message, subject.rule.name, lint_name)


def _subjects(read: Reading, world: World) -> Iterator[Subject]:
    for group, items, place in zip(read.groups, read.items, read.places, strict=True):
        for rule, item in zip(group.rules, items, strict=True):
            yield Subject(group, rule, item, place, world, tuple(nodes(rule.plan.root)))


def _known(readings: list[tuple[str, Reading]]) -> Catalogue:
    """What agents send and what the files' own rules record; a recording may build on another."""
    known = dict(shipped())
    recorded = [
        (group, rule)
        for _, read in readings
        for group in read.groups
        for rule in group.rules
        if isinstance(rule, RecordRule)
    ]
    for _, rule in recorded:
        known.setdefault(rule.name, Metric(rule.name, "gauge", sometimes=None))
    for group, rule in recorded:
        made = shape(rule.plan.root, known)
        added = frozenset({**group.labels, **rule.labels})
        every = None if made.sometimes is None else made.sometimes | added
        known[rule.name] = Metric(rule.name, "gauge", made.always | added, every)
    return known
