"""Addresses, methods, bodies and hostile texts; and the interface inside the whole application."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.web.api.world import AT, DOCUMENT, World
from web.app import create_app
from web.live import Live
from web.settings import WebSettings


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b'{"title": NaN}', {"Content-Type": "application/json"}, 400),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
        (b"[" * 60_000, {"Content-Type": "application/json"}, 400),
        (b"", {"Content-Type": "application/json"}, 400),
        (b"title=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        (b'"' + b"x" * 70_000 + b'"', {"Content-Type": "application/json"}, 413),
    ],
)
def test_a_body_that_is_no_json_is_refused(world: World, data: bytes, headers: dict[str, str], status: int) -> None:
    assert world.ask("POST", "/v1/tickets", data=data, headers=headers).status_code == status


HOSTILE = some.text(max_size=300) | some.sampled_from(
    [
        "<script>alert(1)</script>",
        "\x00",
        "\ud800",
        "{{7*7}}",
        "=cmd|' /C calc'!A0",
        "' OR 1=1 --",
        "\r\nSet-Cookie: a=b",
    ]
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=HOSTILE, description=HOSTILE, requester=HOSTILE, queue=HOSTILE)
def test_hostile_texts_are_stored_or_refused_and_always_answered(
    world: World, title: str, description: str, requester: str, queue: str
) -> None:
    body = {"title": title, "description": description, "requester": requester, "queue": queue, "company": "alfa"}
    answer = world.ask("POST", "/v1/tickets", data=json.dumps(body), content_type="application/json")
    assert answer.status_code in {201, 422}
    if answer.status_code == 201:
        assert "\x00" not in answer.get_json()["title"]


@pytest.mark.parametrize(
    "field", ["title", "description", "company", "host", "requester", "queue", "kind", "impact", "?"]
)
def test_half_a_character_is_never_our_error(world: World, field: str) -> None:
    body = json.dumps(
        {"title": "x", "company": "alfa", field: "a\ud800z", "\udfff" if field == "?" else field: "\ud800"}
    )
    assert world.ask("POST", "/v1/tickets", data=body, content_type="application/json").status_code in {201, 422}
    number = world.opened()
    for path, method in ((f"/v1/tickets/{number}", "PATCH"), (f"/v1/tickets/{number}/comments", "POST")):
        for name in ("assignee", "status", "queue", "resolution", "text", "\ud800"):
            headers = {"If-Match": '"1"'} if method == "PATCH" else {}
            got = world.ask(
                method, path, data=json.dumps({name: "\ud800"}), content_type="application/json", headers=headers
            )
            assert got.status_code < 500


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE)
def test_hostile_parameters_are_answered(world: World, text: str) -> None:
    plain = text.encode("utf-8", "replace").decode()
    for path in ("/v1/tickets", "/v1/hosts"):
        assert world.ask("GET", path, query_string={"q": plain, "cursor": plain}).status_code in {200, 422}
    token = world.secrets["all"]
    found = world.client.get(f"/api/v1/tickets/{plain}", headers={"Authorization": f"Bearer {token}"})
    assert found.status_code in {200, 301, 308, 404}


@pytest.mark.parametrize("path", ["/v2/tickets", "/v1", "/v1/tickets/CZ-2025-000001/secrets", "/nowhere"])
def test_an_unknown_address_is_a_problem_not_a_page(world: World, path: str) -> None:
    answer = world.ask("GET", path)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_a_method_that_does_nothing_names_those_that_do(world: World) -> None:
    answer = world.ask("DELETE", "/v1/tickets")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


def test_head_answers_like_get_without_a_body(world: World) -> None:
    token = world.token()
    answer = world.client.head("/api/v1/tickets", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_database_that_is_away_is_503_and_says_so(world: World, tmp_path: Path) -> None:
    token = world.token()
    world.store.close()
    (tmp_path / "czuwak.db").unlink()
    (tmp_path / "czuwak.db").mkdir()
    answer = world.client.get("/api/v1/tickets", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == "5"


def test_every_time_is_rfc_3339_in_utc(world: World) -> None:
    ticket = world.ask("GET", f"/v1/tickets/{world.opened()}").get_json()
    times = [value for name, value in ticket.items() if name.endswith("_at") and value]
    assert times
    assert all(value.endswith("Z") and datetime.fromisoformat(value).timestamp() == AT for value in times)


@pytest.fixture
def whole(world: World) -> FlaskClient:
    settings = WebSettings(b"a secret of thirty-two bytes len", now=world.clock)
    return create_app(world.store, world.intake, Live(""), settings).test_client()


def test_the_whole_application_asks_programs_for_no_login_and_no_form_key(world: World, whole: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {world.token()}"}
    answer = whole.post("/api/v1/tickets", json={"title": "x", "company": "alfa"}, headers=headers)
    assert answer.status_code == 201
    assert "Set-Cookie" not in answer.headers
    assert whole.get("/api/openapi.json").get_json() == DOCUMENT


@pytest.mark.parametrize("path", ["/api/", "/api/nowhere", "/api/v1/tickets/x/y/z"])
def test_the_whole_application_says_problem_for_every_wrong_address(whole: FlaskClient, path: str) -> None:
    answer = whole.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_the_whole_application_takes_64_kib_from_programs(world: World, whole: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {world.token()}", "Content-Type": "application/json"}
    long = b'{"title": "' + b"x" * 66_000 + b'"}'
    assert whole.post("/api/v1/tickets", data=long, headers=headers).status_code == 413


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready", "/metrics"])
def test_the_whole_application_asks_supervisors_for_no_login(whole: FlaskClient, path: str) -> None:
    answer = whole.get(path)
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    assert "Set-Cookie" not in answer.headers
