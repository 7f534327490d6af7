"""Stored evidence of any shape becomes a chart or none, never an error."""

from dataclasses import replace

import pytest

from collector.tickets.ticket import Kind, Source, Ticket
from web.evidence import unit_of, view
from web.live import Live

TICKET = Ticket(1, "CZ-2026-000001", "alfa", "Alfa", Kind.INCIDENT_MONITORING, Source.MONITORING, "t", 60.0, 60.0)
LINE = {"labels": {"instance": "a", "mountpoint": "/"}, "at": [0.0, 60.0], "values": [1.0, None]}


def test_a_ticket_without_evidence_has_no_card() -> None:
    assert view(TICKET, Live(""), 100.0) is None


def test_frozen_lines_are_drawn_and_named_by_what_differs() -> None:
    evidence = {"expression": "x > 2", "threshold": 2, "comparison": ">", "lines": [LINE]}
    got = view(replace(TICKET, evidence=evidence), Live(""), 100.0)
    assert got is not None
    assert got.chart is not None
    assert (got.names, got.latest, got.latest_at, got.live) == (("mountpoint=/",), 1.0, 0.0, False)
    assert got.rows == ((0.0, (1.0,)), (60.0, (None,)))


@pytest.mark.parametrize(
    "lines",
    [
        None,
        "text",
        [None, 7, {}],
        [{**LINE, "at": [0.0]}],
        [{**LINE, "at": ["x", "y"]}],
        [{**LINE, "values": "ab"}],
        [{**LINE, "labels": 5, "values": [True, False]}],
        [{"at": [], "values": []}],
    ],
)
def test_evidence_of_another_shape_is_left_out(lines: object) -> None:
    got = view(
        replace(TICKET, evidence={"lines": lines, "threshold": "x", "expression": 3}, value=7.0), Live(""), 100.0
    )
    assert got is not None
    assert (got.chart, got.latest, got.expression) == (None, 7.0, "")


@pytest.mark.parametrize(
    ("expression", "threshold", "unit"),
    [
        ("node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.1", 0.1, "ratio"),
        ("100 * a / b > 90", 90, ""),
        ("node_memory_MemAvailable_bytes < 1e9", 1e9, "bytes"),
        ("rate(node_network_receive_bytes_total[5m]) > 1e8", 1e8, "bytes/s"),
        ("probe_ssl_earliest_cert_expiry - time() < 864000", 864000, "seconds"),
        ("czuwak_process_running == 0", 0, ""),
        ("1 - avg(rate(node_cpu_seconds_total[5m])) > 0.9", 0.9, "ratio"),
    ],
)
def test_the_unit_is_read_from_the_expression(expression: str, threshold: float, unit: str) -> None:
    assert unit_of(expression, threshold) == unit
