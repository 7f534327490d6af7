"""Logging in: real passwords, real sessions in the database, real cookies."""

from collections.abc import Callable

import pytest
from flask import Flask

from collector.store import Store, users
from tests.web.visitor import Clock, Visit
from web import auth

pytestmark = pytest.mark.usefixtures("estate")


def test_a_right_password_opens_the_queue(browser: Visit) -> None:
    anna = browser("anna")
    assert anna.get("/queue").status_code == 200


def test_the_session_cookie_is_for_http_only_and_this_site(browser: Visit) -> None:
    got = browser().login("anna")
    cookie = next(c for c in got.headers.getlist("Set-Cookie") if c.startswith("czuwak_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_behind_https_the_cookie_is_secure_and_bound_to_the_host(make_app: Callable[..., Flask], on: Visit) -> None:
    got = on(make_app(secure_cookies=True), base_url="https://localhost").login("anna")
    cookie = next(c for c in got.headers.getlist("Set-Cookie") if c.startswith("__Host-czuwak="))
    assert "Secure" in cookie


def test_a_wrong_password_and_an_unknown_login_say_the_same(browser: Visit) -> None:
    wrong, unknown = browser().login("anna", "nope"), browser().login("nobody", "nope")
    assert wrong.status_code == unknown.status_code == 403
    assert "The login or the password is not right." in wrong.text
    assert "The login or the password is not right." in unknown.text


def test_an_unknown_login_costs_a_hash_too(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = auth._hasher()

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            hashed.append(stored)
            return real.verify(stored, password)

        def hash(self, password: str) -> str:
            return real.hash(password)

    monkeypatch.setattr(auth, "_hasher", Counting)
    assert not auth.is_right(None, "x")
    assert len(hashed) == 1


def test_after_five_wrong_passwords_even_the_right_one_waits(browser: Visit, clock: Clock) -> None:
    here = browser()
    for _ in range(5):
        assert here.login("anna", "nope").status_code == 403
    assert here.login("anna").status_code == 429
    assert "Try again in" in here.login("anna").text
    clock.at += 3600
    assert here.login("anna").status_code == 303


def test_a_login_gives_a_new_secret_and_ends_the_old_one(browser: Visit, store: Store, clock: Clock) -> None:
    here = browser("anna")
    first = here.session()
    assert here.login("anna").status_code == 303
    second = here.session()
    assert first != second
    with store.read() as conn:
        assert users.session(conn, first, clock.at) is None
        assert users.session(conn, second, clock.at) is not None


def test_the_database_keeps_no_session_secret(browser: Visit, store: Store) -> None:
    secret = browser("anna").session()
    path = store.url.removeprefix("sqlite:///")
    with open(path, "rb") as file:  # noqa: PTH123 - the bytes as they lie on the disk
        assert secret.encode() not in file.read()


def test_a_session_ends_by_itself(browser: Visit, clock: Clock) -> None:
    here = browser("anna")
    clock.at += 13 * 3600
    assert here.get("/queue").status_code == 302


def test_logging_out_ends_the_session_in_the_database(browser: Visit, store: Store, clock: Clock) -> None:
    here = browser("anna")
    secret = here.session()
    assert here.send("/logout", {}).status_code == 303
    assert here.get("/queue").status_code == 302
    with store.read() as conn:
        assert users.session(conn, secret, clock.at) is None


def test_a_disabled_account_is_out_at_once(browser: Visit, store: Store, clock: Clock) -> None:
    here = browser("jan")
    with store.write() as conn:
        found = users.user_by_login(conn, "jan")
        assert found is not None
        users.disable_user(conn, found.id, clock.at)
    assert here.get("/queue").status_code == 302
    assert here.login("jan").status_code == 403


def test_a_one_time_link_works_once(browser: Visit, store: Store, clock: Clock) -> None:
    with store.write() as conn:
        found = users.user_by_login(conn, "admin")
        assert found is not None
        token = users.new_session(conn, found.id, clock.at, 600)
    first, second = browser(), browser()
    assert first.get(f"/login/once/{token}").status_code == 303
    assert first.get("/queue").status_code == 200
    refused = second.get(f"/login/once/{token}")
    assert refused.status_code == 403
    assert second.get("/queue").status_code == 302


def test_a_one_time_link_gets_too_old(browser: Visit, store: Store, clock: Clock) -> None:
    with store.write() as conn:
        found = users.user_by_login(conn, "admin")
        assert found is not None
        token = users.new_session(conn, found.id, clock.at, 600)
    clock.at += 601
    assert browser().get(f"/login/once/{token}").status_code == 403


def test_after_the_login_one_is_where_one_wanted_to_be(browser: Visit) -> None:
    here = browser()
    sent = here.get("/queue?q=prio%3A1")
    assert sent.headers["Location"] == "/login?next=/queue?q%3Dprio%253A1"
    got = here.send(
        "/login", {"login": "anna", "password": "correct horse battery", "next": "/queue?q=prio:1"}, page="/login"
    )
    assert got.headers["Location"] == "/queue?q=prio:1"


@pytest.mark.parametrize(
    "target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""]
)
def test_a_login_never_leads_off_this_site(browser: Visit, target: str) -> None:
    form = {"login": "anna", "password": "correct horse battery", "next": target}
    got = browser().send("/login", form, page="/login")
    assert got.headers["Location"] == "/"


def test_a_form_of_a_stranger_is_refused_not_redirected(browser: Visit) -> None:
    assert browser().send("/tickets/1/take", {}, page="/login").status_code == 401
