"""The ingest process: every part made once, in order, listened on, and taken down in the opposite order."""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import aio as health  # type: ignore[import-untyped]

from collector.head import Head
from collector.ingest import ca, enrollment, service
from collector.ingest.attendance import Attendance
from collector.ingest.clock import SteadyClock
from collector.ingest.custody import Custody, Sighting
from collector.ingest.demand import wants
from collector.ingest.engine import Engine, retention_for
from collector.ingest.errors import ListenError
from collector.ingest.events import Terms
from collector.ingest.pacing import PERIOD
from collector.ingest.presented import Presented
from collector.ingest.settling import Settling
from collector.ingest.snapshot import Snapshot
from collector.intake import Intake
from collector.labels import Labels
from collector.metrics import Metrics
from collector.presence import Policy as PresencePolicy
from collector.presence.hours import NONE_OFF, DaysOff, Hours
from collector.query.preview import Preview
from collector.query.service import QueryServicer
from collector.rules.errors import RuleFileError
from collector.rules.model import Group
from collector.rules.schedule import Schedule
from collector.store.collectors import BEAT
from collector.store.engine import Store
from collector.store.errors import StoreError
from collector.store.gaps import Missed, add_missed
from collector.store.schema import open_store
from collector.tickets.desk import Policy as DeskPolicy
from czuwak.v1 import enrollment_pb2, enrollment_pb2_grpc, ingest_pb2, ingest_pb2_grpc, query_pb2_grpc

CERTIFICATES = "\0certificates"  # no host: what we tell of our own certificates
LOOK_SECONDS = 1.0  # between two looks at revocations and deadlines
_WORKERS = 4
_GRACE = 2.0
_DRAIN = 3.0  # seconds in which agents may say what is under way and go

log = logging.getLogger(__name__)
LoadRules = Callable[[], Iterable[Group]]


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Everything the ingest process is told. Addresses are host:port, times seconds; port 0 takes a free one.

    `snapshot` is the file that carries recent samples over a restart; none, they begin anew.
    `advertise` is what new agents are told as host:port; empty: this machine's name and the agents' port.
    """

    listen: str
    enrollment_listen: str
    query_socket: Path
    ca_dir: Path
    database: str
    advertise: str = ""
    interval: float = 15.0
    heartbeat: float = 30.0
    rewind_seconds: float = 1800.0
    offline_after: float = 90.0
    start_grace: float = 60.0
    kiosk_hours: Hours = field(default_factory=Hours)
    timezone: str = "UTC"
    days_off: DaysOff = NONE_OFF
    evaluation_interval: float = 1.0
    unknown_after: float = 90.0
    snapshot: Path | None = None
    agent_certificates: float = ca.AGENT_SECONDS
    server_certificates: float = ca.SERVER_SECONDS


@dataclass(frozen=True, slots=True)
class Bound:
    """Where it really listens."""

    port: int
    enrollment_port: int
    query_socket: Path
    advertise: str
    ca_fingerprint: str


@dataclass(frozen=True, slots=True)
class Ingest:
    """A running ingest process' parts, for whoever runs it inside a process of their own."""

    bound: Bound
    engine: Engine
    servicer: service.IngestServicer
    metrics: Metrics
    load_rules: LoadRules
    tending: "asyncio.Task[None]"

    def reload(self) -> bool:
        """Reads the rules again; a file with a mistake changes nothing. True if they were taken."""
        try:
            groups = tuple(self.load_rules())
        except (RuleFileError, OSError) as error:
            log.error("The rules stay as they are: %s", error, extra={"action": "reload_failed"})  # noqa: TRY400
            return False
        self.engine.reload(groups)
        log.info("Rules are read again: %d groups.", len(groups), extra={"action": "reloaded"})
        return True


