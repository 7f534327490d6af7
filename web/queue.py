"""The queue: every view, search, order and page of it is a URL; the same rows for the page and for live updates."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, flash, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from collector.intake import Intake
from collector.store import BadCursor, search, tickets
from collector.store.search import Order, Page
from collector.tickets.action import Action, Move, Take
from collector.tickets.errors import NotFound, QueryError, TicketError
from collector.tickets.query import Query, View, parse
from collector.tickets.ticket import Status
from web import frame
from web.language import language
from web.security import is_local
from web.settings import parts
from web.translate import gettext as _
from web.translate import ngettext

PAGE = 50
VIEWS = ("mine", "unassigned", "waiting", "all", "closed")
_MOST_AT_ONCE = PAGE
# A header's key and direction -> the store's order. Numbers are given in the order of opening.
ORDERS: Mapping[tuple[str, bool], Order] = {
    ("priority", False): Order.PRIORITY,
    ("age", False): Order.NEWEST,
    ("age", True): Order.OLDEST,
    ("number", False): Order.OLDEST,
    ("number", True): Order.NEWEST,
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a queue's URL asks for; `problem` is what is wrong with its search text."""

    view: str
    words: str
    query: Query
    sort: str
    descending: bool
    cursor: str | None
    problem: str = ""

    @property
    def order(self) -> Order | None:
        """The store's order, None for the view's own."""
        return ORDERS.get((self.sort, self.descending))

    def arguments(self, **changes: str | None) -> dict[str, str]:
        """The URL's arguments that keep this wish; None or empty drops one."""
        kept: dict[str, str | None] = {
            "view": self.view if self.view != "all" else None,
            "q": self.words,
            "sort": self.sort if self.order else None,
            "dir": "desc" if self.descending else None,
            "after": self.cursor,
        }
        return {name: value for name, value in {**kept, **changes}.items() if value}


def blueprint() -> Blueprint:
    """The queue's pages."""
    pages = Blueprint("queue", __name__)
    pages.add_url_rule("/", "home", home)
    pages.add_url_rule("/queue", "show", show, defaults={"view": "all"})
    pages.add_url_rule("/queue/<view>", "show", show)
    pages.add_url_rule("/queue/<view>/rows", "rows", rows)
    pages.add_url_rule("/queue/bulk", "bulk", bulk, methods=["POST"])
    return pages


def home() -> AnyResponse:
    """The queue is home."""
    return redirect(url_for("queue.show"))


def show(view: str) -> str | tuple[str, int]:
    """One page of one view."""
    wish = _wish(view)
    found, unread, problem = _found(wish)
    page = render_template(
        "queue.html",
        view=wish.view,
        words=wish.words,
        page=found,
        unread=unread,
        problem=problem,
        sort=wish.sort,
        descending=wish.descending,
        sort_urls=_sort_urls(wish),
        rows_url=_address("queue.rows", {"view": wish.view, **wish.arguments()}),
        next_url=_address("queue.show", wish.arguments(after=found.next_cursor)) if found.next_cursor else None,
        first_url=_address("queue.show", wish.arguments(after=None)) if wish.cursor else None,
    )
    return (page, 400) if problem else page


def rows(view: str) -> Response:
    """The rows of a page as they are now, and how many of them the browser (`have=` ids) does not show; 304 if same."""
    wish = _wish(view)
    here = parts()
    with here.store.read() as conn:
        stamp = tickets.queue_version(conn, g.scope)
    # Ages and read marks are told once a minute; everything else moves the version.
    seen = f"{stamp}/{int(here.now() // 60)}/{language()}/{g.user.id}/{request.query_string.decode()}"
    answer = make_response()
    answer.set_etag(hashlib.blake2b(seen.encode(), digest_size=12).hexdigest())
    if request.if_none_match.contains(answer.get_etag()[0] or ""):
        answer.status_code = 304
        return answer
    found, unread, problem = _found(wish)
    have = set(request.args.get("have", "").split(","))
    fresh = sum(str(ticket.id) not in have for ticket in found.tickets) if not wish.cursor else 0
    answer.set_data(render_template("rows.html", page=found, unread=unread, fresh=fresh, problem=problem))
    return answer


def bulk() -> AnyResponse:
    """Takes or closes the selected tickets; each on its own, and says which were refused."""
    acts: dict[str, Action] = {"take": Take(), "close": Move(Status.CLOSED)}
    act = acts.get(request.form.get("act", ""))
    numbers = request.form.getlist("ticket")[:_MOST_AT_ONCE]
    if act is None:
        abort(400)
    refused = [number for number in numbers if not _done(parts().intake, number, (act,))]
    done = len(numbers) - len(refused)
    if done:
        flash(ngettext("%(num)s ticket done.", "%(num)s tickets done.", done))
    if refused:
        flash(_("Not possible in their state: %(numbers)s", numbers=", ".join(refused)), "error")
    target = request.form.get("next", "")
    return redirect(target if is_local(target) else url_for("queue.show"), code=303)


def _done(intake: Intake, number: str, actions: Sequence[Action]) -> bool:
    try:
        intake.act(number, actions, frame.actor(), parts().now(), scope=g.scope)
    except NotFound:
        abort(404)
    except TicketError:
        return False
    return True


def _found(wish: Wish) -> tuple[Page, frozenset[int], str]:
    """The page, which of it is unread, and what is wrong with the request."""
    here, problem = parts(), wish.problem
    with here.store.read() as conn:
        if problem:
            return Page((), None, 0), frozenset(), problem
        try:
            found = search.search(
                conn,
                wish.query,
                g.scope,
                at=here.now(),
                view=View(wish.view),
                user_id=g.user.id,
                order=wish.order,
                cursor=wish.cursor,
                limit=PAGE,
            )
        except BadCursor:
            return Page((), None, 0), frozenset(), _("This page is not there any more; start from the first.")
        return found, tickets.unread(conn, g.user.id, found.tickets), ""


def _wish(view: str) -> Wish:
    if view not in VIEWS:
        abort(404)
    words, sort = request.args.get("q", "").strip(), request.args.get("sort", "")
    query, problem = Query(), ""
    try:
        query = parse(words)
    except QueryError as wrong:
        problem = _("The search has a mistake at character %(column)s.", column=wrong.column)
    if not sort and view != "closed":
        sort = "priority"
    descending = request.args.get("dir") == "desc"
    return Wish(view, words, query, sort, descending, request.args.get("after") or None, problem)


def _address(endpoint: str, arguments: Mapping[str, str]) -> str:
    values: dict[str, Any] = dict(arguments)
    return url_for(endpoint, **values)


def _sort_urls(wish: Wish) -> dict[str, str]:
    """What a click on each header asks for: its first direction, or the other one."""
    first = {"priority": False, "age": True, "number": True}
    urls = {}
    for key, descending in first.items():
        other = wish.sort == key and wish.descending == descending and (key, not descending) in ORDERS
        turned = descending != other
        changes = {"sort": key, "dir": "desc" if turned else None, "after": None}
        urls[key] = _address("queue.show", wish.arguments(**changes))
    return urls
