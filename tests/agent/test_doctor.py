"""The doctor on real files and real listeners."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent import exposition
from agent.config import Config
from agent.doctor import Finding, Level, examine
from agent.status import Status
from tests.agent.conftest import Authority, Listener

Make = Callable[..., Path]
AWAY = Status(running=False, enrolled=True, connected=False)
WELL = Status(running=True, enrolled=True, connected=True, collector="c:1")
NOW = 1_800_000_000.0


@pytest.fixture
def config(tmp_path: Path, free_port: Callable[[], int]) -> Config:
    return Config(state_dir=tmp_path, identity_dir=tmp_path / "identity", listen=("127.0.0.1", free_port()))


def found(config: Config, status: Status = AWAY, **clock: float) -> dict[str, Finding]:
    findings = examine(config, status, lambda: clock["now"]) if clock else examine(config, status)
    return {each.subject: each for each in findings}


def test_a_well_agent_has_nothing_but_ok(listener: Listener, ca: Authority, identity_of: Make, config: Config) -> None:
    identity_of(ca, listener.where)
    findings = found(config, WELL)
    assert {each.level for each in findings.values()} == {Level.OK}
    assert list(findings) == [
        "configuration",
        "state directory",
        "clock",
        "Prometheus page",
        "identity",
        "certificate",
        "DNS",
        "TCP",
        "TLS",
        "stream",
    ]


def test_without_identity_the_next_command_is_told(config: Config) -> None:
    finding = found(config)["identity"]
    assert finding.level is Level.WARN
    assert "czuwak-agent enroll" in str(finding)


def test_a_key_open_to_others_fails(ca: Authority, identity_of: Make, config: Config) -> None:
    (identity_of(ca, "c:1") / "key.pem").chmod(0o644)
    assert found(config)["identity"].level is Level.FAIL


def test_a_missing_state_directory_fails_with_the_command_that_makes_it(config: Config, tmp_path: Path) -> None:
    finding = found(replace(config, state_dir=tmp_path / "none"))["state directory"]
    assert finding.level is Level.FAIL
    assert f"install -d -m 0700 {tmp_path / 'none'}" in finding.next


def test_a_port_in_use_fails(config: Config) -> None:
    with exposition.serve(("127.0.0.1", 0), lambda: None) as other:
        taken = replace(config, listen=("127.0.0.1", other.port))
        assert found(taken)["Prometheus page"].level is Level.FAIL
        assert found(taken, WELL)["Prometheus page"].level is Level.OK


def test_a_clock_before_the_product_fails(config: Config) -> None:
    assert found(config, now=0.0)["clock"].level is Level.FAIL
    assert found(config, now=NOW)["clock"].level is Level.OK


@pytest.mark.parametrize(("days", "level"), [(30, Level.OK), (5, Level.WARN), (-1, Level.FAIL)])
def test_the_certificates_end_is_watched(
    ca: Authority, identity_of: Make, config: Config, free_port: Callable[[], int], days: int, level: Level
) -> None:
    identity_of(ca, f"127.0.0.1:{free_port()}", days)
    assert found(config)["certificate"].level is level


def test_a_closed_port_of_the_collector_fails_at_tcp(
    ca: Authority, identity_of: Make, config: Config, free_port: Callable[[], int]
) -> None:
    identity_of(ca, f"127.0.0.1:{free_port()}")
    findings = found(config)
    assert findings["TCP"].level is Level.FAIL
    assert "TLS" not in findings


def test_another_ca_fails_at_tls_and_shows_what_was_presented(
    listener: Listener, other_ca: Authority, identity_of: Make, config: Config
) -> None:
    identity_of(other_ca, listener.where)
    finding = found(config)["TLS"]
    assert finding.level is Level.FAIL
    assert "it presents sha256" in finding.found


def test_another_name_fails_at_tls(listener: Listener, ca: Authority, identity_of: Make, config: Config) -> None:
    identity_of(ca, listener.where)
    finding = found(replace(config, server_name="elsewhere"))["TLS"]
    assert finding.level is Level.FAIL
    assert "server_name" in finding.next


def test_a_certificate_the_collector_refuses_fails_at_tls(
    listener: Listener, ca: Authority, identity_of: Make, config: Config
) -> None:
    identity_of(ca, listener.where, -1)
    finding = found(config)["TLS"]
    assert finding.level is Level.FAIL
    assert "does not accept us" in finding.found


def test_a_running_agent_without_stream_fails(
    listener: Listener, ca: Authority, identity_of: Make, config: Config
) -> None:
    identity_of(ca, listener.where)
    finding = found(config, replace(WELL, connected=False, problem="it rains"))["stream"]
    assert (finding.level, finding.found) == (Level.FAIL, "it rains")
