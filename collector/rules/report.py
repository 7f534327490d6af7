"""What the schedule tells about its groups and rules; values for the query service."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule's health ("ok", "err" or "unknown" before its first evaluation) and its alerts by state."""

    name: str
    expression: str
    kind: str  # "alert" or "record"
    for_seconds: float
    health: str
    last_error: str
    pending: int
    firing: int
    unknown: int  # of those, without data
    uid: str = ""
    keep_firing_for: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)  # templates
    annotations: Mapping[str, str] = field(default_factory=dict)  # templates
    line: int = 0  # of the file, from 1


@dataclass(frozen=True, slots=True)
class GroupReport:
    """One group; times in Unix seconds, 0 before the first evaluation, durations in seconds."""

    name: str
    file: str
    interval: float
    last_evaluation_at: float
    last_duration: float
    missed: int  # iterations skipped because an earlier one, or the process, was late
    rules: tuple[RuleReport, ...]
