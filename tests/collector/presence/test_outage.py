import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.presence.outage import WHOLE, Count, Outage, Scope, declare, restored

WAW, KRK, GDN = ("acme", "waw"), ("acme", "krk"), ("acme", "gdn")
NOW = 1_800_000_000.0


def declared(sites: dict[Scope, Count]) -> tuple[Scope, ...]:
    """Where there is one collector."""
    return declare(sites, sites)


@pytest.mark.parametrize(
    ("total", "silent", "many"), [(10, 5, False), (10, 6, True), (100, 20, False), (100, 21, True), (6, 6, True)]
)
def test_more_than_five_and_more_than_a_fifth_are_no_coincidence(total: int, silent: int, many: bool) -> None:
    assert Count(total, silent).many is many


def test_an_outage_is_as_large_as_what_failed() -> None:
    assert declared({WAW: Count(20, 20), KRK: Count(20, 0)}) == (WAW,)
    assert declared({WAW: Count(20, 20), KRK: Count(80, 1)}) == (WAW,)
    assert declared({WAW: Count(20, 20), KRK: Count(20, 20)}) == (WHOLE,)
    assert declared({WAW: Count(20, 20), KRK: Count(20, 20), GDN: Count(400, 0)}) == (KRK, WAW)
    assert declared({WAW: Count(20, 3), KRK: Count(20, 3)}) == ()
    assert declared({("acme", str(n)): Count(1, 1) for n in range(6)}) == (WHOLE,)
    assert declared({WAW: Count(5, 5)}) == ()
    assert declared({}) == ()


def test_a_site_is_counted_with_its_hosts_of_other_collectors_and_a_collector_with_its_own() -> None:
    assert declare({WAW: Count(10, 3)}, {WAW: Count(30, 9)}) == (WAW,)
    assert declare({WAW: Count(10, 7)}, {WAW: Count(90, 7)}) == ()
    assert declare({WAW: Count(10, 0)}, {WAW: Count(10, 0), KRK: Count(10, 10)}) == ()
    assert declare({WAW: Count(5, 5), KRK: Count(5, 5)}, {WAW: Count(90, 9), KRK: Count(90, 9)}) == (WHOLE,)


def test_it_is_over_when_the_rest_is_back() -> None:
    outage = Outage(NOW, 50, 50, NOW)
    assert not outage.seen(25, NOW + 60).over(NOW + 60)
    assert outage.seen(5, NOW + 60).over(NOW + 60)
    assert outage.seen(0, NOW + 60).over(NOW + 60)
    half = outage.seen(20, NOW + 60)
    assert not half.over(NOW + 959)
    assert half.over(NOW + 960)
    assert half.seen(19, NOW + 900).over(NOW + 1799) is False


def test_it_never_ends_by_waiting_alone() -> None:
    assert not Outage(NOW, 50, 26, NOW).over(NOW + 1e6)


def test_it_grows_with_those_who_fall_silent_later() -> None:
    assert Outage(NOW, 50, 50, NOW).seen(70, NOW + 10) == Outage(NOW, 70, 70, NOW)


def test_after_our_start_a_large_rest_is_an_outage_still_and_a_small_one_stragglers() -> None:
    assert not restored(NOW, 50, Count(100, 50), NOW).over(NOW + 1e6)
    assert restored(NOW, 5, Count(100, 5), NOW).over(NOW)
    assert not restored(NOW, 15, Count(100, 15), NOW).over(NOW + 60)


@given(st.dictionaries(st.sampled_from([WAW, KRK, GDN]), st.integers(0, 50).map(lambda n: Count(50, n))))
def test_five_alone_are_never_an_outage(sites: dict[Scope, Count]) -> None:
    if sum(count.silent for count in sites.values()) <= 5:
        assert declared(sites) == ()
