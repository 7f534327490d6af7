"""For supervisors and Prometheus: /-/healthy, /-/ready and /metrics. No page and no session here."""

import hmac
import time

from flask import Blueprint, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST

from collector.store import Store, StoreError, clock
from web import meter, problem
from web.live import Live
from web.meter import Meter
from web.security import is_within
from web.settings import WebSettings, networks


def blueprint(store: Store, live: Live, settings: WebSettings) -> Blueprint:
    """The three addresses, and the counting of every request of the application."""
    meters = meter.meter()
    made = Blueprint("health", __name__)
    made.add_url_rule("/-/healthy", view_func=healthy)
    made.add_url_rule("/-/ready", "ready", lambda: ready(store))
    made.add_url_rule("/metrics", "metrics", lambda: metrics(meters, live, settings))
    made.before_app_request(start)
    made.after_app_request(lambda response: count(meters, response))
    return made


def healthy() -> Response:
    """200 as long as the process answers at all."""
    return Response("healthy\n", mimetype="text/plain")


def ready(store: Store) -> Response:
    """200 while the database answers, else 503 with what is wrong."""
    try:
        with store.read() as connection:
            clock(connection)
    except StoreError as error:
        return problem.answer(
            problem.Problem(503, f"The database does not answer: {error}", headers={"Retry-After": "5"})
        )
    return Response("ready\n", mimetype="text/plain")


def metrics(meters: Meter, live: Live, settings: WebSettings) -> Response:
    """The page for Prometheus, for configured networks or the configured token."""
    if not allowed(settings):
        detail = "Metrics are for the networks in metrics_allow, or with the token in metrics_token_file."
        return problem.answer(problem.Problem(403, detail))
    return Response(meter.page(meters.registry, live.metrics()), content_type=CONTENT_TYPE_LATEST)


def allowed(settings: WebSettings) -> bool:
    """Whether this client may read the metrics."""
    given = request.authorization
    if settings.metrics_token and given and given.type == "bearer" and given.token:
        return hmac.compare_digest(given.token.encode(), settings.metrics_token.encode())
    return is_within(request.remote_addr or "", networks(settings.metrics_allow))


def start() -> None:
    """Remember when the request came."""
    g.started = time.perf_counter()


def count(meters: Meter, response: Response) -> Response:
    """Count the answered request by its route, never by its path."""
    route = request.url_rule.rule if request.url_rule else None
    since = g.get("started", time.perf_counter())
    meters.count(route, request.method, response.status_code, time.perf_counter() - since)
    return response
