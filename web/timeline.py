"""A ticket's timeline as sentences: stored events in, lines for the template out, in the reader's language.

What a person wrote or a rule said stays data beside the sentence; the template escapes and isolates it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from collector.tickets.entry import EntryKind, TicketEvent
from collector.tickets.ticket import Level, Status
from web import show, words
from web.translate import gettext as _
from web.translate import ngettext


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `said` is None, `reply` or `note`; `mood` is the dot's class; `text` is what was written."""

    id: int
    at: float
    day: str  # the day's name where it is the first line of its day, else empty
    actor: str
    sentence: str
    text: str
    said: str | None
    mood: str


@dataclass(frozen=True, slots=True)
class Facts:
    """An event's data, read with care: it is as old as the ticket and may be of an older version."""

    data: Mapping[str, object]

    def word(self, name: str) -> str:
        """A text, empty where there is none."""
        value = self.data.get(name)
        return value if isinstance(value, str) else ""

    def real(self, name: str) -> float | None:
        """A number, None where there is none."""
        value = self.data.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def status(self, name: str) -> str:
        """A status' name in the reader's language."""
        value = self.word(name)
        return str(words.STATUS[Status(value)]) if value in set(Status) else value

    def level(self, name: str, names: Mapping[Level, object]) -> str:
        """A level's name in the reader's language."""
        value = self.word(name).upper()
        return str(names[Level[value]]) if value in Level.__members__ else value


def lines(events: Iterable[TicketEvent], *, unit: str = "") -> Sequence[Line]:
    """The lines in the order of the events; `unit` formats measured values."""
    made: list[Line] = []
    last = ""
    for event in events:
        name = show.day(event.at)
        made.append(_line(event, "" if name == last else name, unit))
        last = name
    return made


def _line(event: TicketEvent, day: str, unit: str) -> Line:
    sentence = _SENTENCES[event.kind](Facts(event.data), event, unit)
    return Line(
        id=event.id,
        at=event.at,
        day=day,
        actor=event.actor,
        sentence=sentence,
        text=event.text,
        said=_SAID.get(event.kind),
        mood=_MOODS.get(event.kind, ""),
    )


def _opened(facts: Facts, event: TicketEvent, unit: str) -> str:
    rule = facts.word("rule")
    if event.source in {"rules", "alertmanager"} and rule:
        return _("opened by rule %(rule)s", rule=rule)
    del unit
    return _("opened the ticket") if event.actor else _("opened by monitoring")


def _again(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event
    value = facts.real("value")
    return _("the fault came back") if value is None else _("the fault came back: %(v)s", v=show.number(value, unit))


def _changed(facts: Facts, event: TicketEvent, unit: str) -> str:
    del facts, event, unit
    return _("the rule reports a changed fault")


def _hosts(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    now, before = facts.real("to"), facts.real("from")
    said = ngettext("%(num)s computer is away now", "%(num)s computers are away now", round(now or 0))
    return said if before is None else _("%(now)s, before %(before)s", now=said, before=round(before))


def _recovered(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event
    value = facts.real("value")
    if value is None:
        return _("recovered by itself")
    return _("recovered by itself: the value is %(value)s", value=show.number(value, unit))


def _unknown(facts: Facts, event: TicketEvent, unit: str) -> str:
    del unit
    return _("no data since %(when)s", when=show.when(facts.real("since") or event.at))


def _known(facts: Facts, event: TicketEvent, unit: str) -> str:
    del facts, event, unit
    return _("data is back; the fault is still there")


def _gone(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    match facts.word("reason"):
        case "rule changed":
            return _("closed: the rule was changed")
        case "rule removed":
            return _("closed: the rule was removed")
        case _:
            return _("closed: what the rule watched is not reported any more")


def _reopened(facts: Facts, event: TicketEvent, unit: str) -> str:
    del unit
    if event.actor:
        return _("opened it again")
    return _("the fault came back: open again") if facts.data else _("open again")


def _closed(facts: Facts, event: TicketEvent, unit: str) -> str:
    del unit
    if facts.word("reason") == "recovered":
        return _("closed itself: recovered, and nobody had to touch it")
    if facts.word("reason") == "superseded":
        return _("closed: a newer ticket took its place")
    if facts.word("reason") == "late_notice":
        reason = str(words.ABSENCE.get(facts.word("absence"), facts.word("absence")))
        return _("closed: planned, late notice (%(reason)s)", reason=reason)
    if facts.word("reason") == "retired":
        return _("closed: the computer was retired")
    return _("closed the ticket") if event.actor else _("closed")


def _resolved(facts: Facts, event: TicketEvent, unit: str) -> str:
    del facts, event, unit
    return _("resolved the ticket")


def _taken(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    before = facts.word("from")
    return _("took the ticket over from %(name)s", name=before) if before else _("took the ticket")


def _assigned(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    name = facts.word("to")
    return _("assigned it to %(name)s", name=name) if name else _("put it back: nobody has it now")


def _status(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    return _("state: %(before)s → %(after)s", before=facts.status("from"), after=facts.status("to"))


def _priority(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    before, after = facts.word("from"), facts.word("to")
    if facts.word("reason") == "severity":
        return _("the rule raised the severity: priority %(before)s → %(after)s", before=before, after=after)
    if facts.word("impact"):
        return _(
            "priority %(before)s → %(after)s (impact %(impact)s × urgency %(urgency)s)",  # noqa: RUF001 - typography
            before=before,
            after=after,
            impact=facts.level("impact", words.LEVEL),
            urgency=facts.level("urgency", words.URGENCY_LEVEL),
        )
    return _("priority %(before)s → %(after)s", before=before, after=after)


def _queue(facts: Facts, event: TicketEvent, unit: str) -> str:
    del event, unit
    return _("handed it over to %(queue)s", queue=words.queue_name(facts.word("to")))


def _reply(facts: Facts, event: TicketEvent, unit: str) -> str:
    del facts, event, unit
    return _("reply to requester")


def _note(facts: Facts, event: TicketEvent, unit: str) -> str:
    del facts, event, unit
    return _("internal note · the requester does not see it")


_SENTENCES: Mapping[EntryKind, Callable[[Facts, TicketEvent, str], str]] = MappingProxyType(
    {
        EntryKind.OPENED: _opened,
        EntryKind.FIRED_AGAIN: _again,
        EntryKind.CHANGED: _changed,
        EntryKind.HOSTS: _hosts,
        EntryKind.RECOVERED: _recovered,
        EntryKind.UNKNOWN: _unknown,
        EntryKind.KNOWN: _known,
        EntryKind.GONE: _gone,
        EntryKind.REOPENED: _reopened,
        EntryKind.CLOSED: _closed,
        EntryKind.RESOLVED: _resolved,
        EntryKind.TAKEN: _taken,
        EntryKind.ASSIGNED: _assigned,
        EntryKind.STATUS: _status,
        EntryKind.PRIORITY: _priority,
        EntryKind.QUEUE: _queue,
        EntryKind.COMMENT: _reply,
        EntryKind.NOTE: _note,
    }
)
_SAID: Mapping[EntryKind, str] = MappingProxyType({EntryKind.COMMENT: "reply", EntryKind.NOTE: "note"})
_MOODS: Mapping[EntryKind, str] = MappingProxyType(
    {
        EntryKind.OPENED: "alarm",
        EntryKind.FIRED_AGAIN: "alarm",
        EntryKind.REOPENED: "alarm",
        EntryKind.RECOVERED: "good",
        EntryKind.RESOLVED: "good",
        EntryKind.CLOSED: "good",
        EntryKind.UNKNOWN: "unsure",
    }
)
