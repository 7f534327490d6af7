from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from collector.store import Store, StoreError, api_tokens, settings, tables, users
from collector.store.users import Role
from collector.tickets.errors import Invalid
from collector.tickets.priority import DEFAULT_MATRIX, Level, Priority


def test_a_login_is_one_account_whatever_its_case(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, " Anna@Acme.pl", "Anna Kowal", "hash", "admin", at=1.0, language="pl")
        assert users.user_by_login(conn, "ANNA@acme.PL ") == anna
        assert users.user(conn, anna.id) == anna
        assert (anna.role, anna.language, anna.companies) == (Role.ADMIN, "pl", None)
        with pytest.raises(Invalid, match="taken"):
            users.add_user(conn, "anna@acme.pl", "Other", "hash", at=2.0)
        with pytest.raises(Invalid, match="role"):
            users.add_user(conn, "x", "X", "hash", "root", at=2.0)
        with pytest.raises(Invalid, match="login"):
            users.add_user(conn, " ", "X", "hash", at=2.0)
        assert users.user_by_login(conn, "nobody") is None


def test_a_user_may_see_some_companies_only(store: Store) -> None:
    with store.write() as conn:
        made = users.add_user(conn, "x", "", "hash", at=1.0, companies=frozenset({"acme"}))
    assert (made.companies, made.name) == (frozenset({"acme"}), "x")


def test_a_session_is_known_by_its_secret_until_it_ends(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0)
        token = users.new_session(conn, anna.id, 10.0, 100.0)
        assert token not in str(conn.execute(sa.select(tables.session)).one())
        live = users.session(conn, token, 109.9)
        assert live is not None
        assert (live.user, live.created_at, live.expires_at) == (anna, 10.0, 110.0)
        assert users.session(conn, token, 110.0) is None
        assert users.session(conn, "czs_other", 20.0) is None
        users.extend_session(conn, token, 200.0)
        users.extend_session(conn, token, 50.0)
        assert users.session(conn, token, 199.0) is not None
        users.end_session(conn, token)
        assert users.session(conn, token, 20.0) is None


def test_a_rotated_session_has_a_new_secret_only(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0)
        old = users.new_session(conn, anna.id, 10.0, 100.0)
        new = users.rotate_session(conn, old, 20.0, 100.0)
        assert new is not None
        assert users.session(conn, old, 30.0) is None
        assert users.session(conn, new, 30.0) is not None
        assert users.rotate_session(conn, old, 30.0, 100.0) is None


def test_one_link_used_twice_at_once_opens_one_session(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0)
        link = users.new_session(conn, anna.id, 10.0, 100.0)
    ready = Barrier(4)

    def use(_: int) -> str | None:
        ready.wait(10)
        with store.write() as conn:
            return users.rotate_session(conn, link, 20.0, 100.0)

    with ThreadPoolExecutor(4) as pool:
        fresh = [token for token in pool.map(use, range(4)) if token]
    assert len(fresh) == 1


def test_a_session_that_ends_between_two_looks_is_not_rotated(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0)
        link = users.new_session(conn, anna.id, 10.0, 100.0)
        seen = users.session(conn, link, 20.0)
        monkeypatch.setattr(users, "session", lambda *_: seen)  # as READ COMMITTED shows it to the slower one
        assert users.rotate_session(conn, link, 20.0, 100.0) is not None
        assert users.rotate_session(conn, link, 20.0, 100.0) is None


def test_a_new_password_and_a_disabled_account_end_every_session(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0)
        token = users.new_session(conn, anna.id, 10.0, 100.0)
        assert users.set_password(conn, anna.id, "new hash")
        assert users.session(conn, token, 20.0) is None
        token = users.new_session(conn, anna.id, 20.0, 100.0)
        assert users.disable_user(conn, anna.id, 30.0)
        assert not users.disable_user(conn, anna.id, 31.0)
        assert users.session(conn, token, 30.0) is None
        assert users.users(conn) == []
        assert [u.password_hash for u in users.users(conn, disabled=True)] == ["new hash"]
        assert not users.set_password(conn, 999, "x")


def test_ended_sessions_are_swept_by_the_next_login(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0)
        users.new_session(conn, anna.id, 10.0, 5.0)
        users.new_session(conn, anna.id, 20.0, 5.0)
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.session)) == 1


def test_preferences_are_merged_and_bounded(store: Store) -> None:
    with store.write() as conn:
        anna = users.add_user(conn, "anna", "Anna", "hash", at=1.0, language="pl")
        users.set_preferences(conn, anna.id, {"theme": "dark"})
        users.set_preferences(conn, 999, {"theme": "dark"})
        found = users.user(conn, anna.id)
        assert found is not None
        assert found.preferences == {"language": "pl", "theme": "dark"}
        with pytest.raises(Invalid):
            users.set_preferences(conn, anna.id, {"x": "y" * 5000})


