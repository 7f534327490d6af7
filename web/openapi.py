"""The OpenAPI 3.1 document of the HTTP interface: plain data; a test holds it to the routes."""

from collections.abc import Mapping

from collector.tickets.query import View
from web.schemas import Plain, reference, schemas, text

DESCRIPTION = """Tickets and hosts of Czuwak. Send `Authorization: Bearer <token>`; a token sees its companies.
Errors are `application/problem+json` (RFC 9457). Times are RFC 3339 in UTC. Lists are paged by `Link`, rel="next"."""
NUMBER: Plain = {"name": "number", "in": "path", "required": True, "schema": {"type": "string"}}
IDENTITY: Plain = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
KEY: Plain = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}
MATCH: Plain = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "schema": {"type": "string"},
    "description": "The ETag it was read with; `*` changes it whatever it is now",
}
PATCHES = ("application/json", "application/merge-patch+json")
REFUSALS: Mapping[int, str] = {
    400: "The body is no JSON",
    401: "No token, or one that is unknown, expired or revoked",
    403: "The token lacks the scope",
    404: "Not here, or not of the token's companies",
    409: "Its state does not allow it",
    412: "Somebody changed it since; `current` is how it is now",
    413: "The body is longer than 64 KiB",
    415: "The body is compressed or no JSON",
    422: "Fields or parameters were refused; `errors` names each one",
    428: "If-Match is missing",
    429: "Too many wrong tokens from this address; Retry-After says when",
}


