"""The commands: wrong input in this process, the running agent as a real process against a real collector."""

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import __version__, control, exposition, log
from agent.main import main
from czuwak.v1 import ingest_pb2 as pb
from tests.agent.conftest import Authority, Listener

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    # The process's own logging is left as pytest set it.
    monkeypatch.setattr(log, "start", lambda *_: None)


@pytest.fixture
def config(tmp_path: Path, free_port: Callable[[], int]) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(
        f'interval = 1\n[agent]\nstate_dir = "{tmp_path}/state"\n[identity]\ndir = "{tmp_path}/identity"\n'
        f'[exposition]\nlisten = "127.0.0.1:{free_port()}"\n'
    )
    return path


@contextlib.contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """The agent as a process, killed at the end if it still lives."""
    command = [sys.executable, "-m", "agent.main", "run", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def page_of(config: Path) -> str:
    """The page of a running agent, once it is there."""
    listen = config.read_text().split('listen = "')[1].split('"')[0]
    for _ in range(200):
        with contextlib.suppress(OSError):
            answer: bytes = urllib.request.urlopen(f"http://{listen}/metrics").read()
            return answer.decode()
        time.sleep(0.05)
    raise AssertionError("the page never came")


def obeying(state: Path) -> None:
    """Returns once the running agent takes commands."""
    for _ in range(200):
        if (state / control.SOCKET).exists():
            return
        time.sleep(0.05)
    raise AssertionError("the control socket never came")


def ended(process: subprocess.Popen[str]) -> str:
    """Ask the agent to stop; its log."""
    process.send_signal(signal.SIGTERM)
    _, talk = process.communicate(timeout=10)
    assert process.returncode == 0, talk
    return talk


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"czuwak-agent {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["enroll"], ["collect"], ["collect", "--once", "--format", "xml"]])
def test_a_wrong_command_line_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert "usage: czuwak-agent" in capsys.readouterr().err


def test_one_round_is_printed_as_a_page(config: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["collect", "--once", "--config", str(config)]) == 0
    out = capfdbinary.readouterr().out.decode()
    assert "# TYPE node_memory_MemTotal_bytes gauge" in out
    assert 'node_scrape_collector_success{collector="cpu"} 1.0' in out


def test_one_round_is_printed_as_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "--once", "--format", "json", "--config", str(config)]) == 0
    round_ = json.loads(capsys.readouterr().out)
    assert {"name", "labels", "value"} == set(round_["samples"][0])


