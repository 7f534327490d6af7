"""The identity directory: key.pem, cert.pem, ca.pem and identity.json, checked when read.

While a renewal is put in its places there is renewed.pem too, and it alone counts: certificate and key in one file.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agent.errors import IdentityError, IdentityMissingError
from agent.text import split_address

DEFAULT_PORT = 8443
ENROLLMENT_PORT = 8444
KEY, CERTIFICATE, CA, FACTS, RENEWED = "key.pem", "cert.pem", "ca.pem", "identity.json", "renewed.pem"
_BEGIN_KEY = b"-----BEGIN PRIVATE KEY-----"
_OLDEST_HALF = 15 * 86400.0


class Facts(msgspec.Struct, frozen=True):
    """What identity.json says: the agent's id and name as the collector gave them, where to stream, until when.

    `enrollment` is the listener that renews; `renew_at` is by this machine's clock. Both are unknown to old files.
    """

    agent_id: str
    host: str
    collector: str
    server_name: str = ""
    not_after: float = 0.0
    enrollment: str = ""
    renew_at: float = 0.0


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
    try:
        facts = msgspec.json.decode((directory / FACTS).read_bytes(), type=Facts)
        certificate, key = _pair(directory)
        ca = (directory / CA).read_bytes()
    except OSError as error:
        raise IdentityError(f"{error.filename}: {error.strerror}; run the agent as the owner of {directory}") from error
    except msgspec.MsgspecError as error:
        raise IdentityError(f"{directory / FACTS}: {error}; enroll again with --replace") from error
    return Identity(facts, key, certificate, ca)


def half_life(now: float, not_after: float) -> float:
    """When a certificate that was made just now is to be renewed, by the clock that says `now`."""
    return now + max(0.0, not_after - now) / 2


def renewal_due(facts: Facts, now: float) -> bool:
    """Whether half of the certificate's life is over, or all of it."""
    if facts.renew_at:
        return now >= min(facts.renew_at, facts.not_after)
    return 0 < facts.not_after < now + _OLDEST_HALF


def joined_pair(certificate: bytes, key: bytes) -> bytes:
    """Both in one file, so that one step replaces both."""
    return certificate + key


def split_pair(path: Path) -> tuple[bytes, bytes]:
    """(certificate, key) of such a file. Raises OSError, IdentityError."""
    refuse_open_key(path)
    certificate, begin, key = path.read_bytes().partition(_BEGIN_KEY)
    if not certificate or not key:
        raise IdentityError(f"{path} is damaged: remove it; if the agent is refused then, enroll again with --replace")
    return certificate, begin + key


def enrollment_of(owned: Identity, configured: tuple[str, int] | None, collector: tuple[str, int]) -> tuple[str, int]:
    """The listener that renews: as configured, else as at enrolment, else the collector's usual one."""
    try:
        return configured or split_address(owned.facts.enrollment, ENROLLMENT_PORT)
    except ValueError:
        return collector[0], ENROLLMENT_PORT


def collector_of(owned: Identity, configured: tuple[str, int] | None) -> tuple[str, int]:
    """Where to stream: as configured, else as told at enrolment. Raises IdentityError when neither is an address."""
    try:
        return configured or split_address(owned.facts.collector, DEFAULT_PORT)
    except ValueError as error:
        raise IdentityError(f"the identity names no collector ({error}): set address in [collector]") from error


def _pair(directory: Path) -> tuple[bytes, bytes]:
    if (directory / RENEWED).exists():
        return split_pair(directory / RENEWED)
    refuse_open_key(directory / KEY)
    return (directory / CERTIFICATE).read_bytes(), (directory / KEY).read_bytes()


def exposed(directory: Path, state_dir: Path) -> Iterator[str]:
    """What others could replace, each with the command that mends it. Never raises."""
    named = [directory, state_dir, *(directory / name for name in (CERTIFICATE, CA, FACTS)), *state_dir.glob("spool*")]
    for path in dict.fromkeys(named):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield f"{path} can be changed by others (mode {mode:04o}): run `chmod go-w {path}`"


def refuse_open_key(key: Path) -> None:
    """Raises IdentityError when anybody but the owner may read the key, or when it is not there."""
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise IdentityError(f"{key}: {error.strerror}; enroll again with --replace") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise IdentityError(f"{key} is open to others (mode {stat.S_IMODE(mode):04o}): run `chmod 600 {key}`")
