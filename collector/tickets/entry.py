"""The timeline: entries a change writes, events as they are read back; pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from collector.tickets.ticket import Ticket


class EntryKind(StrEnum):
    """What happened; pages translate it and show `data`, `text` is only what a person wrote or a rule said."""

    OPENED = "opened"
    FIRED_AGAIN = "fired_again"
    CHANGED = "changed"
    HOSTS = "hosts"
    RECOVERED = "recovered"
    UNKNOWN = "unknown"
    KNOWN = "known"
    GONE = "gone"
    REOPENED = "reopened"
    CLOSED = "closed"
    RESOLVED = "resolved"
    TAKEN = "taken"
    ASSIGNED = "assigned"
    STATUS = "status"
    PRIORITY = "priority"
    QUEUE = "queue"
    COMMENT = "comment"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line to write; `public` ones are shown to the requester."""

    kind: EntryKind
    text: str = ""
    public: bool = False
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A ticket before and after, and what its timeline says about it; without entries at most its words changed."""

    before: Ticket
    after: Ticket
    entries: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return self.before != self.after or bool(self.entries)


@dataclass(frozen=True, slots=True)
class TicketEvent:
    """One stored line of a timeline; `actor` is a name, empty for Czuwak; `source` is user, api, system or rules."""

    id: int
    ticket_id: int
    at: float
    kind: EntryKind
    actor: str
    actor_id: int | None
    source: str
    source_event_key: str | None
    public: bool
    text: str
    data: Mapping[str, object]
