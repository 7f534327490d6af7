"""Whom the agent believes before it has an identity: the CA certificate with a pinned fingerprint, and nobody else."""

import hashlib
import socket
import ssl

from agent.errors import EnrollError, FingerprintError


def presented_chain(host: str, port: int, timeout: float = 10.0) -> list[bytes]:
    """The certificates (DER) a TLS server presents, believed by nobody yet. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the caller compares with a pinned fingerprint
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), timeout=timeout) as raw,
        context.wrap_socket(raw, server_hostname=host) as wrapped,
    ):
        return _chain(wrapped)


def presented_ca(host: str, port: int, fingerprint: str) -> bytes:
    """PEM of the presented certificate with this fingerprint. Raises FingerprintError, EnrollError."""
    try:
        chain = presented_chain(host, port)
    except OSError as error:
        raise EnrollError(
            f"cannot reach the enrolment listener {host}:{port}: {error}; check address, port and firewall"
        ) from error
    found = {hashlib.sha256(der).hexdigest(): der for der in chain}
    if fingerprint not in found:
        raise FingerprintError(
            f"{host}:{port} presented no certificate with the fingerprint sha256:{fingerprint}; it presented"
            f" {', '.join('sha256:' + each for each in found) or 'none'}. Nothing was sent. Compare with what"
            " `czuwak token create` printed on the collector; if it differs, somebody may stand in between"
        )
    return ssl.DER_cert_to_PEM_cert(found[fingerprint]).encode()


def _chain(wrapped: ssl.SSLSocket) -> list[bytes]:
    public = getattr(wrapped, "get_unverified_chain", None)
    if public is not None:
        return [bytes(der) for der in public()]
    # Python 3.11 and 3.12 have the same call, with the same meaning, on the object below; 3.13 made it public.
    certificates = getattr(wrapped, "_sslobj").get_unverified_chain() or []  # noqa: B009 - private until 3.13
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in certificates]
