"""One simulated agent on the wire: its own channel, certificate and pace; after a drop it is back with full jitter."""

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass

import grpc

from collector.bench.member import NS, Entry, Member
from collector.bench.report import Report
from collector.bench.rounds import Rounds
from czuwak.v1 import ingest_pb2 as pb
from czuwak.v1 import ingest_pb2_grpc

AHEAD_NS = 400 * 86_400 * NS  # the simulated boot was long ago: a backlog of a day fits into it
GREETING = 20.0
OPTIONS = (
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_receive_message_length", 1 << 20),
)
_Call = grpc.aio.StreamStreamCall[pb.StreamRequest, pb.StreamResponse]
_FINAL = {pb.NACK_REASON_BAD_DATA, pb.NACK_REASON_TOO_BIG, pb.NACK_REASON_QUOTA}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all agents of a process share."""

    target: str
    rounds: Rounds
    report: Report
    stop: asyncio.Event
    began: float  # monotonic
    widest: float = 120.0  # of the jitter


def boottime_ns() -> int:
    """The simulated boot's clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + AHEAD_NS


class Agent:
    """Runs until the setting's `stop`: `pace` takes rounds whether connected or not, `stay` keeps a stream open."""

    def __init__(
        self, name: str, credentials: grpc.ChannelCredentials, member: Member, setting: Setting, epoch: str
    ) -> None:
        self.member = member
        self.live = False
        self.resting = False  # no more rounds
        self._name, self._credentials, self._setting, self._epoch = name, credentials, setting, epoch
        self._outbox: asyncio.Queue[pb.StreamRequest | None] = asyncio.Queue()
        self._heartbeat = 30.0
        self._window: tuple[float, float] | None = None
        self._failures = 0
        self._spread = 0.0
        self._paused = 0.0
        self._schema = setting.rounds.made

    async def pace(self, start: float, interval: float) -> None:
        """A round each interval from `start` seconds on, heartbeats between them."""
        due, beat = self._setting.began + start, 0.0
        while not self._setting.stop.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + max(interval, self.member.interval), time.monotonic() - interval)
            if not self.resting:
                self._round()
            if self.live and time.monotonic() >= beat:
                beat = time.monotonic() + self._heartbeat
                self._outbox.put_nowait(self._beat())

    async def stay(self, start: float) -> None:
        """Connected from `start` seconds on; after a drop again, with full jitter or in the window told."""
        await self._pause(max(0.0, self._setting.began + start - time.monotonic()))
        while not self._setting.stop.is_set():
            code = await self._attempt()
            if self.live:
                self.live = False
                self._setting.report.connected -= 1
            self._setting.report.ends[code] += 1
            self.member.note("disconnected", code=code)
            if code == "PERMISSION_DENIED":
                return
            await self._pause(self._wait())

    def leave(self, reason: pb.GoingAwayReason.ValueType | None) -> None:
        """Say goodbye on the open stream, or only end it."""
        if self.live and reason is not None:
            self._outbox.put_nowait(pb.StreamRequest(going_away=pb.GoingAway(reason=reason)))
        self._outbox.put_nowait(None)

    # --- a stream ---

    async def _attempt(self) -> str:
        self._outbox = asyncio.Queue()
        self._outbox.put_nowait(self._hello())
        async with grpc.aio.secure_channel(self._setting.target, self._credentials, options=OPTIONS) as channel:
            call = ingest_pb2_grpc.IngestServiceStub(channel).Stream()
            writer = asyncio.create_task(self._write(call, self._outbox))
            try:
                answer = await asyncio.wait_for(call.read(), GREETING)
                while isinstance(answer, pb.StreamResponse):
                    self._hear(answer)
                    answer = await call.read()
                return str((await call.code()).name)
            except grpc.aio.AioRpcError as error:
                return str(error.code().name)
            except TimeoutError:
                return "NO_WELCOME"
            finally:
                call.cancel()
                writer.cancel()
                await asyncio.wait({writer})

    async def _write(self, call: _Call, outbox: "asyncio.Queue[pb.StreamRequest | None]") -> None:
        """In order, one at a time; the reader sees why a stream ended."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while (message := await outbox.get()) is not None:
                await call.write(message)
            await call.done_writing()

    def _hear(self, answer: pb.StreamResponse) -> None:
        match answer.WhichOneof("message"):
            case "ack":
                self._acked(answer.ack)
            case "welcome":
                self._welcome(answer.welcome)
            case "nack":
                self._refused(answer.nack)
            case "set_interval":
                self.member.interval = answer.set_interval.interval_seconds
            case "go_away":
                low, high = answer.go_away.reconnect_min_ms, answer.go_away.reconnect_max_ms
                self._window = (low / 1000, high / 1000) if high else (self._setting.widest / 2, self._setting.widest)
                self._outbox.put_nowait(None)

    def _welcome(self, welcome: pb.Welcome) -> None:
        report = self._setting.report
        report.connects += 1
        report.connected += 1
        self.live = True
        self._heartbeat = welcome.heartbeat_seconds or 30.0
        self._spread = welcome.reconnect_max_ms / 1000
        self.member.note("connected", gen=welcome.session_gen)
        self._schema = self._setting.rounds.schema(welcome.features)
        self._outbox.put_nowait(pb.StreamRequest(schema=self._schema))
        now = boottime_ns()
        for entry in self.member.welcome(
            welcome.resume_seq, welcome.rewind_from_boottime_ns, welcome.replay_credits, now
        ):
            self._send(entry, pb.LANE_LIVE)
        self._replay()

    def _acked(self, ack: pb.Ack) -> None:
        if ack.epoch != self._epoch:
            return
        report, now = self._setting.report, time.monotonic()
        times, again = self.member.ack(ack.live_through, ack.replay_through, ack.replay_credits)
        for sent in times:
            report.delay(now - sent)
        report.counts["acked"] += len(times)
        report.counts["replay_acked"] += again
        if times:
            self._failures = 0
            self.member.note("acked", lane="live", through=ack.live_through)
        if again:
            self.member.note("acked", lane="replay", through=ack.replay_through)
        self._replay()

    def _refused(self, nack: pb.Nack) -> None:
        self._setting.report.nacks[pb.NackReason.Name(nack.reason)] += 1
        if nack.reason == pb.NACK_REASON_UNKNOWN_SCHEMA:
            self._outbox.put_nowait(pb.StreamRequest(schema=self._schema))
        self._paused = time.monotonic() + nack.retry_after_ms / 1000
        self.member.refuse(nack.seq, final=nack.reason in _FINAL and nack.retry_after_ms == 0)
        self._replay()

    def _round(self) -> None:
        entry = self.member.round(time.monotonic() - self._setting.began, boottime_ns())
        if self.live and self.member.may_send():
            self._send(entry, pb.LANE_LIVE)
            self._replay()
        else:
            self.member.waiting.append(entry.seq)

    def _replay(self) -> None:
        if time.monotonic() >= self._paused:
            for entry in self.member.replays():
                self._send(entry, pb.LANE_REPLAY)

    def _send(self, entry: Entry, lane: pb.Lane.ValueType) -> None:
        replay = lane == pb.LANE_REPLAY
        self.member.sent(entry.seq, time.monotonic(), replay=replay)
        self._setting.report.counts["replayed" if replay else "sent"] += 1
        batch = pb.Batch(
            epoch=self._epoch, seq=entry.seq, boottime_ns=entry.taken_ns, lane=lane, boot_id="bench",
            schema_hash=self._setting.rounds.made.hash, values=self._setting.rounds.values(entry.seq, entry.level),
            wall_ns=time.time_ns() - (boottime_ns() - entry.taken_ns), lost_before=self.member.lost_before(entry.seq),
        )  # fmt: skip
        self._outbox.put_nowait(pb.StreamRequest(batch=batch))

    def _hello(self) -> pb.StreamRequest:
        member = self.member
        hello = pb.Hello(
            protocol_min=1, protocol_max=1, agent_version="bench", machine_fingerprint=self._name, boot_id="bench",
            run_id=self._epoch, epoch=self._epoch, first_seq=member.oldest(), next_seq=member.next_seq,
            wall_ns=time.time_ns(), boottime_ns=boottime_ns(), monotonic_ns=boottime_ns(),
            dropped_total=member.dropped, facts=pb.HostFacts(hostname=self._name, os="bench"),
        )  # fmt: skip
        return pb.StreamRequest(hello=hello)

    def _beat(self) -> pb.StreamRequest:
        member = self.member
        beat = pb.Heartbeat(
            boottime_ns=boottime_ns(), queued_batches=len(member.waiting), oldest_seq=member.oldest(),
            dropped_total=member.dropped,
        )  # fmt: skip
        return pb.StreamRequest(heartbeat=beat)

    def _wait(self) -> float:
        """Seconds until the next attempt: in the window told, else anywhere up to 1 s doubled at each failure."""
        usual = max(2.0 ** min(self._failures, 10), self._spread if self._failures else 0.0)
        low, high = self._window or (0.0, min(self._setting.widest, usual))
        self._window = None
        self._failures += 1
        return random.uniform(low, high)  # noqa: S311 - jitter, no secret

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._setting.stop.wait(), seconds)
