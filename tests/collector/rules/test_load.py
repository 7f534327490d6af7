import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.rules.errors import RuleFileError
from collector.rules.load import LARGEST, load, load_files, load_text
from collector.rules.model import AlertRule, RecordRule


def text(source: str) -> str:
    return textwrap.dedent(source).lstrip("\n")


def mistakes(source: str) -> list[str]:
    with pytest.raises(RuleFileError) as caught:
        load_text(text(source), "r.yml")
    return [str(mistake) for mistake in caught.value.mistakes]


WHOLE = """
    groups:
      - name: g
        interval: 30s
        limit: 5
        query_offset: 1m
        labels: {team: infra}
        rules:
          - record: instance:up:sum
            expr: sum by (instance) (up)
            labels: {a: b}
          - alert: Down
            expr: up == 0
            for: 5m
            keep_firing_for: 90s
            labels: {severity: 1}
            annotations: {summary: "{{ $labels.instance }} is down"}
"""


def test_a_whole_file_is_read() -> None:
    (group,) = load_text(text(WHOLE), "r.yml")
    record, alert = group.rules
    assert (group.name, group.file, group.interval, group.limit, group.query_offset) == ("g", "r.yml", 30.0, 5, 60.0)
    assert group.labels == {"team": "infra"}
    assert isinstance(record, RecordRule)
    assert (record.name, record.labels, record.line) == ("instance:up:sum", {"a": "b"}, 8)
    assert isinstance(alert, AlertRule)
    assert (alert.for_seconds, alert.keep_firing_for, alert.labels) == (300.0, 90.0, {"severity": "1"})
    assert (alert.expression, alert.plan.expression, alert.line) == ("up == 0", "up == 0", 11)


@pytest.mark.parametrize("source", ["", "# only a comment\n", "groups:\n", "groups: []\n", "---\ngroups:\n- name: g\n"])
def test_a_file_may_have_no_rules(source: str) -> None:
    assert all(not group.rules for group in load_text(source, "r.yml"))


def test_a_rule_keeps_its_identity_wherever_it_stands_and_loses_it_with_its_expression() -> None:
    def uid(source: str) -> str:
        return load_text(text(source), "r.yml")[0].rules[-1].uid

    assert uid(WHOLE) == uid(WHOLE.replace("for: 5m", "for: 6m").replace("is down", "is gone"))
    assert uid(WHOLE) != uid(WHOLE.replace("up == 0", "up < 1"))
    assert uid(WHOLE) != uid(WHOLE.replace("severity: 1", "severity: 2"))


def test_all_mistakes_of_a_file_are_told_at_once_with_their_places() -> None:
    found = mistakes("""
        groups:
          - name: g
            intervall: 5s
            interval: 5 minutes
            limit: many
            rules:
              - alert: A
                record: a
                expr: up
              - expr: up
              - alert: B
              - record: "not a name"
                expr: up
                for: 5m
                annotations: {a: b}
              - alert: C
                expr: [up]
                labels: {__name__: x, "9": y, ok: [1]}
              - alert: D
                expr: up ==
              - just text
          - name: g
          - rules: {}
        extra: 1
    """)
    assert found == [
        "r.yml:3:5: unknown field 'intervall' in a group (known: name, interval, limit, query_offset, labels, rules)",
        "r.yml:4:15: not a duration: '5 minutes' (write it as 30s, 5m or 1h30m)",
        "r.yml:5:12: must be a whole number, not 'many'",
        "r.yml:7:9: a rule needs exactly one of alert and record",
        "r.yml:10:9: a rule needs exactly one of alert and record",
        "r.yml:11:9: a rule needs an expr",
        "r.yml:12:17: not a metric name: 'not a name'",
        "r.yml:14:14: for belongs to alerts, not to a recording rule",
        "r.yml:15:22: annotations belongs to alerts, not to a recording rule",
        "r.yml:17:15: a rule needs an expr",
        "r.yml:17:15: must be a text, not a list",
        "r.yml:18:18: not a name of a label: '__name__'",
        "r.yml:18:31: not a name of a label: '9'",
        "r.yml:18:43: must be a text, not a list",
        *[one for one in found if one.startswith("r.yml:20:")],
        "r.yml:21:9: a rule must be a mapping, not a text",
        "r.yml:22:5: group 'g' already stands in line 2",
        "r.yml:23:5: a group needs a name",
        "r.yml:23:12: must be a list, not a mapping",
        "r.yml:24:1: unknown field 'extra' in a rule file (known: groups)",
    ]
    assert sum(one.startswith("r.yml:20:") for one in found) == 1


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("expr: up + foo_bad(x)", 5, 20),
        ("expr: 'up + foo_bad(x)'", 5, 21),
        ("expr: |\n          up\n\n            + foo_bad(x)", 8, 15),
        ("expr: >-\n          up +\n          foo_bad(x)", 7, 11),
        ("expr: up +\n          foo_bad(x)", 6, 11),
        ('\'expr\': "up{a=\\"b\\"} + foo_bad(x)"', 5, 32),
    ],
)
def test_a_mistake_in_an_expression_is_told_at_its_place_in_the_file(written: str, line: int, column: int) -> None:
    source = f"groups:\n  - name: g\n    rules:\n      - alert: A\n        {written}\n"
    with pytest.raises(RuleFileError) as caught:
        load_text(source, "r.yml")
    (mistake,) = caught.value.mistakes
    assert mistake.message.startswith("expr: ")
    assert (mistake.line, mistake.column) == (line, column)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("groups: [", "r.yml:2:1: not YAML: "),
        ("groups:\n\t- a", "r.yml:2:1: not YAML: "),
        ("a: b\n---\nc: d\n", "r.yml:2:1: only one YAML document"),
        ("- a\n", "r.yml:1:1: a rule file must be a mapping"),
        ("[" * 200_000, "r.yml:1:33: nested deeper than 32 levels"),
        ("{a: " * 5000, "nested deeper than 32 levels"),
        ("groups: &a [*a]", "an alias of itself"),
        ("groups: !!python/object/apply:os.system ['true']", "r.yml:1:42: a group must be a mapping"),
        ("groups:\n- name: a\n  name: b\n", "r.yml:3:3: field 'name' stands twice"),
        ("groups: \x00", "not YAML"),
        ("#" * (LARGEST + 1), "larger than 1 MiB"),
    ],
)
def test_what_is_not_a_rule_file_is_refused_with_its_place(source: str, told: str) -> None:
    with pytest.raises(RuleFileError, match=r"r\.yml") as caught:
        load_text(source, "r.yml")
    assert told in str(caught.value)


