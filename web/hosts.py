"""The computers: who is there, and one computer's page with its live values, timeline and open tickets."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from flask import Blueprint, abort, flash, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from collector.store import host_edits, hosts, machines, search, tickets
from collector.store.host_edits import CHANGED, LONGEST_SITE, NOTE, HostEdit
from collector.store.hosts import Host, HostEvent
from collector.tickets.errors import Invalid
from collector.tickets.query import Field, Query, Term
from web import frame, words
from web import show as shown
from web import vitals as vital
from web.live import Unavailable
from web.settings import parts
from web.translate import gettext as _
from web.translate import locale, ngettext

PAGE = 100
_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a host's timeline; `text` and `who` are of a person's note."""

    at: float
    sentence: str
    mood: str
    text: str = ""
    who: str = ""


def blueprint() -> Blueprint:
    """The hosts' pages."""
    pages = Blueprint("hosts", __name__)
    pages.add_url_rule("/hosts", "index", index)
    pages.add_url_rule("/hosts/<host_id>", "show", show)
    pages.add_url_rule("/hosts/<host_id>/vitals", "vitals", vitals)
    pages.add_url_rule("/hosts/<host_id>/note", "note", note, methods=["POST"])
    pages.add_url_rule("/hosts/<host_id>/edit", "edit", edit, methods=["POST"])
    return pages


def index() -> str:
    """Every computer by name, or those with `text` in name, site or company."""
    text = request.args.get("text", "").strip()[:200]
    start = max(0, request.args.get("start", 0, type=int))
    with parts().store.read() as conn:
        found = hosts.hosts(conn, scope=g.scope, text=text or None)
        counts = tickets.open_by_host(conn, g.scope)
        asked = machines.questions(conn, found)
    more = start + PAGE
    return render_template(
        "hosts.html",
        view="hosts",
        text=text,
        total=len(found),
        hosts=found[start:more],
        open_counts=counts,
        waiting=[host for host in found if host.approved_at is None][:PAGE],
        again=[(host, asked[host.id]) for host in found if host.id in asked][:PAGE],
        may_answer=g.user.role == "admin",
        next_url=url_for("hosts.index", text=text or None, start=more) if more < len(found) else None,
    )


def show(host_id: str) -> str:
    """One computer; its live values where the collector answers, all else from the database."""
    here, host = parts(), _find(host_id)
    wanted = Query((Term(Field.HOST, (host.name,)),))
    with here.store.read() as conn:
        events = hosts.host_events(conn, host.id, limit=_EVENTS)
        found = search.search(conn, wanted, g.scope, at=here.now(), user_id=g.user.id)
    return render_template(
        "host.html",
        view="hosts",
        host=host,
        events=[_line(event) for event in events],
        tickets=[ticket for ticket in found.tickets if ticket.host_id == host.id],
        vitals=_vitals(host),
        key=secrets.token_urlsafe(16),
        may_edit=_may_edit(host),
        classes=host_edits.CLASSES,
        longest_site=LONGEST_SITE,
    )


def note(host_id: str) -> Response:
    """A person's words on the host's timeline; a form that is sent twice adds them once."""
    here, host = parts(), _find(host_id)
    key = request.form.get("key", "")[:64] or None
    try:
        with here.store.write() as conn:
            host_edits.add_note(conn, host.id, request.form.get("text", ""), frame.actor(), here.now(), key=key)
    except Invalid:
        flash(_("The text is empty or too long; nothing was saved."), "error")
    return redirect(url_for("hosts.show", host_id=host.id), code=303)


def edit(host_id: str) -> Response:
    """Another name, site or class, by an administrator; refused where somebody was faster."""
    here, host = parts(), _find(host_id)
    if not _may_edit(host):
        abort(403)
    form, back = request.form, redirect(url_for("hosts.show", host_id=host.id), code=303)
    try:
        wanted = HostEdit(form.get("name"), form.get("site"), form.get("class"))
    except Invalid as wrong:
        flash(_wrong(wrong), "error")
        return back
    done = None
    if form.get("version", type=int) == host.version:
        with here.store.write() as conn:
            done = host_edits.edit_host(conn, host, wanted, frame.actor(), here.now())
    if done is None:
        flash(_("Somebody changed this computer meanwhile; nothing was saved. Look again."), "error")
    return back


def vitals(host_id: str) -> str:
    """The live values alone, for renewing them in place."""
    host = _find(host_id)
    return render_template("_vitals.html", host=host, vitals=_vitals(host))


