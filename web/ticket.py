"""One ticket's page and what can be done on it; a lost update becomes a page that shows both edits."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from flask import Blueprint, Response, abort, flash, g, make_response, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from collector.store import hosts, presence, search, tickets, users
from collector.store.presence import Struck
from collector.tickets.action import Action, Assign, Comment, Move, SetPriority, SetQueue, Take, allowed
from collector.tickets.desk import OUTAGE_RULES
from collector.tickets.errors import Conflict, Invalid, NotAllowed, NotFound
from collector.tickets.query import Query, View
from collector.tickets.ticket import Level, Status, Ticket
from web import evidence as evidences
from web import frame, runbook, timeline, words
from web.settings import parts
from web.translate import gettext as _

Form = MultiDict[str, str]
_ENDS = frozenset({Status.RESOLVED, Status.CLOSED})
_OTHERS = 5
_LISTED = 50  # computers of an outage
_BEFORE = 300.0  # seconds: an outage is known a moment before its ticket opens


def blueprint() -> Blueprint:
    """The ticket's pages."""
    pages = Blueprint("ticket", __name__)
    pages.add_url_rule("/tickets/<number>", "show", show)
    pages.add_url_rule("/tickets/<number>/news", "news", news)
    pages.add_url_rule("/tickets/<number>/evidence", "evidence", evidence)
    pages.add_url_rule("/tickets/<number>/next", "next_", next_)
    pages.add_url_rule("/tickets/<number>/<act>", "act", act, methods=["POST"])
    return pages


def show(number: str) -> str | AnyResponse:
    """The page; reading it clears the unread mark. The short number leads to the whole one."""
    here = parts()
    ticket = _find(number)
    if ticket.number != number:
        return redirect(url_for("ticket.show", number=ticket.number))
    with here.store.read() as conn:
        host = hosts.host(conn, ticket.host_id, g.scope) if ticket.host_id else None
        events = tickets.timeline(conn, ticket.id)
        earlier = tickets.related(conn, ticket)
        people = users.users(conn)
        unread = tickets.unread(conn, g.user.id, (ticket,))
    if unread:
        with here.store.write() as conn:
            tickets.mark_read(conn, g.user.id, ticket.id, ticket.last_event)
    struck = _struck(ticket)
    seen = evidences.view(ticket, here.live, here.now())
    unit = seen.unit if seen else ""
    return render_template(
        "ticket.html",
        ticket=ticket,
        host=host,
        lines=timeline.lines(events, unit=unit),
        earlier=[other for other in earlier if not other.open],
        others=[other for other in earlier if other.open and other.host_id == ticket.host_id][:_OTHERS],
        people=[user for user in people if user.companies is None or ticket.company in user.companies],
        states=[status for status in allowed(ticket) if not (ticket.open and status in _ENDS)],
        evidence=seen,
        struck=struck[:_LISTED],
        more_struck=max(0, len(struck) - _LISTED),
        unit=unit,
        procedure=runbook.procedure(ticket.annotations.get("runbook_url", "")),
    )


def _struck(ticket: Ticket) -> Sequence[Struck]:
    """The computers an outage's ticket is about; empty for every other one."""
    if ticket.rule_name not in OUTAGE_RULES:
        return ()
    labels, now = ticket.labels, parts().now()
    one_site = ticket.rule_name == "SiteSilent"
    with parts().store.read() as conn:
        return presence.struck(
            conn,
            g.scope,
            ticket.created_at - _BEFORE,
            ticket.recovered_at or ticket.closed_at or now,
            company=labels.get("company"),
            site=labels.get("site") if one_site else None,
        )


def news(number: str) -> Response:
    """Whether the ticket changed since the page was made (`version`, `seen`): in words; 304 if same."""
    ticket = _find(number)
    answer = make_response()
    answer.set_etag(hashlib.blake2b(f"{ticket.version}/{ticket.last_event}".encode(), digest_size=12).hexdigest())
    if request.if_none_match.contains(answer.get_etag()[0] or ""):
        answer.status_code = 304
        return answer
    shown = (request.args.get("version", type=int), request.args.get("seen", type=int))
    answer.set_data(render_template("news.html", changed=shown != (ticket.version, ticket.last_event)))
    return answer


def evidence(number: str) -> str:
    """The card with the chart, for renewing it in place."""
    here, ticket = parts(), _find(number)
    seen = evidences.view(ticket, here.live, here.now())
    if seen is None:
        abort(404)
    return render_template("_evidence.html", ticket=ticket, evidence=seen, unit=seen.unit)


