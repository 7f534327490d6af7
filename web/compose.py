"""A technician's form for a new ticket: what a person says by phone, e-mail or chat, with impact and urgency."""

import secrets
from collections.abc import Mapping

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from collector.store import hosts
from collector.store.hosts import Company, Host
from collector.tickets.action import Take
from collector.tickets.errors import Invalid
from collector.tickets.ticket import Kind, Level, NewTicket, Source
from web import frame
from web.settings import parts
from web.translate import gettext as _

SOURCES = (Source.PHONE, Source.EMAIL, Source.CHAT)
KINDS = (Kind.INCIDENT_PERSON, Kind.REQUEST)
_SHOWN_HOSTS = 200
_FIELDS = ("key", "title", "description", "requester", "source", "impact", "urgency", "company", "host", "kind")


def blueprint() -> Blueprint:
    """The form and what it sends."""
    pages = Blueprint("compose", __name__)
    pages.add_url_rule("/tickets/new", "form", form)
    pages.add_url_rule("/tickets/new", "create", create, methods=["POST"])
    return pages


def form() -> str:
    """The empty form; `host=` (an instance) and `company=` fill their fields."""
    values = {
        "key": secrets.token_urlsafe(12),
        "source": Source.PHONE.value,
        "kind": Kind.INCIDENT_PERSON.value,
        "impact": str(Level.LOW.value),
        "urgency": str(Level.MEDIUM.value),
        "host": request.args.get("host", "")[:200],
        "company": request.args.get("company", "")[:200],
    }
    return _page(values, {})


def create() -> Response | tuple[str, int]:
    """Opens the ticket; sent twice it is one. A wrong field comes back with what was typed."""
    values = {name: request.form.get(name, "") for name in _FIELDS}
    here = parts()
    try:
        new = _new(values)
        key = values["key"][:64] or None
        made = here.intake.open_by_person(new, frame.actor(), here.now(), idempotency_key=key, scope=g.scope)
    except Invalid as wrong:
        return _page(values, {wrong.field: _reason(wrong)}), 422
    if request.form.get("take"):
        here.intake.act(made.number, (Take(),), frame.actor(), here.now(), scope=g.scope)
    flash(_("The ticket is %(number)s, priority %(priority)s.", number=made.number, priority=made.priority.name))
    return redirect(url_for("ticket.show", number=made.number), code=303)


def _new(values: Mapping[str, str]) -> NewTicket:
    host = _host(values["host"], values["company"])
    try:
        source, kind = Source(values["source"]), Kind(values["kind"])
        impact, urgency = Level(int(values["impact"])), Level(int(values["urgency"]))
    except ValueError:
        abort(400)
    if source not in SOURCES or kind not in KINDS:
        abort(400)
    return NewTicket(
        company=host.company if host else values["company"],
        title=values["title"],
        kind=kind,
        source=source,
        description=values["description"],
        host_id=host.id if host else None,
        requester=values["requester"],
        impact=impact,
        urgency=urgency,
    )


def _host(typed: str, company: str) -> Host | None:
    """The computer by instance or by a name that is one only; raises Invalid where there is none."""
    wanted = typed.strip()
    if not wanted:
        return None
    with parts().store.read() as conn:
        found = hosts.hosts(conn, scope=g.scope, text=wanted)
    exact = [h for h in found if h.instance == wanted] or [h for h in found if h.name == wanted]
    here = [h for h in exact if h.company == company] or exact
    if len(here) != 1:
        raise Invalid("host", "not known")
    return here[0]


def _page(values: Mapping[str, str], wrongs: Mapping[str, str]) -> str:
    with parts().store.read() as conn:
        companies: list[Company] = hosts.companies(conn, g.scope)
        computers = hosts.hosts(conn, scope=g.scope)[:_SHOWN_HOSTS]
    return render_template(
        "new.html", values=values, wrongs=wrongs, companies=companies, hosts=computers, sources=SOURCES, kinds=KINDS
    )


def _reason(wrong: Invalid) -> str:
    match wrong.field:
        case "host":
            return _("There is no such computer, or more than one of this name.")
        case "company":
            return _("Choose a company.")
        case _:
            return _("This is empty or too long.")
