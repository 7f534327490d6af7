import pytest

from agent.probes import ProbeSettings, WatchedProcess
from agent.probes.match import matcher

GUNICORN = ["/usr/bin/python3", "/usr/bin/gunicorn", "shop:app"]


@pytest.mark.parametrize(
    ("watched", "comm", "arguments"),
    [
        (WatchedProcess("nginx"), "nginx", []),
        (WatchedProcess("web", "=nginx"), "nginx", []),
        (WatchedProcess("shop", "gunicorn shop:app"), "gunicorn", GUNICORN),
        (WatchedProcess("shop", r"~gunicorn \w+:app$"), "gunicorn", GUNICORN),
        (WatchedProcess("systemd-resolved"), "systemd-resolve", ["/lib/systemd/systemd-resolved"]),
    ],
)
def test_a_process_matches(watched: WatchedProcess, comm: str, arguments: list[str]) -> None:
    assert matcher(watched).of(comm, arguments)


@pytest.mark.parametrize(
    ("watched", "comm", "arguments"),
    [
        (WatchedProcess("nginx"), "nginx-debug", ["nginx"]),
        (WatchedProcess("ngin"), "nginx", ["ngin"]),
        (WatchedProcess("shop", "gunicorn other"), "gunicorn", GUNICORN),
        (WatchedProcess("shop", "~^gunicorn"), "gunicorn", GUNICORN),
        (WatchedProcess("systemd-resolved"), "systemd-resolve", ["/lib/systemd/systemd-resolver"]),
    ],
)
def test_a_process_does_not_match(watched: WatchedProcess, comm: str, arguments: list[str]) -> None:
    assert not matcher(watched).of(comm, arguments)


@pytest.mark.parametrize(("name", "match"), [("", "x"), ("a", "~("), ("a", "="), ("a", "~")])
def test_a_watched_process_that_cannot_match_is_refused(name: str, match: str) -> None:
    with pytest.raises(ValueError, match=r"watched process|regular expression"):
        WatchedProcess(name, match)


def test_two_watched_processes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        ProbeSettings(processes=(WatchedProcess("a", "x"), WatchedProcess("a", "y")))


@pytest.mark.parametrize("name", ["", "a\nb", "../x", "ż"])
def test_what_cannot_be_a_services_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a service"):
        ProbeSettings(services=(name,))


def test_a_broken_exclusion_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\(' is not a regular expression"):
        ProbeSettings(disks_excluded="(")
