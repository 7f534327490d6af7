"""The uplink against a real gRPC server over real mTLS on loopback."""

import hashlib
import logging
import queue
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from agent import channel, identity
from agent.errors import IdentityError
from agent.report import Report, Told
from agent.report import samples as samples_of
from agent.round import Round
from agent.spool import Spool
from agent.uplink import Outside, Uplink
from czuwak.v1 import ingest_pb2 as pb
from tests.agent.conftest import Authority, Listener

STOP = pb.GOING_AWAY_REASON_AGENT_STOP
PAUSE = pb.GOING_AWAY_REASON_USER_PAUSE


class Harness:
    """An uplink with a short jitter, its reports in a queue."""

    def __init__(self, where: str, folder: Path) -> None:
        self.reports: queue.Queue[Report] = queue.Queue()
        self.welcomes: queue.Queue[bool] = queue.Queue()
        self.intervals: queue.Queue[float] = queue.Queue()
        self.waits: list[tuple[float, float]] = []
        self.wait = 0.05
        outside = Outside(
            hello=lambda: pb.Hello(protocol_min=1, protocol_max=1, boot_id="boot", boottime_ns=int(100e9)),
            welcomed=lambda: self.welcomes.put(True),
            interval=self.intervals.put,
            changed=self.reports.put,
            boottime_ns=lambda: int(100e9),
            jitter=self.jitter,
        )
        self.folder = folder
        self.where = where
        self.uplink = Uplink(where, self.connect, Spool("epoch-1"), outside, boot_id="boot")

    def jitter(self, least: float, most: float) -> float:
        self.waits.append((least, most))
        return self.wait if most else 0.0

    def connect(self) -> grpc.Channel:
        owned = identity.load(self.folder)
        return channel.secure(self.where, ca=owned.ca, identity=owned)

    def report(self, wanted: Callable[[Report], bool]) -> Report:
        """The next report of a change that is wanted."""
        while True:
            report = self.reports.get(timeout=10)
            if wanted(report):
                return report

    def settled(self, wanted: Callable[[Report], bool]) -> Report:
        """The report once it is as wanted; numbers alone are no change that is told."""
        for _ in range(500):
            if wanted(self.uplink.report):
                break
            time.sleep(0.02)
        return self.uplink.report


@pytest.fixture
def harness(identity_of: Callable[..., Path]) -> Iterator[Callable[..., Harness]]:
    """A function (where, ca, days=30) that starts an uplink; stopped at the end."""
    started: list[Harness] = []

    def start(where: str, ca: Authority, days: float = 30) -> Harness:
        one = Harness(where, identity_of(ca, where, days))
        one.uplink.start()
        started.append(one)
        return one

    yield start
    for each in started:
        each.uplink.goodbye(STOP)


RoundOf = Callable[..., Round]
Start = Callable[..., Harness]


def refused(listener: Listener, ca: Authority, harness: Start) -> Harness:
    """An agent whose collector has stopped, and which knows it."""
    listener.stop()
    one = harness(listener.where, ca)
    one.report(lambda r: "refuses" in r.problem)
    return one


