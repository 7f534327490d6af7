"""G30: clones, revocations, ends of certificates and renewals while everybody streams."""

import asyncio
import hashlib
import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc

from agent import enroll, identity, renew
from agent.errors import AgentError, EnrollError
from collector.store import hosts, open_store
from czuwak.v1 import ingest_pb2 as pb
from czuwak.v1.ingest_pb2_grpc import IngestServiceStub
from tests.chaos.outcome import fewer, held, violated
from tests.e2e.plant import Plant, planted

GOAL = "clone, revoke, expire, rotate under load: revoke <= 2 s, 0 mixed samples"
LIFE = 60.0  # seconds of a certificate
RULES = """\
groups:
  - name: copies
    rules:
      - {alert: Mixed, expr: probe_value != 1, labels: {severity: critical}}
      - {alert: HostDuplicateIdentity, expr: czuwak_host_duplicate_identity == 1, labels: {severity: critical}}
"""


@dataclass
class Speaker:
    """One computer with an identity on disk; it streams `value` and comes back as an agent does."""

    folder: Path
    site: Plant
    machine: str
    value: float = 1.0
    acked: int = 0
    told: list[int] = field(default_factory=list)  # reasons of GoAway
    cut_at: float = 0.0
    refused: str = ""
    sessions: int = 0

    async def speak(self, until: Callable[[], bool]) -> None:
        """Streams, again and again, until told to stop or revoked."""
        while not until():
            owned = identity.load(self.folder)
            credentials = grpc.ssl_channel_credentials(owned.ca, owned.key, owned.certificate)
            async with grpc.aio.secure_channel(f"127.0.0.1:{self.site.ports['ingest']}", credentials) as channel:
                try:
                    await self._session(channel, owned.certificate, until)
                except grpc.aio.AioRpcError as error:
                    self._ended(str(error.details()))
                except (TimeoutError, asyncio.InvalidStateError):
                    pass
            if pb.GO_AWAY_REASON_REVOKED in self.told:
                return
            await asyncio.sleep(0.3)

    async def _session(self, channel: grpc.aio.Channel, certificate: bytes, until: Callable[[], bool]) -> None:
        call: Any = IngestServiceStub(channel).Stream()
        schema = schema_of()
        epoch = f"{self.machine}-{time.monotonic_ns()}"
        await call.write(pb.StreamRequest(hello=self._hello(epoch)))
        before = self.sessions
        hearing = asyncio.create_task(self._hear(call))
        while self.sessions == before and not hearing.done() and not until():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        if not hearing.done():
            await call.write(pb.StreamRequest(schema=schema))
        for number in range(1, 100_000):
            if until() or hearing.done() or identity.load(self.folder).certificate != certificate:
                break
            if self.sessions > before:
                batch = pb.Batch(
                    epoch=epoch, seq=number, boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME), lane=pb.LANE_LIVE,
                    schema_hash=schema.hash, boot_id=self.machine, values=struct.pack("<d", self.value),
                )  # fmt: skip
                await call.write(pb.StreamRequest(batch=batch))
            await asyncio.sleep(0.5)
        if not hearing.done():
            await call.done_writing()
        await asyncio.wait_for(hearing, 5)

    async def _hear(self, call: Any) -> None:
        while (message := await call.read()) is not grpc.aio.EOF:
            kind = message.WhichOneof("message")
            if kind == "welcome":
                self.sessions += 1
            elif kind == "ack":
                self.acked += 1
            elif kind == "go_away":
                self.told.append(message.go_away.reason)
                self.cut_at = time.monotonic()
        if await call.code() is not grpc.StatusCode.OK:
            self._ended(str(await call.details()))

    def _ended(self, details: str) -> None:
        self.refused = details

    def _hello(self, epoch: str) -> pb.Hello:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return pb.Hello(
            protocol_min=1, protocol_max=1, agent_version="g30", machine_fingerprint=self.machine, boot_id=self.machine,
            run_id=epoch, epoch=epoch, first_seq=1, next_seq=1, wall_ns=time.time_ns(), boottime_ns=now,
            monotonic_ns=now,
        )  # fmt: skip

    def renew(self) -> str:
        """As `czuwak-agent renew`; why not, empty when it was done."""
        try:
            renew.renew(renew.Request(self.folder, f"127.0.0.1:{self.site.ports['enroll']}", "", self.machine))
        except AgentError as error:
            return str(error)
        return ""


def run(budget_seconds: float, folder: Path, computers: int = 60, revoked: int = 20, cloned: int = 20) -> list[str]:
    """A third is cloned, a third revoked, everybody renews; at the end some come back after their certificate's end."""
    more = f'[ca]\nagent_certificates = "{LIFE:g}s"\n'
    with planted(folder / "c", RULES, parts=("ingest", "web"), more=more) as site:
        token = json.loads(
            site.command("token", "create", "--uses", str(computers), "--json", "--config", str(site.config))
        )
        everybody = [joined(site, number, token["token"]) for number in range(computers)]
        return asyncio.run(_run(site, everybody, revoked, cloned, max(20.0, min(budget_seconds - 120, 240.0))))


