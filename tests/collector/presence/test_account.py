import pytest

from collector.presence.account import DAY, WEEK, Account, Cause, Known, Told, account, reboots_to_tell

A, B, C = "boot-a", "boot-b", "boot-c"
NOW = 1_800_000_000.0
KNOWN = Known(A, 0.0, NOW - 600)


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (Told(A, 0.0), Cause.NONE),
        (Told(A, 29.0), Cause.NONE),
        (Told(A, 7200.0), Cause.SLEPT),
        (Told(B, 0.0), Cause.CRASH),
        (Told(B, 0.0, "reboot", clean=True, record_boot=A, record_at=NOW - 590), Cause.PLANNED),
        (Told(A, 0.0, "agent_stop", clean=True, record_boot=A, record_at=NOW - 590), Cause.PLANNED),
        # A boot that nobody saw lay between, and it ended in order.
        (Told(C, 0.0, "shutdown", clean=True, record_boot=B, record_at=NOW - 100), Cause.PLANNED),
        # The agent of the new boot was restarted before it reached us: how the old boot ended it cannot know.
        (Told(B, 0.0, "agent_stop", clean=True, record_boot=B, record_at=NOW - 10), Cause.CRASH),
        # The record of an absence that was over long ago could not be removed.
        (Told(B, 0.0, "reboot", clean=True, record_boot=A, record_at=NOW - 86_400), Cause.CRASH),
        (Told(A, 0.0, "sleep", clean=True, record_boot=B, record_at=NOW - 590), Cause.NONE),
        # A clock that was set back by an empty battery explains nothing, and refutes nothing.
        (Told(B, 0.0, "shutdown", clean=True, record_boot=A, record_at=None), Cause.PLANNED),
        (Told(B, 0.0, "shutdown", clean=False, record_boot=A), Cause.CRASH),
        (Told(B, 0.0, "unspecified", clean=True, record_boot=A), Cause.CRASH),
    ],
)
def test_what_a_hello_says_of_the_time_before(told: Told, cause: Cause) -> None:
    assert account(told, KNOWN).cause is cause


def test_a_sleep_that_was_announced_tells_its_length_too() -> None:
    told = Told(A, 3600.0, "sleep", clean=True, record_boot=A, record_at=NOW - 3600)
    assert account(told, Known(A, 0.0, NOW - 3605)) == Account(Cause.PLANNED, "sleep", 3600.0)


def test_of_a_host_that_never_spoke_nothing_is_concluded() -> None:
    assert account(Told(A, 90_000.0), Known()) == Account(Cause.NONE)


def test_an_agent_without_a_boot_id_never_crashes() -> None:
    assert account(Told("", 0.0), KNOWN) == Account(Cause.NONE)


def test_a_crash_shows_for_a_day_and_counts_for_a_week() -> None:
    crashes = ((NOW - WEEK - 1, False), (NOW - WEEK + 60, False), (NOW, False))
    assert [reboots_to_tell(crashes, NOW + later, server=True) for later in (0, 4.9, 5, 61, DAY - 1, DAY)] == [
        0, 0, 2, 1, 1, 0,
    ]  # fmt: skip


def test_a_servers_crash_that_has_its_ticket_opens_no_second_one() -> None:
    crashes = ((NOW - 60, True),)
    assert reboots_to_tell(crashes, NOW, server=True) == 0
    assert reboots_to_tell(crashes, NOW, server=False) == 1
