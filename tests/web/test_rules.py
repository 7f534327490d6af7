"""The rules' pages over a real engine: health, alerts, tickets; hostile templates are text; companies stay apart."""

import re
from collections.abc import Callable

import pytest

from collector.alerts.alert import AlertChanges, AlertEvent, EventKind
from collector.intake import Intake
from collector.store import Store
from tests.web import engine, seed
from tests.web.visitor import Visit, Visitor
from web import rules

pytestmark = pytest.mark.usefixtures("estate")


def test_every_group_and_rule_with_its_health(reader: Callable[[str], Visitor], store: Store) -> None:
    engine.alarm(store)
    page = reader("anna").get("/rules").text
    assert "5 rules" in page
    assert "every 15 s" in page
    assert "judged 0 s ago in " in page
    assert "test.yml" in page
    assert "/etc/czuwak" not in page
    for pill in ("3 firing", "1 pending", "1 without data", "cannot be judged", "3 alerts firing"):
        assert pill in page
    assert 'href="/rules/odd/na%20me"' in page


def test_a_long_list_has_pages(reader: Callable[[str], Visitor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "PAGE", 2)
    anna, found, path = reader("anna"), [], "/rules"
    while path:
        page = anna.get(path).text
        found += re.findall(r'<a class="quiet" href="/rules/[^"]+"><bdi>([^<]+)</bdi>', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = following[1] if following else ""
    assert found == ["HostLoadHigh", "HostLoadHigh", "odd/na me", "instance:load", "Broken"]


def test_a_reader_of_one_company_sees_its_numbers_and_alerts_only(
    reader: Callable[[str], Visitor], store: Store
) -> None:
    engine.alarm(store)
    jan = reader("jan")
    assert "2 firing" in jan.get("/rules").text
    page = jan.get("/rules/HostLoadHigh").text
    assert "instance=srv-0" in page
    assert "srv-3" not in page
    assert "/explore" not in page
    assert "srv-3" in reader("anna").get("/rules/HostLoadHigh").text
    broken = jan.get("/rules/Broken").text
    assert "It cannot be judged; whoever sees every company is told why." in broken
    assert "many-to-many" not in broken
    assert "matching" in reader("anna").get("/rules/Broken").text


def test_a_rule_with_all_that_is_written_of_it(reader: Callable[[str], Visitor], store: Store) -> None:
    engine.alarm(store)
    page = reader("anna").get("/rules/HostLoadHigh").text
    assert '<pre dir="ltr">node_load1\n  &gt; 5</pre>' in page
    assert "node_load1 &gt; 50" in page  # the other rule of this name
    for shown in ("fires after 1 min", "keeps firing for 5 min", "fires at once", "test.yml:5", "warning", "critical"):
        assert shown in page
    assert "Load is {{ $value }} on {{ $labels.instance }}&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert page.count('href="/runbooks/HostCpuSaturated"') == 1
    assert 'href="/queue?q=rule:HostLoadHigh"' in page
    assert 'href="/queue/closed?q=rule:HostLoadHigh"' in page


def test_an_alert_leads_to_its_open_ticket(reader: Callable[[str], Visitor], store: Store, intake: Intake) -> None:
    alert = engine.alarm(store)[0]
    fired = AlertEvent(EventKind.FIRED, "rules", alert.key, alert.labels, {"summary": "Load"}, 9.0, seed.NOW, seed.NOW)
    intake.alerts(AlertChanges(events=(fired,)), seed.NOW)
    assert '<a class="num" href="/tickets/CZ-2026-000011">' in reader("anna").get("/rules/HostLoadHigh").text


def test_names_of_any_sort_are_found_and_others_are_not(reader: Callable[[str], Visitor]) -> None:
    anna = reader("anna")
    page = anna.get("/rules/odd/na%20me")
    assert page.status_code == 200
    assert "q=rule:%22odd/na+me%22" in page.text
    assert "records" in anna.get("/rules/instance:load").text
    assert anna.get("/rules/Nothing").status_code == 404


def test_without_the_engine_the_pages_say_so(browser: Visit) -> None:
    anna = browser("anna")
    for path in ("/rules", "/rules/HostLoadHigh"):
        page = anna.get(path)
        assert page.status_code == 200
        assert "rule engine does not answer now" in page.text
    assert "/queue?q=rule:HostLoadHigh" in anna.get("/rules/HostLoadHigh").text