async def serve(
    settings: IngestSettings,
    *,
    load_rules: LoadRules,
    policy: DeskPolicy,
    ready: Callable[[Bound], None] = lambda _: None,
    settled: Callable[[], None] = lambda: None,
) -> None:
    """Runs until SIGTERM or SIGINT; SIGHUP reads the rules again. Raises before it serves what `running` raises.

    Once agents are served `ready` and `settled` are called, `settled` again when a fleet of them has come.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with running(settings, load_rules=load_rules, policy=policy) as ingest:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, ingest.reload)
        ready(ingest.bound)
        settled()
        watching = asyncio.create_task(_settle(ingest.servicer, settled))
        stopped = asyncio.create_task(stop.wait())
        # Without the tending nobody is cut and no deadline passes: better to end and be started again.
        await asyncio.wait({stopped, ingest.tending}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        watching.cancel()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def running(settings: IngestSettings, *, load_rules: LoadRules, policy: DeskPolicy) -> AsyncIterator[Ingest]:
    """The whole process while the block runs. Raises CaError, ListenError, StoreError, RuleFileError."""
    groups = tuple(load_rules())
    authority = ca.load(
        settings.ca_dir, agent_seconds=settings.agent_certificates, server_seconds=settings.server_certificates
    )
    store = open_store(settings.database)
    now = SteadyClock(time.time, time.monotonic)
    metrics = Metrics()
    for address in (settings.listen, settings.enrollment_listen):
        _check_free(address)  # before another process of our name is taken for dead
    custody = _custody(settings, store)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(store.close)
        worker = stack.enter_context(ThreadPoolExecutor(_WORKERS, thread_name_prefix="database"))
        seen = custody.enter()
        intake = Intake(store, policy)
        stack.callback(_leave, custody)
        engine = make_engine(
            settings, groups, intake, now, metrics, custody, seen, partial(_write_missed, store, custody)
        )
        presence = PresencePolicy(
            silence=settings.offline_after,
            grace=settings.start_grace,
            quiet=max(settings.offline_after / 2, 3 * settings.interval),
            kiosk=settings.kiosk_hours,
            zone=settings.timezone,
            off=settings.days_off,
        )
        attendance = Attendance(
            store,
            presence,
            engine.describe,
            time.monotonic,
            custody.collector,
            name=custody.name,
            excuse=intake.late_notice,
        )
        attendance.load()
        engine.start()
        stack.push_async_callback(asyncio.to_thread, engine.stop)
        servicer = service.IngestServicer(
            store=store,
            engine=engine,
            attendance=attendance,
            custody=custody,
            worker=worker,
            terms=Terms(settings.interval, settings.heartbeat, settings.rewind_seconds),
            now=now,
            metrics=metrics,
        )
        loop = asyncio.get_running_loop()
        custody.lost = lambda gone: _later(loop, partial(servicer.cut, gone))
        presented = Presented(authority, names(settings), now)
        bound, agents = await _listen(
            stack, settings, authority, presented, servicer, engine, store, worker, now, metrics
        )
        ends = partial(_tell_ends, presented, engine, metrics, custody.name)
        ends()
        ending = asyncio.Event()
        tending = asyncio.create_task(_tend(servicer, presented, ends, ending))
        stack.push_async_callback(_finish, servicer, agents, ending, tending)
        log.info("Agents are served on port %d.", bound.port, extra={"action": "serving"})
        yield Ingest(bound, engine, servicer, metrics, load_rules, tending)


def make_engine(
    settings: IngestSettings,
    groups: tuple[Group, ...],
    intake: Intake,
    now: Callable[[], float],
    metrics: Metrics,
    custody: Custody,
    seen: Sighting,
    missed: Callable[[Sequence[Missed]], None],
) -> Engine:
    """The engine with the alerts that are ours to judge from the start, so that `for` goes on where it was."""
    alerts = custody.started(seen)
    return Engine(
        head=Head(retention=retention_for(groups), interval=settings.interval),
        schedule=lambda host_online: Schedule(
            groups,
            alerts,
            started_at=now(),
            default_interval=settings.evaluation_interval,
            unknown_after=settings.unknown_after,
            host_online=host_online,
            owns=custody.owns,
            elsewhere=seen.failing,
            spread=True,
        ),
        commit=custody.commit(intake.judged),
        recall=custody.recall,
        settle=custody.settle,
        clock=now,
        metrics=metrics,
        tick=settings.evaluation_interval,
        wants=wants(groups),
        snapshot=Snapshot(settings.snapshot) if settings.snapshot is not None else None,
        groups=groups,
        missed=missed,
    )


def _write_missed(store: Store, custody: Custody, missed: Sequence[Missed]) -> None:
    with store.write() as conn:
        ours = custody.still(conn, {one.instance for one in missed})
        for one in missed:
            if one.instance in ours:
                add_missed(conn, one)


async def _listen(
    stack: contextlib.AsyncExitStack,
    settings: IngestSettings,
    authority: ca.Authority,
    presented: Presented,
    servicer: service.IngestServicer,
    engine: Engine,
    store: Store,
    worker: ThreadPoolExecutor,
    now: Callable[[], float],
    metrics: Metrics,
) -> tuple[Bound, grpc.aio.Server]:
    # First the door for our own: who finds the agents' port open may ask at once.
    preview = Preview()  # its helper starts with the first typed expression
    stack.callback(preview.close)
    await _start_query(stack, settings.query_socket, QueryServicer(engine.call, metrics, now, preview))
    mutual = presented.credentials(mutual=True)
    agents = grpc.aio.server(options=service.OPTIONS)
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(servicer, agents)
    port = await _start(stack, agents, settings.listen, mutual, ingest_pb2.DESCRIPTOR.services_by_name)
    advertise = settings.advertise or f"{socket.getfqdn()}:{port}"
    joiners = grpc.aio.server(options=enrollment.OPTIONS)
    enroller = enrollment.EnrollmentServicer(
        store=store, authority=authority, advertise=advertise, worker=worker, now=now, metrics=metrics
    )
    enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server(enroller, joiners)
    plain = presented.credentials(mutual=False)
    services = enrollment_pb2.DESCRIPTOR.services_by_name
    enrollment_port = await _start(stack, joiners, settings.enrollment_listen, plain, services)
    return Bound(port, enrollment_port, settings.query_socket, advertise, authority.fingerprint), agents


async def _start(
    stack: contextlib.AsyncExitStack,
    server: grpc.aio.Server,
    address: str,
    credentials: grpc.ServerCredentials,
    services: Iterable[str],
) -> int:
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for name in ("", *(f"czuwak.v1.{service_name}" for service_name in services)):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    _check_free(address)
    try:
        port: int = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ListenError(f"Cannot listen on {address}: {error}") from error
    await server.start()
    stack.push_async_callback(server.stop, _GRACE)
    stack.push_async_callback(checks.enter_graceful_shutdown)
    return port


async def _start_query(stack: contextlib.AsyncExitStack, path: Path, servicer: QueryServicer) -> None:
    """Only who may enter the socket's folder may ask."""
    _make_room(path)
    server = grpc.aio.server()
    query_pb2_grpc.add_QueryServiceServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise ListenError(f"Cannot listen on {path}; a socket's path has at most 107 bytes: {error}") from error
    await server.start()
    stack.push_async_callback(server.stop, _GRACE)


