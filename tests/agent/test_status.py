from collections.abc import Callable
from pathlib import Path

import pytest

from agent import exposition
from agent.config import Config
from agent.report import Report, samples
from agent.round import Round
from agent.status import Status, as_json, lines, own_numbers, read
from tests.agent.conftest import Authority

Make = Callable[..., Path]


def config_of(tmp_path: Path, port: int) -> Config:
    return Config(state_dir=tmp_path, identity_dir=tmp_path / "identity", listen=("127.0.0.1", port))


def round_of(report: Report) -> Round:
    return Round(0.0, 0, tuple(samples(report)))


def test_a_streaming_agent_is_ok(tmp_path: Path, ca: Authority, identity_of: Make) -> None:
    identity_of(ca, "collector:8443")
    with exposition.serve(("127.0.0.1", 0), lambda: round_of(Report(connected=True, acked=3))) as page:
        status = read(config_of(tmp_path, page.port))
    assert (status.ok, status.host, status.collector, status.problem) == (True, "pc-1", "collector:8443", "")
    assert status.numbers["czuwak_agent_batches_acked_total"] == 3.0


def test_a_broken_stream_is_told_with_its_sentence(tmp_path: Path, ca: Authority, identity_of: Make) -> None:
    identity_of(ca, "collector:8443")
    (tmp_path / "status.json").write_text('{"collector": "c:1", "problem": "it rains", "connected": false}')
    with exposition.serve(("127.0.0.1", 0), lambda: round_of(Report())) as page:
        status = read(config_of(tmp_path, page.port))
    assert (status.ok, status.running, status.problem) == (False, True, "it rains")
    assert "problem    it rains" in lines(status)


def test_an_agent_that_does_not_run_is_told(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    status = read(config_of(tmp_path, port))
    assert (status.ok, status.running) == (False, False)
    assert f"no agent answers at 127.0.0.1:{port}" in status.problem


def test_an_agent_without_identity_is_ok_as_a_page(tmp_path: Path) -> None:
    family_only = Round(0.0, 0, tuple(samples(Report())))
    with exposition.serve(("127.0.0.1", 0), lambda: family_only) as page:
        status = read(config_of(tmp_path, page.port))
    assert status.ok
    assert "stream     no identity: only the Prometheus page" in lines(status)


def test_a_page_that_is_not_ready_is_not_running(tmp_path: Path) -> None:
    with exposition.serve(("127.0.0.1", 0), lambda: None) as page:
        assert "answers 503" in read(config_of(tmp_path, page.port)).problem


def test_only_the_agents_own_series_are_taken() -> None:
    page = '# TYPE up gauge\nup 1\n# TYPE czuwak_agent_x gauge\nczuwak_agent_x{b="2",a="1"} 7\n'
    assert own_numbers(page) == {'czuwak_agent_x{a="1",b="2"}': 7.0}


def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(ValueError, match=r".+"):
        own_numbers("czuwak_agent_x{ 1\n")


def test_the_status_is_json_for_scripts() -> None:
    assert as_json(Status(running=True, enrolled=False, connected=False, numbers={"a": 1.0})) == {
        "ok": True,
        "running": True,
        "enrolled": False,
        "connected": False,
        "host": "",
        "collector": "",
        "problem": "",
        "certificate": "",
        "metrics": {"a": 1.0},
    }