def document() -> Plain:
    """The whole document; a new value each time."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Czuwak",
            "version": "1",
            "summary": "Tickets and hosts",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api"}],
        "security": [{"bearer": []}],
        "tags": [{"name": "tickets"}, {"name": "hosts"}, {"name": "document"}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
        },
    }


def paths() -> Plain:
    """Every path and method."""
    return {
        "/openapi.json": {"get": describe()},
        "/v1/tickets": {"get": list_tickets(), "post": open_ticket()},
        "/v1/tickets/{number}": {"get": read_ticket(), "patch": change_ticket()},
        "/v1/tickets/{number}/comments": {"get": list_comments(), "post": add_comment()},
        "/v1/hosts": {"get": list_hosts()},
        "/v1/hosts/{id}": {"get": read_host(), "patch": change_host()},
        "/v1/hosts/{id}/comments": {"get": list_host_comments(), "post": add_host_comment()},
        "/v1/sd": {"get": discover()},
    }


def describe() -> Plain:
    """GET /openapi.json."""
    done = {"200": {"description": "This document", "content": {"application/json": {"schema": {"type": "object"}}}}}
    return {
        "operationId": "describe",
        "summary": "This document",
        "tags": ["document"],
        "security": [],
        "responses": done,
    }


def list_tickets() -> Plain:
    """GET /v1/tickets."""
    views: Plain = {"type": "string", "enum": [each.value for each in View], "default": View.EVERY.value}
    parameters = [
        query("q", text(), 'the search of the queue: host: state: prio: owner: company: rule: older:2d "text" -x'),
        query("view", views, "`every` ticket, `all` that are open, `mine` of the token's owner"),
        query("limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}, "tickets per page"),
        query("cursor", text(), "from the last page's Link header or `next`"),
    ]
    done = answer("A page of tickets", "TicketList", {"Link": header("The next page, where there is one")})
    return operation("listTickets", "List tickets", "tickets:read", {"200": done, **problems(422)}, parameters)


def open_ticket() -> Plain:
    """POST /v1/tickets."""
    parameters: list[Plain] = [{**KEY, "description": "The same key again gives the same ticket and opens none"}]
    done = answer("The ticket", "Ticket", {"Location": header("Its address"), "ETag": header("Its version")})
    responses = {"201": done, **problems(400, 413, 415, 422)}
    return operation("openTicket", "Open a ticket", "tickets:write", responses, parameters, body("NewTicket"))


def read_ticket() -> Plain:
    """GET /v1/tickets/{number}."""
    done = answer("The ticket", "Ticket", {"ETag": header("Its version, for If-Match")})
    responses = {"200": done, "304": {"description": "It is still at the version in If-None-Match"}, **problems(404)}
    return operation("readTicket", "One ticket", "tickets:read", responses, [NUMBER])


def change_ticket() -> Plain:
    """PATCH /v1/tickets/{number}."""
    done = answer("The ticket as it is now", "Ticket", {"ETag": header("Its new version")})
    responses = {"200": done, **problems(400, 404, 409, 412, 413, 415, 422, 428)}
    return operation(
        "changeTicket", "Change a ticket", "tickets:write", responses, [NUMBER, MATCH], body("TicketPatch", PATCHES)
    )


def list_comments() -> Plain:
    """GET /v1/tickets/{number}/comments."""
    responses = {"200": answer("Oldest first", "CommentList"), **problems(404)}
    return operation("listComments", "Comments and notes of a ticket", "tickets:read", responses, [NUMBER])


def add_comment() -> Plain:
    """POST /v1/tickets/{number}/comments."""
    responses = {"201": answer("The comment", "Comment"), **problems(400, 404, 409, 413, 415, 422)}
    return operation("addComment", "Add a comment", "tickets:write", responses, [NUMBER], body("NewComment"))


def list_hosts() -> Plain:
    """GET /v1/hosts."""
    parameters = [query("q", text(), "part of a host's name")]
    return operation("listHosts", "List hosts", "hosts:read", {"200": answer("All hosts", "HostList")}, parameters)


def read_host() -> Plain:
    """GET /v1/hosts/{id}."""
    done = answer("The host", "Host", {"ETag": header("Its version, for If-Match")})
    return operation("readHost", "One host", "hosts:read", {"200": done, **problems(404)}, [IDENTITY])


def change_host() -> Plain:
    """PATCH /v1/hosts/{id}."""
    done = answer("The host as it is now", "Host", {"ETag": header("Its new version")})
    responses = {"200": done, **problems(400, 404, 409, 412, 413, 415, 422, 428)}
    return operation(
        "changeHost", "Change a host", "hosts:write", responses, [IDENTITY, MATCH], body("HostPatch", PATCHES)
    )


def list_host_comments() -> Plain:
    """GET /v1/hosts/{id}/comments."""
    responses = {"200": answer("Oldest first", "HostCommentList"), **problems(404)}
    return operation("listHostComments", "Notes on a host's timeline", "hosts:read", responses, [IDENTITY])


def add_host_comment() -> Plain:
    """POST /v1/hosts/{id}/comments."""
    once: Plain = {**KEY, "description": "The same key again gives the same note and adds none"}
    responses = {"201": answer("The note", "HostComment"), **problems(400, 404, 413, 415, 422)}
    return operation("addHostComment", "Add a note", "hosts:write", responses, [IDENTITY, once], body("NewHostComment"))


def discover() -> Plain:
    """GET /v1/sd."""
    port = query("port", {"type": "integer", "minimum": 1, "maximum": 65535, "default": 19115}, "of the agents' pages")
    responses = {"200": answer("Every host that is not retired", "TargetGroups"), **problems(422)}
    return operation("discover", "Prometheus HTTP service discovery", "hosts:read", responses, [port])


def operation(
    name: str,
    summary: str,
    scope: str,
    responses: Mapping[str, object],
    parameters: list[Plain],
    request: Plain | None = None,
) -> Plain:
    """One method of one path; what a token may be refused for is the same everywhere."""
    described: Plain = {
        "operationId": name,
        "summary": summary,
        "description": f"Needs the scope `{scope}`.",
        "tags": [scope.partition(":")[0]],
        "parameters": parameters,
        "responses": {**responses, **problems(401, 403, 429)},
    }
    return described if request is None else {**described, "requestBody": request}


def problems(*codes: int) -> Plain:
    """The refusals a caller must expect."""
    content = {"application/problem+json": {"schema": reference("Problem")}}
    return {str(code): {"description": REFUSALS[code], "content": content} for code in codes}


def answer(description: str, schema: str, headers: Mapping[str, object] | None = None) -> Plain:
    """A success with a body."""
    content = {"application/json": {"schema": reference(schema)}}
    return {"description": description, "content": content, **({"headers": dict(headers)} if headers else {})}


def body(schema: str, kinds: tuple[str, ...] = ("application/json",)) -> Plain:
    """A request's body, at most 64 KiB."""
    return {"required": True, "content": {kind: {"schema": reference(schema)} for kind in kinds}}


def query(name: str, schema: Plain, description: str) -> Plain:
    """A parameter of the address."""
    return {"name": name, "in": "query", "schema": schema, "description": description}


def header(description: str) -> Plain:
    """A header of an answer."""
    return {"description": description, "schema": text()}