def _make_room(path: Path) -> None:
    """A socket left by a process that was killed is in the way of the next one."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ListenError(f"Cannot make the socket {path}: {error.strerror}.") from error


def _custody(settings: IngestSettings, store: Store) -> Custody:
    """A process that starts on the same machine's same port is the successor of the one before it."""
    collector = str(uuid.uuid4())
    place = collector[:8] if settings.listen.endswith(":0") else settings.listen
    return Custody(store, collector, f"{socket.gethostname()}/{place}")


def _leave(custody: Custody) -> None:
    try:
        custody.leave()
    except StoreError as error:  # then our silence tells the others
        log.warning("The end cannot be told: %s", error, extra={"action": "database_away"})


def _later(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(work)


def _tell_ends(presented: Presented, engine: Engine, metrics: Metrics, collector: str) -> None:
    for name, end in presented.ends.items():
        metrics.certificate_end.labels(name).set(end)
    engine.describe(CERTIFICATES, Labels(), presented.series(collector))


async def _tend(
    servicer: service.IngestServicer, presented: Presented, renewed: Callable[[], None], ending: asyncio.Event
) -> None:
    async def tend() -> None:
        await servicer.tend()
        if presented.renew():
            renewed()

    async with asyncio.TaskGroup() as group:
        group.create_task(_repeat(tend, LOOK_SECONDS, ending))
        group.create_task(_repeat(servicer.guard, BEAT, ending))
        group.create_task(_repeat(servicer.pace, PERIOD, ending))


async def _settle(servicer: service.IngestServicer, settled: Callable[[], None]) -> None:
    settling = Settling()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if settling.look(servicer.streams):
            settled()


async def _repeat(work: Callable[[], Awaitable[None]], pause: float, ending: asyncio.Event) -> None:
    while not ending.is_set():
        await work()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ending.wait(), pause)


async def _finish(
    servicer: service.IngestServicer, agents: grpc.aio.Server, ending: asyncio.Event, tending: "asyncio.Task[None]"
) -> None:
    """Says goodbye to every agent while nobody new is let in, then writes what is still to be written."""
    closing = asyncio.create_task(agents.stop(_DRAIN + _GRACE))
    await servicer.drain(_DRAIN)
    await closing
    ending.set()  # not cut short: what is being written now would be written to its end, but nobody would know
    await tending
    await servicer.tend()


def names(settings: IngestSettings) -> tuple[str, ...]:
    """What the server's certificate is for: the advertised host, this machine's names, the addresses listened on."""
    hosts = [address.rpartition(":")[0].strip("[]") for address in (settings.advertise, settings.listen) if address]
    named = [host for host in hosts if host and not _any_address(host)]
    return tuple(dict.fromkeys([*named, socket.gethostname(), socket.getfqdn(), "localhost", "127.0.0.1", "::1"]))


def _any_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _check_free(address: str) -> None:
    """The message of gRPC does not say what is wrong; an ordinary bind does."""
    host, _, port = address.rpartition(":")
    if port == "0":
        return
    try:
        info = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(info[0], info[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(info[4])
    except OSError as error:
        why = error.strerror or str(error)
        raise ListenError(f"Cannot listen on {address}: {why}. Is another collector running?") from error
