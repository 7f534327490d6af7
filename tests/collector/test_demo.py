import json
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from collector import demo
from collector.errors import DemoError
from collector.main import main


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def standing(folder: Path, say: list[str]) -> demo.Demo:
    return demo.Demo(folder, {"web": 1}, lambda step, **_: say.append(step), demo.Stop())


def test_a_port_in_use_is_told_at_once_and_leaves_nothing(temporary: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in demo.ENDINGS]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--once", "--port", str(port)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["step"] == "failed"
    assert told["error"].startswith(f"port {port} cannot be used: Address already in use")
    assert "--port" in told["error"]
    assert list(temporary.iterdir()) == []
    assert [signal.getsignal(number) for number in demo.ENDINGS] == before


def test_without_a_temporary_directory_it_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nothing-is-made-here")
    assert main(["demo", "--once"]) == 1
    assert "TMPDIR=DIR" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("port", ["65536", "-1", "http", "²"])
def test_a_port_that_is_none_is_a_wrong_usage(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--port", port])
    assert ended.value.code == 2
    assert "is not a port" in capsys.readouterr().err


def test_a_part_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    running = standing(tmp_path, [])
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        running.needed.append(child)
        with pytest.raises(DemoError, match=r"ended by itself.*the sun rises"):
            demo.until("the sun rises", lambda: None, demo=running)


def test_what_does_not_happen_in_time_is_named() -> None:
    with pytest.raises(DemoError, match="waited 0 s and it did not happen: the sun rises"):
        demo.until("the sun rises", lambda: None, 0.01, pause=0.001)


def test_an_interrupt_waits_until_the_child_is_noted() -> None:
    before = [signal.getsignal(number) for number in demo.ENDINGS]
    stop = demo.Stop()
    noted = False

    def note() -> None:
        nonlocal noted
        with stop.held():
            stop(signal.SIGTERM, None)
            noted = True

    try:
        with pytest.raises(KeyboardInterrupt):
            note()
        assert noted
        assert {signal.getsignal(number) for number in demo.ENDINGS} == {signal.SIG_IGN}
    finally:
        for number, handler in zip(demo.ENDINGS, before, strict=True):
            signal.signal(number, handler)


def test_a_child_that_begins_while_a_signal_waits_can_still_be_asked_to_end(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in demo.ENDINGS]
    running = standing(tmp_path, [])

    def begin() -> None:
        with running.stop.held():
            for number in demo.ENDINGS:
                signal.signal(number, running.stop)
            signal.raise_signal(signal.SIGTERM)
            running.children.append(
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
            )

    try:
        with pytest.raises(KeyboardInterrupt):
            begin()
        (child,) = running.children
        demo.end(child)
        assert child.returncode == -signal.SIGTERM
    finally:
        for number, handler in zip(demo.ENDINGS, before, strict=True):
            signal.signal(number, handler)


def test_the_children_know_nothing_of_another_collector_and_use_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CZUWAK_DATABASE_URL", "postgresql://elsewhere/x")
    monkeypatch.setenv("no_proxy", "example.org")
    environ = demo._environ()
    assert {name for name in environ if name.startswith("CZUWAK_")} == {"CZUWAK_LOG"}
    assert environ["no_proxy"] == environ["NO_PROXY"] == "127.0.0.1,localhost,example.org"


def test_every_demonstration_watches_a_process_of_its_own() -> None:
    names = {standing(Path(f"czuwak-demo-{tail}"), []).worker for tail in ("ab_1x", "cd2_3")}
    assert names == {"czuwak-demo-worker-ab_1x", "czuwak-demo-worker-cd2_3"}
