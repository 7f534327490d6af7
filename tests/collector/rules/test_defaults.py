import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from collector.rules.load import load_files
from collector.rules.model import AlertRule
from collector.rules.schedule import Schedule
from collector.rules.unit import run_tests

HERE = Path(__file__).parent
TESTS = sorted((HERE / "defaults").glob("*.test.yml"))
ANNOTATIONS = {"summary", "description", "summary_pl", "description_pl", "runbook_url", "noise_budget"}

HEADINGS = {
    "en": ["What it means", "Look", "Do", "Escalate", "When it recovers"],
    "pl": ["Co to znaczy", "Sprawdź", "Zrób", "Przekaż dalej", "Kiedy ustępuje"],
}


@pytest.fixture
def rules(default_rules: Path) -> list[AlertRule]:
    groups = load_files(sorted(default_rules.glob("*.yml")))
    return [rule for group in groups for rule in group.rules if isinstance(rule, AlertRule)]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.split(".")[0])
def test_a_default_rule_fires_is_quiet_and_recovers_as_its_tests_say(path: Path) -> None:
    assert run_tests(path) == ()


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.split(".")[0])
def test_a_default_rule_recovers_by_proof_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in the collector, where an alert that is not considered waits instead of recovering.
    def proving(*given: Any, **more: Any) -> Schedule:
        return Schedule(*given, **{**more, "needs_proof": True})

    monkeypatch.setattr("collector.rules.unit.Schedule", proving)
    assert run_tests(path) == ()


@pytest.mark.server("promtool")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.split(".")[0])
def test_promtool_comes_to_the_same_verdict(path: Path) -> None:
    ran = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.server("promtool")
def test_promtool_finds_nothing_to_lint(default_rules: Path) -> None:
    files = sorted(default_rules.glob("*.yml"))
    ran = subprocess.run(["promtool", "check", "rules", *files], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_default_rule_has_a_test_that_fires_it(rules: list[AlertRule]) -> None:
    for name in {rule.name for rule in rules}:
        text = (HERE / "defaults" / f"{name}.test.yml").read_text()
        assert "exp_labels" in text
        assert "exp_alerts: []" in text


def test_every_default_rule_speaks_both_languages_and_has_a_runbook_in_both(
    rules: list[AlertRule], default_rules: Path
) -> None:
    docs = default_rules.parents[2] / "docs"
    for rule in rules:
        assert rule.annotations.keys() == ANNOTATIONS
        assert rule.annotations["runbook_url"] == f"runbooks/en/{rule.name}"
        for language in ("en", "pl"):
            page = (docs / "runbooks" / language / f"{rule.name}.md").read_text()
            assert f"`{rule.name}`" in page
            assert re.findall("^## (.+)$", page, re.MULTILINE) == HEADINGS[language]


def test_every_default_rule_says_how_much_it_matters(rules: list[AlertRule]) -> None:
    for rule in rules:
        assert rule.labels["severity"] in ("info", "warning", "critical")
        assert {rule.labels["impact"], rule.labels["urgency"]} <= {"high", "medium", "low"}
        assert rule.labels["queue"] == "helpdesk"
