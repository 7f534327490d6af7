"""The table of the default pack in docs/rules/pack.md is the files; and what the files promise as a whole."""

import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from collector.rules.duration import format_duration
from collector.rules.load import load_files
from collector.rules.model import AlertRule

CLASSES = (("servers", re.compile(r'class="server"')), ("others", re.compile(r'class!="server"')))
HEAD = """# The default pack

Made from `collector/rules/defaults/`; `CZUWAK_ACCEPT=1 pytest tests/collector/rules/test_pack.py` makes it again.
A *ticket* is opened in the queue. An *entry* is a line on the host's page and nothing else: its rule has the label
`ticket: "no"`. Others are workstations, laptops and kiosks. The budget is how many tickets a hundred hosts may make
in a month before the rule's threshold is to be looked at again.

| Rule | Condition | For | Servers | Others | Severity | Budget |
|---|---|---|---|---|---|---|
"""


@pytest.fixture
def rules(default_rules: Path) -> list[AlertRule]:
    groups = load_files(sorted(default_rules.glob("*.yml")))
    return [rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)]


@pytest.fixture
def docs(default_rules: Path) -> Path:
    return default_rules.parents[2] / "docs"


def told(rule: AlertRule) -> str:
    return "entry" if rule.labels.get("ticket") == "no" else "ticket"


def for_class(variants: list[AlertRule], wanted: str) -> str:
    """What the rule does for a class: a selector of the class says so, no selector is for all."""
    for rule in variants:
        if 'class!~"workstation|laptop"' in rule.expression:
            return told(rule) if wanted == "servers" else f"{told(rule)} (kiosks)"
        if 'class=~"workstation|laptop"' in rule.expression:
            return "-" if wanted == "servers" else told(rule)
        named = [name for name, pattern in CLASSES if pattern.search(rule.expression)]
        if wanted in named or not named:
            return told(rule)
    return "-"


def row(variants: list[AlertRule], docs: Path) -> str:
    rule = variants[0]
    title = (docs / "runbooks/en" / f"{rule.name}.md").read_text().partition("\n")[0].removeprefix("# ")
    cells = (
        f"[{rule.name}](../runbooks/en/{rule.name}.md)",
        title,
        format_duration(rule.for_seconds) if rule.for_seconds else "at once",
        *(for_class(variants, name) for name, _ in CLASSES),
        rule.labels["severity"],
        rule.annotations["noise_budget"],
    )
    return f"| {' | '.join(cells)} |\n"


def by_name(rules: list[AlertRule]) -> Iterator[list[AlertRule]]:
    ordered = sorted(rules, key=lambda rule: rule.name)
    return (list(variants) for _, variants in groupby(ordered, key=lambda rule: rule.name))


def test_the_table_is_what_the_files_say(rules: list[AlertRule], docs: Path) -> None:
    table = HEAD + "".join(row(variants, docs) for variants in by_name(rules))
    if os.environ.get("CZUWAK_ACCEPT") == "1":
        (docs / "rules/pack.md").write_text(table, encoding="utf-8")
    assert table == (docs / "rules/pack.md").read_text(encoding="utf-8"), (
        "if this is meant: CZUWAK_ACCEPT=1 pytest tests/collector/rules/test_pack.py"
    )


def test_only_tickets_have_a_budget(rules: list[AlertRule]) -> None:
    for variants in by_name(rules):
        budget = float(variants[0].annotations["noise_budget"])
        assert (budget > 0) == ("ticket" in {told(rule) for rule in variants}), variants[0].name


def test_a_hundred_hosts_make_about_one_ticket_a_day_at_most(rules: list[AlertRule]) -> None:
    assert sum(float(variants[0].annotations["noise_budget"]) for variants in by_name(rules)) <= 31


def test_an_entry_is_never_more_than_information(rules: list[AlertRule]) -> None:
    entries = [rule for rule in rules if told(rule) == "entry"]
    assert {(rule.labels["severity"], rule.labels["impact"], rule.labels["urgency"]) for rule in entries} == {
        ("info", "low", "low")
    }


def test_a_rule_of_two_classes_says_the_same_in_the_same_words(rules: list[AlertRule]) -> None:
    for first, *more in by_name(rules):
        assert all(rule.annotations == first.annotations for rule in more)
        assert all(
            (rule.for_seconds, rule.keep_firing_for) == (first.for_seconds, first.keep_firing_for) for rule in more
        )


def test_no_rule_looks_back_further_than_an_hour(rules: list[AlertRule]) -> None:
    assert max(rule.plan.max_range for rule in rules) <= 3600
