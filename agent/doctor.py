"""Looks at everything the agent needs, one finding a line: ok, warn or fail, and what to do next.

Imported only by its command: it alone reads certificates, with cryptography.
"""

import hashlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from agent import exposition, identity, renewal, trust
from agent.config import Config
from agent.errors import IdentityError, IdentityMissingError, ListenError, Mistake
from agent.identity import Identity
from agent.status import Status
from agent.text import joined, plain

DAY = 86400.0
EXPIRY_WARNING_DAYS = 7
LATE_DAYS = 90  # so long after its end the collector still renews a certificate
# Before this the clock was surely never set: the product did not exist.
EARLIEST = 1_750_000_000.0


class Level(StrEnum):
    """How bad it is; only `fail` makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, what to do next (empty when nothing)."""

    level: Level
    subject: str
    found: str
    next: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<4}  {self.subject}: {self.found}"
        return f"{line}\n      -> {self.next}" if self.next else line


def as_json(finding: Finding) -> dict[str, str]:
    """The finding for scripts."""
    return {"level": finding.level.value, "subject": finding.subject, "found": finding.found, "next": finding.next}


def bad_config(mistake: Mistake) -> Finding:
    """A mistake in the configuration as a finding."""
    return Finding(Level.FAIL, "configuration", str(mistake), "correct it; check with `czuwak-agent check-config FILE`")


