"""The HTTP interface's shapes: values of ours to plain JSON, and a request's JSON to checked fields. No store here."""

import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from flask import Request

from collector.store.hosts import Host, HostEvent
from collector.tickets.entry import EntryKind, TicketEvent
from collector.tickets.ticket import Kind, Level, Status, Ticket
from web.problem import Fault, Problem

JSON_TYPES = ("application/json", "application/merge-patch+json")
_LONGEST = 20_000  # characters of any text; the ticket's own rules are stricter

Reader = Callable[[Any], object]
E = TypeVar("E", bound=StrEnum)


def moment(at: float | None) -> str | None:
    """Unix seconds as RFC 3339 in UTC, with milliseconds."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ticket(value: Ticket, logins: Mapping[int, str]) -> dict[str, object]:
    """A ticket as programs see it; `logins` names the accounts by id. Frozen evidence stays with the page."""
    return {
        "number": value.number,
        "url": f"/api/v1/tickets/{value.number}",
        "company": value.company,
        "company_name": value.company_name,
        "kind": value.kind.value,
        "source": value.source.value,
        "status": value.status.value,
        "title": value.title,
        "description": value.description,
        "host": {"id": value.host_id, "name": value.host, "instance": value.instance} if value.host else None,
        "requester": value.requester,
        "queue": value.queue,
        "assignee": logins.get(value.assignee_id or 0),
        "impact": value.impact.name.lower(),
        "urgency": value.urgency.name.lower(),
        "priority": value.priority.name,
        "resolution": value.resolution,
        "occurrences": value.occurrences,
        "rule": value.rule_name or None,
        "value": finite(value.value),
        "labels": dict(value.labels),
        "annotations": dict(value.annotations),
        "version": value.version,
        **ticket_times(value),
    }


def ticket_times(value: Ticket) -> dict[str, object]:
    """When things happened to a ticket."""
    names = (
        "created_at",
        "updated_at",
        "first_reaction_at",
        "resolved_at",
        "closed_at",
        "recovered_at",
        "unknown_since",
    )
    return {name: moment(getattr(value, name)) for name in names}


def comment(event: TicketEvent) -> dict[str, object]:
    """A public answer or an internal note."""
    return {
        "id": event.id,
        "at": moment(event.at),
        "author": event.actor,
        "public": event.kind is EntryKind.COMMENT,
        "text": event.text,
    }


def host(value: Host) -> dict[str, object]:
    """A host; its certificate and fingerprint stay inside."""
    return {
        "id": value.id,
        "url": f"/api/v1/hosts/{value.id}",
        "name": value.name,
        "instance": value.instance,
        "company": value.company,
        "site": value.site,
        "class": value.class_,
        "presence": value.presence,
        "presence_reason": value.presence_reason,
        "presence_since": moment(value.presence_since),
        "last_seen": moment(value.last_seen),
        "first_seen": moment(value.first_seen),
        "retired_at": moment(value.retired_at),
        "agent_version": value.agent_version,
        "facts": dict(value.facts),
        "version": value.version,
    }


def note(event: HostEvent) -> dict[str, object]:
    """What somebody wrote of a host."""
    return {
        "id": event.id,
        "at": moment(event.at),
        "author": str(event.detail.get("by", "")),
        "text": str(event.detail.get("text", "")),
    }


def target(value: Host, port: int) -> dict[str, object]:
    """A host's agent as one target of Prometheus, with the labels that the collector stamps too."""
    labels = {
        "instance": value.instance,
        "host": value.name,
        "company": value.company,
        "site": value.site,
        "class": value.class_,
    }
    return {"targets": [f"{value.name}:{port}"], "labels": labels}


def finite(value: float | None) -> float | None:
    """JSON has no NaN and no infinity: both are null."""
    return value if value is not None and math.isfinite(value) else None


def dumps(value: object) -> str:
    """Plain JSON, one line."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n"


def fields(request: Request, readers: Mapping[str, Reader], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The body's fields, each through its reader. Raises Problem 400, 413, 415, or 422 that names every wrong one."""
    body = document(request)
    faults = [Fault("is needed", f"#/{name}") for name in required if name not in body]
    read: dict[str, Any] = {}
    for name, value in body.items():
        try:
            read[name] = readers[name](value)
        except KeyError:
            faults.append(Fault(f"is not known here; known are {', '.join(readers)}", pointer(name)))
        except ValueError as error:
            faults.append(Fault(str(error), pointer(name)))
    if faults:
        raise Problem(422, "Some fields were refused; nothing was changed.", faults=faults)
    return read


def document(request: Request) -> dict[str, Any]:
    """The body as a JSON object."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "Send the body uncompressed.", headers={"Accept-Encoding": "identity"})
    if request.mimetype not in JSON_TYPES:
        raise Problem(
            415, f"Send {JSON_TYPES[0]}.", headers={"Accept-Post": JSON_TYPES[0], "Accept-Patch": ", ".join(JSON_TYPES)}
        )
    try:
        body = json.loads(request.get_data(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"The body is no JSON: {str(error)[:200]}") from error
    if not isinstance(body, dict):
        raise Problem(422, "The body must be a JSON object.", faults=[Fault("must be an object", "#")])
    return body


def pointer(name: str) -> str:
    """A JSON pointer to a member of the body; a hostile name is cut."""
    return "#/" + name[:100].replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()


def text(value: Any) -> str:
    """Any text, bounded; half a character, which JSON can carry and UTF-8 cannot, becomes a question mark."""
    if not isinstance(value, str):
        raise ValueError("must be a text")  # noqa: TRY004 - one error type per reader
    if len(value) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    return value.encode("utf-8", "replace").decode()


def text_or_none(value: Any) -> str | None:
    """A text, or null."""
    return None if value is None else text(value)


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one error type per reader
    return value


def status(value: Any) -> Status:
    """A ticket's status by its name."""
    return _named(Status, value)


def kind(value: Any) -> Kind:
    """What a ticket is about by its name; incidents from monitoring are monitoring's to open."""
    read = _named(Kind, value)
    if read is Kind.INCIDENT_MONITORING:
        raise ValueError("must be incident_person or request")
    return read


def level(value: Any) -> Level:
    """Impact or urgency by its name."""
    found = [each for each in Level if each.name.lower() == value]
    if not found:
        raise ValueError(f"must be one of {', '.join(each.name.lower() for each in Level)}")
    return found[0]


def _named(enum: type[E], value: Any) -> E:
    try:
        return enum(value)
    except ValueError:
        raise ValueError(f"must be one of {', '.join(enum)}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
