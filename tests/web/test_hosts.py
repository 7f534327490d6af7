"""The computers' pages, and their values grouped."""

import pytest

from collector.store import Store, hosts
from tests.web.visitor import Clock, Visit
from web.live import HostValues, Point
from web.vitals import Gauge, Watched, group

pytestmark = pytest.mark.usefixtures("estate")


def test_every_computer_with_its_presence_and_open_tickets(browser: Visit) -> None:
    page = browser("anna").get("/hosts").text
    assert "6 computers" in page
    assert page.count('class="pill ok"') == 4
    assert "away, unexplained" in page
    assert "away, planned" in page


def test_the_text_finds_a_site(browser: Visit) -> None:
    page = browser("anna").get("/hosts?text=gda").text
    assert "3 computers" in page
    assert "srv-db-02" not in page


def test_a_host_tells_what_happened_to_it(browser: Visit) -> None:
    page = browser("anna").get("/hosts/id-srv-app-03").text
    assert "away, unexplained (restarting)" in page
    assert "enrolled" in page
    assert "Memory 97 % used" in page


@pytest.mark.parametrize(
    ("language", "began", "ended"),
    [("en", "srv-app-03 swaps", "over: srv-app-03 swaps"), ("pl", "dużo wymiany", "ustąpiło: dużo wymiany")],
)
def test_a_condition_without_a_ticket_is_told(
    browser: Visit, store: Store, clock: Clock, language: str, began: str, ended: str
) -> None:
    detail = {"summary": "srv-app-03 swaps", "summary_pl": "dużo wymiany"}
    with store.write() as conn:
        hosts.add_host_event(conn, "id-srv-app-03", clock.at - 60, "condition", detail)
        hosts.add_host_event(conn, "id-srv-app-03", clock.at, "condition_over", detail)
    anna = browser("anna")
    anna.send("/preferences", {"language": language})
    page = anna.get("/hosts/id-srv-app-03").text
    assert f"<bdi>{began}</bdi>" in page
    assert '<li class="good">' in page
    assert f"<bdi>{ended}</bdi>" in page


def test_a_retired_host_is_not_in_the_list_but_has_its_page(browser: Visit, store: Store, clock: Clock) -> None:
    with store.write() as conn:
        hosts.retire(conn, "id-srv-app-03", clock.at)
    anna = browser("anna")
    assert "srv-app-03" not in anna.get("/hosts").text
    assert anna.get("/hosts/id-srv-app-03").status_code == 200


HOST = "/hosts/id-srv-db-02"


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Site: Wrocław → Łódź, Class: server → kiosk"), ("pl", "Oddział: Wrocław → Łódź, Rodzaj: serwer → kiosk")],
)
def test_an_administrator_moves_a_computer_and_the_timeline_tells(browser: Visit, language: str, said: str) -> None:
    admin = browser("admin")
    admin.send("/preferences", {"language": language})
    form = {"version": "1", "name": "srv-db-02", "site": "Łódź", "class": "kiosk"}
    assert admin.send(f"{HOST}/edit", form, page=HOST).status_code == 303
    page = admin.get(HOST).text
    assert f"<b><bdi>Łucja Żak</bdi></b> <bdi>{said}</bdi>" in page
    assert 'name="version" value="2"' in page
    assert '<option value="kiosk" selected>' in page


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"version": "7", "site": "x"}, "Somebody changed this computer meanwhile"),
        ({"site": "x"}, "Somebody changed this computer meanwhile"),
        ({"version": "1", "name": "a b"}, "A computer&#39;s name has letters"),
        ({"version": "1", "class": "mainframe"}, "The site is too long, or the class is none"),
        ({"version": "1", "site": "x" * 101}, "The site is too long, or the class is none"),
    ],
)
def test_a_wrong_or_late_edit_saves_nothing_and_says_why(
    browser: Visit, store: Store, form: dict[str, str], said: str
) -> None:
    admin = browser("admin")
    admin.send(f"{HOST}/edit", form)
    assert said in admin.get(HOST).text
    with store.read() as conn:
        host = hosts.host(conn, "id-srv-db-02", None)
    assert host is not None
    assert (host.site, host.class_, host.version) == ("Wrocław", "server", 1)


