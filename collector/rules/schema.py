"""A rule file's fields: what is allowed, required and well formed. Collects every mistake of a file.

Works on `document` items; raises once, at the end, with all mistakes in the order of the file.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from collector.promql import Plan, PlanError, plan
from collector.rules.document import Item, Kind
from collector.rules.duration import parse_duration
from collector.rules.errors import DurationError, Mistake, RuleFileError, TemplateError
from collector.rules.model import AlertRule, Group, RecordRule, Rule, rule_uid
from collector.rules.template import compile_template

_GROUP = ("name", "interval", "limit", "query_offset", "labels", "rules")
_RULE = ("alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations")
_ALERT_ONLY = ("for", "keep_firing_for", "annotations")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SCALARS = (Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.BOOL)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a document holds, mistakes or not; `items[g][r]` is where rule `r` of group `g` was read from."""

    groups: tuple[Group, ...] = ()
    items: tuple[tuple[Item, ...], ...] = ()
    places: tuple[Item, ...] = ()  # of the groups
    mistakes: tuple[Mistake, ...] = ()


def read_groups(document: Item, name: str) -> tuple[Group, ...]:
    """Groups of a document. Raises RuleFileError."""
    reading = read(document, name)
    if reading.mistakes:
        raise RuleFileError(reading.mistakes)
    return reading.groups


def read(document: Item, name: str) -> Reading:
    """The rules of a document that can be read, and every mistake of the others."""
    reader = _Reader(name)
    groups = tuple(reader.groups(document))
    return Reading(groups, tuple(reader.items), tuple(reader.places), tuple(sorted(reader.mistakes)))


