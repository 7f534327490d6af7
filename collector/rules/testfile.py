"""promtool's test-rules files as values, with every mistake at its line and column."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from collector.labels import Labels
from collector.rules.document import Item, Kind
from collector.rules.duration import parse_duration
from collector.rules.errors import DurationError, Mistake, RuleError, RuleFileError
from collector.rules.load import load_document, read_text
from collector.rules.notation import read_series, read_values

_TOP = ("rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests")
_TEST = ("name", "interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels", "external_url")
_ALERT = ("eval_time", "alertname", "exp_alerts")
_EXPRESSION = ("expr", "eval_time", "exp_samples")


@dataclass(frozen=True, slots=True)
class InputSeries:
    """One series: a value, a stale marker or None per interval, from time 0."""

    labels: Labels
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """A firing alert, with alertname among its labels."""

    labels: Labels
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AlertTest:
    """Which alerts of one name fire at a time (seconds)."""

    at: float
    alertname: str
    alerts: tuple[ExpectedAlert, ...]
    line: int


@dataclass(frozen=True, slots=True)
class ExpressionTest:
    """What an expression gives at a time (seconds)."""

    at: float
    expression: str
    samples: tuple[tuple[Labels, float], ...]
    line: int


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test: its series, one point per `interval` seconds, and what is expected."""

    name: str
    interval: float
    series: tuple[InputSeries, ...]
    alerts: tuple[AlertTest, ...]
    expressions: tuple[ExpressionTest, ...]


@dataclass(frozen=True, slots=True)
class TestFile:
    """A whole file; `rule_files` are globs relative to the file, `order` names groups to judge first."""

    __test__ = False

    name: str
    rule_files: tuple[str, ...]
    evaluation_interval: float
    order: tuple[str, ...]
    fuzzy: bool
    tests: tuple[RuleTest, ...]


def load_tests(path: Path) -> TestFile:
    """The tests of one file. Raises RuleFileError."""
    reader = _Reader(str(path))
    document = load_document(read_text(path), str(path))
    fields = reader.fields(document, _TOP) if document else {}
    interval = reader.duration(fields.get("evaluation_interval"), 60.0)
    file = TestFile(
        name=str(path),
        rule_files=tuple(item.text for item in reader.items(fields.get("rule_files"))),
        evaluation_interval=interval,
        order=tuple(item.text for item in reader.items(fields.get("group_eval_order"))),
        fuzzy=reader.text(fields.get("fuzzy_compare")) == "true",
        tests=tuple(reader.test(item, interval) for item in reader.items(fields.get("tests"))),
    )
    for key in ("evaluation_interval", "interval"):
        if key in fields and not interval:
            reader.wrong(fields[key], f"{key} must be longer than 0")
    if reader.mistakes:
        raise RuleFileError(tuple(sorted(reader.mistakes)))
    return file


@dataclass(slots=True)
class _Reader:
    name: str
    mistakes: list[Mistake] = field(default_factory=list)

    def wrong(self, item: Item, message: str) -> None:
        self.mistakes.append(Mistake(self.name, item.line, item.column, message))

    def test(self, item: Item, default: float) -> RuleTest:
        fields = self.fields(item, _TEST)
        return RuleTest(
            name=self.text(fields.get("name")),
            interval=self.duration(fields.get("interval"), default),
            series=tuple(self.series(one) for one in self.items(fields.get("input_series"))),
            alerts=tuple(self.alert_test(one) for one in self.items(fields.get("alert_rule_test"))),
            expressions=tuple(self.expression_test(one) for one in self.items(fields.get("promql_expr_test"))),
        )

    def series(self, item: Item) -> InputSeries:
        fields = self.fields(item, ("series", "values"))
        try:
            values = read_values(self.text(fields.get("values")))
            return InputSeries(read_series(self.text(fields.get("series"))), tuple(values))
        except RuleError as error:
            self.wrong(item, str(error))
            return InputSeries(Labels(), ())

    def alert_test(self, item: Item) -> AlertTest:
        fields = self.fields(item, _ALERT)
        name = self.text(fields.get("alertname"))
        alerts = tuple(self.alert(one, name) for one in self.items(fields.get("exp_alerts")))
        return AlertTest(self.duration(fields.get("eval_time"), 0.0), name, alerts, item.line)

    def alert(self, item: Item, name: str) -> ExpectedAlert:
        fields = self.fields(item, ("exp_labels", "exp_annotations"))
        labels = {**self.words(fields.get("exp_labels")), "alertname": name}
        return ExpectedAlert(Labels.of(labels), self.words(fields.get("exp_annotations")))

    def expression_test(self, item: Item) -> ExpressionTest:
        fields = self.fields(item, _EXPRESSION)
        samples = tuple(self.sample(one) for one in self.items(fields.get("exp_samples")))
        at = self.duration(fields.get("eval_time"), 0.0)
        return ExpressionTest(at, self.text(fields.get("expr")), samples, item.line)

    def sample(self, item: Item) -> tuple[Labels, float]:
        fields = self.fields(item, ("labels", "value"))
        try:
            return read_series(self.text(fields.get("labels"))), float(self.text(fields.get("value")) or "0")
        except (RuleError, ValueError) as error:
            self.wrong(item, str(error))
            return Labels(), 0.0

    def words(self, item: Item | None) -> dict[str, str]:
        return {key.text: self.text(value) for key, value in (item.pairs if item else ())}

    def fields(self, item: Item, allowed: tuple[str, ...]) -> dict[str, Item]:
        return dict(self._fields(item, allowed))

    def _fields(self, item: Item, allowed: tuple[str, ...]) -> Iterator[tuple[str, Item]]:
        if item.kind is not Kind.MAP:
            self.wrong(item, f"must be a mapping, not {item.kind}")
        for key, value in item.pairs:
            if key.text not in allowed:
                self.wrong(key, f"unknown field {key.text[:80]!r} (known: {', '.join(allowed)})")
            elif value.kind is not Kind.NULL:
                yield key.text, value

    def items(self, item: Item | None) -> tuple[Item, ...]:
        if item is not None and item.kind is not Kind.LIST:
            self.wrong(item, f"must be a list, not {item.kind}")
        return item.items if item else ()

    def text(self, item: Item | None) -> str:
        if item is not None and item.kind in (Kind.MAP, Kind.LIST):
            self.wrong(item, f"must be a text, not {item.kind}")
        return item.text if item else ""

    def duration(self, item: Item | None, default: float) -> float:
        try:
            return default if item is None else parse_duration(item.text)
        except DurationError as error:
            self.wrong(item, str(error))  # type: ignore[arg-type]  # None raises nothing
            return default