def test_aliases_cannot_multiply_a_file() -> None:
    many = ", ".join(["1"] * 900)
    levels = "".join(f"  l{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 15)}]\n" for n in range(4))
    with pytest.raises(RuleFileError, match="more than 200000 values"):
        load_text(f"groups:\n  l0: &a0 [{many}]\n{levels}", "r.yml")
    with pytest.raises(RuleFileError, match="more than 64 YAML aliases"):
        load_text(f"a: &a x\ngroups: [{', '.join(['*a'] * 65)}]", "r.yml")


def test_the_same_rule_twice_is_refused_within_and_across_files(tmp_path: Path) -> None:
    rules = "groups:\n  - name: g\n    rules:\n      - {alert: A, expr: up == 0}\n"
    assert "already stands in line 4" in str(mistakes(rules + "      - {alert: A, expr: up == 0}\n"))
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(rules)
    with pytest.raises(RuleFileError, match=r"b\.yml:4:1: the same rule 'A' already stands at .*a\.yml:4"):
        load_files([tmp_path / "a.yml", tmp_path / "b.yml"])


def test_mistakes_of_all_files_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("x: 1\n")
    (tmp_path / "b.yml").write_bytes(b"groups:\n- name: \xff\n")
    with pytest.raises(RuleFileError) as caught:
        load_files([tmp_path / "a.yml", tmp_path / "b.yml", tmp_path / "gone.yml"])
    assert [str(one).split(str(tmp_path) + "/")[1] for one in caught.value.mistakes] == [
        "a.yml:1:1: unknown field 'x' in a rule file (known: groups)",
        "b.yml:2:9: not UTF-8 text",
        "gone.yml:1:1: cannot be read: No such file or directory",
    ]


def test_the_packs_of_the_field_load_or_name_what_is_missing(field_rules: list[Path]) -> None:
    loaded = 0
    for path in field_rules:
        try:
            loaded += sum(len(group.rules) for group in load(path))
        except RuleFileError as error:
            assert all(one.message.startswith("expr: ") for one in error.mistakes), str(error)  # noqa: PT017
    assert loaded > 60


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from(list("groups:namelxp -\n[]{}&*'\"|>!#%@`01?,\t")), max_size=120))
def test_any_text_is_rules_or_mistakes(source: str) -> None:
    try:
        load_text(f"groups:\n  - name: g\n    rules:\n{source}", "r.yml")
    except RuleFileError as error:
        assert error.mistakes  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('groups:\n  - name: "a\\ud800"\n', "r.yml:2:15: not YAML: found invalid Unicode character escape code"),
        ("groups:\n  - name: a\ud800\n", "r.yml:2:12: half a surrogate pair is no character"),
        ("\udfffgroups: []\n", "r.yml:1:1: half a surrogate pair is no character"),
    ],
)
def test_half_a_surrogate_pair_is_a_mistake_with_its_place(text: str, message: str) -> None:
    with pytest.raises(RuleFileError) as caught:
        load_text(text, "r.yml")
    assert message in str(caught.value)
