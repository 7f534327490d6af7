"""The HTTP interface over a real database: every answer is held to the OpenAPI document."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from werkzeug.test import TestResponse

from collector.intake import Intake
from collector.store import Store, api_tokens, enrollments, hosts, open_store, upgrade, users
from collector.tickets.action import Comment
from collector.tickets.ticket import Actor, NewTicket
from web import api, openapi
from web.app import create_app
from web.live import Live
from web.settings import WebSettings

AT = 1_760_000_000.0  # 2025-10-09T08:53:20Z
DOCUMENT = json.loads(json.dumps(openapi.document()))
ALL = ("tickets:read", "tickets:write", "hosts:read")
PERSON = Actor(None, "Ewa")


@dataclass
class Clock:
    now: float = AT

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A collector with two companies, one host each, two technicians, and a client that checks every answer."""

    store: Store
    intake: Intake
    client: FlaskClient
    clock: Clock
    secrets: dict[str, str] = field(default_factory=dict)

    def token(self, *scopes: str, **more: Any) -> str:
        with self.store.write() as connection:
            return api_tokens.create(connection, "robot", scopes or ALL, at=AT, **more)[1]

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> TestResponse:
        if token is None:
            token = self.secrets.setdefault("all", self.token())
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        answer = self.client.open(f"/api{path}", method=method, headers=headers, **more)
        conforms(method, path, answer)
        return answer

    def opened(self, title: str = "Printer is on fire", company: str = "alfa") -> str:
        return self.intake.open_by_person(NewTicket(company=company, title=title), PERSON, self.clock.now).number


def conforms(method: str, path: str, answer: TestResponse) -> None:
    """The answer is one that the document describes for this method and path."""
    if answer.data:
        json.loads(answer.data, parse_constant=pytest.fail)
    template, operation = described(method, path)
    if answer.status_code in {404, 405} and answer.mimetype == "application/problem+json":
        schema: object = {"$ref": "#/components/schemas/Problem"}
    else:
        assert operation is not None, f"{method} {path} is not described"
        response = operation["responses"][str(answer.status_code)]
        if "content" not in response:
            assert answer.data == b""
            return
        schema = response["content"][answer.mimetype]["schema"]
    body = answer.get_json()
    Draft202012Validator({"allOf": [schema], "components": DOCUMENT["components"]}).validate(body)
    if answer.mimetype == "application/problem+json":
        assert body["status"] == answer.status_code, template


def described(method: str, path: str) -> tuple[str, Any]:
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path.partition("?")[0]):
            return template, methods.get(method.lower())
    return path, None


def enrol(store: Store, identity: str, company: str, name: str) -> None:
    with store.write() as connection:
        enrollments.add_host(
            connection,
            host_id=identity,
            company=company,
            site="main",
            class_="server",
            name=name,
            enrollment_id=f"e-{identity}",
            key_hash="00",
            serial=f"s-{identity}",
            certificate_pem="",
            not_after=AT + 86_400,
            at=AT,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    url = f"sqlite:///{tmp_path}/czuwak.db"
    upgrade(url)
    store = open_store(url)
    with store.write() as connection:
        hosts.add_company(connection, "alfa", "Alfa sp. z o.o.", AT)
        hosts.add_company(connection, "beta", "Beta S.A.", AT)
        users.add_user(connection, "ola", "Ola Nowak", "x", at=AT)
        users.add_user(connection, "jan", "Jan Kos", "x", at=AT)
    enrol(store, "agent-a", "alfa", "srv-1")
    enrol(store, "agent-b", "beta", "srv-2")
    clock = Clock()
    app = Flask(__name__)
    parts = WebSettings(b"a secret of thirty-two bytes len", now=clock)
    intake = Intake(store)
    app.register_blueprint(api.blueprint(store, intake, Live(""), parts))
    yield World(store, intake, app.test_client(), clock)
    store.close()


# Tokens


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer czt_wrong", "Bearer zażółć"])
def test_without_a_right_token_there_is_nothing(world: World, header: str) -> None:
    answer = world.client.get("/api/v1/tickets", headers={"Authorization": header} if header else {})
    conforms("GET", "/v1/tickets", answer)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="czuwak"')


def test_a_cookie_is_no_token(world: World) -> None:
    world.client.set_cookie("czuwak", world.token())
    assert world.client.get("/api/v1/tickets").status_code == 401


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("tickets:read", "GET", "/v1/hosts"),
        ("tickets:read", "POST", "/v1/tickets"),
        ("hosts:read", "GET", "/v1/tickets"),
        ("tickets:write", "GET", "/v1/tickets/CZ-2025-000001"),
        ("tickets:read", "PATCH", "/v1/tickets/CZ-2025-000001"),
        ("tickets:read", "POST", "/v1/tickets/CZ-2025-000001/comments"),
        ("tickets:write", "GET", "/v1/sd"),
    ],
)
def test_a_token_does_only_what_its_scopes_say(world: World, scope: str, method: str, path: str) -> None:
    answer = world.ask(method, path, world.token(scope), json={"title": "x"})
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_a_revoked_and_an_expired_token_are_refused(world: World) -> None:
    expired = world.token(expires_at=AT + 10)
    assert world.ask("GET", "/v1/hosts", expired).status_code == 200
    world.clock.now = AT + 11
    assert world.ask("GET", "/v1/hosts", expired).status_code == 401
    with world.store.write() as connection:
        number, secret = api_tokens.create(connection, "old", ALL, at=AT)
        api_tokens.revoke(connection, number, AT)
    assert world.ask("GET", "/v1/hosts", secret).status_code == 401


