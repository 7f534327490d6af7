"""Tokens: scopes, companies, ends, owners, and the throttle of wrong ones."""

import pytest

from collector.store import api_tokens, users
from tests.web.api.world import ALL, AT, World, conforms


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
        ("hosts:read", "PATCH", "/v1/hosts/agent-a"),
        ("hosts:read", "POST", "/v1/hosts/agent-a/comments"),
        ("hosts:write", "GET", "/v1/hosts/agent-a/comments"),
        ("tickets:write", "PATCH", "/v1/hosts/agent-a"),
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
    assert world.ask("GET", "/v1/hosts/agent-b/comments", token).status_code == 404
    assert world.ask("POST", "/v1/hosts/agent-b/comments", token, json={"text": "x"}).status_code == 404
    changed = world.ask("PATCH", "/v1/hosts/agent-b", token, json={"site": "x"}, headers={"If-Match": "*"})
    assert changed.status_code == 404
    assert len(world.ask("GET", "/v1/sd", token).get_json()) == 1


def test_a_token_sees_no_more_than_its_owner(world: World) -> None:
    with world.store.write() as connection:
        owner = users.add_user(connection, "beata", "Beata", "x", at=AT, companies=frozenset({"beta"}))
        token = api_tokens.create(
            connection, "hers", ALL, at=AT, user_id=owner.id, companies=frozenset({"alfa", "beta"})
        )[1]
    assert [each["id"] for each in world.ask("GET", "/v1/hosts", token).get_json()["hosts"]] == ["agent-b"]
