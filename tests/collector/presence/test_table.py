import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.presence import Policy, Presence, Standing, step
from collector.presence.hours import parse
from collector.presence.states import (
    SITE_OUTAGE,
    ClockJumped,
    CollectorStarted,
    DeadlinePassed,
    Event,
    LiveBatch,
    OutageDeclared,
    OutageOver,
    Retired,
    SaidGoodbye,
    StreamEnded,
    Welcomed,
)
from collector.presence.table import serverlike

NOW = 1_800_000_000.0
POLICY = Policy()


def after(standing: Standing, *events: Event, at: float = NOW, class_: str = "server") -> Standing:
    for event in events:
        standing = step(standing, event, at, class_=class_, policy=POLICY)
    return standing


ONLINE = Standing(Presence.ONLINE, "", NOW - 1000)


def test_a_host_catches_up_until_its_first_fresh_sample() -> None:
    standing = after(Standing(Presence.UNKNOWN), Welcomed())
    assert (standing.presence, standing.deadline) == (Presence.CATCHING_UP, NOW + 900)
    assert after(standing, StreamEnded()).deadline == NOW + 90
    assert after(standing, LiveBatch()) == Standing(Presence.ONLINE, "", NOW)


def test_silence_means_nothing_before_its_deadline() -> None:
    silent = after(ONLINE, StreamEnded())
    assert (silent.presence, silent.deadline, silent.since) == (Presence.ONLINE, NOW + 90, NOW - 1000)
    assert after(silent, LiveBatch()) == ONLINE
    gone = after(silent, DeadlinePassed(), at=NOW + 90)
    assert gone == Standing(Presence.AWAY_UNEXPLAINED, "silent", NOW + 90)


def test_a_second_end_does_not_turn_the_clock_back() -> None:
    silent = after(ONLINE, StreamEnded())
    assert after(silent, StreamEnded(), at=NOW + 50) == silent


@pytest.mark.parametrize(
    ("class_", "reason", "back", "deadline"),
    [
        ("server", "reboot", 0.0, NOW + 1800),
        ("server", "shutdown", 0.0, None),
        ("workstation", "reboot", 0.0, None),
        ("laptop", "sleep", 0.0, None),
        ("kiosk", "reboot", 0.0, NOW + 1800),
        ("appliance", "reboot", 0.0, NOW + 1800),
        ("laptop", "shutdown", 60.0, NOW + 150),
    ],
)
def test_a_goodbye_allows_what_its_class_allows(class_: str, reason: str, back: float, deadline: float | None) -> None:
    away = after(ONLINE, SaidGoodbye(reason, back), class_=class_)
    assert away == Standing(Presence.AWAY_PLANNED, reason, NOW, deadline)


def test_the_end_of_a_stream_after_a_goodbye_changes_nothing() -> None:
    away = after(ONLINE, SaidGoodbye("shutdown"))
    assert after(away, StreamEnded(), at=NOW + 1) == away


def test_a_server_that_does_not_return_from_its_reboot_is_away_without_explanation() -> None:
    late = after(after(ONLINE, SaidGoodbye("reboot")), DeadlinePassed(), at=NOW + 1800)
    assert late == Standing(Presence.AWAY_UNEXPLAINED, "not back after reboot", NOW + 1800)


def test_our_own_start_makes_nobody_down() -> None:
    for standing in (ONLINE, after(ONLINE, StreamEnded()), after(ONLINE, Welcomed())):
        started = after(standing, CollectorStarted(), at=NOW + 10_000)
        assert (started.presence, started.deadline) == (Presence.UNKNOWN, NOW + 10_000 + 150)


def test_our_own_start_moves_a_planned_absences_deadline_but_forgets_it_not() -> None:
    away = after(ONLINE, SaidGoodbye("reboot"))
    moved = after(away, CollectorStarted(), at=NOW + 5000)
    assert moved == Standing(Presence.AWAY_PLANNED, "reboot", NOW, NOW + 5150)
    forever = after(ONLINE, SaidGoodbye("shutdown"))
    assert after(forever, CollectorStarted(), at=NOW + 5000) == forever


def test_a_retired_host_stays_so() -> None:
    retired = after(ONLINE, Retired())
    assert after(retired, Welcomed(), LiveBatch(), DeadlinePassed(), CollectorStarted()) == retired


def test_the_silence_of_workstations_and_laptops_is_nobodys_ticket() -> None:
    classes = ("server", "workstation", "laptop", "kiosk", "appliance")
    assert [c for c in classes if serverlike(c)] == ["server", "kiosk", "appliance"]


def test_a_kiosk_is_missed_in_its_hours_only() -> None:
    hours = Policy(kiosk=parse("Mon-Fri 08:00-18:00", "Europe/Warsaw"))
    friday_1830, monday_0800 = 1_800_034_200.0, 1_800_255_600.0
    silent = step(ONLINE, StreamEnded(), friday_1830, class_="kiosk", policy=hours)
    assert silent.deadline == monday_0800 + 90
    early = Standing(Presence.ONLINE, "", NOW, friday_1830)  # a deadline of before, when the hours were others
    late = step(early, DeadlinePassed(), friday_1830, class_="kiosk", policy=hours)
    assert late == Standing(Presence.ONLINE, "", NOW, monday_0800 + 90)
    down = step(silent, DeadlinePassed(), monday_0800 + 90, class_="kiosk", policy=hours)
    assert down.presence is Presence.AWAY_UNEXPLAINED


def test_in_an_outage_nobody_is_down_and_our_own_start_does_not_end_it() -> None:
    struck = after(after(ONLINE, StreamEnded()), OutageDeclared())
    assert struck == Standing(Presence.UNKNOWN, SITE_OUTAGE, NOW)
    assert after(struck, CollectorStarted(), StreamEnded(), at=NOW + 500) == struck
    assert after(struck, LiveBatch(), at=NOW + 500).presence is Presence.ONLINE


def test_who_stays_away_when_the_others_are_back_has_its_ordinary_deadline() -> None:
    struck = after(ONLINE, OutageDeclared())
    alone = after(struck, OutageOver(), at=NOW + 600)
    assert (alone.presence, alone.deadline) == (Presence.UNKNOWN, NOW + 690)
    assert after(alone, DeadlinePassed(), at=NOW + 690).reason == "silent"
    assert after(alone, OutageOver(), at=NOW + 700) == alone


def test_a_host_that_has_its_ticket_keeps_it_in_an_outage() -> None:
    down = after(after(ONLINE, StreamEnded()), DeadlinePassed(), at=NOW + 90)
    assert after(down, OutageDeclared(), at=NOW + 91) == down


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_of_the_clock_leaves_the_time_that_was_left(jump: float) -> None:
    silent = after(ONLINE, StreamEnded())
    assert after(silent, ClockJumped(jump)).deadline == NOW + 90 + jump
    assert after(ONLINE, ClockJumped(jump)) == ONLINE


events = st.sampled_from(
    [
        Welcomed(),
        LiveBatch(),
        StreamEnded(),
        SaidGoodbye("shutdown"),
        SaidGoodbye("reboot"),
        SaidGoodbye("user_pause", 60.0),
        CollectorStarted(),
        ClockJumped(1e6),
        OutageDeclared(),
        OutageOver(),
    ]
)


@given(st.lists(events, max_size=20), st.sampled_from(["server", "workstation", "laptop", "kiosk"]))
def test_no_host_is_ever_down_without_a_deadline_that_passed(happened: list[Event], class_: str) -> None:
    assert after(ONLINE, *happened, class_=class_).presence is not Presence.AWAY_UNEXPLAINED
