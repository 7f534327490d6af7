"""`metrics.txt` is what the agents' page and the collector's own series are, no more and no less."""

import os
import re
from pathlib import Path

from collector.rules.lint import catalogue
from collector.rules.lint.catalogue import STAMPED, TEXTFILE, Metric, shipped

REPOSITORY = Path(__file__).parents[4]
PAGE = REPOSITORY / "tests" / "data" / "exposition.txt"
LIST = REPOSITORY / "collector" / "rules" / "lint" / "metrics.txt"

# What the page of the tests' host cannot show: services need a bus, the uplink a collector, and its battery counts
# watt-hours where others count ampere-hours.
AGENT = """
czuwak_agent_batches_acked_total counter
czuwak_agent_batches_dropped_total counter
czuwak_agent_batches_nacked_total counter reason
czuwak_agent_batches_sent_total counter
czuwak_agent_probe_no_data gauge collector
czuwak_agent_reconnects_total counter
czuwak_agent_spool_batches gauge
czuwak_agent_spool_bytes gauge
czuwak_agent_spool_disk_batches gauge
czuwak_agent_spool_disk_bytes gauge
czuwak_agent_spool_disk_ok gauge
czuwak_agent_textfile_refused gauge file
czuwak_agent_uplink_connected gauge
node_power_supply_charge_full gauge power_supply
node_power_supply_charge_full_design gauge power_supply
node_systemd_service_restart_total counter name
node_systemd_unit_state gauge name state type?
"""
COLLECTOR = """
ALERTS gauge alertname alertstate
ALERTS_FOR_STATE gauge alertname
czuwak_certificate_expiry_timestamp_seconds gauge certificate collector?
czuwak_collector_blind_seconds gauge collector?
czuwak_collector_host_series_refused gauge
czuwak_collector_rule_failing gauge group rule
czuwak_host_away_working_days gauge
czuwak_host_certificate_expiry_timestamp_seconds gauge
czuwak_host_certificate_life_seconds gauge
czuwak_host_clock_offset_seconds gauge
czuwak_host_duplicate_identity gauge
czuwak_host_overdue gauge
czuwak_host_presence gauge state
czuwak_host_unexpected_reboots gauge
czuwak_outage_hosts gauge collector? company? scope site?
"""
_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def page() -> list[str]:
    """One line a metric, from the golden page."""
    kinds: dict[str, str] = {}
    series: dict[str, list[set[str]]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
        elif match := _SAMPLE.fullmatch(line):
            series.setdefault(match[1], []).append({n for n, v in _LABEL.findall(match[2] or "") if v})
    return [described(name, kinds[name], sets) for name, sets in series.items()]


def described(name: str, kind: str, sets: list[set[str]]) -> str:
    always = set.intersection(*sets)
    return " ".join([name, kind, *(n if n in always else f"{n}?" for n in sorted(set.union(*sets)))])


def expected() -> str:
    lines = sorted([*page(), *AGENT.strip().splitlines(), *COLLECTOR.strip().splitlines()])
    return "# Made from tests/data/exposition.txt by tests/collector/rules/lint/test_catalogue.py\n" + "\n".join(
        [*lines, ""]
    )


def test_the_list_is_the_agents_page_and_the_collectors_own_series() -> None:
    if os.environ.get("CZUWAK_ACCEPT") == "1":
        LIST.write_text(expected(), encoding="utf-8")
    assert LIST.read_text(encoding="utf-8") == expected(), (
        "if this is meant: CZUWAK_ACCEPT=1 pytest tests/collector/rules/lint/test_catalogue.py"
    )


def test_a_hosts_series_have_what_the_collector_stamps() -> None:
    metric = shipped()["node_cpu_seconds_total"]
    assert metric.kind == "counter"
    assert metric.always == {"cpu", "mode"} | STAMPED
    assert shipped()["czuwak_collector_rule_failing"].always == {"group", "rule"}
    assert shipped()["czuwak_outage_hosts"].sometimes == frozenset({"collector", "company", "scope", "site"})
    assert shipped()["czuwak_collector_host_series_refused"].always == STAMPED
    assert shipped()["ALERTS"].sometimes is None


def test_the_list_is_read_once() -> None:
    assert catalogue.shipped() is shipped()


def test_what_scripts_write_is_known_without_its_labels() -> None:
    assert shipped()["x509_cert_not_after"] == Metric("x509_cert_not_after", TEXTFILE, STAMPED, None)
