"""Approval of computers, and computers that came back under a new identity, on the computers' page."""

import pytest
import sqlalchemy as sa

from collector.store import Store, hosts, tables
from collector.store.enrollments import add_host
from tests.web.visitor import Visit

pytestmark = pytest.mark.usefixtures("estate")


def enrolled(store: Store, name: str, *, approved: bool = True) -> str:
    """A newly enrolled computer with the hardware of srv-db-02."""
    with store.write() as conn:
        conn.execute(
            sa.update(tables.host).where(tables.host.c.id == "id-srv-db-02").values(machine_fingerprint="board")
        )
        made = add_host(
            conn, host_id=f"id-{name}", company="alfa", site="x", class_="server", name=name, enrollment_id=f"e-{name}",
            key_hash="k", serial=f"s-{name}", certificate_pem="", not_after=9e9, at=1.0, approved=approved,
            machine_fingerprint="board",
        )  # fmt: skip
    return made.id


@pytest.mark.parametrize(
    ("language", "asked", "done"),
    [
        ("en", "waits for approval before it may stream.", "approved: it may stream"),
        ("pl", "czeka na zatwierdzenie, zanim będzie mógł nadawać.", "zatwierdzony: może nadawać"),
    ],
)
def test_an_administrator_approves_a_computer(
    browser: Visit, store: Store, language: str, asked: str, done: str
) -> None:
    host = enrolled(store, "srv-new", approved=False)
    admin = browser("admin")
    admin.send("/preferences", {"language": language})
    assert asked in admin.get("/hosts").text
    assert admin.send(f"/hosts/{host}/approve", {}, page="/hosts").status_code == 303
    assert asked not in admin.get("/hosts").text
    assert f"<b><bdi>Łucja Żak</bdi></b> <bdi>{done}</bdi>" in admin.get(f"/hosts/{host}").text


def test_the_same_machine_becomes_its_old_self(browser: Visit, store: Store) -> None:
    host = enrolled(store, "srv-again")
    admin = browser("admin")
    assert "Same machine?" in admin.get("/hosts").text
    admin.send(f"/hosts/{host}/same", {"answer": "yes"}, page="/hosts")
    page = admin.get("/hosts").text
    assert "Same machine?" not in page
    assert ">srv-again<" not in page
    with store.read() as conn:
        now = hosts.host_by_instance(conn, "srv-db-02")
    assert now is not None
    assert now.id == host
    assert "is its old self again; it was enrolled as srv-again" in admin.get(f"/hosts/{host}").text


def test_another_machine_stays_another_one(browser: Visit, store: Store) -> None:
    host = enrolled(store, "srv-again")
    admin = browser("admin")
    admin.send(f"/hosts/{host}/same", {"answer": "no"}, page="/hosts")
    page = admin.get("/hosts").text
    assert "Same machine?" not in page
    assert "srv-again" in page


def test_a_question_that_was_answered_meanwhile_changes_nothing(browser: Visit, store: Store) -> None:
    host = enrolled(store, "srv-again")
    admin = browser("admin")
    for _ in range(2):
        admin.send(f"/hosts/{host}/same", {"answer": "no"}, page="/hosts")
    assert "Somebody has answered meanwhile" in admin.get("/hosts").text


def test_a_technician_sees_the_questions_and_no_buttons(browser: Visit, store: Store) -> None:
    host = enrolled(store, "srv-again", approved=False)
    anna = browser("anna")
    page = anna.get("/hosts").text
    assert "waits for approval" in page
    assert "Same machine?" in page
    assert "Yes, the same machine" not in page
    assert anna.send(f"/hosts/{host}/same", {"answer": "yes"}).status_code == 403
    assert anna.send(f"/hosts/{host}/approve", {}).status_code == 403


def test_a_copy_is_told_on_the_timeline(browser: Visit, store: Store) -> None:
    with store.write() as conn:
        hosts.add_host_event(conn, "id-srv-db-02", 5.0, "duplicate_identity", {"fingerprint": "x"})
    assert "another computer tried to use its identity" in browser("anna").get("/hosts/id-srv-db-02").text
