import ast
import math
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.labels import Labels
from collector.rules.errors import TemplateError
from collector.rules.load import load_files
from collector.rules.model import AlertRule
from collector.rules.template import LONGEST, compile_template, expand

LABELS = Labels.of(__name__="v", instance="srv1", device="/dev/sda1")


@pytest.mark.parametrize(
    ("text", "value", "out"),
    [
        ("no action", 1.0, "no action"),
        ("{{ $labels.instance }}:{{ .Labels.device }}", 1.0, "srv1:/dev/sda1"),
        ("{{ $labels.nothing }}", 1.0, ""),
        ("{{ $labels }}", 1.0, "map[__name__:v device:/dev/sda1 instance:srv1]"),
        ("{{ $value }} {{ .Value }}", 0.5, "0.5 0.5"),
        ("{{ $value }}", 1e6, "1e+06"),
        ('{{ printf "%.2f" $value }}', 12.345, "12.35"),
        ('{{ $value | printf "%.1f%%" }}', 99.96, "100.0%"),
        ("{{ $value | humanize }}", 1234567.0, "1.235M"),
        ("{{ humanize1024 $value }}B", 1536.0, "1.5kiB"),
        ("{{ $value | humanizeDuration }}", 93784.0, "1d 2h 3m 4s"),
        ("{{ $value | humanizePercentage }}", 0.9312, "93.12%"),
        ("{{ $value | humanizeTimestamp }}", 1451606400.0, "2016-01-01 00:00:00 +0000 UTC"),
        ("{{ $labels.instance | toUpper | toLower | title }}", 1.0, "Srv1"),
        ("a {{- 5 -}} b {{/* a note */}}c", 1.0, "a5b c"),
        ('{{ (printf "%s" "x") | toUpper }}', 1.0, "X"),
        ("{{ `}}` }}", 1.0, "}}"),
        ("{{ $value }}", math.inf, "+Inf"),
    ],
)
def test_a_template_is_filled_in(text: str, value: float, out: str) -> None:
    assert expand(text, LABELS, value) == out


@pytest.mark.parametrize(
    "text",
    [
        "{{ query `up` }}", "{{ if true }}x{{ end }}", "{{ with $value }}x{{ end }}", "{{ $x }}", "{{ $value.x }}",
        "{{ }}", "{{ $value", '{{ "', "{{ | }}", "{{ humanize }}", '{{ humanize "x" }}', "{{ $labels | toUpper }}",
        "{{ ( }}", "{{ ) }}", "{{ 5 $value }}", "{{ printf }}", "{{ humanizeTimestamp 1e300 }}", "{{ {{ }} }}",
        "{{ " + "(" * 5000 + " }}",
    ],
)  # fmt: skip
def test_what_is_not_supported_says_so_in_the_text(text: str) -> None:
    assert expand(f"x {text}", LABELS, 1.0).startswith("<error expanding template: ")


def test_a_label_never_becomes_a_template() -> None:
    assert expand("{{ $labels.a }}", Labels.of(a="{{ $value }}"), 1.0) == "{{ $value }}"


def test_an_expansion_is_at_most_four_kibibytes() -> None:
    out = expand("{{ $labels.a }}", Labels.of(a="ż" * 5000), 1.0)
    assert len(out.encode()) <= LONGEST
    assert out.endswith("…")


@given(st.text(alphabet=st.sampled_from(list('{}$.|()"`-%labelsvaluehumanizeprintf \\/*19')), max_size=60))
def test_any_text_expands_to_some_text(text: str) -> None:
    assert isinstance(expand(text, LABELS, 1.5), str)


@given(
    st.floats(), st.sampled_from(["humanize", "humanize1024", "humanizeDuration", "humanizePercentage", "printf `%g`"])
)
def test_any_number_is_shown(value: float, function: str) -> None:
    assert "error" not in expand(f"{{{{ {function} $value }}}}", LABELS, value)


def test_every_form_of_the_packs_in_the_field_is_supported(field_rules: list[Path]) -> None:
    expressions = [rule for group in load_files(field_rules) for rule in group.rules if isinstance(rule, AlertRule)]
    for rule in expressions:
        for text in (*rule.labels.values(), *rule.annotations.values()):
            assert "<error" not in compile_template(text).expand(LABELS, 0.25)


def test_an_unknown_function_is_named() -> None:
    with pytest.raises(TemplateError, match='function "graphLink" not defined'):
        compile_template("{{ graphLink `up` }}")


FORMS = {
    "v": "{{ $value }}",
    "l": "{{ $labels }}|{{ $labels.gone }}|{{ .Labels.n }}",
    "h": "{{ $value | humanize }}",
    "h2": "{{ humanize1024 $value }}",
    "d": "{{ humanizeDuration $value }}",
    "p": "{{ humanizePercentage $value }}",
    "t": "{{ humanizeTimestamp $value }}",
    "f": '{{ printf "%.2f|%g|%e|%6.1f|%-9.2f|%+.1f" $value $value $value $value $value $value }}',
    "g": '{{ printf "%v|%.3g|%9g|%+v|%s|%d" $value $value $value $value $value $value }}',
    "s": '{{ printf "%s|%q|%6s|%-6s|%.2s" .Labels.n .Labels.n .Labels.n .Labels.n .Labels.n }}',
    "k": '{{ printf "%d|%v|%s" 7 true 7 }}',
    "m": 'a {{- " x " -}} b {{/* c */}} {{ "lit" | toUpper }} {{ 1.50 }}',
    "c": '{{ title "foo bar-baz qUX don\'t" }}',
}
NUMBERS = [
    "0", "1", "-1", "0.5", "-0.02", "0.0000123", "12345.678", "-95000.25", "999999.99", "1000000", "123456789",
    "1234567890.125", "59.99999", "3600", "90061.5", "1023", "1024", "8e9", "1e-30", "Inf", "-Inf", "0.1", "1e5",
]  # fmt: skip


@pytest.mark.server("promtool")
def test_promtool_expands_the_same(tmp_path: Path) -> None:
    annotations = "".join(
        f"          {name}: {text!r}\n" if "'" not in text else f'          {name}: "{_quoted(text)}"\n'
        for name, text in FORMS.items()
    )
    (tmp_path / "r.yml").write_text(
        f"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: v\n        annotations:\n{annotations}"
    )
    series = "".join(f"      - {{series: 'v{{n=\"{text}\"}}', values: '{text}'}}\n" for text in NUMBERS)
    (tmp_path / "t.yml").write_text(
        f"rule_files: [r.yml]\ntests:\n  - input_series:\n{series}"
        "    alert_rule_test:\n      - {eval_time: 0m, alertname: A}\n"
    )
    ran = subprocess.run(
        ["promtool", "test", "rules", "t.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    seen = 0
    for match in re.finditer(r'Labels:\{alertname="A", n="(.*?)"\}\n\s+Annotations:\{(.*)\}', ran.stdout + ran.stderr):
        for name, quoted in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2]):
            labels = Labels.of(__name__="v", n=match[1])
            assert expand(FORMS[name], labels, float(match[1])) == ast.literal_eval(f'"{quoted}"'), (name, match[1])
            seen += 1
    assert seen == len(FORMS) * len(NUMBERS)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
