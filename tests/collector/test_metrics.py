import subprocess

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from collector.metrics import Metrics


def test_every_family_carries_our_prefix_and_none_is_global() -> None:
    metrics = Metrics()
    metrics.batches.labels("live").inc()
    metrics.judged({("rules.yml", "cpu"): (0.5, 3)})
    names = {family.name for family in text_string_to_metric_families(metrics.text().decode())}
    assert "czuwak_collector_batches" in names
    assert {name for name in names if not name.startswith("czuwak_collector_")} == set()
    assert names.isdisjoint(family.name for family in REGISTRY.collect())


def test_two_sets_do_not_share_a_count() -> None:
    one, other = Metrics(), Metrics()
    one.samples.inc(5)
    assert b"czuwak_collector_samples_total 5.0" in one.text()
    assert b"czuwak_collector_samples_total 0.0" in other.text()


def test_a_group_that_is_gone_is_told_no_more() -> None:
    metrics = Metrics()
    metrics.judged({("a.yml", "cpu"): (0.5, 3), ("b.yml", "cpu"): (0.25, 0)})
    assert b'czuwak_collector_rule_group_missed_evaluations{file="a.yml",group="cpu"} 3.0' in metrics.text()
    metrics.judged({("b.yml", "cpu"): (0.125, 1)})
    assert b"a.yml" not in metrics.text()
    assert b'czuwak_collector_rule_group_last_duration_seconds{file="b.yml",group="cpu"} 0.125' in metrics.text()


@pytest.mark.server("promtool")
def test_promtool_has_nothing_to_say() -> None:
    metrics = Metrics()
    metrics.batches.labels("live").inc()
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics.text(), capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, b"")
