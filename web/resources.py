"""Tickets and their comments as the HTTP interface reads and changes them. Routes are not here."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from collector.store import BadCursor, hosts, tickets, users
from collector.store.search import MAX_LIMIT, search
from collector.tickets.action import Action, Assign, Comment, Move, SetPriority, SetQueue
from collector.tickets.entry import EntryKind, TicketEvent
from collector.tickets.errors import Conflict, Invalid, NotAllowed, NotFound, QueryError
from collector.tickets.query import Query, View, parse
from collector.tickets.text import clean
from collector.tickets.ticket import NewTicket, Source, Ticket
from web import openapi, payload
from web.bearer import Caller
from web.problem import Fault, Problem
from web.settings import Parts

PAGE = 50
MAX_KEY = 128
LIST = "/api/v1/tickets"

NEW_TICKET: Mapping[str, payload.Reader] = {
    "title": payload.text,
    "description": payload.text,
    "company": payload.text,
    "kind": payload.kind,
    "host": payload.text,
    "requester": payload.text,
    "queue": payload.text,
    "impact": payload.level,
    "urgency": payload.level,
}
PATCH: Mapping[str, payload.Reader] = {
    "status": payload.status,
    "resolution": payload.text,
    "assignee": payload.text_or_none,
    "impact": payload.level,
    "urgency": payload.level,
    "queue": payload.text,
}
NEW_COMMENT: Mapping[str, payload.Reader] = {"text": payload.text, "public": payload.flag}


def describe() -> Response:
    """GET /api/openapi.json."""
    return done(openapi.document())


def list_tickets(parts: Parts, caller: Caller) -> Response:
    """GET /api/v1/tickets, a page at a time."""
    query, view = searched(), viewed(caller)
    at, count, cursor = parts.now(), whole("limit", PAGE, MAX_LIMIT), request.args.get("cursor") or None
    with parts.store.read() as connection:
        try:
            page = search(
                connection,
                query,
                caller.scope,
                at=at,
                view=view,
                user_id=caller.actor.id,
                cursor=cursor,
                limit=count,
            )
        except BadCursor as error:
            raise wrong_parameter("cursor", error.message) from error
    following = next_page(page.next_cursor)
    headers = {"Link": f'<{following}>; rel="next"'} if following else {}
    logins = login_names(parts)
    listed = [payload.ticket(each, logins) for each in page.tickets]
    return done({"tickets": listed, "total": page.total, "next": following}, headers=headers)


def open_ticket(parts: Parts, caller: Caller) -> Response:
    """POST /api/v1/tickets; the same Idempotency-Key gives the same ticket again."""
    once = idempotency_key(caller)
    given = payload.fields(request, NEW_TICKET, required=("title",))
    host = host_named(parts, caller, given.pop("host", None))
    company = company_named(parts, caller, given.pop("company", None), host)
    try:
        new = NewTicket(company=company, source=Source.API, host_id=host.id if host else None, **given)
        ticket = parts.intake.open_by_person(new, caller.actor, parts.now(), idempotency_key=once, scope=caller.scope)
    except Invalid as error:
        raise wrong_field(error.field, error.reason) from error
    return show(parts, ticket, 201, {"Location": f"{LIST}/{ticket.number}"})


def read_ticket(parts: Parts, caller: Caller, number: str) -> Response:
    """GET /api/v1/tickets/{number}."""
    ticket = find(parts, caller, number)
    if request.if_none_match.contains(str(ticket.version)):
        return Response(status=304, headers={"ETag": f'"{ticket.version}"'})
    return show(parts, ticket)


def change_ticket(parts: Parts, caller: Caller, number: str) -> Response:
    """PATCH /api/v1/tickets/{number}: all of the fields or none of them."""
    given = patch(PATCH)
    ticket = find(parts, caller, number)
    if not request.if_match.contains(str(ticket.version)):
        raise lost_update(parts, ticket)
    version = None if request.if_match.star_tag else ticket.version
    return show(parts, act(parts, caller, ticket, actions(parts, given, ticket), version=version))


def list_comments(parts: Parts, caller: Caller, number: str) -> Response:
    """GET /api/v1/tickets/{number}/comments, oldest first."""
    ticket = find(parts, caller, number)
    return done({"comments": [payload.comment(each) for each in comments(parts, ticket)]})


def add_comment(parts: Parts, caller: Caller, number: str) -> Response:
    """POST /api/v1/tickets/{number}/comments; an internal note unless `public`."""
    given = payload.fields(request, NEW_COMMENT, required=("text",))
    try:
        action = Comment(given["text"], given.get("public", False))
    except Invalid as error:
        raise wrong_field("text", error.reason) from error
    ticket = act(parts, caller, find(parts, caller, number), [action])
    said = [each for each in comments(parts, ticket) if each.text == action.text and each.actor == caller.actor.name]
    return done(payload.comment(said[-1]), 201)


def find(parts: Parts, caller: Caller, number: str) -> Ticket:
    """The ticket, or 404 where this token has none of that number."""
    with parts.store.read() as connection:
        ticket = tickets.find(connection, number, caller.scope)
    if ticket is None:
        raise missing()
    return ticket


def patch(readers: Mapping[str, payload.Reader]) -> dict[str, Any]:
    """The fields of a PATCH, at least one, sent with If-Match. Raises Problem 422 or 428."""
    if "If-Match" not in request.headers:
        raise Problem(428, "Send If-Match with the ETag you read, so that nobody's change is lost; `*` means whatever.")
    given = payload.fields(request, readers)
    if not given:
        raise Problem(422, "The body names no field; nothing was changed.", faults=[Fault("must name a field", "#")])
    return given


def idempotency_key(caller: Caller) -> str | None:
    """The request's key, of this token alone. Raises Problem 422."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(clean(key)) <= MAX_KEY:
        raise Problem(422, f"Idempotency-Key must have 1 to {MAX_KEY} characters.")
    return None if key is None else f"{caller.token_id}:{clean(key)}"


