"""What an administrator says about an identity: this computer may stream, and this one is that one again."""

from flask import Blueprint, abort, flash, g, redirect, request, url_for
from werkzeug.wrappers import Response

from collector.store import hosts, machines
from collector.store.hosts import Host
from web import frame
from web.settings import parts
from web.translate import gettext as _


def blueprint() -> Blueprint:
    """Two forms of the computers' page."""
    pages = Blueprint("machines", __name__)
    pages.add_url_rule("/hosts/<host_id>/approve", "approve", approve, methods=["POST"])
    pages.add_url_rule("/hosts/<host_id>/same", "same", same, methods=["POST"])
    return pages


def approve(host_id: str) -> Response:
    """The computer may stream from its next try on."""
    here, host = parts(), _asked(host_id)
    with here.store.write() as conn:
        if machines.approve(conn, host.id, here.now()):
            hosts.add_host_event(conn, host.id, here.now(), "approved", {"by": frame.actor().name})
    return redirect(url_for("hosts.index"), code=303)


def same(host_id: str) -> Response:
    """`answer` yes: it takes over name, tickets and timeline of its old self; no: it stays a computer of its own."""
    here, host = parts(), _asked(host_id)
    with here.store.write() as conn:
        if request.form.get("answer") == "no":
            done = machines.is_not_same(conn, host.id)
        else:
            done = machines.is_same(conn, host.id, here.now()) is not None
            if done:
                detail = {"was": host.name, "by": frame.actor().name}
                hosts.add_host_event(conn, host.id, here.now(), "same_machine", detail)
    if not done:
        flash(_("Somebody has answered meanwhile; nothing was changed."), "error")
    return redirect(url_for("hosts.index"), code=303)


def _asked(host_id: str) -> Host:
    with parts().store.read() as conn:
        host = hosts.host(conn, host_id, g.scope)
    if host is None:
        abort(404)
    if g.user.role != "admin":
        abort(403)
    return host
