import grpc
import pytest

from agent.channel import Failure, sentence, tells_expiry

UNAVAILABLE = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:8443: "


@pytest.mark.parametrize(
    ("details", "told"),
    [
        (UNAVAILABLE + "Failed to connect to remote host: connect: Connection refused (111)", "refuses connections"),
        (UNAVAILABLE + "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: self signed", "our CA did not sign"),
        (UNAVAILABLE + "Peer name collector is not in peer certificate", "set server_name"),
        (UNAVAILABLE + "SSLV3_ALERT_CERTIFICATE_EXPIRED", "certificate has expired"),
        (UNAVAILABLE + "TLSV1_ALERT_UNKNOWN_CA", "belongs to another collector"),
        (UNAVAILABLE + "Socket closed", "ask `czuwak-agent doctor`"),
        (UNAVAILABLE + "Ssl handshake failed: WRONG_VERSION_NUMBER", "does not speak TLS"),
        ("DNS resolution failed for nowhere:8443", "has no address"),
        (UNAVAILABLE + "connect: No route to host (113)", "cannot be reached"),
        (UNAVAILABLE + "connect: Timeout occurred: FD Shutdown", "does not answer"),
        ("Socket closed", "ended (UNAVAILABLE: Socket closed); it is tried again"),
        ("", "ended (UNAVAILABLE: no details)"),
    ],
)
def test_a_failure_becomes_a_sentence_with_a_place_and_a_next_step(details: str, told: str) -> None:
    said = sentence(Failure(grpc.StatusCode.UNAVAILABLE, details), "c.example:8443")
    assert told in said
    assert "c.example:8443" in said


def test_a_refused_agent_is_told_what_the_collector_said() -> None:
    failure = Failure(grpc.StatusCode.PERMISSION_DENIED, "revoked yesterday")
    assert sentence(failure, "c:1") == (
        "c:1 refuses this agent (revoked yesterday): if it should report, enroll again with --replace"
    )


def test_a_host_that_waits_for_approval_need_not_be_enrolled_again() -> None:
    failure = Failure(grpc.StatusCode.PERMISSION_DENIED, "This computer waits for approval: somebody has to.")
    said = sentence(failure, "c:1")
    assert "has not approved this machine yet; it is tried again" in said
    assert "enroll" not in said


@pytest.mark.parametrize(
    ("details", "expired"),
    [
        (UNAVAILABLE + "SSLV3_ALERT_CERTIFICATE_EXPIRED", True),
        (UNAVAILABLE + "Socket closed", True),  # most likely
        (UNAVAILABLE + "connect: Connection refused (111)", False),
    ],
)
def test_what_sounds_like_an_expired_certificate_is_a_reason_to_renew(details: str, expired: bool) -> None:
    assert tells_expiry(sentence(Failure(grpc.StatusCode.UNAVAILABLE, details), "c:1")) is expired