def act(parts: Parts, caller: Caller, ticket: Ticket, doing: Sequence[Action], *, version: int | None = None) -> Ticket:
    """The ticket after all of the actions. Raises Problem 404, 409 or 412, and then none of them happened."""
    try:
        return parts.intake.act(ticket.number, doing, caller.actor, parts.now(), version=version, scope=caller.scope)
    except Conflict as error:
        raise lost_update(parts, find(parts, caller, ticket.number)) from error
    except NotAllowed as error:
        raise Problem(409, f"The ticket does not allow it: {error.reason}.") from error
    except NotFound as error:
        raise missing() from error


def actions(parts: Parts, given: Mapping[str, Any], ticket: Ticket) -> list[Action]:
    """What the fields of a patch mean, in the order in which they can be done."""
    try:
        moves = [Move(given["status"], given.get("resolution", ""))] if "status" in given else []
        queues = [SetQueue(given["queue"])] if "queue" in given else []
    except Invalid as error:
        raise wrong_field(error.field, error.reason) from error
    if "resolution" in given and not moves:
        raise wrong_field("resolution", "goes together with status resolved or closed")
    gives = [assignment(parts, given["assignee"])] if "assignee" in given else []
    levels = (given.get("impact", ticket.impact), given.get("urgency", ticket.urgency))
    ranks = [SetPriority(*levels)] if {"impact", "urgency"} & set(given) else []
    # A ticket that ended is reopened before anything else; an open one ends last.
    return [*queues, *gives, *ranks, *moves] if ticket.open else [*moves, *queues, *gives, *ranks]


def assignment(parts: Parts, login: str | None) -> Assign:
    """To whom a patch gives the ticket."""
    if login is None:
        return Assign(None)
    with parts.store.read() as connection:
        user = users.user_by_login(connection, login)
    if user is None or user.disabled_at is not None:
        raise wrong_field("assignee", "is no technician's login")
    return Assign(user.id, user.name)


