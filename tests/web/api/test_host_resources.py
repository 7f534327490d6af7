"""Hosts, their notes and discovery as programs read and change them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from collector.store import host_edits, hosts
from collector.store.host_edits import HostEdit
from tests.web.api.test_api import HOSTILE
from tests.web.api.world import AT, PERSON, World

HOST = "/v1/hosts/agent-a"
NOTES = f"{HOST}/comments"


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


def test_a_patch_changes_the_host_and_says_so_on_its_timeline(world: World) -> None:
    read = world.ask("GET", HOST)
    assert read.headers["ETag"] == '"1"'
    world.clock.now += 5
    body = {"name": "db-1", "site": "Wrocław", "class": "workstation"}
    answer = world.ask("PATCH", HOST, json=body, headers={"If-Match": read.headers["ETag"]})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')
    told = answer.get_json()
    assert {name: told[name] for name in body} == body
    assert (told["version"], told["instance"]) == (2, "srv-1")
    with world.store.read() as connection:
        event = hosts.host_events(connection, "agent-a")[0]
    assert (event.at, event.kind, event.detail["by"], event.detail["source"]) == (AT + 5, "changed", "robot", "api")
    assert event.detail["changes"] == {
        "name": {"from": "srv-1", "to": "db-1"},
        "site": {"from": "main", "to": "Wrocław"},
        "class": {"from": "server", "to": "workstation"},
    }


def test_presence_moves_no_version(world: World) -> None:
    with world.store.write() as connection:
        gen = hosts.open_session(connection, "agent-a", at=AT, facts={}, version="1", fingerprint="")
        hosts.set_presence(connection, "agent-a", gen, "online", "", AT, None)
    assert world.ask("GET", HOST).headers["ETag"] == '"1"'


def test_a_patch_to_what_it_is_already_tells_nothing(world: World) -> None:
    answer = world.ask("PATCH", HOST, json={"site": " main "}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    with world.store.read() as connection:
        assert hosts.host_events(connection, "agent-a") == []


def test_a_lost_update_shows_the_host_as_it_is(world: World) -> None:
    world.ask("PATCH", HOST, json={"site": "first"}, headers={"If-Match": '"1"'})
    late = world.ask("PATCH", HOST, json={"site": "second"}, headers={"If-Match": '"1"'})
    assert (late.status_code, late.headers["ETag"]) == (412, '"2"')
    assert late.get_json()["current"]["site"] == "first"
    whatever = world.ask("PATCH", HOST, json={"site": "third"}, headers={"If-Match": "*"})
    assert (whatever.status_code, whatever.get_json()["site"]) == (200, "third")


def test_a_patch_without_an_etag_is_refused(world: World) -> None:
    assert world.ask("PATCH", HOST, json={"site": "x"}).status_code == 428


def test_a_retired_host_is_not_changed_but_may_be_written_about(world: World) -> None:
    with world.store.write() as connection:
        hosts.retire(connection, "agent-a", AT)
    assert world.ask("PATCH", HOST, json={"site": "x"}, headers={"If-Match": "*"}).status_code == 409
    assert world.ask("POST", NOTES, json={"text": "Sold to Beta"}).status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#"),
        ({"class": "mainframe"}, "#/class"),
        ({"class": None}, "#/class"),
        ({"name": ""}, "#/name"),
        ({"name": "a b"}, "#/name"),
        ({"name": "zażółć"}, "#/name"),
        ({"name": "x" * 201}, "#/name"),
        ({"name": "srv\n"}, "#/name"),
        ({"site": "x" * 101}, "#/site"),
        ({"site": 7}, "#/site"),
        ({"company": "beta"}, "#/company"),
        ({"instance": "srv-9"}, "#/instance"),
        ({"presence": "online"}, "#/presence"),
        ({"version": 9}, "#/version"),
    ],
)
def test_a_patch_that_makes_no_sense_changes_nothing(world: World, body: dict[str, object], pointer: str) -> None:
    answer = world.ask(
        "PATCH", HOST, json={**body, **({"site": "new"} if pointer == "#/class" else {})}, headers={"If-Match": "*"}
    )
    assert (answer.status_code, [each["pointer"] for each in answer.get_json()["errors"]]) == (422, [pointer])
    assert world.ask("GET", HOST).headers["ETag"] == '"1"'


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=HOSTILE)
def test_hostile_texts_are_stored_or_refused_and_always_answered(world: World, words: str) -> None:
    for path, method, name in ((HOST, "PATCH", "site"), (HOST, "PATCH", "name"), (NOTES, "POST", "text")):
        headers = {"If-Match": "*"} if method == "PATCH" else {}
        data = json.dumps({name: words})
        answer = world.ask(method, path, data=data, content_type="application/json", headers=headers)
        assert answer.status_code in {200, 201, 422}
        if answer.status_code < 300:
            assert "\x00" not in answer.get_json()[name]
            assert name == "text" or "\n" not in answer.get_json()[name]


def test_a_note_stands_on_the_hosts_timeline(world: World) -> None:
    made = world.ask("POST", NOTES, json={"text": " New fan ordered "})
    assert made.status_code == 201
    assert (made.get_json()["author"], made.get_json()["text"]) == ("robot", "New fan ordered")
    with world.store.write() as connection:
        host_edits.add_note(connection, "agent-a", "It is loud", PERSON, AT + 1)
        host_edits.add_note(connection, "agent-b", "Not this one", PERSON, AT + 1)
    listed = world.ask("GET", NOTES).get_json()["comments"]
    assert listed[0] == made.get_json()
    assert [(each["author"], each["text"]) for each in listed[1:]] == [("Ewa", "It is loud")]


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": " "}, {"text": "x" * 20_001}, {"text": "x", "public": True}]
)
def test_a_note_that_says_nothing_is_refused(world: World, body: dict[str, object]) -> None:
    assert world.ask("POST", NOTES, json=body).status_code == 422
    assert world.ask("GET", NOTES).get_json() == {"comments": []}


def test_the_same_key_adds_one_note(world: World) -> None:
    key = {"Idempotency-Key": "fan-1"}
    first, again = (world.ask("POST", NOTES, json={"text": "New fan"}, headers=key) for _ in range(2))
    assert first.get_json() == again.get_json()
    other = world.ask("POST", NOTES, world.token(), json={"text": "New fan"}, headers=key)
    assert other.get_json()["id"] != first.get_json()["id"]
    elsewhere = world.ask("POST", "/v1/hosts/agent-b/comments", json={"text": "New fan"}, headers=key)
    assert elsewhere.status_code == 201
    assert len(world.ask("GET", NOTES).get_json()["comments"]) == 2
    assert world.ask("POST", NOTES, json={"text": "x"}, headers={"Idempotency-Key": "k" * 129}).status_code == 422


def test_a_note_of_nobody_s_host_is_404(world: World) -> None:
    for path in ("/v1/hosts/nobody/comments", "/v1/hosts/agent-a%00/comments"):
        assert world.ask("POST", path, json={"text": "x"}).status_code in {201, 404}
    assert world.ask("PATCH", "/v1/hosts/nobody", json={"site": "x"}, headers={"If-Match": "*"}).status_code == 404


def test_of_two_edits_of_one_version_one_is_written(world: World) -> None:
    with world.store.read() as connection:
        before = hosts.host(connection, "agent-a", None)
    assert before is not None
    with world.store.write() as connection:
        assert host_edits.edit_host(connection, before, HostEdit(site="a"), PERSON, AT) is not None
        assert host_edits.edit_host(connection, before, HostEdit(site="b"), PERSON, AT) is None
    assert world.ask("GET", HOST).get_json()["site"] == "a"
