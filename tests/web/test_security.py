"""Headers, forged forms, trusted proxies, and pages without anything inline."""

from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from flask import Flask

from tests.web.visitor import Visit
from web.security import is_local, is_within
from web.settings import WebSettings, networks

pytestmark = pytest.mark.usefixtures("estate")

PAGES = (
    "/login",
    "/queue",
    "/queue/mine",
    "/queue/closed",
    "/queue?q=prio:9",
    "/tickets/10",
    "/tickets/3",
    "/tickets/new",
    "/rules",
    "/rules/HostLoadHigh",
    "/explore?q=up",
    "/backtest",
    "/runbooks",
    "/runbooks/HostFilesystemFull",
    "/hosts",
    "/hosts/id-srv-db-02",
    "/help/keys",
    "/nothing/here",
)
HTML = "text/html; charset=utf-8"


class Inline(HTMLParser):
    """Collects whatever the policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [f"{tag} {n}" for n in names if n == "style" or n.startswith("on")]
        for name in ("src", "href", "action"):
            value = names.get(name) or ""
            if value.startswith(("javascript:", "data:")) or (name == "src" and "//" in value):
                self.found.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_anything_inline(browser: Visit, path: str) -> None:
    here = browser() if path == "/login" else browser("anna")
    got = here.client.get(path, follow_redirects=True)
    seen = Inline()
    seen.feed(got.text)
    assert seen.found == []


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_has_the_headers(browser: Visit, path: str) -> None:
    got = browser("anna").client.get(path, follow_redirects=True)
    policy = got.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Referrer-Policy"] == "same-origin"
    assert got.headers["Content-Type"] == HTML


@pytest.mark.parametrize("path", PAGES)
def test_no_page_with_its_files_is_heavier_than_150_kb(browser: Visit, path: str) -> None:
    here = browser("anna")
    got = here.client.get(path, follow_redirects=True)
    files = {part.split('"')[0].split("?")[0] for part in got.text.split("/static/")[1:]}
    weight = len(got.data) + sum(len(here.get(f"/static/{name}").data) for name in files)
    assert weight <= 150_000


def test_a_form_without_a_token_changes_nothing(browser: Visit) -> None:
    here = browser("anna")
    got = here.client.post("/tickets/10/take", data={})
    assert got.status_code == 400
    assert "Has it</dt>" in here.get("/tickets/CZ-2026-000010").text
    assert "took the ticket" not in here.get("/tickets/CZ-2026-000010").text


def test_a_token_of_another_session_is_refused(browser: Visit) -> None:
    anna, jan = browser("anna"), browser("jan")
    token = anna.get("/help/keys").text.split('name="csrf_token" value="')[1].split('"')[0]
    assert jan.client.post("/tickets/10/take", data={"csrf_token": token}).status_code == 400


def test_a_form_that_is_too_long_is_refused(browser: Visit) -> None:
    got = browser("anna").send("/tickets/10/say", {"text": "x" * 300_000})
    assert got.status_code == 413


def test_forwarded_headers_count_only_from_the_proxy(make_app: Callable[..., Flask]) -> None:
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example"}
    for allowed, address, secure in (
        (("10.0.0.0/8",), "10.1.2.3", True),
        ((), "10.1.2.3", False),
        (("10.0.0.0/8",), "192.0.2.1", False),
    ):
        app = make_app(forwarded_allow=allowed)
        got = app.test_client().get("/login", headers=forwarded, environ_base={"REMOTE_ADDR": address})
        assert ("Strict-Transport-Security" in got.headers) is secure


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("/queue", True),
        ("/queue?q=a b", True),
        ("//a", False),
        ("/\\a", False),
        ("a", False),
        (None, False),
        ("/a\r\nX: y", False),
    ],
)
def test_a_target_is_local_or_it_is_not_followed(target: str | None, local: bool) -> None:
    assert is_local(target) is local


def test_an_address_is_within_its_networks() -> None:
    assert is_within("10.1.2.3", networks(("10.0.0.0/8",)))
    assert is_within("::1", networks(("::1",)))
    assert not is_within("", networks(("10.0.0.0/8",)))
    assert not is_within("unix", networks(("10.0.0.0/8",)))


def test_settings_refuse_a_short_secret_and_a_wrong_network() -> None:
    with pytest.raises(ValueError, match="shorter than 16"):
        WebSettings(b"short")
    with pytest.raises(ValueError, match="not appear to be"):
        WebSettings(b"0" * 16, forwarded_allow=("proxy",))