def test_a_good_configuration_is_ok(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", str(config)]) == 0
    assert capsys.readouterr().out == f"{config}: ok\n"


def test_broken_toml_is_told_with_file_and_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("interval = 2\ninterval =\n")
    assert main(["check-config", str(config)]) == 2
    assert capsys.readouterr().err.startswith(f"{config}:2:")


def test_a_missing_token_file_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["enroll", "--config", str(config), "--collector", "127.0.0.1:1", "--ca-fingerprint", "0" * 64]
    assert main([*arguments, "--token-file", "/nowhere/token"]) == 1
    assert "/nowhere/token: No such file" in capsys.readouterr().err


def test_a_wrong_fingerprint_is_told(
    config: Path, listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "join").write_text("token-nobody-may-see")
    arguments = ["enroll", "--config", str(config), "--collector", listener.where, "--ca-fingerprint", "0" * 64]
    assert main([*arguments, "--token-file", str(tmp_path / "join")]) == 1
    told = capsys.readouterr()
    assert "Nothing was sent" in told.err
    assert "token-nobody-may-see" not in told.out + told.err


def test_an_identity_is_not_given_up_by_mistake(
    config: Path, ca: Authority, identity_of: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    identity_of(ca, "c:1")
    arguments = ["enroll", "--config", str(config), "--collector", "c:1", "--token-file", "-"]
    assert main([*arguments, "--ca-fingerprint", "0" * 64]) == 1
    assert "give it up with --replace" in capsys.readouterr().err


def test_a_port_in_use_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with exposition.serve(("127.0.0.1", 0), lambda: None) as other:
        assert main(["run", "--config", str(config), "--listen", f"127.0.0.1:{other.port}"]) == 1
        assert f"cannot serve metrics at 127.0.0.1:{other.port}" in capsys.readouterr().err


def test_status_and_doctor_of_an_agent_that_does_not_run(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "--config", str(config)]) == 1
    assert json.loads(capsys.readouterr().out)["running"] is False
    assert main(["doctor", "--json", "--config", str(config)]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert {"level": "fail", "subject": "state directory"}.items() <= findings[1].items()


def test_the_doctor_tells_a_broken_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("[agnet]\n")
    assert main(["doctor", "--config", str(config)]) == 1
    assert "did you mean 'agent'?" in capsys.readouterr().out


def test_without_identity_the_agent_serves_its_page_and_stops_in_order(config: Path) -> None:
    with running(config) as process:
        page = page_of(config)
        talk = ended(process)
    assert "node_load1" in page
    assert "Only the Prometheus page is served" in talk


def test_the_agent_streams_says_goodbye_and_explains_itself_when_it_returns(
    config: Path, listener: Listener, ca: Authority, identity_of: Make, tmp_path: Path
) -> None:
    identity_of(ca, listener.where)
    listener.collector.welcome.interval_seconds = 0.2
    with running(config) as process:
        hello = listener.collector.next("hello").hello
        assert not hello.HasField("last_absence")
        assert (hello.protocol_min, hello.agent_version) == (1, __version__)
        assert hello.facts.hostname
        names = {series.name for series in listener.collector.next("schema").schema.series}
        assert {"node_load1", "czuwak_agent_uplink_connected"} <= names
        numbers = [listener.collector.next("batch").batch.seq for _ in range(3)]
        assert numbers == [1, 2, 3]
        page_of(config)
        assert main(["status", "--config", str(config)]) == 0
        ended(process)
    assert listener.collector.next("going_away").going_away.reason == pb.GOING_AWAY_REASON_AGENT_STOP
    assert json.loads((tmp_path / "state/absence.json").read_text())["clean"] is True
    with running(config) as process:
        absence = listener.collector.next("hello").hello.last_absence
        assert (absence.reason, absence.clean) == (pb.GOING_AWAY_REASON_AGENT_STOP, True)
        listener.collector.next("batch")
        for _ in range(100):
            if not (tmp_path / "state/absence.json").exists():
                break
            time.sleep(0.05)
        assert not (tmp_path / "state/absence.json").exists()
        ended(process)


def test_goodbye_and_resume_speak_to_the_running_agent(
    config: Path,
    listener: Listener,
    ca: Authority,
    identity_of: Make,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    identity_of(ca, listener.where)
    listener.collector.welcome.interval_seconds = 0.2
    with running(config) as process:
        listener.collector.next("batch")
        assert main(["goodbye", "--reason", "user_pause", "--back", "2h", "--config", str(config)]) == 0
        assert capsys.readouterr().out == "goodbye was said\n"
        told = listener.collector.next("going_away").going_away
        assert (told.reason, told.expected_back_seconds) == (pb.GOING_AWAY_REASON_USER_PAUSE, 7200)
        assert json.loads((tmp_path / "state/absence.json").read_text())["expected_back"] == 7200
        time.sleep(0.5)
        assert page_of(config)
        assert listener.collector.heard.empty()
        assert main(["resume", "--config", str(config)]) == 0
        hello = listener.collector.next("hello").hello
        assert hello.last_absence.reason == pb.GOING_AWAY_REASON_USER_PAUSE
        listener.collector.next("batch")
        ended(process)
    assert main(["resume", "--config", str(config)]) == 1


@pytest.fixture
def unheard(config: Path, listener: Listener, ca: Authority, identity_of: Make) -> Path:
    """Configuration of an enrolled agent whose collector has stopped."""
    identity_of(ca, listener.where)
    listener.stop()
    return config


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("user_pause", "no collector has heard the goodbye yet: it will be said as soon as one listens\n"),
        ("sleep", "no collector has heard the goodbye: it will be told when this machine is back\n"),
    ],
)
def test_a_goodbye_that_nobody_hears_is_recorded_and_told_as_that(
    unheard: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    reason: str,
    told: str,
) -> None:
    with running(unheard) as process:
        obeying(tmp_path / "state")
        assert main(["goodbye", "--reason", reason, "--config", str(unheard)]) == 0
        assert capsys.readouterr().out == told
        assert json.loads((tmp_path / "state/absence.json").read_text())["reason"].endswith(reason.upper())
        ended(process)


def test_a_goodbye_that_nobody_hears_and_no_disk_records_fails(
    unheard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(unheard) as process:
        obeying(tmp_path / "state")
        (tmp_path / "state/absence.json").mkdir()  # nothing can take its place
        assert main(["goodbye", "--reason", "sleep", "--config", str(unheard)]) == 1
        assert "the disk took no record of it" in capsys.readouterr().err
        assert main(["goodbye", "--reason", "reboot", "--config", str(unheard)]) == 0
        assert "as soon as one listens; the disk took no record of it" in capsys.readouterr().out
        ended(process)


@pytest.mark.parametrize("time_", ["2", "h", "2w", "-1h", "0s", "9999d"])
def test_a_time_that_is_none_is_a_wrong_usage(time_: str) -> None:
    with pytest.raises(SystemExit) as ended_:
        main(["goodbye", "--reason", "sleep", f"--back={time_}"])
    assert ended_.value.code == 2


def test_in_its_steady_state_the_agent_writes_nothing(
    config: Path, listener: Listener, ca: Authority, identity_of: Make, tmp_path: Path
) -> None:
    identity_of(ca, listener.where)
    listener.collector.welcome.interval_seconds = 0.5
    with running(config) as process:
        for _ in range(3):
            listener.collector.next("batch")
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        for _ in range(10):
            listener.collector.next("batch")
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
        ended(process)