@dataclass(slots=True)
class _Reader:
    name: str
    mistakes: list[Mistake] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)  # uid -> line
    items: list[tuple[Item, ...]] = field(default_factory=list)
    places: list[Item] = field(default_factory=list)

    def wrong(self, item: Item, message: str) -> None:
        self.mistakes.append(Mistake(self.name, item.line, item.column, message))

    def groups(self, document: Item) -> list[Group]:
        if document.kind is Kind.NULL:
            return []
        fields = self.fields(document, ("groups",), "a rule file")
        names: dict[str, int] = {}
        groups = []
        for item in self.list_of(fields.get("groups")):
            group = self.group(item)
            if group and names.setdefault(group.name, item.line) != item.line:
                self.wrong(item, f"group {group.name!r} already stands in line {names[group.name]}")
            groups += [group] if group else []
        return groups

    def group(self, item: Item) -> Group | None:
        fields = self.fields(item, _GROUP, "a group")
        if item.kind is not Kind.MAP:
            return None
        name = self.text(fields.get("name"))
        if not name:
            self.wrong(fields.get("name", item), "a group needs a name")
        labels = self.labels(fields.get("labels"), "label")
        read = [(self.rule(rule, name, labels), rule) for rule in self.list_of(fields.get("rules"))]
        self.items.append(tuple(place for rule, place in read if rule))
        self.places.append(item)
        interval = self.duration(fields.get("interval")) or None
        return Group(
            name=name,
            file=self.name,
            rules=tuple(rule for rule, _ in read if rule),
            interval=interval,
            limit=self.whole(fields.get("limit")),
            query_offset=self.duration(fields.get("query_offset")),
            labels=labels,
        )

    def rule(self, item: Item, group: str, shared: Mapping[str, str]) -> Rule | None:
        fields = self.fields(item, _RULE, "a rule")
        if item.kind is not Kind.MAP:
            return None
        named = [key for key in ("alert", "record") if key in fields]
        if len(named) != 1:
            self.wrong(item, "a rule needs exactly one of alert and record")
        kind = named[0] if named else "alert"
        read = self.record if kind == "record" else self.alert
        rule = read(item, fields, group, shared)
        if rule and self.seen.setdefault(rule.uid, item.line) != item.line:
            self.wrong(item, f"the same rule {rule.name!r} already stands in line {self.seen[rule.uid]}")
        return rule

    def alert(self, item: Item, fields: Mapping[str, Item], group: str, shared: Mapping[str, str]) -> AlertRule | None:
        name = self.text(fields.get("alert"))
        if "alert" in fields and not name:
            self.wrong(fields["alert"], "an alert needs a name")
        planned = self.expression(item, fields)
        labels = self.labels(fields.get("labels"), "label", templates=True)
        annotations = self.labels(fields.get("annotations"), "annotation", templates=True)
        for_seconds, keep = self.duration(fields.get("for")), self.duration(fields.get("keep_firing_for"))
        if planned is None:
            return None
        text = fields["expr"].text.strip()
        uid = rule_uid(group, "alert", name, text, {**shared, **labels})
        return AlertRule(name, text, planned, for_seconds, keep, labels, annotations, item.line, uid)

    def record(
        self, item: Item, fields: Mapping[str, Item], group: str, shared: Mapping[str, str]
    ) -> RecordRule | None:
        name = self.text(fields.get("record"))
        if not _METRIC.fullmatch(name):
            self.wrong(fields["record"], f"not a metric name: {name[:80]!r}")
        for key in _ALERT_ONLY:
            if key in fields:
                self.wrong(fields[key], f"{key} belongs to alerts, not to a recording rule")
        planned = self.expression(item, fields)
        labels = self.labels(fields.get("labels"), "label")
        if planned is None:
            return None
        text = fields["expr"].text.strip()
        uid = rule_uid(group, "record", name, text, {**shared, **labels})
        return RecordRule(name, text, planned, labels, item.line, uid)

    def expression(self, item: Item, fields: Mapping[str, Item]) -> Plan | None:
        found = fields.get("expr")
        text = self.text(found)
        if found is None or not text.strip():
            self.wrong(found or item, "a rule needs an expr")
            return None
        try:
            return plan(text)
        except PlanError as error:
            line, column = found.place.of_character(text, max(error.column - 1, 0))
            message = getattr(error, "message", str(error))
            self.mistakes.append(Mistake(self.name, line, column, f"expr: {message}"))
            return None

    def labels(self, item: Item | None, what: str, *, templates: bool = False) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in self.mapping(item):
            name = key.text
            if not _LABEL.fullmatch(name) or (what == "label" and name == "__name__"):
                self.wrong(key, f"not a name of a {what}: {name[:80]!r}")
            if name in found:
                self.wrong(key, f"{what} {name!r} stands twice")
            found[name] = self.text(value)
            if templates:
                self.template(value, found[name])
        return found

    def template(self, item: Item, text: str) -> None:
        """Only what no reader could understand is a mistake; a function we lack is for `check` to tell."""
        try:
            compile_template(text)
        except TemplateError as error:
            if str(error).startswith(_BROKEN):
                self.wrong(item, f"template: {error}")

    def fields(self, item: Item, allowed: tuple[str, ...], what: str) -> dict[str, Item]:
        found: dict[str, Item] = {}
        for key, value in self.mapping(item, what):
            if key.text not in allowed:
                self.wrong(key, f"unknown field {key.text[:80]!r} in {what} (known: {', '.join(allowed)})")
            elif key.text in found:
                self.wrong(key, f"field {key.text!r} stands twice")
            elif value.kind is not Kind.NULL or key.text in ("alert", "record", "expr"):
                found[key.text] = value
        return found

    def mapping(self, item: Item | None, what: str = "this field") -> tuple[tuple[Item, Item], ...]:
        if item is None:
            return ()
        if item.kind is not Kind.MAP:
            self.wrong(item, f"{what} must be a mapping, not {item.kind}")
        return item.pairs

    def list_of(self, item: Item | None) -> tuple[Item, ...]:
        if item is None:
            return ()
        if item.kind is not Kind.LIST:
            self.wrong(item, f"must be a list, not {item.kind}")
        return item.items

    def text(self, item: Item | None) -> str:
        if item is None or item.kind is Kind.NULL:
            return ""
        if item.kind not in _SCALARS:
            self.wrong(item, f"must be a text, not {item.kind}")
        return item.text

    def duration(self, item: Item | None) -> float:
        return self._converted(item, parse_duration) or 0.0

    def whole(self, item: Item | None) -> int:
        if item is None:
            return 0
        if item.kind is not Kind.INT or not item.text.isdecimal() or len(item.text) > 9:
            self.wrong(item, f"must be a whole number, not {item.text[:40]!r}")
            return 0
        return int(item.text)

    def _converted(self, item: Item | None, convert: Callable[[str], float]) -> float | None:
        if item is None:
            return None
        try:
            return convert(self.text(item))
        except DurationError as error:
            self.wrong(item, str(error))
            return None


_BROKEN = ("unclosed", "missing value", "unexpected")
