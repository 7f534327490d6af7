"""Rules as they run: groups of alerting and recording rules with their plans. Values only."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.promql import Plan


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alerting rule. Durations in seconds; `uid` survives reloads and changes with the expression or labels."""

    name: str
    expression: str
    plan: Plan
    for_seconds: float = 0.0
    keep_firing_for: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)  # templates
    annotations: Mapping[str, str] = field(default_factory=dict)  # templates
    line: int = 0
    uid: str = ""


@dataclass(frozen=True, slots=True)
class RecordRule:
    """A recording rule: its result becomes the series `name` with `labels` set."""

    name: str
    expression: str
    plan: Plan
    labels: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    uid: str = ""


Rule = AlertRule | RecordRule


@dataclass(frozen=True, slots=True)
class Group:
    """Rules judged one after another at one timestamp. `interval` None: the collector's default; `limit` 0: none."""

    name: str
    file: str
    rules: tuple[Rule, ...]
    interval: float | None = None
    limit: int = 0
    query_offset: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)


def rule_uid(group: str, kind: str, name: str, expression: str, labels: Mapping[str, str]) -> str:
    """32 hex digits naming a rule by what it means, so that moving it within its file keeps its alerts."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (group, kind, name, expression, *(text for pair in sorted(labels.items()) for text in pair)):
        digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
    return digest.hexdigest()