def test_the_token_of_a_disabled_account_is_refused(world: World) -> None:
    with world.store.write() as connection:
        ola = users.user_by_login(connection, "ola")
        assert ola is not None
        token = api_tokens.create(connection, "ola's", ALL, at=AT, user_id=ola.id)[1]
    assert world.ask("GET", "/v1/tickets?view=mine", token).status_code == 200
    with world.store.write() as connection:
        users.disable_user(connection, ola.id, AT)
    assert world.ask("GET", "/v1/tickets", token).status_code == 401


def test_wrong_tokens_are_slowed_down_by_address_and_right_ones_never(world: World) -> None:
    codes = [world.ask("GET", "/v1/hosts", f"czt_{n}").status_code for n in range(8)]
    assert codes[0] == 401
    assert codes[-1] == 429
    slowed = world.ask("GET", "/v1/hosts", "czt_again")
    assert int(slowed.headers["Retry-After"]) > 0
    assert world.ask("GET", "/v1/hosts").status_code == 200
    elsewhere = world.ask("GET", "/v1/hosts", "czt_else", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert elsewhere.status_code == 401
    world.clock.now += 3600
    assert world.ask("GET", "/v1/hosts", "czt_later").status_code == 401


def test_the_use_of_a_token_is_noted(world: World) -> None:
    world.ask("GET", "/v1/hosts")
    with world.store.read() as connection:
        assert [each.last_used_at for each in api_tokens.api_tokens(connection)] == [AT]


# Companies


def test_another_companys_tickets_and_hosts_are_not_there(world: World) -> None:
    mine, theirs = world.opened("Ours", "alfa"), world.opened("Theirs", "beta")
    token = world.token(companies=frozenset({"alfa"}))
    listed = world.ask("GET", "/v1/tickets", token).get_json()
    assert [each["number"] for each in listed["tickets"]] == [mine]
    assert listed["total"] == 1
    assert world.ask("GET", f"/v1/tickets/{theirs}", token).status_code == 404
    assert world.ask("GET", f"/v1/tickets/{theirs}/comments", token).status_code == 404
    patched = world.ask("PATCH", f"/v1/tickets/{theirs}", token, json={"queue": "x"}, headers={"If-Match": "*"})
    assert patched.status_code == 404
    assert world.ask("POST", f"/v1/tickets/{theirs}/comments", token, json={"text": "x"}).status_code == 404
    assert [each["id"] for each in world.ask("GET", "/v1/hosts", token).get_json()["hosts"]] == ["agent-a"]
    assert world.ask("GET", "/v1/hosts/agent-b", token).status_code == 404
    assert len(world.ask("GET", "/v1/sd", token).get_json()) == 1


def test_a_token_sees_no_more_than_its_owner(world: World) -> None:
    with world.store.write() as connection:
        owner = users.add_user(connection, "beata", "Beata", "x", at=AT, companies=frozenset({"beta"}))
        token = api_tokens.create(
            connection, "hers", ALL, at=AT, user_id=owner.id, companies=frozenset({"alfa", "beta"})
        )[1]
    assert [each["id"] for each in world.ask("GET", "/v1/hosts", token).get_json()["hosts"]] == ["agent-b"]


# Lists


def test_pages_follow_each_other_by_the_link(world: World) -> None:
    numbers = [world.opened(f"Ticket {n}") for n in range(5)]
    seen: list[str] = []
    path: str | None = "/v1/tickets?limit=2&q=ticket&view=all"
    while path:
        answer = world.ask("GET", path)
        page = answer.get_json()
        seen += [each["number"] for each in page["tickets"]]
        assert page["total"] == 5
        assert (page["next"] is None) == ("Link" not in answer.headers)
        if page["next"]:
            assert answer.headers["Link"] == f'<{page["next"]}>; rel="next"'
        path = page["next"].removeprefix("/api") if page["next"] else None
    assert sorted(seen) == sorted(numbers)


def test_the_search_is_the_queues(world: World) -> None:
    fire = world.opened("Fire in the rack")
    world.opened("Water in the cellar")
    assert [each["number"] for each in world.ask("GET", "/v1/tickets?q=fire").get_json()["tickets"]] == [fire]
    assert world.ask("GET", "/v1/tickets?q=state:closed").get_json()["tickets"] == []


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("q=colour:red", "q"),
        ("q=%22open", "q"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=%C2%B2", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("cursor=xyz", "cursor"),
        ("view=nobody", "view"),
        ("view=mine", "view"),
    ],
)
def test_a_wrong_parameter_is_named(world: World, parameters: str, name: str) -> None:
    answer = world.ask("GET", f"/v1/tickets?{parameters}")
    assert answer.status_code == 422
    assert [each["parameter"] for each in answer.get_json()["errors"]] == [name]