def examine(config: Config, status: Status, wall: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Every finding, in the order in which one needs the other."""
    yield Finding(Level.OK, "configuration", f"valid; rounds every {config.interval:g} s")
    yield _state_dir(config.state_dir)
    yield _clock(wall())
    yield _port(config, status)
    try:
        owned = identity.load(config.identity_dir)
    except IdentityMissingError as error:
        yield Finding(Level.WARN, "identity", f"none in {config.identity_dir}", str(error))
        return
    except IdentityError as error:
        yield Finding(Level.FAIL, "identity", str(error), "do what it says, then start the agent again")
        return
    yield Finding(Level.OK, "identity", f"{owned.facts.host} ({owned.facts.agent_id})")
    for told in identity.exposed(config.identity_dir, config.state_dir):
        found, _, command = told.partition(": run ")
        yield Finding(Level.WARN, "permissions", found, command)
    yield _certificate(owned, wall(), renewal.state(config.state_dir).problem)
    yield from _collector(config, owned)
    yield _stream(status)


def _state_dir(path: Path) -> Finding:
    if path.is_dir() and os.access(path, os.W_OK | os.X_OK):
        return Finding(Level.OK, "state directory", f"{path} is writable")
    return Finding(
        Level.FAIL,
        "state directory",
        f"{path} is {'not writable' if path.exists() else 'missing'}",
        f"create it for the agent's user: `install -d -m 0700 {path}`, or set [agent] state_dir",
    )


def _clock(now: float) -> Finding:
    if now < EARLIEST:
        return Finding(Level.FAIL, "clock", "is far in the past", "set the clock: certificates cannot be checked")
    return Finding(Level.OK, "clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def _port(config: Config, status: Status) -> Finding:
    if config.listen is None:
        return Finding(Level.OK, "Prometheus page", "switched off")
    if status.running:
        return Finding(Level.OK, "Prometheus page", f"served at {joined(config.listen)} by the running agent")
    try:
        exposition.serve(config.listen, lambda: None).close()
    except ListenError as error:
        return Finding(Level.FAIL, "Prometheus page", str(error), "free the port or set [exposition] listen")
    return Finding(Level.OK, "Prometheus page", f"{joined(config.listen)} is free")


def _certificate(owned: Identity, now: float, problem: str) -> Finding:
    try:
        certificate = x509.load_pem_x509_certificate(owned.certificate)
    except ValueError as error:
        return Finding(Level.FAIL, "certificate", f"is not readable: {error}", "enroll again with --replace")
    end = certificate.not_valid_after_utc.timestamp()
    days = (end - now) / DAY
    why = f"; the last renewal failed: {problem}" if problem else ""
    if days < -LATE_DAYS:
        found = f"expired {-days:.0f} days ago, too long to be renewed"
        return Finding(Level.FAIL, "certificate", found, "enroll again with --replace")
    if days < 0:
        return Finding(
            Level.FAIL, "certificate", f"expired {-days:.0f} days ago{why}", "renew it: `czuwak-agent renew`"
        )
    if certificate.not_valid_before_utc.timestamp() > now:
        return Finding(Level.FAIL, "certificate", "is not valid yet", "set this machine's clock")
    if days < EXPIRY_WARNING_DAYS or problem:
        return Finding(Level.WARN, "certificate", f"{days:.0f} days left{why}", "renew it: `czuwak-agent renew`")
    return Finding(Level.OK, "certificate", f"{days:.0f} days left; the running agent renews it at half of its life")


def _collector(config: Config, owned: Identity) -> Iterator[Finding]:
    try:
        first = identity.collector_of(owned, config.collector)
    except IdentityError as error:
        yield Finding(Level.FAIL, "collector", str(error), "correct the configuration")
        return
    for address in (first, *config.alternates):
        yield from _reach(config, owned, *address)


def _reach(config: Config, owned: Identity, host: str, port: int) -> Iterator[Finding]:
    try:
        addresses = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except OSError as error:
        yield Finding(Level.FAIL, "DNS", f"{host}: {error.strerror}", "check the name and this machine's DNS")
        return
    yield Finding(Level.OK, "DNS", f"{host} is {', '.join(addresses)}")
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        found = f"{host}:{port}: {error.strerror or error}"
        yield Finding(Level.FAIL, "TCP", found, "is the collector running, is the port right and open?")
        return
    yield Finding(Level.OK, "TCP", f"{host}:{port} accepts connections")
    yield _tls(config, owned, host, port)


def _tls(config: Config, owned: Identity, host: str, port: int) -> Finding:
    name = config.server_name or owned.facts.server_name or host
    try:
        shown, taken = _handshake(config, owned, (host, port), name)
    except ssl.SSLCertVerificationError as error:
        shown = ", ".join(hashlib.sha256(der).hexdigest() for der in _presented(host, port)) or "nothing"
        found = f"{host}:{port} is not who it should be: {plain(error.verify_message)}; it presents sha256 {shown}"
        return Finding(Level.FAIL, "TLS", found, "compare with the collector; set server_name or enroll again")
    except OSError as error:
        shown, taken = plain(str(error)), False
    if not taken:
        found = f"{host}:{port} does not accept us ({shown})"
        return Finding(Level.FAIL, "TLS", found, "is it the agents' port? If it refuses our certificate, enroll again")
    return Finding(Level.OK, "TLS", f"{name} proved itself with certificate {shown}")


def _handshake(config: Config, owned: Identity, address: tuple[str, int], name: str) -> tuple[str, bool]:
    context = ssl.create_default_context(cadata=owned.ca.decode())
    context.set_alpn_protocols(["h2"])
    # Python reads a key from files only, so the files themselves are named.
    context.load_cert_chain(config.identity_dir / identity.CERTIFICATE, config.identity_dir / identity.KEY)
    with (
        socket.create_connection(address, timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as wrapped,
    ):
        shown = "sha256:" + hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
        # Since TLS 1.3 a refusal of our certificate comes after the handshake, in place of the first bytes.
        return shown, bool(wrapped.recv(1))


def _presented(host: str, port: int) -> list[bytes]:
    try:
        return trust.presented_chain(host, port, timeout=5)
    except OSError:
        return []


def _stream(status: Status) -> Finding:
    if status.connected:
        return Finding(Level.OK, "stream", f"connected to {status.collector}")
    if not status.running:
        return Finding(Level.WARN, "stream", "the agent is not running", "start it: `czuwak-agent run`")
    return Finding(Level.FAIL, "stream", status.problem or "not connected", "see the agent's log")
