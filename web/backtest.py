"""Pasted rules on the collector's own history: how many tickets, how many that nobody needed.

For those who see every company: rules reach all hosts. Nothing is stored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, g, render_template, request

from web import preview
from web.book import Finding, Rehearsal
from web.live import Unavailable
from web.settings import parts

_MOST_EPISODES = 200
_MOST_FINDINGS = 50


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding with the line it is about."""

    finding: Finding
    place: preview.Mistake


def blueprint() -> Blueprint:
    """The page of a back-test."""
    pages = Blueprint("backtest", __name__)
    pages.add_url_rule("/backtest", "form", form)
    pages.add_url_rule("/backtest", "run", run, methods=["POST"])
    return pages


def form() -> str:
    """Where rules are pasted."""
    _only_for_all()
    return _page("")


def run() -> str | tuple[str, int]:
    """Checks the text first, as mistakes have a line there; then tries it."""
    _only_for_all()
    rules = request.form.get("rules", "").replace("\r\n", "\n")
    if not rules.strip():
        return _page(""), 422
    live = parts().live
    found = live.check(rules)
    if isinstance(found, Unavailable):
        return _page(rules, unavailable=True), 503
    remarks = [_remark(rules, finding) for finding in found[:_MOST_FINDINGS]]
    if any(finding.severity == "error" for finding in found):
        return _page(rules, remarks=remarks), 422
    tried = live.backtest(rules)
    if isinstance(tried, Unavailable):
        return _page(rules, remarks=remarks, said=tried.said, unavailable=not tried.said), 422 if tried.said else 503
    return _page(rules, remarks=remarks, tried=tried)


def _only_for_all() -> None:
    if g.scope is not None:
        abort(403)


def _page(
    rules: str,
    *,
    remarks: Sequence[Remark] = (),
    tried: Rehearsal | None = None,
    said: str = "",
    unavailable: bool = False,
) -> str:
    return render_template(
        "backtest.html",
        view="rules",
        rules=rules,
        remarks=remarks,
        tried=tried,
        episodes=tried.episodes[:_MOST_EPISODES] if tried else (),
        where=_where,
        said=said,
        unavailable=unavailable,
    )


def _where(labels: Mapping[str, str]) -> str:
    """What an alert is about; its rule stands beside it."""
    return preview.name_of({name: value for name, value in labels.items() if name != "alertname"})


def _remark(rules: str, finding: Finding) -> Remark:
    lines = rules.split("\n")
    line = lines[finding.line - 1] if 0 < finding.line <= len(lines) else ""
    return Remark(finding, preview.mistake(line, finding.message, finding.column))
