from collector.ingest.facts import facts_of
from collector.ingest.peer import peer_of
from czuwak.v1 import ingest_pb2 as pb


def test_facts_are_plain_bounded_data() -> None:
    facts = pb.HostFacts(
        hostname="pc1", os="x" * 1000, cpu_count=4, memory_bytes=2**64 - 1, addresses=["10.0.0.1"] * 100
    )
    said = facts_of(facts)
    assert said["hostname"] == "pc1"
    assert said["os"] == "x" * 200
    assert said["cpu_count"] == 4
    assert said["memory_bytes"] == 2**53
    assert said["addresses"] == ["10.0.0.1"] * 32
    assert "kernel" not in said


def test_who_shows_no_certificate_or_rubbish_is_nobody() -> None:
    assert peer_of({}) is None
    assert peer_of({"x509_pem_cert": [b"rubbish"]}) is None
