import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from collector.promql import metric_names
from collector.rules.check import check, check_text, shown, sources
from collector.rules.lint.catalogue import TEXTFILE, shipped
from collector.rules.load import load

RULES = """
groups:
  - name: g
    rules:
      - {alert: Short, expr: 'rate(node_intr_total[20s]) > 1', for: 5m}
      - {alert: Long, expr: 'avg_over_time(node_load1[2d]) > 1'}
      - alert: Template
        expr: >
          node_load1
            > on (instance) nope
        for: 5m
        annotations: {summary: '{{ graphLink "m" }}'}
      - {alert: Fine, expr: 'rate(node_intr_total[5m]) > 1', annotations: {summary: '{{ $value | humanize }}'}}
"""


def test_what_is_doubtful_is_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "r.yml"
    file.write_text(RULES)
    findings = check([file])
    assert [(f.line, f.column, f.severity, f.rule, f.lint) for f in findings] == [
        (5, 51, "warning", "Short", "windows"),
        (6, 54, "warning", "Long", "retention"),
        (9, 11, "warning", "Template", "blind"),
        (10, 29, "warning", "Template", "unsent"),
        (12, 36, "warning", "Template", "functions"),
    ]
    assert str(findings[1]) == f"{file}:6:54: warning: Long: looks back 2d, the collector remembers 1d"


def test_the_caret_stands_under_the_column_also_in_folded_text(tmp_path: Path) -> None:
    file = tmp_path / "r.yml"
    file.write_text(RULES)
    findings = check([file])
    assert shown(findings[3], sources(findings)) == (
        f"{file}:10:29: warning: Template: no agent of ours sends nope\n"
        "                > on (instance) nope\n"
        "                                ^"
    )


def test_tabs_long_lines_and_hostile_characters_keep_the_caret_in_place(tmp_path: Path) -> None:
    file = tmp_path / "r.yml"
    lead = " or ".join(["node_load1 > 1"] * 20)
    file.write_text(f'groups: [{{name: g, rules: [{{alert: "A\u00ad",\texpr: {lead} or nope > 1, for: 5m}}]}}]\n')
    (finding,) = check([file])
    _, line, caret = shown(finding, sources([finding])).splitlines()
    assert line[caret.index("^") :].startswith("nope > 1")
    assert "\u00ad" not in line


def test_mistakes_stand_beside_remarks_on_the_rules_that_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "r.yml"
    file.write_text(RULES + "      - {alert: Bad}\n")
    findings = check([file])
    assert [f.message for f in findings if f.severity == "error"] == ["a rule needs an expr"]
    assert len(findings) == 6


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (finding,) = check([tmp_path / "gone.yml"])
    assert (finding.severity, finding.line) == ("error", 1)
    assert "cannot be read" in shown(finding, sources([finding]))


def test_a_rule_in_two_files_is_a_mistake(tmp_path: Path) -> None:
    rule = "groups: [{name: g, rules: [{alert: A, expr: node_load1 > 1, for: 5m}]}]"
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(rule)
    (finding,) = check(sorted(tmp_path.glob("*.yml")))
    assert "already stands at" in finding.message


def test_the_default_rules_are_beyond_doubt(default_rules: Path) -> None:
    assert [str(one) for one in check(sorted(default_rules.glob("*.yml"))) if one.counts] == []


def test_of_the_field_packs_all_load_and_it_is_told_what_can_never_match_our_agents(field_rules: list[Path]) -> None:
    findings = check(field_rules)
    assert [str(one) for one in findings if one.severity == "error"] == []
    blind = {
        path.name: {one.rule for one in findings if one.file == str(path) and one.lint == "blind"}
        for path in field_rules
    }
    rules = {path.name: {rule.name for group in load(path) for rule in group.rules} for path in field_rules}
    for name in ("awesome-windows-exporter.yml", "awesome-process-exporter.yml"):
        assert blind[name] == rules[name]  # other exporters' names
    assert len(blind["node-mixin-alerts.yml"] | blind["node-mixin-rules.yml"]) < 6
    assert len(blind["awesome-node-exporter.yml"]) < 6


def test_what_is_called_unsent_is_what_no_metric_of_ours_answers(field_rules: list[Path]) -> None:
    findings = check(field_rules)
    for path in field_rules:
        for group in load(path):
            for rule in group.rules:
                names = {name for name in metric_names(rule.plan) if ":" not in name}
                measured = {name for name in names if name in shipped() and shipped()[name].kind != TEXTFILE}
                told = [one for one in findings if (one.rule, one.file, one.lint) == (rule.name, str(path), "unsent")]
                assert bool(told) is (names != measured), rule.name


ATOMS = st.sampled_from(
    [
        "node_load1", "node_cpu_seconds_total", 'nope{a="b",c!~"d.*"}', "5", "NaN", "vector(1)", "time()", "ALERTS",
        "absent(node_load1)", "rate(node_intr_total[20s] offset 1w)", "max_over_time(node_load1[1h:1m] @ 5)",
        "hour()", "scalar(nope)", "-node_load1", 'count_values("x", node_load1)', 'label_replace(nope,"x","","","")',
        "histogram_quantile(0.9, nope)", "sum without (cpu) (node_cpu_seconds_total)", "topk(2, node_load1)",
    ]
)  # fmt: skip
OPERATORS = st.sampled_from(
    [
        "+", "/", "^", "%", "atan2", "> bool", "==", "<=", "!=", "and", "or", "unless", "and on (cpu)",
        "* on (instance) group_left (mode)", "> ignoring (mode) group_right ()",
    ]
)  # fmt: skip
EXPRESSIONS = st.recursive(ATOMS, lambda below: st.builds("({} {} {})".format, below, OPERATORS, below), max_leaves=12)


@given(st.one_of(EXPRESSIONS, st.text(max_size=60)), st.text(max_size=40))
def test_no_expression_and_no_template_is_too_odd_to_be_checked(expression: str, template: str) -> None:
    rule = {"alert": "A", "expr": expression, "labels": {"severity": template}, "annotations": {"summary": template}}
    text = json.dumps({"groups": [{"name": "g", "query_offset": "1m", "rules": [rule]}]})  # JSON is YAML
    findings = check_text(text, "r.yml")
    for one in findings:
        assert one.line >= 1
        assert one.column >= 1
        assert shown(one, {"r.yml": text.splitlines()}).startswith("r.yml:")
