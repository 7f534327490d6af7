"""The application: its parts put together, its blueprints in one tuple, its error pages. Nothing is made at import."""

from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, g, render_template, request
from werkzeug.exceptions import HTTPException

from collector.intake import Intake
from collector.store import Store, StoreError
from web import (
    api,
    auth,
    backtest,
    compose,
    frame,
    health,
    hosts,
    language,
    machines,
    preview,
    queue,
    rules,
    runbook,
    security,
    show,
    ticket,
)
from web.live import Live
from web.problem import answer_http
from web.settings import Parts, WebSettings
from web.translate import gettext as _

_YEAR = 365 * 86400


def create_app(store: Store, intake: Intake, live: Live, settings: WebSettings) -> Flask:
    """The pages, the HTTP interface and the health checks over these parts. Raises ValueError for wrong settings."""
    app = Flask("web", root_path=str(Path(__file__).parent))
    app.extensions["czuwak"] = Parts(store, intake, live, settings)
    app.config.update(SEND_FILE_MAX_AGE_DEFAULT=_YEAR)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    csrf = security.protect(app, settings)
    language.install(app, settings.timezone)
    show.install(app)
    frame.install(app)
    auth.install(app)
    for pages in (auth, queue, compose, ticket, hosts, machines, rules, preview, backtest, runbook, language):
        app.register_blueprint(pages.blueprint())
    for made in (api.blueprint(store, intake, live, settings), health.blueprint(store, live, settings)):
        csrf.exempt(made)  # no cookie counts there
        app.register_blueprint(made)
    app.register_error_handler(HTTPException, failed)
    app.register_error_handler(security.CSRFError, forged)
    app.register_error_handler(StoreError, unavailable)
    return app


def failed(error: HTTPException) -> Response | tuple[str, int]:
    """A page for a refused or failed request; problem+json under the interface's paths."""
    if request.path.startswith(("/api/", "/hooks/")):
        return answer_http(error)
    code = error.code or 500
    if error.response is not None:
        return Response(error.get_response().get_data(), code, dict(error.get_response().headers))
    titles = {
        400: (_("This request is not understood"), _("Something in the address or the form is not as it should be.")),
        401: (_("You are not logged in"), _("Log in and try again. What you typed was not saved.")),
        403: (_("This is not for you"), _("Your account may not do this.")),
        404: (_("There is nothing here"), _("The address is wrong, or what was here belongs to somebody else.")),
        405: (_("This does not work this way"), _("Use the page's buttons.")),
        413: (_("This is too long"), _("The form is longer than what is accepted; nothing was saved.")),
        500: (_("Something broke"), _("It is our fault and is in the log. Nothing was saved.")),
    }
    title, what = titles.get(code, (HTTPStatus(code).phrase, ""))
    return _page(title, what, code)


def forged(error: security.CSRFError) -> tuple[str, int]:
    """A form that did not come from our own page of this session."""
    del error
    return _page(_("The form is too old"), _("Go back, load the page again and send it once more."), 400)


def unavailable(error: StoreError) -> tuple[str, int, dict[str, str]]:
    """The database does not answer: nothing was saved."""
    del error
    page, code = _page(_("The database does not answer"), _("Nothing was saved. Try again in a moment."), 503)
    return page, code, {"Retry-After": "5"}


def _page(title: str, what: str, code: int) -> tuple[str, int]:
    g.setdefault("user", None)
    return render_template("error.html", title=title, what=what), code