# Opening


def test_a_ticket_is_opened_with_its_priority_from_impact_and_urgency(world: World) -> None:
    body = {"title": "No power", "company": "alfa", "impact": "high", "urgency": "high", "requester": "Piotr"}
    answer = world.ask("POST", "/v1/tickets", json=body)
    ticket = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == ticket["url"] == f"/api/v1/tickets/{ticket['number']}"
    assert (ticket["priority"], ticket["source"], ticket["status"]) == ("P1", "api", "new")
    assert ticket["created_at"] == "2025-10-09T08:53:20.000Z"
    assert world.ask("GET", ticket["url"].removeprefix("/api")).get_json() == ticket


def test_the_same_key_opens_one_ticket(world: World) -> None:
    body, key = {"title": "Once", "company": "alfa"}, {"Idempotency-Key": "abc"}
    first = world.ask("POST", "/v1/tickets", json=body, headers=key).get_json()["number"]
    assert world.ask("POST", "/v1/tickets", json=body, headers=key).get_json()["number"] == first
    other = world.token()
    assert world.ask("POST", "/v1/tickets", other, json=body, headers=key).get_json()["number"] != first


def test_a_ticket_about_a_host_is_of_the_hosts_company(world: World) -> None:
    ticket = world.ask("POST", "/v1/tickets", json={"title": "Slow", "host": "agent-b"}).get_json()
    assert ticket["company"] == "beta"
    assert ticket["host"] == {"id": "agent-b", "name": "srv-2", "instance": "srv-2"}


