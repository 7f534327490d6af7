import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import control, presence
from agent.away import Away, Clocks, record
from agent.errors import ControlError
from agent.report import Told
from czuwak.v1 import ingest_pb2 as pb

SLEEP, PAUSE, REBOOT = (
    pb.GOING_AWAY_REASON_SLEEP,
    pb.GOING_AWAY_REASON_USER_PAUSE,
    pb.GOING_AWAY_REASON_REBOOT,
)


class World:
    """Streams, clocks and a pace in one; remembers in order what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wall, self.awake, self.slept = 1000.0, 50.0, 0
        self.did: list[str] = []
        self.away = self.new()

    def new(self) -> Away:
        clocks = Clocks(lambda: self.wall, lambda: self.awake, lambda: self.slept)
        return Away(
            self.folder, self, lambda: self.did.append("hurry"), before=lambda: self.did.append("flush"), clocks=clocks
        )

    def rest(self, reason: pb.GoingAwayReason.ValueType, back: int = 0) -> Told:
        there = presence.read_absence(self.folder) is not None
        self.did.append(f"goodbye {pb.GoingAwayReason.Name(reason).removeprefix('GOING_AWAY_REASON_')} {back} {there}")
        return Told.HEARD

    def resume(self) -> None:
        self.did.append("connect")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_record_and_the_spool_are_on_disk_before_the_goodbye(world: World) -> None:
    assert world.away.streams()
    assert world.away.goodbye(SLEEP, 60) == (Told.HEARD, True)
    assert world.did == ["flush", "goodbye SLEEP 60 True"]
    assert not world.away.streams()
    told = presence.read_absence(world.folder)
    assert told is not None
    assert (told.reason, told.wall_ns, told.clean, told.expected_back_seconds) == (SLEEP, 1000 * 10**9, True, 60)


def test_a_disk_that_takes_no_record_does_not_silence_the_goodbye(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    world = World(tmp_path / "file")
    assert world.away.goodbye(SLEEP) == (Told.HEARD, False)
    assert world.did == ["flush", "goodbye SLEEP 0 False"]


def test_resume_connects_and_takes_one_round_at_once(world: World) -> None:
    world.away.goodbye(SLEEP)
    assert world.away.resume()
    assert world.did[-2:] == ["connect", "hurry"]
    assert world.away.streams()
    assert not world.away.resume()


def test_a_machine_that_slept_is_back_without_a_hook(world: World) -> None:
    world.away.goodbye(SLEEP)
    world.slept = 3600 * 10**9
    assert world.away.streams()
    assert world.did[-2:] == ["connect", "hurry"]


def test_a_machine_that_did_not_go_after_all_is_back_after_a_minute_awake(world: World) -> None:
    world.away.goodbye(SLEEP)
    world.awake += 59.0
    assert not world.away.streams()
    world.awake += 1.0
    assert world.away.streams()


def test_a_pause_ends_with_its_time_and_not_with_sleep(world: World) -> None:
    world.away.goodbye(PAUSE, 7200)
    world.slept = 10**13
    world.awake += 7100.0
    world.wall += 7199.0
    assert not world.away.streams()
    world.wall += 1.0
    assert world.away.streams()


@pytest.mark.parametrize(("back", "later", "goes_on"), [(7200, 60, True), (7200, 7300, False), (0, 10**6, True)])
def test_a_pause_outlives_the_agents_process(world: World, back: int, later: int, goes_on: bool) -> None:
    world.away.goodbye(PAUSE, back)
    assert world.away.paused
    world.wall += later
    again = world.new()
    left = again.restore()
    assert (left is not None) is goes_on
    assert left is None or (left.reason, left.expected_back_seconds) == (PAUSE, max(0, back - later))
    assert again.streams() is not goes_on
    assert again.paused is goes_on


def test_no_other_absence_outlives_it(world: World) -> None:
    assert world.away.restore() is None
    world.away.goodbye(REBOOT, 600)
    assert world.new().restore() is None


def test_a_stop_of_the_agent_alone_leaves_an_earlier_boots_untold_record(tmp_path: Path) -> None:
    earlier = pb.Absence(reason=REBOOT, wall_ns=1, boot_id="earlier boot", clean=True, expected_back_seconds=5)
    presence.write_absence(tmp_path, earlier)
    assert record(tmp_path, pb.GOING_AWAY_REASON_AGENT_STOP)
    assert presence.read_absence(tmp_path) == earlier
    assert record(tmp_path, pb.GOING_AWAY_REASON_SHUTDOWN)
    told = presence.read_absence(tmp_path)
    assert told is not None
    assert told.reason == pb.GOING_AWAY_REASON_SHUTDOWN


def test_a_record_of_an_older_agent_is_read(tmp_path: Path) -> None:
    text = '{"reason":"GOING_AWAY_REASON_SLEEP","wall_ns":1,"boot_id":"b","clean":true}'
    (tmp_path / presence.ABSENCE_FILE).write_text(text)
    told = presence.read_absence(tmp_path)
    assert told is not None
    assert told.expected_back_seconds == 0


def test_the_suspended_time_never_goes_below_zero() -> None:
    assert presence.suspended_ns() >= 0


# --- the local socket ---

Act = Callable[[control.Request], control.Answer]


def echo(request: control.Request) -> control.Answer:
    return control.Answer(ok=request.action != "no", said=f"{request.action} {request.reason} {request.back}")


def test_only_its_owner_may_speak_to_the_agent(tmp_path: Path) -> None:
    close = control.listen(tmp_path, echo)
    assert close is not None
    assert stat.S_IMODE((tmp_path / control.SOCKET).stat().st_mode) == 0o600
    assert control.ask(tmp_path, control.Request("goodbye", "sleep", 5)) == "goodbye sleep 5"
    with pytest.raises(ControlError, match="no  0"):
        control.ask(tmp_path, control.Request("no"))
    close()
    assert not (tmp_path / control.SOCKET).exists()
    with pytest.raises(ControlError, match="no running agent answers"):
        control.ask(tmp_path, control.Request("resume"))


def test_a_socket_left_by_a_killed_agent_is_in_nobodys_way(tmp_path: Path) -> None:
    assert control.listen(tmp_path, lambda _: control.Answer(ok=True, said="old")) is not None
    close = control.listen(tmp_path, echo)
    assert close is not None
    assert control.ask(tmp_path, control.Request("resume")) == "resume  0"
    close()


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"action":1}\n', b"\xff" * 5000, b'{"action":"a","more":1}\n'])
def test_nonsense_is_answered_and_the_next_one_served(tmp_path: Path, line: bytes) -> None:
    close = control.listen(tmp_path, echo)
    assert close is not None
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / control.SOCKET))
        client.sendall(line)
        assert b'"ok":false' in client.recv(4096)
    assert control.ask(tmp_path, control.Request("resume")) == "resume  0"
    close()


def test_a_path_too_long_for_a_socket_costs_the_commands_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    assert control.listen(folder, echo) is None
