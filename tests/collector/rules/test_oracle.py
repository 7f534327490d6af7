"""Random series through one set of rules: what we say fires at each moment, promtool must say too.

No window ends on a sample: Debian's promtool counts the sample at the far end of a window, we as Prometheus 3 do not.
"""

import json
import random
import subprocess
from pathlib import Path

import pytest

from collector.alerts.alert import AlertState
from collector.head import STALE, Head
from collector.labels import Labels
from collector.rules.load import load_text
from collector.rules.notation import read_values
from collector.rules.schedule import Schedule

RULES = """
groups:
  - name: g
    rules:
      - {record: level, expr: m * 10, labels: {from: rule}}
      - {alert: Now, expr: level > 10}
      - {alert: Waits, expr: level > 10, for: 3m, annotations: {v: '{{ $value | humanize }} of {{ $labels.n }}'}}
      - {alert: Keeps, expr: level > 10, for: 1m, keep_firing_for: 2m, labels: {size: '{{ $value }}'}}
      - {alert: Both, expr: level > 10 and on (n) k == 1, labels: {severity: info}}
      - {alert: Any, expr: 'count by (n) (ALERTS{alertstate="firing"}) > 1', for: 1m}
      - {alert: Mean, expr: "avg_over_time(m[170s]) > 1.2", for: 2m, keep_firing_for: 1m}
"""
ALERTS = ("Now", "Waits", "Keeps", "Both", "Any", "Mean")
MINUTES = 40


def random_values(seed: int) -> str:
    dice = random.Random(seed)  # noqa: S311  # the same series in every run
    return " ".join(dice.choice(("0", "1", "2", "2", "3x2", "0x1", "_", "stale")) for _ in range(MINUTES))


def firing(series: dict[str, str]) -> list[tuple[int, str, list[dict[str, dict[str, str]]]]]:
    """What fires by our step, minute by minute and rule by rule."""
    head = Head()
    schedule = Schedule(load_text(RULES, "r.yml"), (), started_at=0.0, default_interval=60.0, needs_proof=False)
    values = {Labels.of(__name__=name[0], n=name[1:]): read_values(text) for name, text in series.items()}
    out = []
    for minute in range(MINUTES):
        now = {labels: row[minute] for labels, row in values.items() if row[minute] is not None}
        head.set(list(now), [STALE if value is None else value for value in now.values()], minute * 60.0)
        schedule.run(head.select, minute * 60.0, commit=lambda changes, _at: changes.upserts, record=head.set)
        assert {rule.health for group in schedule.report() for rule in group.rules} == {"ok"}
        alerts = [alert for alert in schedule.alerts() if alert.state is AlertState.FIRING]
        for name in ALERTS:
            found = [
                {"exp_labels": alert.labels.without("alertname").as_dict(), "exp_annotations": dict(alert.annotations)}
                for alert in alerts
                if alert.labels.get("alertname") == name
            ]
            out.append((minute, name, found))
    return out


@pytest.mark.server("promtool")
@pytest.mark.parametrize("seed", range(4))
def test_promtool_agrees_about_every_alert_at_every_minute(tmp_path: Path, seed: int) -> None:
    series = {f"{metric}{n}": random_values(seed * 100 + n + (metric == "k") * 50) for metric in "mk" for n in range(3)}
    expected = firing(series)
    document = {
        "rule_files": ["r.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": f'{k[0]}{{n="{k[1:]}"}}', "values": v} for k, v in series.items()],
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": alerts}
                    for minute, name, alerts in expected
                ],
            }
        ],
    }
    (tmp_path / "r.yml").write_text(RULES)
    (tmp_path / "t.yml").write_text(json.dumps(document))  # JSON is YAML
    ran = subprocess.run(
        ["promtool", "test", "rules", "t.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {name for _, name, alerts in expected if alerts} == set(ALERTS)
