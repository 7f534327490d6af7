"""A ticket, the words for what it is, and the one table of its states; pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from collector.labels import Labels
from collector.tickets import text
from collector.tickets.errors import Invalid
from collector.tickets.priority import DEFAULT_MATRIX, Level, Priority, priority

__all__ = [
    "DEFAULT_MATRIX",
    "TRANSITIONS",
    "WAITING",
    "Actor",
    "Kind",
    "Level",
    "NewTicket",
    "Priority",
    "Source",
    "Status",
    "Ticket",
    "priority",
]


class Status(StrEnum):
    """Where the work stands."""

    NEW = "new"
    IN_PROGRESS = "in_progress"
    WAITING_REQUESTER = "waiting_requester"
    WAITING_PART = "waiting_part"
    WAITING_VENDOR = "waiting_vendor"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Kind(StrEnum):
    """What the ticket is about."""

    INCIDENT_MONITORING = "incident_monitoring"
    INCIDENT_PERSON = "incident_person"
    REQUEST = "request"


class Source(StrEnum):
    """How it reached the helpdesk."""

    MONITORING = "monitoring"
    ALERTMANAGER = "alertmanager"
    PHONE = "phone"
    EMAIL = "email"
    CHAT = "chat"
    PORTAL = "portal"
    API = "api"


WAITING = frozenset({Status.WAITING_REQUESTER, Status.WAITING_PART, Status.WAITING_VENDOR})
_ENDED = frozenset({Status.RESOLVED, Status.CLOSED})
_WORKED = WAITING | _ENDED

# Who may follow whom. `new` is entered again only when a fault comes back; a person reopens into progress.
TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.NEW: _WORKED | {Status.IN_PROGRESS},
    Status.IN_PROGRESS: _WORKED,
    Status.WAITING_REQUESTER: (_WORKED | {Status.IN_PROGRESS}) - {Status.WAITING_REQUESTER},
    Status.WAITING_PART: (_WORKED | {Status.IN_PROGRESS}) - {Status.WAITING_PART},
    Status.WAITING_VENDOR: (_WORKED | {Status.IN_PROGRESS}) - {Status.WAITING_VENDOR},
    Status.RESOLVED: frozenset({Status.CLOSED, Status.IN_PROGRESS, Status.NEW}),
    Status.CLOSED: frozenset({Status.IN_PROGRESS, Status.NEW}),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person (`user`), a program with a token (`api`), or Czuwak (`system`); `id` is a user account's."""

    id: int | None
    name: str
    kind: str = "user"

    @property
    def human(self) -> bool:
        """Whether an act of this one counts as a reaction."""
        return self.kind == "user"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket as it is stored; times are Unix seconds, `version` is its ETag."""

    id: int
    number: str  # CZ-2026-000123
    company: str  # slug
    company_name: str
    kind: Kind
    source: Source
    title: str
    created_at: float
    updated_at: float
    description: str = ""
    host_id: str | None = None
    host: str | None = None  # the host's name, also where it is not one of our hosts
    instance: str = ""
    requester: str = ""
    queue: str = "helpdesk"
    assignee_id: int | None = None
    assignee: str | None = None
    impact: Level = Level.MEDIUM
    urgency: Level = Level.MEDIUM
    priority: Priority = Priority.P3
    status: Status = Status.NEW
    first_reaction_at: float | None = None
    resolved_at: float | None = None  # also set by closing; None means the ticket stands in the queue
    closed_at: float | None = None
    recovered_at: float | None = None  # the mark "healed by itself"
    recovered_value: float | None = None  # its proof: the value that did not match any more
    unknown_since: float | None = None  # the mark "no data since"
    occurrences: int = 1
    dedup_key: str | None = None
    episode: int = 0
    rule: str = ""
    rule_name: str = ""
    version: int = 1
    labels: Labels = field(default_factory=Labels)
    annotations: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, object] | None = None  # only where one ticket is read, not in lists
    value: float | None = None
    resolution: str = ""
    last_event: int = 0  # id of its newest timeline entry

    @property
    def open(self) -> bool:
        """Whether it stands in the queue."""
        return self.status not in _ENDED

    @property
    def untouched(self) -> bool:
        """Whether no person did anything about it."""
        return self.status is Status.NEW and self.assignee_id is None and self.first_reaction_at is None

    def title_for(self, lang: str) -> str:
        """The title in a language; a rule's `summary_pl` where there is one."""
        return self.annotations.get(f"summary_{lang}") or self.title

    def description_for(self, lang: str) -> str:
        """The description in a language; a rule's `description_pl` where there is one."""
        return self.annotations.get(f"description_{lang}") or self.description


@dataclass(frozen=True, slots=True)
class NewTicket:
    """What is needed to open a ticket; checked when made, raises Invalid. `company` is a slug."""

    company: str
    title: str
    kind: Kind = Kind.INCIDENT_PERSON
    source: Source = Source.PORTAL
    description: str = ""
    host_id: str | None = None
    host: str | None = None
    instance: str = ""
    requester: str = ""
    queue: str = "helpdesk"
    impact: Level = Level.MEDIUM
    urgency: Level = Level.MEDIUM
    dedup_key: str | None = None
    episode: int = 0
    rule: str = ""
    rule_name: str = ""
    labels: Labels = field(default_factory=Labels)
    annotations: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, object] | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        if not self.company:
            raise Invalid("company", "must not be empty")
        self._set("title", text.required("title", " ".join(self.title.split()), text.TITLE))
        self._set("description", text.optional("description", self.description, text.DESCRIPTION))
        self._set("requester", text.optional("requester", self.requester, text.NAME))
        self._set("queue", text.required("queue", self.queue, text.NAME))

    def _set(self, name: str, value: str) -> None:
        object.__setattr__(self, name, value)