def comments(parts: Parts, ticket: Ticket) -> list[TicketEvent]:
    """What people wrote, oldest first."""
    with parts.store.read() as connection:
        events = tickets.timeline(connection, ticket.id)
    return [each for each in events if each.kind in {EntryKind.COMMENT, EntryKind.NOTE}]


def host_named(parts: Parts, caller: Caller, identity: str | None) -> hosts.Host | None:
    """The host a new ticket is about."""
    if identity is None:
        return None
    with parts.store.read() as connection:
        found = hosts.host(connection, clean(identity), caller.scope)
    if found is None:
        raise wrong_field("host", "is no host of this token's companies; /api/v1/hosts lists their ids")
    return found


def company_named(parts: Parts, caller: Caller, slug: str | None, host: hosts.Host | None) -> str:
    """The company of a new ticket: as said, else the host's, else the token's only one."""
    with parts.store.read() as connection:
        known = [each.slug for each in hosts.companies(connection, caller.scope)]
    if slug is None and host is None and len(known) != 1:
        raise wrong_field("company", "is needed: this token is for several companies")
    chosen = slug if slug is not None else host.company if host else known[0]
    if chosen not in known or (host is not None and host.company != chosen):
        raise wrong_field("company", "is not the host's" if host else "is no company of this token")
    return chosen


def searched() -> Query:
    """The search of the request."""
    try:
        return parse(clean(request.args.get("q", "")))
    except QueryError as error:
        raise wrong_parameter("q", str(error)) from error


def viewed(caller: Caller) -> View:
    """The view of the request."""
    name = request.args.get("view", View.EVERY.value)
    if name not in set(View):
        raise wrong_parameter("view", f"must be one of {', '.join(View)}")
    if name == View.MINE and caller.actor.id is None:
        raise wrong_parameter("view", "needs a token that belongs to an account")
    return View(name)


def whole(name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most` of the request's address."""
    said = request.args.get(name, str(default))
    if not said.isascii() or not said.isdigit() or len(said) > 9 or not 1 <= int(said) <= most:
        raise wrong_parameter(name, f"must be a whole number from 1 to {most}")
    return int(said)


def next_page(cursor: str | None) -> str | None:
    """The address of the next page: the same search and view, further on."""
    if cursor is None:
        return None
    kept = {name: request.args[name] for name in ("q", "view", "limit") if name in request.args}
    return f"{LIST}?{urlencode({**kept, 'cursor': cursor})}"


def login_names(parts: Parts) -> dict[int, str]:
    """Every account's login by its id; disabled ones may still hold tickets."""
    with parts.store.read() as connection:
        return {each.id: each.login for each in users.users(connection, disabled=True)}


def show(parts: Parts, ticket: Ticket, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A ticket with its version as ETag."""
    told = payload.ticket(ticket, login_names(parts))
    return done(told, code, {**(headers or {}), "ETag": f'"{ticket.version}"'})


def done(value: object, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A success as JSON."""
    return Response(payload.dumps(value), code, dict(headers or {}), mimetype="application/json")


def missing() -> Problem:
    """A ticket that is not there, or is not this token's to see: the same answer."""
    return Problem(404, "There is no such ticket for this token.")


def lost_update(parts: Parts, current: Ticket) -> Problem:
    """Somebody was faster."""
    return Problem(
        412,
        f"The ticket is at version {current.version} now; read `current`, decide again, and send its ETag.",
        headers={"ETag": f'"{current.version}"'},
        extra={"current": payload.ticket(current, login_names(parts))},
    )


def wrong_field(name: str, detail: str) -> Problem:
    """One field that only the product's own rules could refuse."""
    return Problem(422, "Some fields were refused; nothing was changed.", faults=[Fault(detail, payload.pointer(name))])


def wrong_parameter(name: str, detail: str) -> Problem:
    """One parameter of the address that was refused."""
    return Problem(422, "A parameter was refused.", faults=[Fault(detail, parameter=name)])
