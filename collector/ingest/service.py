"""IngestService: who may speak, which stream is the newest, when one is cut. What streams mean is `session`'s."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

import grpc

from collector.ingest import admission
from collector.ingest.acks import Acks
from collector.ingest.arrival import told_by
from collector.ingest.attendance import Attendance, Seen
from collector.ingest.custody import Custody
from collector.ingest.engine import Engine
from collector.ingest.events import (
    Append,
    Beat,
    Committed,
    Counted,
    Drained,
    Fenced,
    Goodbye,
    Granted,
    IntervalSet,
    Limited,
    Lost,
    Mark,
    Opened,
    Refused,
    Revoked,
    Terms,
)
from collector.ingest.inbox import MANY
from collector.ingest.link import Hooks, Link
from collector.ingest.losses import Losses, write
from collector.ingest.member import identity_of
from collector.ingest.overload import PAUSE_MS, Level, Overload, largest
from collector.ingest.overload import step as overload_step
from collector.ingest.own import named
from collector.ingest.pacing import FIRST, Lane, Pacing
from collector.ingest.peer import Peer, peer_of
from collector.ingest.room import Room
from collector.ingest.session import Phase, Session, begin, inherit, known, step
from collector.ingest.together import Together
from collector.metrics import Metrics
from collector.presence import Presence
from collector.store import hosts
from collector.store.engine import Store
from collector.store.errors import StoreError
from czuwak.v1 import ingest_pb2 as pb
from czuwak.v1 import ingest_pb2_grpc

MAX_MESSAGE = 4 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Agents ping every 30 s; a server that counts that as abuse would cut them all.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 15_000),
    # What we say to an agent fits; the usual 16 KiB buffer of each connection is 120 MB for a fleet of 10,000.
    ("grpc.tsi.max_frame_size", 1024),
    ("grpc.so_reuseport", 0),
    # A batch is far smaller than any window: no ping and its answer for each to measure how wide that should be.
    ("grpc.http2.bdp_probe", 0),
)
_USUAL = ("live", "replayed", "duplicate")  # what becomes of batches when nothing is wrong
_WINDOW, _WIDEST_WINDOW = 5.0, 60.0  # seconds within which agents come back from a drain
_HANDSHAKE = 0.006  # seconds one of two cores needs for an agent that comes back
_EXPECTED = (Presence.ONLINE, Presence.CATCHING_UP, Presence.UNKNOWN)
_EVERYBODY = 10  # looks between two of everybody
_MOST_DOUBT = 16.0  # agents wait 20 s for their Welcome
_DOUBT_PAUSE = 0.1

log = logging.getLogger(__name__)
T = TypeVar("T")
_Context = grpc.aio.ServicerContext[pb.StreamRequest, pb.StreamResponse]


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """One per process. Everything runs in the event loop; the database only in `worker`."""

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        attendance: Attendance,
        custody: Custody,
        worker: Executor,
        terms: Terms,
        now: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._engine = engine
        self._attendance = attendance
        self._custody = custody
        self._worker = worker
        self._terms = terms
        self._now = now
        self._metrics = metrics
        self._links: set[Link] = set()
        self._newest: dict[str, Link] = {}
        self._books: dict[str, Session] = {}  # what was known of an agent when its last stream ended
        self._looks = 0
        self._draining = False
        self._spread = 0.0  # seconds within which agents come back if we end without a word
        self._losses = Losses()
        self._acks = Acks(self._acked)
        self._admissions = Together[Peer, hosts.Host | admission.Refusal](
            lambda peers: admission.admitted(store, peers), self._database, alone=False
        )
        self._openings = Together(self._sessions, self._database)
        self._counters = {name: metrics.batches.labels(name) for name in _USUAL}
        self._overload = Overload()
        self._pacing: Pacing[Link] = Pacing(terms.replay_credits)
        self._hooks = Hooks(
            now=now,
            room=Room(lambda: engine.full).wait,
            open=self._open,
            append=self._append,
            beat=self._beat,
            lost=self._lost,
            limited=self._limited,
            goodbye=self._goodbye,
            count=self._count,
        )

    async def Stream(  # type: ignore[override]  # noqa: N802 - the protocol's name; reads and writes by hand
        self, _: AsyncIterator[pb.StreamRequest], context: _Context
    ) -> None:
        """One agent's stream, from its certificate to its end."""
        peer = peer_of(context.auth_context())
        if peer is None:
            await self._refuse(context, "UNAUTHENTICATED", "no_certificate", "Show an agent's certificate.")
            return
        host = await self._admitted(peer, context)
        if host is None:
            return
        session = begin(identity_of(host), self._terms, self._now())
        link = Link(peer, known(session, host.last_seen or 0.0, host.boot_id, host.suspended), self._hooks)
        del host, session  # the stream may last for weeks
        self._links.add(link)
        self._metrics.streams.set(len(self._links))
        try:
            end = await link.run(context.read, context.write)
        finally:
            self._ended(link)
        level = logging.DEBUG if self._draining else logging.INFO  # a whole fleet's lines would hold up our own end
        log.log(
            level, "A stream ended: %s", end.detail or end.code, extra={"action": "stream_ended", "host": peer.agent_id}
        )
        if end.code != "OK":
            await context.abort(grpc.StatusCode[end.code], end.detail)

    @property
    def streams(self) -> int:
        """How many agents are connected."""
        return len(self._links)

    async def tend(self) -> None:
        """Once a second: deadlines, revocations, what is to be written. Never raises for a database that is away."""
        now = self._now()
        for link in tuple(self._links):
            link.tick(now)
        self._weigh()
        try:
            look = partial(self._attendance.look, everybody=self._looks % _EVERYBODY == 0, lead=self._custody.lead > 0)
            seen = await self._database(look)
        except StoreError as error:
            self._attendance.trouble(error)
        else:
            self._looks += 1
            await self._apply(seen)
        due = self._attendance.take()
        try:
            await self._database(partial(self._attendance.write, due))
        except StoreError as error:
            self._attendance.keep(due)
            self._attendance.trouble(error)
        await self._write_losses()
        counts = self._attendance.counts()
        for state, count in counts.items():
            self._metrics.hosts.labels(state.value).set(count)
        self._spread = _spread(sum(counts[state] for state in _EXPECTED))

    def _weigh(self) -> None:
        """What gives way to what comes in; heartbeats never do."""
        before, now = self._overload, self._now()
        self._overload = after = overload_step(before, self._engine.load, now)
        self._metrics.overload.set(after.level)
        usual = self._terms
        if after.level is not before.level:
            log.warning("The load is at level %s.", after.level.name.lower(), extra={"action": "overload"})
        if after.interval(usual.interval) != before.interval(usual.interval):
            self.set_interval(after.interval(usual.interval))
        if after.level is Level.REFUSING:
            refused = largest({link.peer.agent_id: link.taken for link in self._links})
            for link in [each for each in self._links if each.peer.agent_id in refused]:
                link.feed(Refused(now + PAUSE_MS / 1000, PAUSE_MS))
        for link in self._links:
            link.taken //= 2  # of the last seconds, the newest most

    async def pace(self) -> None:
        """A few times a second: how much more of their past agents may send."""
        queued = max(0, self._engine.load.inbox - MANY)
        for link, batches in self._pacing.look(self._now(), _lane, queued=queued, part=self._overload.credits):
            link.feed(Granted(batches))

    async def _write_losses(self) -> None:
        lost = self._losses.take()
        try:
            self._metrics.lost.inc(await self._database(partial(write, self._store, lost, self._now())))
        except StoreError as error:
            self._losses.keep(lost)
            self._attendance.trouble(error)

    async def guard(self) -> None:
        """Every few seconds: a sign of life, and who holds which host. A database that is away is `tend`'s to tell."""
        custody = self._custody
        try:
            # Not by `worker`, whose threads may all wait for locks of a collector that is frozen.
            seen = await asyncio.to_thread(custody.look, custody.lead)
        except StoreError:
            return
        self._attendance.took(seen.taken)
        self._engine.call(lambda _head, schedule, at: custody.apply(schedule, at, seen))

    def cut(self, gone: Mapping[str, int]) -> None:
        """Sessions (host -> generation) that another collector has ended: who still streams to us comes again.

        Its books are closed: what it sent last may have had no effect here. Its last samples are nobody's present.
        """
        for host, gen in gone.items():
            link = self._newest.get(host)
            if link is None or link.session.gen <= gen:
                self._engine.goodbye(host, self._now())
            if link is not None and link.session.gen == gen:
                link.feed(Fenced(clone=False))
                del self._newest[host]
        self._attendance.lost(gone)

    def set_interval(self, seconds: float) -> None:
        """Every agent takes rounds this often from now on."""
        for link in self._links:
            link.feed(IntervalSet(seconds))

    async def drain(self, patience: float) -> None:
        """Tells everybody to come back later and waits until they have gone."""
        self._draining = True
        for link in tuple(self._links):
            link.feed(Drained(max(_WINDOW, _spread(len(self._links)))))
        until = self._now() + patience
        while self._links and self._now() < until:  # noqa: ASYNC110 - also until a time
            await asyncio.sleep(0.02)

    # --- who may speak ---

    async def _admitted(self, peer: Peer, context: _Context) -> hosts.Host | None:
        if self._draining:
            await self._refuse(context, "UNAVAILABLE", "draining", "The collector is stopping; come back later.")
            return None
        try:
            found = await self._admissions.ask(peer)
        except StoreError as error:
            await self._refuse(context, "UNAVAILABLE", "database", f"The collector's database is away: {error}")
            return None
        if isinstance(found, admission.Refusal):
            await self._refuse(context, "PERMISSION_DENIED", found.reason, found.detail)
            return None
        return found

    async def _refuse(self, context: _Context, code: str, reason: str, detail: str) -> None:
        self._metrics.refused.labels(reason).inc()
        log.warning("A stream was refused: %s", detail, extra={"action": "stream_refused", "reason": reason})
        await context.abort(grpc.StatusCode[code], detail)

    async def _apply(self, seen: Seen) -> None:
        judgement = self._attendance.judge(seen)
        for host in judgement.gone:
            self._engine.forget(host)
            self._books.pop(host, None)
        for link in [each for each in self._links if each.peer.serial in seen.revoked] if seen.revoked else ():
            link.feed(Revoked("This identity was revoked."))
        active = seen.active or {}
        for link in tuple(self._links) if active else ():
            if active.get(link.peer.agent_id, link.session.identity) != link.session.identity:
                link.feed(Drained())  # company, site or class changed: the next stream is stamped with the new ones
        try:
            won = await self._database(partial(self._attendance.claim, judgement.claims)) if judgement.claims else {}
        except StoreError as error:
            self._attendance.trouble(error)
        else:
            self._attendance.settle(won, judgement.claims)

    # --- what sessions want done ---

    async def _open(self, link: Link, hello: pb.Hello) -> None:
        try:
            opened = await self._opened(link, hello)
        except StoreError as error:
            link.feed(Drained())
            log.warning("A session cannot be opened: %s", error, extra={"action": "database_away"})
            return
        if opened.foreign:
            self._copied(link, hello, first=opened.first)
            return
        gen, instance, custody, host = opened.gen, link.session.identity.instance, self._custody, link.peer.agent_id
        if not gen:
            link.feed(Revoked("This identity was revoked."))
            return
        self._engine.call(  # before its first batch; for each of a herd the thread is not woken
            lambda _head, schedule, at: custody.hold(schedule, at, host, instance, gen, opened.alerts), urgent=False
        )
        if link.session.phase is Phase.CLOSED:
            return  # it was sent away while the database worked
        self._take_over(link)
        slept = told_by(hello, self._now()).suspended
        self._attendance.welcomed(link.session.identity, gen, opened.arrival, slept=slept)
        self._attendance.certificate(link.peer.agent_id, link.peer.not_after, link.peer.life)
        link.feed(Granted(self._overload.credits(FIRST)))
        link.feed(Opened(gen, self._spread))
        if self._overload.level is not Level.CALM:
            link.feed(IntervalSet(self._overload.interval(self._terms.interval)))

    async def _opened(self, link: Link, hello: pb.Hello) -> admission.Session:
        if await self._speaks_twice(link, hello):
            return await self._database(partial(admission.copied, self._store, link.peer, self._now()))
        return await self._openings.ask((link.peer, hello))

    def _sessions(self, asked: Sequence[tuple[Peer, pb.Hello]]) -> tuple[admission.Session, ...]:
        """What the Hellos explain is committed before the agents are welcomed and forget their records."""
        every = admission.open_sessions(self._store, asked, self._now(), collector=self._custody.collector)
        for (peer, _), opened in zip(asked, every, strict=True):
            if opened.arrival.late:
                self._attendance.excuse(peer.agent_id, opened.arrival.account.reason)
        return every

    async def _speaks_twice(self, link: Link, hello: pb.Hello) -> bool:
        """Whether the agent's older stream is of another boot and still says something.

        A computer that was started anew has left its older stream for dead: that one is given one interval to speak.
        """
        older = self._newest.get(link.peer.agent_id)
        if older is None or not hello.boot_id or older.session.hello.boot_id == hello.boot_id:
            return False
        heard, now = older.session.heard_at, self._now()
        while older.session.heard_at == heard and self._now() < now + min(
            _MOST_DOUBT, older.session.terms.interval + 1
        ):
            if older not in self._links or link.session.phase is Phase.CLOSED:
                return False
            await asyncio.sleep(_DOUBT_PAUSE)
        await asyncio.sleep(_DOUBT_PAUSE)  # its last word may have been a goodbye
        return older in self._links and older.session.phase is Phase.LIVE and older.session.heard_at > heard

    def _copied(self, link: Link, hello: pb.Hello, *, first: bool) -> None:
        """Whom the identity is bound to goes on; the other is told, and not one sample of it is taken."""
        host = link.peer.agent_id
        self._attendance.copied(host)
        if first:
            self._attendance.note(host, "duplicate_identity", {"fingerprint": hello.machine_fingerprint[:128]})
        log.warning("Two computers use one identity.", extra={"action": "duplicate_identity", "host": host})
        link.feed(Fenced(clone=True))

    def _take_over(self, link: Link) -> None:
        """The newest stream of an agent is the only one, and it starts from the older one's books."""
        host = link.peer.agent_id
        older = self._newest.get(host)
        if older is not None and older is not link:
            older.feed(Fenced(clone=False))
            self._books[host] = older.session
        if host in self._books:
            link.session = inherit(link.session, self._books.pop(host))
        self._newest[host] = link

    def _append(self, link: Link, batch: Append) -> None:
        identity, host = link.session.identity, link.peer.agent_id
        self._engine.append(host, identity.instance, link.session.terms.interval, batch, self._acks.of(host))
        if batch.edge:
            self._attendance.live(host)
        if batch.replay:
            self._pacing.took(link)

    def _acked(self, host: str, marks: tuple[Mark, ...]) -> None:
        link = self._newest.get(host)
        if link is not None:
            link.feed(Committed(marks))
        elif host in self._books:
            self._books[host], _ = step(self._books[host], Committed(marks), self._now())

    def _beat(self, link: Link, beat: Beat) -> None:
        if beat.offset is not None:
            self._attendance.offset(link.peer.agent_id, beat.offset)
        if beat.heartbeat is not None and beat.heartbeat.suspended_ns > 0:
            self._attendance.beat(link.peer.agent_id, beat.heartbeat.suspended_ns / 1e9)

    def _limited(self, link: Link, limited: Limited) -> None:
        values = {named("czuwak_collector_host_series_refused"): float(limited.series)}
        self._engine.describe(link.peer.agent_id, link.session.identity.shared(), values)

    def _lost(self, link: Link, lost: Lost) -> None:
        self._losses.tell(link.peer.agent_id, link.session.gen, lost.epoch, lost.total)

    def _goodbye(self, link: Link, goodbye: Goodbye) -> None:
        host = link.peer.agent_id
        if self._newest.get(host) is link:
            self._engine.goodbye(host, self._now())
            self._attendance.goodbye(host, goodbye.reason, goodbye.expected_back)

    def _count(self, link: Link, counted: Counted) -> None:
        usual = self._counters.get(counted.result)
        (usual or self._metrics.batches.labels(counted.result)).inc()
        if usual is None:
            fields = {"action": counted.result, "host": link.peer.agent_id}
            log.info("Refused from an agent: %s", counted.detail, extra=fields)

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        self._pacing.left(link)
        self._metrics.streams.set(len(self._links))
        host = link.peer.agent_id
        if self._newest.get(host) is link:
            del self._newest[host]
            self._books[host] = link.session
            self._attendance.ended(host, link.session.gen)

    async def _database(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)


def _spread(agents: int) -> float:
    """Seconds within which so many come back no faster than they can be taken up."""
    return min(_WIDEST_WINDOW, agents * _HANDSHAKE)


def _lane(link: Link) -> Lane:
    return Lane(link.session.ahead or 0, link.session.replaying)
