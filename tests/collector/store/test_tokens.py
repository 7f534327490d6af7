import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from collector.store import Store, StoreError, TokenRefused, tables
from collector.store.tokens import create_token, revoke_token, tokens, use_token


def test_a_token_lets_one_host_in(store: Store) -> None:
    with store.write() as conn:
        _, secret = create_token(conn, company="acme", site="W", class_="server", expires_at=100.0, at=1.0)
        token = use_token(conn, secret, "srv-1", 50.0)
        assert (token.company, token.site, token.class_) == ("acme", "W", "server")
        with pytest.raises(TokenRefused) as error:
            use_token(conn, secret, "srv-2", 51.0)
    assert error.value.reason == "used"


def test_the_secret_is_not_in_the_database(store: Store) -> None:
    with store.write() as conn:
        _, secret = create_token(conn, company="acme", expires_at=100.0, at=1.0)
        row = conn.execute(sa.select(tables.join_token)).one()
    assert secret not in str(row)
    assert secret.startswith("czj_")


@pytest.mark.parametrize(
    ("secret", "hostname", "at", "reason"),
    [
        ("czj_wrong", "srv-1", 50.0, "unknown"),
        (None, "pc-1", 50.0, "name"),
        (None, "srv-1", 100.0, "expired"),
    ],
)
def test_a_token_that_does_not_fit_is_refused_with_the_reason(
    store: Store, secret: str | None, hostname: str, at: float, reason: str
) -> None:
    with store.write() as conn:
        _, made = create_token(conn, company="acme", pattern="SRV-*", expires_at=100.0, at=1.0)
        with pytest.raises(TokenRefused) as error:
            use_token(conn, secret or made, hostname, at)
        assert error.value.reason == reason
        assert tokens(conn)[0].used == 0


def test_a_revoked_token_lets_nobody_in(store: Store) -> None:
    with store.write() as conn:
        token_id, secret = create_token(conn, company="acme", expires_at=100.0, at=1.0)
        assert revoke_token(conn, token_id, 2.0)
        assert not revoke_token(conn, token_id, 3.0)
        with pytest.raises(TokenRefused) as error:
            use_token(conn, secret, "srv", 4.0)
    assert error.value.reason == "revoked"


def test_a_token_needs_a_company_and_a_use(store: Store) -> None:
    with store.write() as conn:
        with pytest.raises(StoreError, match="no company"):
            create_token(conn, company="nobody", expires_at=1.0, at=1.0)
        with pytest.raises(StoreError, match="one use"):
            create_token(conn, company="acme", uses=0, expires_at=1.0, at=1.0)


def test_hosts_racing_for_the_last_uses_get_no_more_than_there_are(store: Store) -> None:
    with store.write() as conn:
        _, secret = create_token(conn, company="acme", uses=3, expires_at=100.0, at=1.0)
    results: list[str] = []

    def join(use: Callable[[], object]) -> None:
        try:
            use()
            results.append("in")
        except TokenRefused as error:
            results.append(error.reason)

    def use() -> None:
        with store.write() as conn:
            use_token(conn, secret, "srv", 2.0)

    threads = [threading.Thread(target=join, args=(use,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["in"] * 3 + ["used"] * 5
