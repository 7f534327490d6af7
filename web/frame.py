"""What every page has around its own part: the side's counts, the reader, names of things, addresses of files."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flask import Flask, g, render_template, request, url_for
from markupsafe import Markup

from collector.store import search
from collector.tickets.query import Field, Query, Term
from collector.tickets.ticket import Actor
from web import show, words
from web.language import NAMES, keys_on, language, theme
from web.settings import parts

_HTMX = "vendor/htmx.min.js"
_URGENT = Query((Term(Field.PRIORITY, ("P1",)),))


@dataclass(frozen=True, slots=True)
class Side:
    """The numbers of the side's views; `urgent` is how many P1 stand in the queue."""

    views: Mapping[str, int]
    urgent: int


def install(app: Flask) -> None:
    """Makes names, marks and addresses known to the templates."""
    folder = Path(str(app.static_folder))
    prints = {name: _fingerprint(folder / name) for name in ("tokens.css", "app.css", "app.js", "icon.svg", _HTMX)}
    app.jinja_env.globals.update(
        asset=partial(_asset, prints),
        htmx=bool(prints[_HTMX]),
        htmx_tags=_htmx_tags,
        hour=show.hour,
        languages=NAMES,
        status_names=words.STATUS,
        pills=words.PILL,
        kind_names=words.KIND,
        source_names=words.SOURCE,
        impact_names=words.IMPACT,
        urgency_names=words.URGENCY,
        level_names=words.LEVEL,
        urgency_levels=words.URGENCY_LEVEL,
        role_names=words.ROLE,
        class_names=words.CLASS,
        presence_names=words.PRESENCE,
        absence=words.absence,
        view_names=words.VIEW,
        queue_names=words.QUEUE,
        queue_name=words.queue_name,
        now=lambda: parts().now(),
    )
    app.context_processor(_context)


def actor() -> Actor:
    """Who acts in this request."""
    return Actor(g.user.id, g.user.name)


def side() -> Side:
    """The side's numbers."""
    here = parts()
    with here.store.read() as conn:
        numbers = search.counts(conn, g.scope, g.user.id)
        urgent = search.search(conn, _URGENT, g.scope, at=here.now(), limit=1)
    views = {"mine": numbers.mine, "unassigned": numbers.unassigned, "waiting": numbers.waiting, "all": numbers.all}
    return Side(views, urgent.total)


def _context() -> dict[str, object]:
    made: dict[str, object] = {
        "lang": language(),
        "theme": theme(),
        "keys_on": keys_on(),
        "me": g.get("user"),
        "here": request.full_path.rstrip("?") if request.method == "GET" else "/",
    }
    if g.get("user"):
        made["side"] = side()
    return made


def _asset(prints: Mapping[str, str], name: str) -> str:
    return url_for("static", filename=name, v=prints.get(name) or None)


def _htmx_tags() -> Markup:
    """The renewer, htmx, without what our policy forbids: no inline style, no evaluated text, only this site."""
    return Markup(render_template("_htmx.html"))  # noqa: S704 - our own template, already escaped


def _fingerprint(path: Path) -> str:
    """Part of a file's hash, so that a browser may keep it forever; empty where the file is not there."""
    return hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest() if path.is_file() else ""