def test_the_sixth_wrong_password_pauses_one_address_and_not_another(store: Store) -> None:
    with store.write() as conn:
        for i in range(4):
            users.record_failure(conn, "Anna", "10.0.0.1", float(i))
        assert users.locked_until(conn, "anna", "10.0.0.1", 4.0) is None
        users.record_failure(conn, "anna", "10.0.0.1", 4.0)
        assert users.locked_until(conn, "ANNA", "10.0.0.1", 5.0) == 34.0
        assert users.locked_until(conn, "anna", "10.0.0.2", 5.0) is None
        assert users.locked_until(conn, "jan", "10.0.0.1", 5.0) is None
        users.record_failure(conn, "anna", "10.0.0.1", 40.0)
        assert users.locked_until(conn, "anna", "10.0.0.1", 41.0) == 100.0
        assert users.locked_until(conn, "anna", "10.0.0.1", 100.0) is None


def test_pauses_are_bounded_and_end_with_the_right_password(store: Store) -> None:
    with store.write() as conn:
        for _ in range(60):
            users.record_failure(conn, "anna", "10.0.0.1", 10.0)
        assert users.locked_until(conn, "anna", "10.0.0.1", 11.0) == 910.0
        assert users.locked_until(conn, "anna", "10.9.9.9", 11.0) == 910.0
        users.clear_failures(conn, "anna", "10.0.0.1")
        assert users.locked_until(conn, "anna", "10.0.0.1", 11.0) is None


def test_what_was_typed_as_a_login_is_not_kept_and_is_forgotten(store: Store) -> None:
    with store.write() as conn:
        users.record_failure(conn, "my-password-by-mistake", "10.0.0.1", 10.0)
        rows = conn.execute(sa.select(tables.login_failure)).all()
        assert "password" not in str(rows)
        users.record_failure(conn, "anna", "10.0.0.1", 10.0 + 86_401.0)
        assert conn.scalar(sa.select(sa.func.count()).select_from(tables.login_failure)) == 2


def test_an_api_token_has_scopes_and_an_end(store: Store) -> None:
    with store.write() as conn:
        token_id, secret = api_tokens.create(
            conn, "backup", {"tickets:read"}, at=1.0, companies=frozenset({"acme"}), expires_at=100.0
        )
        token = api_tokens.verify(conn, secret, 50.0)
        assert token is not None
        assert (token.id, token.scopes, token.companies) == (token_id, frozenset({"tickets:read"}), frozenset({"acme"}))
        assert api_tokens.verify(conn, secret, 100.0) is None
        assert api_tokens.verify(conn, "czt_other", 50.0) is None
        assert secret not in str(conn.execute(sa.select(tables.api_token)).one())
        for at, used in ((50.0, 50.0), (60.0, 50.0), (111.0, 111.0)):
            api_tokens.note_use(conn, token_id, at)
            assert api_tokens.api_tokens(conn)[0].last_used_at == used
        assert api_tokens.revoke(conn, token_id, 60.0)
        assert not api_tokens.revoke(conn, token_id, 61.0)
        assert api_tokens.verify(conn, secret, 50.0) is None


@pytest.mark.parametrize("scopes", [set(), {"root"}, {"tickets:read", "x"}])
def test_a_token_without_known_scopes_is_refused(store: Store, scopes: set[str]) -> None:
    with pytest.raises(StoreError, match="scope"), store.write() as conn:
        api_tokens.create(conn, "x", scopes, at=1.0)


def test_settings_keep_json(store: Store) -> None:
    with store.write() as conn:
        assert settings.get(conn, "x", 7) == 7
        settings.put(conn, "x", {"a": [1, "ł", None]}, 1.0)
        settings.put(conn, "x", {"a": [2]}, 2.0)
        assert settings.get(conn, "x") == {"a": [2]}


def test_the_priority_matrix_is_a_setting(store: Store) -> None:
    with store.write() as conn:
        assert settings.matrix(conn) == DEFAULT_MATRIX
        changed = {**DEFAULT_MATRIX, (Level.LOW, Level.LOW): Priority.P1}
        settings.put_matrix(conn, changed, 1.0)
        assert settings.matrix(conn) == changed
        with pytest.raises(Invalid):
            settings.put_matrix(conn, {(Level.LOW, Level.LOW): Priority.P1}, 1.0)
