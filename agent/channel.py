"""gRPC channels to the collector, and what their failures mean in words a person can act on."""

from dataclasses import dataclass
from typing import cast

import grpc

from agent.identity import Identity
from agent.text import plain

KEEPALIVE_MS = 30_000
KEEPALIVE_TIMEOUT_MS = 10_000
WAITS = "waits for approval"  # the collector's words for a host that nobody has approved yet


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed: gRPC's code, its details as one safe line, and whether asking again can help."""

    code: grpc.StatusCode
    details: str


def secure(target: str, *, ca: bytes, identity: Identity | None = None, server_name: str = "") -> grpc.Channel:
    """A TLS channel that believes only `ca`; with an identity the agent proves itself too. Connects when first used."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca,
        private_key=identity.key if identity else None,
        certificate_chain=identity.certificate if identity else None,
    )
    options: list[tuple[str, str | int]] = [
        # Reconnecting is the session's business: its jitter keeps ten thousand agents from coming back at once.
        ("grpc.enable_retries", 0),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        # Another stream must never share a broken connection of an earlier one.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", 1024 * 1024),
        # Answers are a few bytes: no ping to measure the line with each.
        ("grpc.http2.bdp_probe", 0),
    ]
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.secure_channel(target, credentials, options=options)


def failure_of(error: grpc.RpcError) -> Failure:
    """What gRPC knows about a failed call."""
    call = cast("grpc.Call", error)
    code = getattr(call, "code", lambda: None)() or grpc.StatusCode.UNKNOWN
    return Failure(code, plain(getattr(call, "details", lambda: None)() or ""))


# What the details contain -> what it means, what to do. The first that fits; {where} is host:port.
_MEANINGS = (
    (("Connection refused",), "{where} refuses connections: is the collector running, is the port right?"),
    (
        ("not in peer certificate", "Hostname Verification", "Peer name"),
        "{where} shows a certificate for another name: set server_name in [collector] to a name in its certificate",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "{where} shows a certificate our CA did not sign: another server or a new CA; then enroll again with --replace",
    ),
    (
        ("CERTIFICATE_EXPIRED", "certificate expired", "ALERT_EXPIRED"),
        "{where} says our certificate has expired: it is renewed now; if not, `czuwak-agent renew` tells why",
    ),
    (
        ("CERTIFICATE_REVOKED", "revoked"),
        "{where} says our certificate is revoked: if this machine should report, enroll again with --replace",
    ),
    (
        ("TLSV1_ALERT", "SSLV3_ALERT", "UNKNOWN_CA", "BAD_CERTIFICATE"),
        "{where} does not accept our certificate: it belongs to another collector; enroll again with --replace",
    ),
    (("handshake", "Handshake"), "{where} does not speak TLS as expected: is this the agents' port?"),
    (
        ("DNS", "resolve", "Name or service"),
        "the name in {where} has no address: check it and this machine's DNS",
    ),
    (("timed out", "Timeout", "FD Shutdown"), "{where} does not answer: check address, route and firewall"),
    (("No route", "unreachable"), "{where} cannot be reached from here: check network and firewall"),
)

# Since TLS 1.3 a server says after the handshake that it refuses us, and gRPC does not pass its words on.
_CUT = ("Socket closed", "reset by peer", "Broken pipe")


def sentence(failure: Failure, where: str) -> str:
    """What happened to a stream, in one sentence: what, where, what next."""
    told = failure.details or failure.code.name
    if failure.code is grpc.StatusCode.PERMISSION_DENIED and WAITS in told:
        return f"{where} has not approved this machine yet; it is tried again: ask for `czuwak host approve`"
    if failure.code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return f"{where} refuses this agent ({told}): if it should report, enroll again with --replace"
    default = f"the stream to {where} ended ({failure.code.name}: {failure.details or 'no details'}); it is tried again"
    return meaning(failure, where) or default


def meaning(failure: Failure, where: str) -> str:
    """Why there is no connection, in one sentence; empty where nobody can tell."""
    if "failed to connect" in failure.details and any(sign in failure.details for sign in _CUT):
        return (
            f"{where} cut the connection at the handshake: most likely our certificate is expired, which is mended"
            " now, or another collector's; ask `czuwak-agent doctor`"
        )
    fits = (said for signs, said in _MEANINGS if any(sign in failure.details for sign in signs))
    return next(fits, "").format(where=where)


def tells_expiry(problem: str) -> bool:
    """Whether such a sentence says, or thinks it likely, that our certificate has expired."""
    return "certificate has expired" in problem or "certificate is expired" in problem