def _find(host_id: str) -> Host:
    with parts().store.read() as conn:
        host = hosts.host(conn, host_id, g.scope)
    if host is None:
        abort(404)
    return host


def _may_edit(host: Host) -> bool:
    return bool(g.user.role == "admin") and host.retired_at is None


def _wrong(wrong: Invalid) -> str:
    if wrong.field == "name":
        return _("A computer's name has letters, digits, dots, hyphens and underscores only; nothing was saved.")
    return _("The site is too long, or the class is none; nothing was saved.")


def _vitals(host: Host) -> vital.Vitals | None:
    found = vital.read(parts().live, host.instance)
    return None if isinstance(found, Unavailable) else found


def _line(event: HostEvent) -> Line:
    moods = {
        "away_unexplained": "alarm",
        "online": "good",
        "unknown": "unsure",
        "condition_over": "good",
        "crashed": "alarm",
        "duplicate_identity": "alarm",
        "outage": "unsure",
    }
    if event.kind == NOTE:
        return Line(event.at, _("note"), "", str(event.detail.get("text", "")), str(event.detail.get("by", "")))
    if event.kind == CHANGED:
        return Line(event.at, _changed(event.detail.get("changes")), "", who=str(event.detail.get("by", "")))
    presence = str(event.detail.get("presence", event.kind))
    who = str(event.detail.get("by", "")) if event.kind in {"approved", "same_machine"} else ""
    return Line(event.at, _sentence(event.kind, presence, event.detail), moods.get(presence, ""), who=who)


def _sentence(kind: str, presence: str, detail: Mapping[str, object]) -> str:
    if kind in {"enrolled", "retired", "approved", "same_machine", "duplicate_identity"}:
        return _identity(kind, detail)
    if kind in {"condition", "condition_over"}:
        said = str(detail.get(f"summary_{locale()}") or detail.get("summary", ""))
        return said if kind == "condition" else _("over: %(condition)s", condition=said)
    if kind in {"crashed", "slept", "absence_explained", "outage"}:
        return _absence(kind, detail)
    if kind == "batches_lost":
        count = _whole(detail.get("count"))
        return ngettext("%(num)s round of measurements lost", "%(num)s rounds of measurements lost", count)
    if kind == "missed_incident":
        return _missed(detail)
    name = str(words.PRESENCE.get(presence, presence))
    reason = str(detail.get("reason") or "")
    return f"{name} ({words.absence(reason)})" if reason else name


def _identity(kind: str, detail: Mapping[str, object]) -> str:
    match kind:
        case "enrolled":
            return _("enrolled")
        case "retired":
            return _("retired")
        case "approved":
            return _("approved: it may stream")
        case "same_machine":
            return _("is its old self again; it was enrolled as %(name)s", name=str(detail.get("was", "")))
        case _:
            return _("another computer tried to use its identity")


def _absence(kind: str, detail: Mapping[str, object]) -> str:
    reason = words.absence(str(detail.get("reason", "")))
    match kind:
        case "crashed":
            return _("restarted unexpectedly: nobody said goodbye before this boot")
        case "slept":
            return _("had slept for %(time)s", time=shown.span(_number(detail.get("seconds"))))
        case "absence_explained":
            return _("explains its silence late: %(reason)s", reason=reason)
        case _:
            return _("silent together with many others: %(reason)s", reason=reason)


def _missed(detail: Mapping[str, object]) -> str:
    said = str(detail.get(f"summary_{locale()}") or detail.get("summary") or detail.get("rule", ""))
    minutes = max(1, round((_number(detail.get("to")) - _number(detail.get("from"))) / 60))
    lasted = ngettext("%(num)s minute", "%(num)s minutes", minutes)
    return _("while it could not be seen, over again after %(minutes)s: %(condition)s", minutes=lasted, condition=said)


def _whole(value: object) -> int:
    return int(_number(value))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _changed(changes: object) -> str:
    """What a person changed, as one sentence."""
    names = {"name": _("Name"), "site": _("Site"), "class": _("Class")}
    told = []
    for field, pair in changes.items() if isinstance(changes, Mapping) else ():
        old, new = (str(pair.get(side, "")) if isinstance(pair, Mapping) else "" for side in ("from", "to"))
        if field == "class":
            old, new = (str(words.CLASS.get(each, each)) for each in (old, new))
        told.append(f"{names.get(str(field), str(field))}: {old or '-'} → {new or '-'}")
    return ", ".join(told)