def test_only_an_administrator_sees_the_form_and_nobody_edits_a_retired_host(
    browser: Visit, store: Store, clock: Clock
) -> None:
    assert f"{HOST}/edit" not in browser("anna").get(HOST).text
    admin = browser("admin")
    assert f"{HOST}/edit" in admin.get(HOST).text
    with store.write() as conn:
        hosts.retire(conn, "id-srv-db-02", clock.at)
    assert f"{HOST}/edit" not in admin.get(HOST).text
    assert admin.send(f"{HOST}/edit", {"version": "1", "site": "x"}).status_code == 403


def test_a_technician_adds_a_note_once_however_often_the_form_is_sent(browser: Visit) -> None:
    anna = browser("anna")
    for _ in range(2):
        got = anna.send(f"{HOST}/note", {"text": "Wentylator <b>głośny</b>", "key": "one"}, page=HOST)
        assert got.headers["Location"].endswith(HOST)
    page = anna.get(HOST).text
    assert page.count("Wentylator &lt;b&gt;głośny&lt;/b&gt;") == 1
    assert '<li class="say note">' in page
    anna.send(f"{HOST}/note", {"text": " "})
    assert "The text is empty or too long" in anna.get(HOST).text


def test_a_form_of_another_site_changes_nothing(browser: Visit) -> None:
    admin = browser("admin")
    for path in (f"{HOST}/note", f"{HOST}/edit"):
        got = admin.client.post(path, data={"text": "x", "version": "1", "site": "x"})
        assert got.status_code == 400


def test_values_are_grouped_and_what_is_missing_is_left_out() -> None:
    def points(**values: float) -> tuple[Point, ...]:
        return tuple(
            Point(name, {"mountpoint": "/", "name": "cron", "state": "failed"}, v, 1.0) for name, v in values.items()
        )

    some = points(node_filesystem_size_bytes=100.0, node_filesystem_avail_bytes=5.0, node_systemd_unit_state=1.0)
    got = group(HostValues(some, 9.0), (), (), ())
    assert got.disks == (Gauge("/", 0.95, 95.0, 100.0),)
    assert got.disks[0].mood == "bad"
    assert got.watched == (Watched("cron", running=False, state="failed"),)
    assert (got.cpu, got.memory, got.network, got.loads, got.booted_at) == (None, (), (), (), None)


def test_numbers_that_are_none_and_sizes_of_zero_are_no_bars() -> None:
    nan = Point("node_memory_MemTotal_bytes", {}, float("nan"), 1.0)
    zero = Point("node_filesystem_size_bytes", {"mountpoint": "/x"}, 0.0, 1.0)
    free = Point("node_filesystem_avail_bytes", {"mountpoint": "/x"}, 0.0, 1.0)
    got = group(HostValues((nan, zero, free), 1.0), (Point("", {}, 1.7, 1.0),), (), ())
    assert (got.memory, got.disks) == ((), ())
    assert got.cpu == Gauge("", 0.0)


@pytest.mark.parametrize(
    ("kind", "detail", "english", "polish"),
    [
        ("crashed", {"told": False}, "restarted unexpectedly", "uruchomił się ponownie bez zapowiedzi"),
        ("slept", {"seconds": 7200.0}, "had slept for 2 h", "spał przez 2 h"),
        ("absence_explained", {"reason": "sleep"}, "explains its silence late: asleep", "z opóźnieniem: uśpiony"),
        ("outage", {"reason": "site outage"}, "its whole site is silent", "milczy cała jego lokalizacja"),
        (
            "presence",
            {"presence": "away_unexplained", "reason": "not back after reboot"},
            "not back in time: restarting",
            "nie wrócił na czas: uruchamia się ponownie",
        ),
        ("presence", {"presence": "away_planned", "reason": "<b>"}, "away, planned (&lt;b&gt;)", "(&lt;b&gt;)"),
    ],
)
def test_every_absence_is_told_in_both_languages(
    browser: Visit, store: Store, clock: Clock, kind: str, detail: dict[str, object], english: str, polish: str
) -> None:
    with store.write() as conn:
        hosts.add_host_event(conn, "id-srv-app-03", clock.at, kind, detail)
    anna = browser("anna")
    anna.send("/preferences", {"language": "en"})
    assert english in anna.get("/hosts/id-srv-app-03").text
    anna.send("/preferences", {"language": "pl"})
    assert polish in anna.get("/hosts/id-srv-app-03").text
