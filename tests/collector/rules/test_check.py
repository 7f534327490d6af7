from pathlib import Path

from collector.rules.check import check

RULES = """
groups:
  - name: g
    rules:
      - {alert: Short, expr: 'rate(m_total[20s]) > 1'}
      - {alert: Long, expr: 'avg_over_time(m[2h]) > 1'}
      - alert: Template
        expr: m > 1
        annotations: {summary: '{{ graphLink "m" }}'}
      - {alert: Fine, expr: 'rate(m_total[5m]) > 1', annotations: {summary: '{{ $value | humanize }}'}}
"""


def test_what_is_doubtful_is_told_as_warnings(tmp_path: Path) -> None:
    file = tmp_path / "r.yml"
    file.write_text(RULES)
    assert [str(one).removeprefix(str(file)) for one in check([file])] == [
        ":5:1: warning: Short: a range of 20s holds fewer than two samples",
        ":6:1: warning: Long: looks back 2h, the collector remembers 1h",
        ':7:1: warning: Template: the template of summary will show an error: function "graphLink" not defined',
    ]


def test_mistakes_come_first_and_alone(tmp_path: Path) -> None:
    file = tmp_path / "r.yml"
    file.write_text(RULES + "      - {alert: Bad}\n")
    (finding,) = check([file])
    assert (finding.severity, finding.line, finding.message) == ("error", 11, "a rule needs an expr")


def test_the_default_rules_are_beyond_doubt(default_rules: Path) -> None:
    assert check(sorted(default_rules.glob("*.yml"))) == ()
