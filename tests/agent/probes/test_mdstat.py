import pytest

from agent.probes import mdstat
from agent.probes.errors import MalformedError


def one(head: str, *rest: str) -> mdstat.Array:
    (array,) = mdstat.parse("\n".join(("Personalities : [raid1]", head, *rest, "", "unused devices: <none>")))
    return array


def test_a_degraded_mirror() -> None:
    array = one("md0 : active raid1 sdb1[1] sda1[0](F)", "      976630464 blocks super 1.2 [2/1] [_U]")
    assert array == mdstat.Array("md0", "active", 1, 1, 0, 2, 976630464, 976630464)


@pytest.mark.parametrize(
    ("line", "state", "synced"),
    [
        ("[=>..]  recovery = 12.6% (1234/9766) finish=80.1min speed=177000K/sec", "recovering", 1234),
        ("[=>..]  resync = 8.5% (100/9766) finish=17.0min speed=259783K/sec", "resync", 100),
        ("[=>..]  reshape = 8.5% (100/9766) finish=17.0min", "resync", 100),
        ("[=>..]  check =  0.1% (7/9766) finish=17.0min speed=1K/sec", "check", 7),
        ("resync=PENDING", "resync", 0),
        ("recovery=DELAYED", "recovering", 0),
    ],
)
def test_what_the_array_is_doing(line: str, state: str, synced: float) -> None:
    array = one("md1 : active raid5 sdc1[2] sdb1[1] sda1[0]", "      9766 blocks level 5 [3/3] [UUU]", f"      {line}")
    assert (array.state, array.synced) == (state, synced)


def test_exactly_one_state_is_true() -> None:
    array = one("md1 : active (auto-read-only) raid1 sda1[0]", "      10 blocks [1/1] [U]")
    states = [s.value for s in mdstat.samples((array,)) if s.family is mdstat.STATE]
    assert sorted(states) == [0, 0, 0, 0, 1]


def test_stripes_need_every_listed_disk() -> None:
    array = one("md2 : active raid0 sdh1[1] sdg1[0]", "      3906764800 blocks super 1.2 512k chunks")
    assert (array.active, array.required) == (2, 2)


def test_an_inactive_array_has_no_active_disk() -> None:
    array = one("md3 : inactive sdi1[0](S)", "      100 blocks super 1.2")
    assert (array.state, array.active, array.spare) == ("inactive", 0, 1)


def test_a_host_with_the_driver_and_no_array() -> None:
    assert mdstat.parse("Personalities : \nunused devices: <none>\n") == ()


def test_an_array_in_an_unknown_state_is_refused() -> None:
    with pytest.raises(MalformedError):
        one("md0 : confused raid1 sda1[0]", "  10 blocks")
