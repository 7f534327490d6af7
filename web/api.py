"""The HTTP interface under /api: one table names every path, its methods, the scope each needs and who answers.

Programs bring a bearer token; no cookie counts here. A test holds the OpenAPI document to the table.
"""

from collections.abc import Callable, Mapping
from functools import partial

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from collector.intake import Intake
from collector.store import Store, StoreError
from collector.tickets.text import clean
from web import host_resources as h
from web import problem
from web import resources as r
from web.bearer import admit
from web.live import Live
from web.problem import Problem
from web.settings import Parts, WebSettings

Handler = Callable[..., Response]
Methods = Mapping[str, tuple[str, Handler]]  # method -> (scope, handler); no scope: for everybody

MAX_BODY = 64 * 1024  # bytes
ACCEPTED = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
READ, WRITE, HOSTS, EDIT = "tickets:read", "tickets:write", "hosts:read", "hosts:write"
ROUTES: tuple[tuple[str, Methods], ...] = (
    ("/openapi.json", {"GET": ("", r.describe)}),
    ("/v1/tickets", {"GET": (READ, r.list_tickets), "POST": (WRITE, r.open_ticket)}),
    ("/v1/tickets/<number>", {"GET": (READ, r.read_ticket), "PATCH": (WRITE, r.change_ticket)}),
    ("/v1/tickets/<number>/comments", {"GET": (READ, r.list_comments), "POST": (WRITE, r.add_comment)}),
    ("/v1/hosts", {"GET": (HOSTS, h.list_hosts)}),
    ("/v1/hosts/<id>", {"GET": (HOSTS, h.read_host), "PATCH": (EDIT, h.change_host)}),
    ("/v1/hosts/<id>/comments", {"GET": (HOSTS, h.list_comments), "POST": (EDIT, h.add_comment)}),
    ("/v1/sd", {"GET": (HOSTS, h.discover)}),
)


def blueprint(store: Store, intake: Intake, live: Live, settings: WebSettings) -> Blueprint:
    """Every address under /api. No cookie counts here, so exempt it from protection against forged requests."""
    parts = Parts(store, intake, live, settings)
    made = Blueprint("api", __name__, url_prefix="/api")
    made.before_request(limit)
    for number, (path, methods) in enumerate(ROUTES):
        view = partial(dispatch, parts, methods)
        made.add_url_rule(path, f"route{number}", view, methods=ACCEPTED, provide_automatic_options=False)
    made.add_url_rule("/<path:rest>", "nowhere", nowhere, methods=ACCEPTED, provide_automatic_options=False)
    made.register_error_handler(Problem, problem.answer)
    made.register_error_handler(HTTPException, problem.answer_http)
    made.register_error_handler(StoreError, unavailable)
    return made


def limit() -> None:
    """What a program sends is short: Flask answers 413 when more is read."""
    request.max_content_length = MAX_BODY


def dispatch(parts: Parts, methods: Methods, **found: str) -> Response:
    """The answer of the method's handler, once the token was admitted for its scope."""
    method = "GET" if request.method == "HEAD" else request.method
    if method not in methods:
        allow = ", ".join(sorted({*methods, "HEAD"}))
        raise Problem(405, f"{request.method} does nothing here; there is {allow}.", headers={"Allow": allow})
    scope, handler = methods[method]
    if not scope:
        return handler()
    return handler(parts, admit(parts, scope), **{name: clean(value) for name, value in found.items()})


def nowhere(rest: str) -> Response:
    """Whatever is not in the table."""
    del rest
    raise Problem(404, "There is nothing at this address; /api/openapi.json lists what there is.")


def unavailable(error: StoreError) -> Response:
    """The database did not do it: nothing was changed."""
    return problem.answer(Problem(503, f"The database did not do it: {error.message}", headers={"Retry-After": "5"}))