def next_(number: str) -> AnyResponse:
    """The most urgent ticket of nobody or mine that waits; the queue where there is none."""
    here, ticket = parts(), _find(number)
    with here.store.read() as conn:
        for view in (View.UNASSIGNED, View.MINE):
            found = search.search(conn, Query(), g.scope, at=here.now(), view=view, user_id=g.user.id, limit=2)
            for other in found.tickets:
                if other.id != ticket.id:
                    return redirect(url_for("ticket.show", number=other.number))
    flash(_("No other ticket waits for you."))
    return redirect(url_for("queue.show"))


def act(number: str, act: str) -> str | AnyResponse | tuple[str, int]:
    """One change of the ticket by a form; answers 409 with both edits where somebody was faster."""
    ticket = _find(number)
    if act not in _ACTIONS:
        abort(404)
    back = redirect(url_for("ticket.show", number=ticket.number), code=303)
    try:
        actions = _ACTIONS[act](request.form)
        # A comment overwrites nothing, so it needs no version; whatever else does, has the one it saw.
        seen = None if all(isinstance(a, Comment) for a in actions) else request.form.get("version", type=int)
        parts().intake.act(ticket.number, actions, frame.actor(), parts().now(), version=seen, scope=g.scope)
    except Conflict:
        return _both(_find(ticket.number), act), 409
    except NotFound:
        abort(404)
    except NotAllowed:
        flash(_("This cannot be done while the ticket is: %(state)s.", state=words.STATUS[ticket.status]), "error")
    except Invalid as wrong:
        flash(_wrong(wrong), "error")
    return back


def _find(number: str) -> Ticket:
    with parts().store.read() as conn:
        ticket = tickets.find(conn, number, g.scope)
    if ticket is None:
        abort(404)
    return ticket


def _both(current: Ticket, act: str) -> str:
    """What others did since this page was made, and what its reader wanted."""
    seen = request.form.get("seen", 0, type=int)
    with parts().store.read() as conn:
        events = [event for event in tickets.timeline(conn, current.id) if event.id > seen]
    again = [item for item in request.form.items(multi=True) if item[0] not in {"csrf_token", "version", "seen"}]
    return render_template(
        "conflict.html",
        ticket=current,
        lines=timeline.lines(events),
        wanted=_wanted(act, request.form),
        act=act,
        again=again,
    )


def _take(form: Form) -> Sequence[Action]:
    del form
    return (Take(),)


def _assign(form: Form) -> Sequence[Action]:
    return (Assign(form.get("user", type=int)),)


def _status(form: Form) -> Sequence[Action]:
    return (Move(_chosen(form, "status"), form.get("resolution", "")),)


def _priority(form: Form) -> Sequence[Action]:
    try:
        return (SetPriority(Level(form.get("impact", 0, type=int)), Level(form.get("urgency", 0, type=int))),)
    except ValueError:
        abort(400)


def _queue(form: Form) -> Sequence[Action]:
    return (SetQueue(words.queue_key(form.get("queue", ""))),)


def _say(form: Form) -> Sequence[Action]:
    said = Comment(form.get("text", ""), public=form.get("kind") != "note")
    if not form.get("then"):
        return (said,)
    return (said, Move(_chosen(form, "then"), said.text if said.public else ""))


def _chosen(form: Form, name: str) -> Status:
    value = form.get(name, "")
    if value not in set(Status):
        abort(400)
    return Status(value)


_ACTIONS: Mapping[str, Callable[[Form], Sequence[Action]]] = MappingProxyType(
    {
        "take": _take,
        "assign": _assign,
        "status": _status,
        "finish": _status,
        "priority": _priority,
        "queue": _queue,
        "say": _say,
    }
)


def _wanted(act: str, form: Form) -> str:
    """The wish of a form as a sentence."""
    match act:
        case "take":
            return _("Take the ticket")
        case "assign":
            with parts().store.read() as conn:
                user = users.user(conn, form.get("user", 0, type=int))
            return _("Assign it to %(name)s", name=user.name) if user else _("Put it back: nobody has it")
        case "priority":
            impact = words.LEVEL[Level(form.get("impact", 1, type=int))]
            urgency = words.URGENCY_LEVEL[Level(form.get("urgency", 1, type=int))]
            return _("Set impact %(impact)s and urgency %(urgency)s", impact=impact, urgency=urgency)
        case "queue":
            return _("Hand it over to %(queue)s", queue=words.queue_name(words.queue_key(form.get("queue", ""))))
        case "say":
            return _("Write this and set the state: %(state)s", state=words.STATUS[_chosen(form, "then")])
        case _:
            return _("Set the state: %(state)s", state=words.STATUS[_chosen(form, "status")])


def _wrong(wrong: Invalid) -> str:
    if wrong.field == "queue":
        return _("Say to which queue.")
    return _("The text is empty or too long; nothing was saved.")