def test_a_token_of_one_company_need_not_name_it(world: World) -> None:
    token = world.token(companies=frozenset({"beta"}))
    assert world.ask("POST", "/v1/tickets", token, json={"title": "x"}).get_json()["company"] == "beta"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["#/title"]),
        ({"title": "  ", "company": "alfa"}, ["#/title"]),
        ({"title": "x" * 201, "company": "alfa"}, ["#/title"]),
        ({"title": "x", "company": "alfa", "description": "x" * 10_001}, ["#/description"]),
        ({"title": 7, "impact": "huge", "nonsense": 1}, ["#/title", "#/impact", "#/nonsense"]),
        ({"title": "x"}, ["#/company"]),
        ({"title": "x", "company": "gamma"}, ["#/company"]),
        ({"title": "x", "company": "alfa", "host": "agent-b"}, ["#/company"]),
        ({"title": "x", "host": "nobody"}, ["#/host"]),
        ({"title": "x", "company": "alfa", "kind": "incident_monitoring"}, ["#/kind"]),
        ({"title": "x", "company": "alfa", "queue": ""}, ["#/queue"]),
        ({"title": "x", "company": "alfa", "a/b~c": 1}, ["#/a~1b~0c"]),
        ([], ["#"]),
        ("x", ["#"]),
        (None, ["#"]),
    ],
)
def test_every_wrong_field_is_named_and_nothing_is_opened(world: World, body: object, pointers: list[str]) -> None:
    answer = world.ask("POST", "/v1/tickets", data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.get_json()["errors"]] == pointers
    assert world.ask("GET", "/v1/tickets").get_json()["total"] == 0


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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=HOSTILE)
def test_hostile_parameters_are_answered(world: World, text: str) -> None:
    plain = text.encode("utf-8", "replace").decode()
    for path in ("/v1/tickets", "/v1/hosts"):
        assert world.ask("GET", path, query_string={"q": plain, "cursor": plain}).status_code in {200, 422}
    token = world.secrets["all"]
    found = world.client.get(f"/api/v1/tickets/{plain}", headers={"Authorization": f"Bearer {token}"})
    assert found.status_code in {200, 301, 308, 404}


# Changing


def test_the_etag_is_the_version(world: World) -> None:
    number = world.opened()
    answer = world.ask("GET", f"/v1/tickets/{number}")
    assert answer.headers["ETag"] == f'"{answer.get_json()["version"]}"'
    again = world.ask("GET", f"/v1/tickets/{number}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_a_patch_changes_all_of_its_fields_as_one_version(world: World) -> None:
    number = world.opened()
    body = {"assignee": "ola", "impact": "high", "urgency": "high", "queue": "service desk", "status": "waiting_part"}
    answer = world.ask("PATCH", f"/v1/tickets/{number}", json=body, headers={"If-Match": '"1"'})
    ticket = answer.get_json()
    assert answer.status_code == 200
    assert {name: ticket[name] for name in body} == body
    assert (ticket["priority"], ticket["version"], answer.headers["ETag"]) == ("P1", 2, '"2"')
    assert ticket["first_reaction_at"] is None, "a program's act is no reaction of a person"


def test_a_ticket_is_resolved_reopened_and_given_back(world: World) -> None:
    path = f"/v1/tickets/{world.opened()}"
    whatever = {"If-Match": "*"}
    done = world.ask("PATCH", path, json={"status": "resolved", "resolution": "New fuse"}, headers=whatever).get_json()
    assert (done["status"], done["resolution"]) == ("resolved", "New fuse")
    assert done["resolved_at"] == "2025-10-09T08:53:20.000Z"
    again = world.ask("PATCH", path, json={"status": "in_progress", "assignee": "jan"}, headers=whatever).get_json()
    assert (again["status"], again["assignee"], again["resolved_at"]) == ("in_progress", "jan", None)
    back = world.ask("PATCH", path, json={"assignee": None}, headers=whatever).get_json()
    assert back["assignee"] is None


def test_a_merge_patch_is_json_too(world: World) -> None:
    path = f"/v1/tickets/{world.opened()}"
    data, kind = json.dumps({"impact": "high"}), "application/merge-patch+json"
    assert world.ask("PATCH", path, data=data, content_type=kind, headers={"If-Match": '"1"'}).status_code == 200


def test_a_lost_update_shows_the_ticket_as_it_is(world: World) -> None:
    number = world.opened()
    world.ask("PATCH", f"/v1/tickets/{number}", json={"queue": "network"}, headers={"If-Match": '"1"'})
    late = world.ask("PATCH", f"/v1/tickets/{number}", json={"queue": "desk"}, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    assert late.get_json()["current"]["queue"] == "network"
    assert late.headers["ETag"] == '"2"'


@pytest.mark.parametrize("header", ['"7"', 'W/"1"', "1x", '""'])
def test_another_etag_changes_nothing(world: World, header: str) -> None:
    path = f"/v1/tickets/{world.opened()}"
    assert world.ask("PATCH", path, json={"queue": "x"}, headers={"If-Match": header}).status_code == 412
    assert world.ask("GET", path).get_json()["version"] == 1


def test_a_patch_without_an_etag_is_refused(world: World) -> None:
    assert world.ask("PATCH", f"/v1/tickets/{world.opened()}", json={"queue": "x"}).status_code == 428


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "#"),
        ({"status": "asleep"}, 422, "#/status"),
        ({"assignee": "nobody"}, 422, "#/assignee"),
        ({"assignee": 7}, 422, "#/assignee"),
        ({"priority": "P1"}, 422, "#/priority"),
        ({"number": "CZ-2025-999999"}, 422, "#/number"),
        ({"resolution": "done"}, 422, "#/resolution"),
        ({"queue": " "}, 422, "#/queue"),
        ({"status": "new"}, 200, ""),
        ({"status": "in_progress", "resolution": "done"}, 409, ""),
    ],
)
def test_a_patch_that_makes_no_sense_changes_nothing(
    world: World, body: dict[str, object], status: int, pointer: str
) -> None:
    path = f"/v1/tickets/{world.opened()}"
    answer = world.ask("PATCH", path, json=body, headers={"If-Match": '"1"'})
    assert answer.status_code == status
    if pointer:
        assert [each["pointer"] for each in answer.get_json()["errors"]] == [pointer]
    assert world.ask("GET", path).get_json()["version"] == 1


