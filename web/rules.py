"""The rules: every group with its health and its alerts, and one rule with what it asks, has found and leads to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, abort, g, render_template, request, url_for

from collector.alerts.alert import Alert
from collector.store import alerts, tickets
from collector.store.alerts import AlertCounts
from collector.tickets.query import Field, Query, Term
from collector.tickets.ticket import Ticket
from web import runbook
from web.book import Group, Rule
from web.live import Unavailable
from web.settings import parts

PAGE = 100  # rules
_MOST_ALERTS = 100
_NONE = AlertCounts()
# Labels every alert of a rule has alike, or that stand beside it already.
_KNOWN = frozenset({"__name__", "alertname", "company", "host", "job", "severity", "class", "site"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One rule of a name, with its group and how many alerts it has."""

    group: Group
    rule: Rule
    counts: AlertCounts


@dataclass(frozen=True, slots=True)
class Found:
    """One alert of a rule and the ticket that is open about it; `labels` are what tells it from the others."""

    alert: Alert
    labels: dict[str, str]
    ticket: Ticket | None


def blueprint() -> Blueprint:
    """The rules' pages."""
    pages = Blueprint("rules", __name__)
    pages.add_url_rule("/rules", "index", index)
    pages.add_url_rule("/rules/<path:name>", "show", show)
    return pages


def index() -> str:
    """Every group and rule. Numbers are of the reader's companies."""
    here = parts()
    told = here.live.rules()
    groups = () if isinstance(told, Unavailable) else told
    start = max(0, request.args.get("start", 0, type=int))
    with here.store.read() as conn:
        counts = alerts.count_alerts(conn, g.scope)
    rules = [rule for group in groups for rule in group.rules]
    return render_template(
        "rules.html",
        view="rules",
        available=not isinstance(told, Unavailable),
        groups=_page(groups, start),
        next_url=url_for("rules.index", start=start + PAGE) if start + PAGE < len(rules) else None,
        counts={rule.uid: counts.get(rule.uid, _NONE) for rule in rules},
        total=len(rules),
        failing=sum(rule.health == "err" for rule in rules),
        firing=sum(one.firing for one in counts.values()),
        everything=g.scope is None,
    )


def show(name: str) -> str:
    """Every rule of this name; 404 where the collector answers and has none."""
    here = parts()
    told = here.live.rules()
    named = [] if isinstance(told, Unavailable) else [(o, rule) for o in told for rule in o.rules if rule.name == name]
    if not named and not isinstance(told, Unavailable):
        abort(404)
    with here.store.read() as conn:
        counts = alerts.count_alerts(conn, g.scope)
        rows = alerts.alerts_of(conn, [rule.uid for _, rule in named], g.scope, limit=_MOST_ALERTS)
        opened = tickets.open_by_key(conn, [row.key for row in rows])
    return render_template(
        "rule.html",
        view="rules",
        name=name,
        available=not isinstance(told, Unavailable),
        shown=[Shown(group, rule, counts.get(rule.uid, _NONE)) for group, rule in named],
        procedures=_procedures([rule for _, rule in named]),
        alerts=[_found(row, opened.get(row.key)) for row in rows],
        tickets_url=url_for("queue.show", q=str(Query((Term(Field.RULE, (name,)),)))),
        closed_url=url_for("queue.show", view="closed", q=str(Query((Term(Field.RULE, (name,)),)))),
        everything=g.scope is None,
    )


def _page(groups: Sequence[Group], start: int) -> list[Group]:
    """As much of the groups as one page shows, from the rule with this number."""
    shown, left, skipped = [], PAGE, start
    for group in groups:
        rules = group.rules[skipped : skipped + left]
        skipped = max(0, skipped - len(group.rules))
        left -= len(rules)
        if rules:
            shown.append(replace(group, rules=rules))
    return shown


def _procedures(named: Sequence[Rule]) -> list[runbook.Procedure]:
    """Where the rules lead, each place once."""
    addresses = dict.fromkeys(rule.annotations.get("runbook_url", "") for rule in named)
    found = (runbook.procedure(address) for address in addresses)
    return list({one.address: one for one in found if one is not None}.values())


def _found(alert: Alert, ticket: Ticket | None) -> Found:
    mine = ticket is not None and (g.scope is None or ticket.company in g.scope)
    labels = {name: value for name, value in alert.labels if name not in _KNOWN}
    return Found(alert, labels, ticket if mine else None)
