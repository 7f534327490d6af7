"""The shapes of the HTTP interface as JSON Schema, for the OpenAPI document: plain data."""

from collector.store.host_edits import CLASSES, LONGEST_SITE
from collector.tickets.ticket import Kind, Level, Priority, Source, Status

Plain = dict[str, object]

TIME: Plain = {"type": "string", "format": "date-time"}
FLAG: Plain = {"type": "boolean"}
TEXTS: Plain = {"type": "object", "additionalProperties": {"type": "string"}}
LEVEL: Plain = {"type": "string", "enum": [each.name.lower() for each in Level]}


def schemas() -> Plain:
    """Every shape by its name."""
    number: Plain = {**text(), "examples": ["CZ-2026-000123"]}
    return {
        "Ticket": record(ticket_fields(number)),
        "TicketList": record(
            {"tickets": listed("Ticket"), "total": {"type": "integer", "minimum": 0}, "next": nullable(text())}
        ),
        "NewTicket": record(new_ticket_fields(), required=("title",)),
        "TicketPatch": {**record(patch_fields(), required=()), "minProperties": 1},
        "Comment": record({"id": {"type": "integer"}, "at": TIME, "author": text(), "public": FLAG, "text": text()}),
        "CommentList": record({"comments": listed("Comment")}),
        "NewComment": record(
            {"text": {**text(), "minLength": 1}, "public": {**FLAG, "default": False}}, required=("text",)
        ),
        "Host": record(host_fields()),
        "HostPatch": {**record(host_patch_fields(), required=()), "minProperties": 1},
        "HostComment": record({"id": {"type": "integer"}, "at": TIME, "author": text(), "text": text()}),
        "HostCommentList": record({"comments": listed("HostComment")}),
        "NewHostComment": record({"text": {**text(), "minLength": 1, "maxLength": 20_000}}),
        "HostList": record({"hosts": listed("Host")}),
        "TargetGroups": {
            "type": "array",
            "items": record({"targets": {"type": "array", "items": text()}, "labels": TEXTS}),
        },
        "Problem": problem_schema(),
    }


def ticket_fields(number: Plain) -> Plain:
    """The members of a ticket."""
    host = record({"id": nullable(text()), "name": text(), "instance": text()})
    later = ("first_reaction_at", "resolved_at", "closed_at", "recovered_at", "unknown_since")
    return {
        "number": number,
        "url": text(),
        "company": text(),
        "company_name": text(),
        "kind": one_of(Kind),
        "source": one_of(Source),
        "status": one_of(Status),
        "title": text(),
        "description": text(),
        "host": {"anyOf": [host, {"type": "null"}]},
        "requester": text(),
        "queue": text(),
        "assignee": {**nullable(text()), "description": "The login of the technician who has it"},
        "impact": LEVEL,
        "urgency": LEVEL,
        "priority": {"type": "string", "enum": [each.name for each in Priority]},
        "resolution": text(),
        "occurrences": {"type": "integer", "minimum": 1},
        "rule": nullable(text()),
        "value": {"type": ["number", "null"]},
        "labels": TEXTS,
        "annotations": TEXTS,
        "version": {"type": "integer", "minimum": 1},
        "created_at": TIME,
        "updated_at": TIME,
        **{name: nullable(TIME) for name in later},
    }


def new_ticket_fields() -> Plain:
    """What opens a ticket."""
    return {
        "title": {**text(), "minLength": 1, "maxLength": 200},
        "description": {**text(), "maxLength": 10_000},
        "company": {**text(), "description": "Its short name; may be left out by a token of one company"},
        "kind": {"type": "string", "enum": ["incident_person", "request"], "default": "incident_person"},
        "host": {**text(), "description": "The id of a host of that company"},
        "requester": {**text(), "maxLength": 200},
        "queue": {**text(), "minLength": 1, "maxLength": 200, "default": "helpdesk"},
        "impact": {**LEVEL, "default": "medium"},
        "urgency": {**LEVEL, "default": "medium"},
    }


def patch_fields() -> Plain:
    """What may be changed; the priority follows from impact and urgency."""
    return {
        "status": one_of(Status),
        "resolution": {**text(), "description": "How it was solved; together with status resolved or closed"},
        "assignee": {**nullable(text()), "description": "A technician's login; null gives it back"},
        "impact": LEVEL,
        "urgency": LEVEL,
        "queue": {**text(), "minLength": 1, "maxLength": 200},
    }


def host_fields() -> Plain:
    """The members of a host."""
    names = (
        "id",
        "url",
        "name",
        "instance",
        "company",
        "site",
        "class",
        "presence",
        "presence_reason",
        "agent_version",
    )
    times = ("presence_since", "last_seen", "first_seen", "retired_at")
    facts: Plain = {"facts": {"type": "object", "description": "What the agent says of its computer"}}
    version: Plain = {"version": {"type": "integer", "minimum": 1, "description": "+1 by each PATCH, not by presence"}}
    return {**{name: text() for name in names}, **{name: nullable(TIME) for name in times}, **facts, **version}


def host_patch_fields() -> Plain:
    """What may be changed of a host; its next stream is stamped with it."""
    return {
        "name": {**text(), "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$"},
        "site": {**text(), "maxLength": LONGEST_SITE},
        "class": {**text(), "enum": list(CLASSES)},
    }


def problem_schema() -> Plain:
    """RFC 9457, with the wrong fields in `errors`; other members may follow."""
    fault = record({"detail": text(), "pointer": text(), "parameter": text()}, required=("detail",))
    members: Plain = {
        "type": {**text(), "format": "uri-reference"},
        "title": text(),
        "status": {"type": "integer"},
        "detail": text(),
        "instance": text(),
        "errors": {"type": "array", "items": fault},
    }
    return {"type": "object", "properties": members, "required": ["type", "title", "status", "detail", "instance"]}


def record(members: Plain, *, required: tuple[str, ...] | None = None) -> Plain:
    """An object with exactly these members; all of them are there unless said otherwise."""
    there = list(members if required is None else required)
    return {"type": "object", "properties": members, "required": there, "additionalProperties": False}


def listed(schema: str) -> Plain:
    """Many of a shape."""
    return {"type": "array", "items": reference(schema)}


def nullable(schema: Plain) -> Plain:
    """The same, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def text() -> Plain:
    """Any text."""
    return {"type": "string"}


def one_of(enum: type[Kind | Source | Status]) -> Plain:
    """One of the enumeration's values."""
    return {"type": "string", "enum": [each.value for each in enum]}


def reference(schema: str) -> Plain:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}