async def _run(site: Plant, everybody: list[Speaker], revoked: int, cloned: int, seconds: float) -> list[str]:
    over = asyncio.Event()
    tasks = [asyncio.create_task(speaker.speak(over.is_set)) for speaker in everybody]
    clones = [replace(s, machine=f"copy-{s.machine}", value=2.0, told=[]) for s in everybody[:cloned]]
    tasks += [asyncio.create_task(clone.speak(over.is_set)) for clone in clones]
    await asyncio.sleep(5)
    gone = everybody[cloned : cloned + revoked]
    until = time.monotonic() + seconds
    late = await _revoke(site, gone)
    renewed = 0
    failed: list[str] = []
    while time.monotonic() < until:
        soon = time.monotonic() + LIFE / 4
        for speaker in everybody[:cloned] + everybody[cloned + revoked :]:
            why = await _renewed(speaker, soon)
            renewed, failed = renewed + (not why), [*failed, why] if why else failed
        await asyncio.sleep(LIFE / 4)
    over.set()
    await asyncio.gather(*tasks)
    lines = [*_cuts(late, gone), *_copies(site, everybody[:cloned], clones)]
    line = f"{renewed} renewals under load, {len(failed)} failed"
    lines.append(line if not failed else violated(f"{line}: {failed[0]}"))
    return [*lines, *await _late(everybody, gone, cloned + revoked), *_smaller(everybody, seconds)]


async def _renewed(speaker: Speaker, until: float) -> str:
    """Why its certificate was not renewed; all have one address, so some are asked to wait a moment."""
    while "Too many" in (why := await asyncio.to_thread(speaker.renew)) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    return why


async def _revoke(site: Plant, gone: list[Speaker]) -> list[float]:
    """Seconds from each revocation's commit to the end of the stream."""
    late = []
    store = open_store(f"sqlite:///{site.folder}/czuwak.db")
    for speaker in gone:
        with store.write() as conn:
            hosts.revoke(conn, identity.load(speaker.folder).facts.agent_id, time.time())
        began = time.monotonic()
        while pb.GO_AWAY_REASON_REVOKED not in speaker.told and time.monotonic() < began + 10:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        late.append(speaker.cut_at - began if speaker.cut_at > began else 10.0)
    store.close()
    return late


def _cuts(late: list[float], gone: list[Speaker]) -> list[str]:
    ordered = sorted(late)
    told = f"revoke: {len(late)} live streams cut, median {ordered[len(late) // 2]:.2f} s, longest {ordered[-1]:.2f} s"
    refused = [speaker.renew() for speaker in gone]
    kept = sum("was revoked" not in why for why in refused)
    never = f"{len(gone) - kept} of {len(gone)} revoked ones were refused their renewal"
    return [held(told, ordered[-1] <= 2.0), never if not kept else violated(never)]


def _copies(site: Plant, originals: list[Speaker], clones: list[Speaker]) -> list[str]:
    mixed = len(site.tickets("Mixed"))
    taken = sum(clone.acked for clone in clones)
    tickets = len(site.tickets("HostDuplicateIdentity"))
    spoke = sum(speaker.acked > 0 for speaker in originals)
    seen = sum(pb.GO_AWAY_REASON_DUPLICATE_IDENTITY in clone.told for clone in clones)
    line = f"clones: {mixed} mixed samples, {taken} of their batches taken, {seen} of {len(clones)} told"
    good = mixed == taken == 0 and spoke == len(originals)
    ones = f'{tickets} tickets "duplicate identity" for {len(originals)} cloned computers, all of which went on'
    return [line if good else violated(line), ones if tickets == len(originals) else violated(ones)]


async def _late(everybody: list[Speaker], gone: list[Speaker], first: int) -> list[str]:
    """Nobody renews for a whole life; then those in service return by their key and the revoked ones do not."""
    back = everybody[first:]
    await asyncio.sleep(LIFE + 2)
    for speaker in back:
        speaker.sessions = 0
    refused = 0
    for speaker in back[:2]:  # the expired certificate itself opens nothing
        began = time.monotonic()
        await speaker.speak(lambda began=began: time.monotonic() > began + 1.5)  # type: ignore[misc]
        refused += not speaker.sessions
    whys = [await asyncio.to_thread(speaker.renew) for speaker in back]
    for speaker in back:
        began = time.monotonic()
        await speaker.speak(lambda s=speaker, b=began: s.sessions > 0 or time.monotonic() > b + 10)  # type: ignore[misc]
    returned = sum(not why and speaker.sessions > 0 for why, speaker in zip(whys, back, strict=True))
    never = sum("was revoked" in speaker.renew() for speaker in gone)
    line = f"expired: {returned} of {len(back)} returned by their key, {never} of {len(gone)} revoked ones did not"
    fine = returned == len(back) and never == len(gone) and refused == len(back[:2])
    return [line if fine else violated(f"{line}; {refused} of {len(back[:2])} were refused before")]


def _smaller(everybody: list[Speaker], seconds: float) -> list[str]:
    return [fewer(f"{len(everybody)} computers for {seconds:.0f} s")] if len(everybody) < 60 else []


def joined(site: Plant, number: int, token: str) -> Speaker:
    """One enrolled computer."""
    folder = site.folder / "agents" / str(number)
    request = enroll.Request(
        collector=f"127.0.0.1:{site.ports['enroll']}", token=token, directory=folder,
        ca_file=site.folder / "ca" / "ca.pem", hostname=f"pc-{number}", machine_fingerprint=f"board-{number}",
    )  # fmt: skip
    while True:
        try:
            enroll.enroll(request)
        except EnrollError as error:
            if "Too many" not in str(error):
                raise
            time.sleep(0.5)
        else:
            return Speaker(folder, site, f"board-{number}")


def schema_of() -> pb.Schema:
    """One gauge."""
    series = [pb.Series(name="probe_value", kind=pb.METRIC_KIND_GAUGE)]
    digest = hashlib.sha256(pb.Schema(series=series).SerializeToString(deterministic=True)).digest()[:16]
    return pb.Schema(hash=digest, series=series)
