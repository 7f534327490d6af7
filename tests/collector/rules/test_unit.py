import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from collector.head.slab import stale
from collector.labels import Labels
from collector.rules.errors import RuleError, RuleFileError
from collector.rules.notation import read_series, read_values
from collector.rules.unit import run_tests

RULES = """
groups:
  - name: g
    rules:
      - {record: twice, expr: m * 2}
      - alert: High
        expr: twice > 4
        for: 2m
        keep_firing_for: 1m
        labels: {severity: warning}
        annotations: {summary: '{{ $labels.instance }} has {{ $value }}'}
"""
HIGH = """
        exp_alerts:
          - exp_labels: {severity: warning, instance: a}
            exp_annotations: {summary: a has 6}
"""
PASSES = [
    f"- {{eval_time: 4m, alertname: High, exp_alerts: []}}\n      - eval_time: 5m\n        alertname: High{HIGH}",
    f"- eval_time: 9m30s\n        alertname: High{HIGH}",
    "- {eval_time: 10m, alertname: High}",
    "- {eval_time: 5m, alertname: Other}",
]
FAILS = [
    "- {eval_time: 5m, alertname: High, exp_alerts: []}",
    f"- eval_time: 10m\n        alertname: High{HIGH}",
    f"- eval_time: 5m\n        alertname: High{HIGH.replace('a has 6', 'a has 7')}",
    f"- eval_time: 5m\n        alertname: High{HIGH.replace('warning', 'info')}",
    "- {eval_time: 5m, alertname: High, exp_alerts: [{exp_labels: {severity: warning, instance: b}}]}",
]
EXPRESSIONS_PASS = [
    "{expr: twice, eval_time: 3m, exp_samples: [{labels: 'twice{instance=\"a\"}', value: 6}]}",
    "{expr: sum(m), eval_time: 3m, exp_samples: [{labels: '{}', value: 3}]}",
    "{expr: gone, eval_time: 3m}",
    "{expr: m, eval_time: 9m, exp_samples: []}",
    """{expr: ALERTS, eval_time: 3m, exp_samples: [{value: 1, labels: 'ALERTS{alertname="High",alertstate="pending",
       instance="a",severity="warning"}'}]}""",
]
EXPRESSIONS_FAIL = [
    "{expr: twice, eval_time: 3m, exp_samples: [{labels: 'twice{instance=\"a\"}', value: 6.1}]}",
    "{expr: twice, eval_time: 3m, exp_samples: []}",
    "{expr: sum(m), eval_time: 3m, exp_samples: [{labels: 'm', value: 3}]}",
]


def write(folder: Path, alerts: str = "", expression: str = "") -> Path:
    (folder / "r.yml").write_text(RULES)
    alerts = f"    alert_rule_test:\n      {alerts}\n" if alerts else ""
    expression = f"    promql_expr_test:\n      - {expression}\n" if expression else ""
    path = folder / "r.test.yml"
    path.write_text(
        "rule_files: [r.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n"
        "      - {series: 'm{instance=\"a\"}', values: '1 _ 2 3x5 stale _x4'}\n" + alerts + expression
    )
    return path


def promtool(path: Path) -> bool:
    ran = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert ("SUCCESS" in ran.stdout) is (ran.returncode == 0), ran.stdout + ran.stderr
    assert ran.returncode == 0 or "exp:" in ran.stdout + ran.stderr, ran.stdout + ran.stderr
    return ran.returncode == 0


@pytest.mark.server("promtool")
@pytest.mark.parametrize("alerts", [*PASSES, *FAILS])
def test_verdicts_about_alerts_are_promtools(tmp_path: Path, alerts: str) -> None:
    path = write(tmp_path, alerts)
    assert (run_tests(path) == ()) is promtool(path)


@pytest.mark.server("promtool")
@pytest.mark.parametrize("expression", [*EXPRESSIONS_PASS, *EXPRESSIONS_FAIL])
def test_verdicts_about_expressions_are_promtools(tmp_path: Path, expression: str) -> None:
    path = write(tmp_path, expression=expression)
    assert (run_tests(path) == ()) is promtool(path)


