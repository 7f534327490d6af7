"""The uplink's table, row by row: what the collector refuses, for now or for good."""

import pytest

from agent.events import (
    Connected,
    Discard,
    Disconnected,
    Fetch,
    Lane,
    Reconnect,
    Refusal,
    RetryDue,
    RetryLater,
    SendBatch,
    SendSchema,
    Wait,
)
from agent.moves import BEFORE_ALL
from agent.session import State, step
from tests.agent.steps import LIVE, S, ack, after, found, nack, taken, welcome


def test_an_unknown_schema_is_sent_again_with_its_batch() -> None:
    _, actions = after(*LIVE, taken(1), nack(1, Refusal.UNKNOWN_SCHEMA))
    assert actions == (SendSchema(S), SendBatch(1, Lane.LIVE))


def test_a_batch_whose_schema_stays_unknown_is_given_up() -> None:
    unknown = nack(1, Refusal.UNKNOWN_SCHEMA)
    session, actions = after(*LIVE, taken(1), unknown, unknown)
    assert actions == (Discard(1, Refusal.UNKNOWN_SCHEMA),)
    assert session.window == {}


@pytest.mark.parametrize("reason", [Refusal.BAD_DATA, Refusal.TOO_BIG, Refusal.QUOTA])
def test_a_final_refusal_drops_the_batch(reason: Refusal) -> None:
    session, actions = after(*LIVE, taken(1), taken(2), nack(1, reason))
    assert actions == (Discard(1, reason),)
    assert list(session.window) == [2]


def test_retry_after_holds_the_batch_until_its_time() -> None:
    start = (*LIVE, taken(1), nack(1, Refusal.RETRY_AFTER, 2.5))
    assert after(*start)[1] == (RetryLater(1, 2.5),)
    assert after(*start, RetryDue(1))[1] == (SendBatch(1, Lane.LIVE),)
    assert after(*start, taken(2), RetryDue(1))[1] == (Fetch(BEFORE_ALL, 2, None),)
    replayed = (taken(5), Connected(), welcome(5), found(1), nack(1, Refusal.RETRY_AFTER), RetryDue(1))
    assert after(*replayed)[1] == (SendBatch(1, Lane.REPLAY),)


def test_a_retry_that_comes_after_a_reconnect_does_nothing() -> None:
    start = (*LIVE, taken(1), nack(1, Refusal.RETRY_AFTER, 1.0), Disconnected(), Connected(), welcome(1))
    assert after(*start, RetryDue(1))[1] == ()


def test_a_fenced_stream_is_left() -> None:
    session, actions = after(*LIVE, taken(1), nack(1, Refusal.FENCED))
    assert session.state is State.DISCONNECTED
    assert session.window == {}
    assert actions == (Wait(None), Reconnect(0.0, 1.0))


def test_a_nack_of_a_batch_that_is_not_under_way_is_ignored() -> None:
    before, _ = after(*LIVE, taken(1), ack(1, 0, 2))
    assert step(before, nack(1, Refusal.BAD_DATA)) == (before, ())
    assert step(before, nack(99, Refusal.BAD_DATA)) == (before, ())


@pytest.mark.parametrize(
    ("terms", "reason"),
    [({"max_batch_bytes": 99}, Refusal.TOO_BIG), ({"max_series": 2}, Refusal.TOO_MANY_SERIES)],
)
def test_what_the_collector_said_it_never_takes_is_not_sent(terms: dict[str, int], reason: Refusal) -> None:
    _, actions = after(Connected(), welcome(0, **terms), taken(1))
    assert actions == (Discard(1, reason),)


def test_a_collector_that_stops_acknowledging_is_not_fed_for_ever() -> None:
    session, _ = after(*LIVE, *(event for n in range(1, 30) for event in (taken(n), found(*range(1, n)))))
    assert session.under_way(Lane.LIVE) == 16