def test_a_round_goes_hello_schema_batch_and_is_acknowledged(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    one = harness(listener.where, ca)
    hello = listener.collector.next("hello").hello
    assert (hello.epoch, hello.first_seq, hello.next_seq, hello.boot_id) == ("epoch-1", 1, 1, "boot")
    assert one.welcomes.get(timeout=10)
    assert one.intervals.get(timeout=10) == 5.0
    one.uplink.offer(round_of(100, a=1.0, b=2.0))
    schema = listener.collector.next("schema").schema
    assert [series.name for series in schema.series] == ["a", "b"]
    batch = listener.collector.next("batch").batch
    assert (batch.seq, batch.lane, batch.schema_hash, len(batch.values)) == (1, pb.LANE_LIVE, schema.hash, 16)
    report = one.settled(lambda r: r.acked == 1)
    assert (report.connected, report.sent, report.acked, report.spool_batches, report.dropped) == (True, 1, 1, 0, 0)


def test_the_schema_is_packed_for_a_collector_that_unpacks_it(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    listener.collector.welcome.features.append("packed_schema")
    one = harness(listener.where, ca)
    one.uplink.offer(round_of(100, a=1.0, b=2.0))
    schema = listener.collector.next("schema").schema
    assert not schema.series
    words = zlib.decompress(schema.packed)
    assert [series.name for series in pb.Schema.FromString(words).series] == ["a", "b"]
    assert hashlib.sha256(words).digest()[:16] == schema.hash == listener.collector.next("batch").batch.schema_hash
    one.report(lambda r: r.connected)
    listener.stop()
    listener.collector.welcome.features.clear()
    listener.start()
    one.uplink.offer(round_of(105, a=1.0, b=2.0))
    assert len(listener.collector.next("schema").schema.series) == 2, "the next one may be of the release before"


def test_batches_of_a_dead_time_are_sent_again_when_the_collector_returns(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    listener.collector.acks = False
    one.uplink.offer(round_of(90, a=1.0))
    assert listener.collector.next("batch").batch.seq == 1
    listener.stop()
    assert one.report(lambda r: not r.connected).problem
    one.uplink.offer(round_of(95, a=2.0))
    one.uplink.offer(round_of(100, a=3.0))
    listener.collector.acks = True
    listener.start()
    assert listener.collector.next("hello").hello.next_seq == 4
    got = [listener.collector.next("batch").batch for _ in range(3)]
    assert [(b.seq, b.lane) for b in got] == [(3, pb.LANE_LIVE), (1, pb.LANE_REPLAY), (2, pb.LANE_REPLAY)]
    assert one.settled(lambda r: r.acked == 3).spool_batches == 0
    assert one.uplink.report.problem == ""


def test_a_restarted_collector_gets_what_it_rewinds_to(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    for at in (10, 90, 95):
        one.uplink.offer(round_of(at, a=1.0))
    one.settled(lambda r: r.acked == 3)
    listener.stop()
    listener.collector.heard = queue.Queue()
    listener.collector.welcome.resume_seq = 4
    listener.collector.welcome.rewind_from_boottime_ns = int(50e9)
    listener.start()
    assert [listener.collector.next("batch").batch.seq for _ in range(2)] == [3, 2]
    assert one.settled(lambda r: r.sent == 5).acked == 3


def test_an_unknown_schema_is_sent_again_with_the_batch(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    nacks = [pb.Nack(epoch="epoch-1", seq=1, reason=pb.NACK_REASON_UNKNOWN_SCHEMA)]
    listener.collector.answers = lambda request: (
        [pb.StreamResponse(nack=nacks.pop())] if request.HasField("batch") and nacks else []
    )
    one = harness(listener.where, ca)
    one.uplink.offer(round_of(100, a=1.0))
    kinds = [listener.collector.heard.get(timeout=10).WhichOneof("message") for _ in range(5)]
    assert kinds == ["hello", "schema", "batch", "schema", "batch"]
    assert one.settled(lambda r: r.acked == 1).nacked == {"unknown_schema": 1}


def test_a_final_refusal_is_counted_and_never_sent_again(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    bad = pb.Nack(epoch="epoch-1", seq=1, reason=pb.NACK_REASON_BAD_DATA, detail="no\x1b[31m")
    listener.collector.answers = lambda request: (
        [pb.StreamResponse(nack=bad)] if request.HasField("batch") and request.batch.seq == 1 else []
    )
    one = harness(listener.where, ca)
    one.uplink.offer(round_of(100, a=1.0))
    report = one.settled(lambda r: r.dropped == 1)
    assert (report.nacked, report.spool_batches, report.sent) == ({"bad_data": 1}, 0, 1)
    one.uplink.offer(round_of(101, a=1.0))
    assert one.settled(lambda r: r.acked == 1).sent == 2


def test_a_batch_to_be_sent_later_is_sent_later(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    later = [pb.Nack(epoch="epoch-1", seq=1, reason=pb.NACK_REASON_RETRY_AFTER, retry_after_ms=20)]
    listener.collector.answers = lambda request: (
        [pb.StreamResponse(nack=later.pop())] if request.HasField("batch") and later else []
    )
    one = harness(listener.where, ca)
    one.uplink.offer(round_of(100, a=1.0))
    report = one.settled(lambda r: r.acked == 1)
    assert (report.sent, report.dropped, report.nacked) == (2, 0, {"retry_after": 1})


def test_goodbye_tells_the_reason_and_ends_the_stream(listener: Listener, ca: Authority, harness: Start) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    one.uplink.goodbye(pb.GOING_AWAY_REASON_REBOOT)
    assert listener.collector.next("going_away").going_away.reason == pb.GOING_AWAY_REASON_REBOOT
    assert one.uplink.report.stopped


def test_an_agent_that_waits_for_its_next_try_calls_at_once_to_say_goodbye(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    one = refused(listener, ca, harness)
    one.wait, tries = 3600.0, len(one.waits)
    one.settled(lambda _: len(one.waits) > tries)
    one.uplink.offer(round_of(100, a=1.0))
    listener.start()
    one.uplink.goodbye(pb.GOING_AWAY_REASON_REBOOT)
    said = [listener.collector.heard.get(timeout=10) for _ in range(2)]
    assert [each.WhichOneof("message") for each in said] == ["hello", "going_away"]
    assert said[1].going_away.reason == pb.GOING_AWAY_REASON_REBOOT
    assert (one.uplink.report.stopped, one.waits[-1]) == (True, (0.0, 0.0))
    assert one.welcomes.empty()


def test_an_agent_that_stops_in_a_pause_nobody_heard_of_says_the_pause(
    listener: Listener, ca: Authority, harness: Start
) -> None:
    one = refused(listener, ca, harness)
    one.wait = 3600.0
    one.uplink.rest(PAUSE, 3600)
    listener.start()
    one.uplink.goodbye(STOP)
    told = listener.collector.next("going_away").going_away
    assert (told.reason, told.expected_back_seconds) == (PAUSE, 3600)
    assert one.uplink.report.stopped


def test_a_rest_says_goodbye_keeps_rounds_and_ends_with_a_new_stream(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    listener.collector.next("hello")
    assert one.uplink.rest(pb.GOING_AWAY_REASON_SLEEP, 3600) is Told.HEARD
    told = listener.collector.next("going_away").going_away
    assert (told.reason, told.expected_back_seconds) == (pb.GOING_AWAY_REASON_SLEEP, 3600)
    report = one.report(lambda r: not r.connected)
    assert (report.stopped, report.problem) == (False, "")
    one.uplink.offer(round_of(100, a=1.0))
    one.uplink.resume()
    assert listener.collector.next("hello").hello.next_seq == 2
    one.uplink.goodbye(STOP)
    assert one.uplink.report.stopped


def test_a_renewed_identity_opens_a_new_stream_within_seconds(
    listener: Listener, ca: Authority, harness: Start
) -> None:
    one = harness(listener.where, ca)
    listener.collector.next("hello")
    one.welcomes.get(timeout=10)
    one.uplink.reconnect()
    listener.collector.next("hello")
    assert (0.0, 2.0) in one.waits
    one.welcomes.get(timeout=10)


def test_a_goodbye_that_nobody_heard_is_said_when_somebody_listens_and_nothing_else(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf
) -> None:
    one = refused(listener, ca, harness)
    assert one.uplink.rest(PAUSE, 3600) is Told.LATER
    one.uplink.offer(round_of(100, a=1.0))
    listener.start()
    kinds = [listener.collector.heard.get(timeout=10).WhichOneof("message") for _ in range(2)]
    assert kinds == ["hello", "going_away"]
    one.report(lambda r: not r.problem)
    time.sleep(0.3)
    assert listener.collector.heard.empty()
    assert one.welcomes.empty()
    one.uplink.resume()
    kinds = [listener.collector.heard.get(timeout=10).WhichOneof("message") for _ in range(3)]
    assert kinds == ["hello", "schema", "batch"]


def test_a_goodbye_is_said_again_where_the_collector_did_not_take_it_in_time(
    listener: Listener, ca: Authority, harness: Start
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    listener.collector.lingers = True
    assert one.uplink.rest(PAUSE) is Told.LATER
    listener.collector.next("going_away")
    listener.collector.lingers = False
    assert listener.collector.next("going_away").going_away.reason == PAUSE


def test_a_machine_about_to_sleep_does_not_call_its_goodbye_after_it(
    listener: Listener, ca: Authority, harness: Start
) -> None:
    one = refused(listener, ca, harness)
    assert one.uplink.rest(pb.GOING_AWAY_REASON_SLEEP) is Told.AT_RETURN
    listener.start()
    time.sleep(0.5)
    assert listener.collector.heard.empty()


def test_an_agent_that_starts_in_a_pause_says_that_it_goes_on_and_nothing_else(
    listener: Listener, ca: Authority, identity_of: Callable[..., Path]
) -> None:
    one = Harness(listener.where, identity_of(ca, listener.where, 30))
    one.uplink.start(pb.GoingAway(reason=PAUSE, expected_back_seconds=60))
    assert listener.collector.heard.get(timeout=10).HasField("hello")
    told = listener.collector.heard.get(timeout=10).going_away
    assert (told.reason, told.expected_back_seconds) == (PAUSE, 60)
    time.sleep(0.3)
    assert listener.collector.heard.empty()
    one.uplink.resume()
    assert listener.collector.next("hello").HasField("hello")
    one.uplink.goodbye(STOP)


def test_a_collector_that_does_not_end_the_stream_is_not_waited_for(
    listener: Listener, ca: Authority, harness: Start
) -> None:
    listener.collector.lingers = True
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    one.uplink.goodbye(STOP)
    assert not one.uplink._thread.is_alive()
    assert listener.collector.next("going_away").HasField("going_away")


def test_a_go_away_is_followed_in_its_window(listener: Listener, ca: Authority, harness: Start) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    away = pb.GoAway(reason=pb.GO_AWAY_REASON_DRAIN, reconnect_min_ms=7000, reconnect_max_ms=9000)
    listener.collector.pushes.put(pb.StreamResponse(go_away=away))
    one.report(lambda r: not r.connected)
    one.report(lambda r: r.connected)
    assert one.waits == [(7.0, 9.0)]


def test_a_revoked_agent_stops_streaming_and_says_why(
    listener: Listener, ca: Authority, harness: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    away = pb.GoAway(reason=pb.GO_AWAY_REASON_REVOKED)
    listener.collector.pushes.put(pb.StreamResponse(go_away=away))
    assert "revoked" in one.report(lambda r: r.stopped).problem
    assert one.uplink.rest(PAUSE) is Told.NEVER
    assert "enroll again with --replace" in caplog.text


def test_the_collector_changes_the_interval(listener: Listener, ca: Authority, harness: Start) -> None:
    one = harness(listener.where, ca)
    assert one.intervals.get(timeout=10) == 5.0
    listener.collector.pushes.put(pb.StreamResponse(set_interval=pb.SetInterval(interval_seconds=2.5)))
    assert one.intervals.get(timeout=10) == 2.5


def test_a_refused_connection_is_told_once(
    free_port: Callable[[], int], ca: Authority, harness: Start, caplog: pytest.LogCaptureFixture
) -> None:
    where = f"127.0.0.1:{free_port()}"
    one = harness(where, ca)
    assert one.report(lambda r: bool(r.problem)).problem == (
        f"{where} refuses connections: is the collector running, is the port right?"
    )
    one.settled(lambda r: r.reconnects >= 3)
    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert one.waits[:3] == [(0.0, 1.0), (0.0, 2.0), (0.0, 4.0)]


def test_a_server_of_another_ca_is_not_believed(listener: Listener, other_ca: Authority, harness: Start) -> None:
    one = harness(listener.where, other_ca)
    assert "a certificate our CA did not sign" in one.report(lambda r: bool(r.problem)).problem
    assert listener.collector.heard.empty()


def test_an_expired_certificate_is_named(listener: Listener, ca: Authority, harness: Start) -> None:
    one = harness(listener.where, ca, days=-1)
    assert "certificate" in one.report(lambda r: bool(r.problem)).problem
    assert not one.uplink.report.connected


def test_a_key_opened_to_others_meanwhile_stops_the_stream_not_the_agent(
    listener: Listener, ca: Authority, harness: Start
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    (one.folder / "key.pem").chmod(0o644)
    with pytest.raises(IdentityError):
        identity.load(one.folder)
    listener.stop()
    assert "open to others" in one.report(lambda r: "open" in r.problem).problem
    (one.folder / "key.pem").chmod(0o600)
    listener.start()
    assert one.report(lambda r: r.connected).problem == ""


def test_a_defect_costs_a_reconnect_not_the_agent(
    listener: Listener, ca: Authority, harness: Start, round_of: RoundOf, caplog: pytest.LogCaptureFixture
) -> None:
    one = harness(listener.where, ca)
    one.report(lambda r: r.connected)
    one.uplink.offer("not a round")  # type: ignore[arg-type]
    one.report(lambda r: not r.connected)
    one.report(lambda r: r.connected)
    assert "starts again" in caplog.text
    one.uplink.offer(round_of(100, a=1.0))
    assert one.settled(lambda r: r.acked == 1).acked == 1


def test_a_report_becomes_samples() -> None:
    report = Report(connected=True, sent=5, acked=4, nacked={"bad_data": 1}, dropped=1, spool_batches=2, spool_bytes=9)
    assert {(s.family.name, s.labels): s.value for s in samples_of(report)} == {
        ("czuwak_agent_uplink_connected", ()): 1.0,
        ("czuwak_agent_batches_sent_total", ()): 5.0,
        ("czuwak_agent_batches_acked_total", ()): 4.0,
        ("czuwak_agent_batches_nacked_total", (("reason", "bad_data"),)): 1.0,
        ("czuwak_agent_batches_dropped_total", ()): 1.0,
        ("czuwak_agent_spool_batches", ()): 2.0,
        ("czuwak_agent_spool_bytes", ()): 9.0,
        ("czuwak_agent_spool_disk_batches", ()): 0.0,
        ("czuwak_agent_spool_disk_bytes", ()): 0.0,
        ("czuwak_agent_spool_disk_ok", ()): 1.0,
        ("czuwak_agent_reconnects_total", ()): 0.0,
    }
