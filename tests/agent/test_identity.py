from collections.abc import Callable
from pathlib import Path

import pytest

from agent import identity
from agent.errors import IdentityError, IdentityMissingError
from tests.agent.conftest import Authority

Make = Callable[..., Path]


def test_an_identity_is_read(identity_of: Make, ca: Authority) -> None:
    owned = identity.load(identity_of(ca, "collector:8443"))
    assert (owned.facts.agent_id, owned.facts.host, owned.facts.collector) == ("agent-1", "pc-1", "collector:8443")
    assert owned.ca == ca.issued.pem


def test_an_identity_never_shows_its_key(identity_of: Make, ca: Authority) -> None:
    assert repr(identity.load(identity_of(ca, "c:1"))) == "Identity(agent-1)"


def test_a_configured_collector_beats_that_of_the_enrolment(identity_of: Make, ca: Authority) -> None:
    owned = identity.load(identity_of(ca, "told:1"))
    assert identity.collector_of(owned, None) == ("told", 1)
    assert identity.collector_of(owned, ("configured", 2)) == ("configured", 2)


def test_an_identity_without_a_collector_says_what_to_set(identity_of: Make, ca: Authority) -> None:
    owned = identity.load(identity_of(ca, ""))
    with pytest.raises(IdentityError, match=r"set address in \[collector\]"):
        identity.collector_of(owned, None)


def test_before_enrolment_the_next_command_is_told(tmp_path: Path) -> None:
    with pytest.raises(IdentityMissingError, match="czuwak-agent enroll"):
        identity.load(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_may_read_is_refused(identity_of: Make, ca: Authority, mode: int) -> None:
    folder = identity_of(ca, "c:1")
    (folder / "key.pem").chmod(mode)
    with pytest.raises(IdentityError, match=f"open to others .*chmod 600 {folder / 'key.pem'}"):
        identity.load(folder)


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem"])
def test_a_lost_file_is_named(identity_of: Make, ca: Authority, name: str) -> None:
    folder = identity_of(ca, "c:1")
    (folder / name).unlink()
    with pytest.raises(IdentityError, match=name):
        identity.load(folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"agent_id": 1, "host": "h", "collector": "c"}'])
def test_facts_that_are_none_are_named(identity_of: Make, ca: Authority, content: str) -> None:
    folder = identity_of(ca, "c:1")
    (folder / "identity.json").write_text(content)
    with pytest.raises(IdentityError, match="enroll again"):
        identity.load(folder)


@pytest.mark.parametrize("name", ["", "cert.pem", "ca.pem", "identity.json"])
def test_what_others_may_change_is_told_with_the_command(identity_of: Make, ca: Authority, name: str) -> None:
    folder = identity_of(ca, "c:1")
    assert list(identity.exposed(folder, folder)) == []
    (folder / name).chmod(0o777)
    told = f"{folder / name} can be changed by others (mode 0777): run `chmod go-w {folder / name}`"
    assert list(identity.exposed(folder, folder)) == [told]
