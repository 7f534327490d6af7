"""Tickets and comments as programs read and change them."""

import json

import pytest

from collector.tickets.action import Comment
from tests.web.api.world import AT, PERSON, World


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