# Comments


def test_a_comment_is_a_note_unless_it_is_public(world: World) -> None:
    path = f"/v1/tickets/{world.opened()}/comments"
    note = world.ask("POST", path, json={"text": "Look at the fuse"})
    said = world.ask("POST", path, json={"text": "We are on it", "public": True})
    assert (note.status_code, note.get_json()["public"]) == (201, False)
    assert (said.get_json()["author"], said.get_json()["public"]) == ("robot", True)
    listed = world.ask("GET", path).get_json()["comments"]
    assert listed == [note.get_json(), said.get_json()]


def test_comments_of_people_stand_beside_the_programs(world: World) -> None:
    number = world.opened()
    world.intake.act(number, [Comment("Hello", public=True)], PERSON, AT, scope=None)
    assert [each["author"] for each in world.ask("GET", f"/v1/tickets/{number}/comments").get_json()["comments"]] == [
        "Ewa"
    ]


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": "x", "public": "yes"}, {"text": "x" * 20_001}])
def test_a_comment_that_says_nothing_is_refused(world: World, body: dict[str, object]) -> None:
    assert world.ask("POST", f"/v1/tickets/{world.opened()}/comments", json=body).status_code == 422


# Hosts


def test_a_host_tells_who_it_is_and_nothing_of_its_keys(world: World) -> None:
    host = world.ask("GET", "/v1/hosts/agent-a").get_json()
    assert (host["name"], host["company"], host["site"], host["class"]) == ("srv-1", "alfa", "main", "server")
    assert host["first_seen"] == "2025-10-09T08:53:20.000Z"
    assert not {"machine_fingerprint", "serial", "certificate_pem"} & set(host)


def test_hosts_are_found_by_a_part_of_their_name(world: World) -> None:
    assert [each["name"] for each in world.ask("GET", "/v1/hosts?q=SRV-2").get_json()["hosts"]] == ["srv-2"]
    assert world.ask("GET", "/v1/hosts?q=%25").get_json()["hosts"] == []


def test_prometheus_finds_every_host_that_is_not_retired(world: World) -> None:
    groups = world.ask("GET", "/v1/sd?port=9100").get_json()
    assert groups[0] == {
        "targets": ["srv-1:9100"],
        "labels": {"instance": "srv-1", "host": "srv-1", "company": "alfa", "site": "main", "class": "server"},
    }
    with world.store.write() as connection:
        hosts.retire(connection, "agent-a", AT)
    assert [each["targets"] for each in world.ask("GET", "/v1/sd").get_json()] == [["srv-2:19115"]]
    assert world.ask("GET", "/v1/sd?port=70000").status_code == 422


# Everything else


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


# Inside the whole application


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
