"""Hosts, their notes and discovery as the HTTP interface reads and changes them. Routes are not here."""

from collections.abc import Mapping

from flask import Response, request

from collector.store import StoreError, host_edits, hosts
from collector.store.host_edits import HostEdit
from collector.store.hosts import Host, HostEvent
from collector.tickets.errors import Invalid
from collector.tickets.text import clean
from web import payload
from web.bearer import Caller
from web.problem import Problem
from web.resources import done, idempotency_key, patch, whole, wrong_field
from web.settings import Parts

AGENT_PORT = 19115

PATCH: Mapping[str, payload.Reader] = {"name": payload.text, "site": payload.text, "class": payload.text}
NEW_COMMENT: Mapping[str, payload.Reader] = {"text": payload.text}


def list_hosts(parts: Parts, caller: Caller) -> Response:
    """GET /api/v1/hosts."""
    with parts.store.read() as connection:
        found = hosts.hosts(connection, scope=caller.scope, text=clean(request.args.get("q", "")) or None)
    return done({"hosts": [payload.host(each) for each in found]})


def read_host(parts: Parts, caller: Caller, id: str) -> Response:  # noqa: A002 - the address' own name
    """GET /api/v1/hosts/{id}."""
    return show(find(parts, caller, id))


def change_host(parts: Parts, caller: Caller, id: str) -> Response:  # noqa: A002
    """PATCH /api/v1/hosts/{id}: all of the fields or none; the host's next stream is stamped with them."""
    given = patch(PATCH)
    try:
        edit = HostEdit(given.get("name"), given.get("site"), given.get("class"))
    except Invalid as error:
        raise wrong_field(error.field, error.reason) from error
    before = find(parts, caller, id)
    if not request.if_match.contains(str(before.version)):
        raise lost_update(before)
    for _ in range(2 if request.if_match.star_tag else 1):
        if before.retired_at is not None:
            raise Problem(409, "The host is retired; enrol the computer again.")
        with parts.store.write() as connection:
            after = host_edits.edit_host(connection, before, edit, caller.actor, parts.now())
        if after is not None:
            return show(after)
        before = find(parts, caller, id)
    raise lost_update(before)


def list_comments(parts: Parts, caller: Caller, id: str) -> Response:  # noqa: A002
    """GET /api/v1/hosts/{id}/comments, oldest first."""
    host = find(parts, caller, id)
    with parts.store.read() as connection:
        found = host_edits.notes(connection, host.id)
    return done({"comments": [payload.note(each) for each in found]})


def add_comment(parts: Parts, caller: Caller, id: str) -> Response:  # noqa: A002
    """POST /api/v1/hosts/{id}/comments: a note on the host's timeline; the same Idempotency-Key adds it once."""
    once = idempotency_key(caller)
    given = payload.fields(request, NEW_COMMENT, required=("text",))
    host = find(parts, caller, id)
    try:
        made = noted(parts, caller, host, given["text"], once)
    except Invalid as error:
        raise wrong_field(error.field, error.reason) from error
    return done(payload.note(made), 201)


def discover(parts: Parts, caller: Caller) -> Response:
    """GET /api/v1/sd: every agent's own page, for Prometheus' http_sd_configs."""
    port = whole("port", AGENT_PORT, 65535)
    with parts.store.read() as connection:
        found = hosts.hosts(connection, scope=caller.scope)
    return done([payload.target(each, port) for each in found])


def find(parts: Parts, caller: Caller, identity: str) -> Host:
    """The host, or 404 where this token has none of that id."""
    with parts.store.read() as connection:
        found = hosts.host(connection, identity, caller.scope)
    if found is None:
        raise Problem(404, "There is no such host for this token.")
    return found


def noted(parts: Parts, caller: Caller, host: Host, words: str, once: str | None) -> HostEvent:
    """The note; the loser of a race for one key finds the winner's. Raises Invalid, StoreError."""
    try:
        with parts.store.write() as connection:
            return host_edits.add_note(connection, host.id, words, caller.actor, parts.now(), key=once)
    except StoreError as error:
        if not error.again:
            raise
    with parts.store.write() as connection:
        return host_edits.add_note(connection, host.id, words, caller.actor, parts.now(), key=once)


def show(host: Host) -> Response:
    """A host with its version as ETag."""
    return done(payload.host(host), headers={"ETag": f'"{host.version}"'})


def lost_update(current: Host) -> Problem:
    """Somebody was faster."""
    return Problem(
        412,
        f"The host is at version {current.version} now; read `current`, decide again, and send its ETag.",
        headers={"ETag": f'"{current.version}"'},
        extra={"current": payload.host(current)},
    )
