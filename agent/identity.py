"""The identity directory: key.pem, cert.pem, ca.pem and identity.json, checked when read."""

import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.errors import IdentityError, IdentityMissingError
from agent.text import split_address

DEFAULT_PORT = 8443
KEY, CERTIFICATE, CA, FACTS = "key.pem", "cert.pem", "ca.pem", "identity.json"


class Facts(msgspec.Struct, frozen=True):
    """What identity.json says: the agent's id and name as the collector gave them, where to stream, until when."""

    agent_id: str
    host: str
    collector: str
    server_name: str = ""
    not_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Identity:
    """One agent's identity; all but `facts` is PEM. The key is never shown."""

    facts: Facts
    key: bytes
    certificate: bytes
    ca: bytes

    def __repr__(self) -> str:
        return f"Identity({self.facts.agent_id})"


def load(directory: Path) -> Identity:
    """Read it. Raises IdentityMissingError before enrolment, IdentityError for what is unreadable or open to others."""
    if not (directory / FACTS).exists():
        raise IdentityMissingError(directory)
    refuse_open_key(directory / KEY)
    try:
        facts = msgspec.json.decode((directory / FACTS).read_bytes(), type=Facts)
        key, certificate, ca = ((directory / name).read_bytes() for name in (KEY, CERTIFICATE, CA))
    except OSError as error:
        raise IdentityError(f"{error.filename}: {error.strerror}; run the agent as the owner of {directory}") from error
    except msgspec.MsgspecError as error:
        raise IdentityError(f"{directory / FACTS}: {error}; enroll again with --replace") from error
    return Identity(facts, key, certificate, ca)


def collector_of(owned: Identity, configured: tuple[str, int] | None) -> tuple[str, int]:
    """Where to stream: as configured, else as told at enrolment. Raises IdentityError when neither is an address."""
    try:
        return configured or split_address(owned.facts.collector, DEFAULT_PORT)
    except ValueError as error:
        raise IdentityError(f"the identity names no collector ({error}): set address in [collector]") from error


def refuse_open_key(key: Path) -> None:
    """Raises IdentityError when anybody but the owner may read the key, or when it is not there."""
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise IdentityError(f"{key}: {error.strerror}; enroll again with --replace") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise IdentityError(f"{key} is open to others (mode {stat.S_IMODE(mode):04o}): run `chmod 600 {key}`")
