"""A person moves a host while something is wrong with it: new labels within seconds, and still one ticket."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.plant import Plant, planted, until

RULES = """\
groups:
  - name: files
    rules:
      - alert: FlagIsUp
        expr: demo_flag == 1
        labels: {severity: warning}
        annotations: {summary: "The flag is up on {{ $labels.host }} in {{ $labels.site }}"}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Plant]:
    with planted(tmp_path / "collector", RULES) as site:
        yield site


def labels(site: Plant) -> dict[str, str]:
    """Those of the one alert, as stored."""
    rows = site.rows("select labels from alert")
    return json.loads(rows[0][0]) if rows else {}


def test_a_moved_host_streams_under_its_new_labels_and_keeps_its_one_ticket(site: Plant, tmp_path: Path) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    (flags / "flag.prom").write_text("demo_flag 1\n")
    site.enrol("host", probes=f'textfiles = "{flags}"')
    opened = site.ticket("FlagIsUp")
    (host,) = json.loads(site.get("/api/v1/hosts") or "")["hosts"]
    body = json.dumps({"name": "db-1", "site": "Gdańsk", "class": "workstation"}).encode()
    headers = {"Authorization": f"Bearer {site.bearer}", "Content-Type": "application/json", "If-Match": '"1"'}
    address = f"{site.url}/api/v1/hosts/{host['id']}"
    request = urllib.request.Request(address, body, headers, method="PATCH")  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        assert json.loads(answer.read())["version"] == 2
    until("the alert has the new labels", lambda: labels(site).get("site") == "Gdańsk")
    assert (labels(site)["host"], labels(site)["class"], labels(site)["instance"]) == (
        "db-1",
        "workstation",
        host["instance"],
    )
    (flags / "flag.prom").write_text("demo_flag 0\n")
    recovered = site.ticket("FlagIsUp", lambda ticket: ticket["recovered_at"] is not None)
    assert recovered["number"] == opened["number"]
    assert len(site.tickets("FlagIsUp")) == 1
    assert site.timeline(opened["number"]) == ["opened", "recovered"]