@pytest.mark.parametrize("alerts", PASSES)
def test_an_expectation_that_holds_is_no_failure(tmp_path: Path, alerts: str) -> None:
    assert run_tests(write(tmp_path, alerts)) == ()


@pytest.mark.parametrize("alerts", FAILS)
def test_an_expectation_that_does_not_hold_is_told_with_its_line(tmp_path: Path, alerts: str) -> None:
    (failure,) = run_tests(write(tmp_path, alerts))
    assert failure.line == 8
    assert "expected: " in str(failure)
    assert "got: " in str(failure)


@pytest.mark.parametrize("expression", EXPRESSIONS_FAIL)
def test_a_wrong_sample_is_told(tmp_path: Path, expression: str) -> None:
    (failure,) = run_tests(write(tmp_path, expression=expression))
    assert "at 180 s" in failure.message


def test_a_rule_that_fails_fails_its_test(tmp_path: Path) -> None:
    path = write(tmp_path, "- {eval_time: 0m, alertname: High}")
    text = "groups:\n  - name: g\n    rules:\n      - {alert: A, expr: m, labels: {instance: x}}\n"
    (tmp_path / "r.yml").write_text(text)
    path.write_text(
        path.read_text().replace("alert_rule_test", '  - {series: m{b="c"}, values: 1}\n    alert_rule_test')
    )
    path.write_text(path.read_text().replace('m{b="c"}', "'m{instance=\"b\"}'"))
    assert "two results with the same labels" in str(run_tests(path)[0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tests: [{name: x, nope: 1}]", "1:19: unknown field 'nope'"),
        ("rule_files: [gone.yml]", "no rule file matches 'gone.yml'"),
        ("tests: [{input_series: [{series: m, values: '{{schema:1}}'}]}]", "native histograms are not supported"),
        ("tests: [{input_series: [{series: 'm{', values: 1}]}]", "not a series"),
        ("evaluation_interval: 0", "evaluation_interval must be longer than 0"),
        ("tests: [{interval: x}]", "not a duration"),
        ("tests: {}", "must be a list"),
        ("tests: [{alert_rule_test: [{eval_time: 99999d, alertname: A}]}]", "more than 200000 evaluations"),
    ],
)
def test_a_broken_test_file_is_told_as_such(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "t.yml"
    path.write_text(text)
    with pytest.raises(RuleFileError) as caught:
        run_tests(path)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2 -3.5", [1, 2, -3.5]), ("1+2x3", [1, 3, 5, 7]), ("5-2x2", [5, 3, 1]), ("-2+4x1", [-2, 2]),
        ("7x2", [7, 7, 7]), ("_ 1 _x2", [None, 1, None, None]), ("1e3 0x2 .5", [1000, 0, 0, 0, 0.5]),
        ("Inf -Inf", [math.inf, -math.inf]), ("", []),
    ],
)  # fmt: skip
def test_values_are_read_as_promtool_reads_them(text: str, values: list[float | None]) -> None:
    assert read_values(text) == values


def test_stale_is_the_marker_and_not_a_number() -> None:
    (value,) = read_values("stale")
    assert stale(np.array([value])).all()


@pytest.mark.parametrize(
    "text", ["x", "1+x3", "1+1", "1x", "--1", "_x", "1x9999999", "0xff", "{{x}}", " ".join(["1x190000"] * 2)]
)
def test_other_values_are_refused(text: str) -> None:
    with pytest.raises(RuleError):
        read_values(text)


def test_a_series_is_read() -> None:
    assert read_series("m") == Labels.of(__name__="m")
    assert read_series(' m { a = "b\\"c" , d=\'e\', } ') == Labels.of(__name__="m", a='b"c', d="e")
    assert read_series('{__name__="m"}') == Labels.of(__name__="m")
    for text in ("m{", "m{a}", 'm{a="b" c="d"}', "1", 'm{a="b"'):
        with pytest.raises(RuleError):
            read_series(text)
