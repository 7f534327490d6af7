from pathlib import Path

from agent import __version__
from agent.probes import ProbeSettings, host


def test_a_release_file_with_quotes_comments_and_a_broken_line() -> None:
    text = '# comment\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\nVARIANT="half\nnonsense\n'
    release = host.parse_release(text)
    assert release == {"name": "Debian GNU/Linux", "version_id": "12", "id": "debian", "variant": "half"}


def test_the_version_number_is_its_first_two_parts() -> None:
    reading = host.Host({}, {"id": "alpine", "version_id": "3.19.1"}, 0.0, "3.11")
    assert [s.value for s in host.samples(reading) if s.family is host.OS_VERSION] == [3.19]


def test_a_rolling_release_has_no_version_number() -> None:
    reading = host.Host({}, {"id": "arch"}, 0.0, "3.11")
    assert [s.family for s in host.samples(reading)] == [host.UNAME, host.TIME, host.BUILD, host.OS_INFO]


def test_a_system_without_a_release_file_still_has_a_name(tmp_path: Path) -> None:
    reading = host.read_elsewhere(tmp_path, ProbeSettings().kernel)
    assert reading.release == {}
    assert reading.uname["nodename"]


def test_the_agent_tells_its_version() -> None:
    built = next(s for s in host.samples(host.Host({}, {}, 0.0, "3.11.2")) if s.family is host.BUILD)
    assert built.labels == (("python", "3.11.2"), ("version", __version__))
