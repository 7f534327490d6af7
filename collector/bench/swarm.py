"""`czuwak bench swarm`: many agents' real streams, mutual TLS, one channel and one identity each, from own processes.

Speaks the protocol itself, as the agent does, so that it can also do what no agent would: thousands at once, a day's
backlog, a threshold crossed on time, with every obligation written down for an oracle outside the system.
"""

import argparse
import asyncio
import json
import math
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import IO

import grpc

from collector.bench import identities
from collector.bench.member import Member, Note, Plan
from collector.bench.report import Report, added, unpacked
from collector.bench.rounds import Rounds, schema
from collector.bench.stream import Agent, Setting, boottime_ns
from collector.errors import CollectorError, UsageError
from collector.supervise import SUPERVISOR, die_with_parent
from czuwak.v1 import ingest_pb2 as pb

SPARE_FILES = 200
PATIENCE = 30.0  # for the last acknowledgements
HANDED_ON = (
    *("series", "interval", "collector", "identities", "seconds", "ramp", "goodbye", "memory", "widest", "ledger"),
    *("cross_at", "cross_spread", "cross_hold", "cross_every", "backlog"),
)
GOODBYES = {
    "none": None,
    "stop": pb.GOING_AWAY_REASON_AGENT_STOP,
    "shutdown": pb.GOING_AWAY_REASON_SHUTDOWN,
    "reboot": pb.GOING_AWAY_REASON_REBOOT,
    "sleep": pb.GOING_AWAY_REASON_SLEEP,
}


def run(args: argparse.Namespace) -> int:
    """The command; one JSON object on stdout. Raises UsageError, CollectorError."""
    if args.agents < 1 or args.series < 1 or args.interval <= 0 or args.processes < 1 or args.first < 0:
        raise UsageError("agents, series, processes and the interval are at least 1, the first identity at least 0")
    if (args.collector is None) != (args.identities is None):
        raise UsageError("--collector and --identities go together: an agent needs both")
    die_with_parent()
    if args.collector is None:
        from collector.bench import own  # noqa: PLC0415 - brings the whole collector

        return own.run(args, _swarm)
    return _swarm(args)


def _swarm(args: argparse.Namespace) -> int:
    here = identities.names(args.identities)[args.first : args.first + args.agents]
    if len(here) < args.agents:
        raise CollectorError(f"{args.identities} holds {len(here)} identities from number {args.first}")
    if args.processes > 1:
        return _many(args)
    _check_files(args.agents)
    report = asyncio.run(_one(args, here))
    print(json.dumps(report.packed() if os.environ.get(SUPERVISOR) else report.shown()))
    return 0


# --- several processes ---


def _many(args: argparse.Namespace) -> int:
    """Children with a part of the agents each; a signal to end is handed on, their counts are added up."""
    children = []
    share = math.ceil(args.agents / args.processes)
    for number in range(args.processes):
        first, count = number * share, min(share, args.agents - number * share)
        if count > 0:
            words = _words(args, args.first + first, count, max(0, min(count, args.crossings - first)))
            stale_from = args.agents - args.stale
            words += ["--stale", str(max(0, min(count, first + count - stale_from)))]
            environ = {**os.environ, SUPERVISOR: str(os.getpid())}
            children.append(subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True))  # noqa: S603 - our own command
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: _terminate(children))
    told = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise CollectorError("a process of the swarm failed; what it said stands above")
    print(json.dumps(added(unpacked(json.loads(text)) for text in told).shown()))
    return 0


def _terminate(children: "list[subprocess.Popen[str]]") -> None:
    for child in children:
        child.terminate()


def _words(args: argparse.Namespace, first: int, count: int, crossings: int) -> list[str]:
    """One child's command line. Crossings fall on the first agents of all, stale ones on the last."""
    words = [sys.executable, "-I", "-m", "collector.main", "bench", "swarm", "--processes", "1"]
    words += ["--agents", str(count), "--first", str(first), "--crossings", str(crossings)]
    for name in HANDED_ON:
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


# --- one process ---


async def _one(args: argparse.Namespace, here: list[str]) -> Report:
    stop, report = asyncio.Event(), Report(agents=len(here))
    setting = Setting(args.collector, Rounds(schema(args.series)), report, stop, time.monotonic(), args.widest)
    loop = asyncio.get_running_loop()
    early = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, early.set)
    with ExitStack() as stack:
        write = _ledger(args, stack)
        agents = [_agent(args, setting, name, place, write) for place, name in enumerate(here)]
        ramp = args.interval if args.ramp is None else args.ramp
        tasks = [asyncio.create_task(_guide(agent, args, ramp, len(here), n)) for n, agent in enumerate(agents)]
        await _until(early, args.seconds)
        await _finish(agents, args.interval)
        report.counts["unacked"] = sum(
            len(a.member.waiting) + len(a.member.live) + len(a.member.replay) for a in agents
        )
        report.counts["dropped"] = sum(a.member.dropped for a in agents)
        connected = report.connected
        stop.set()
        for agent in agents:
            agent.leave(GOODBYES[args.goodbye])
        await asyncio.wait(tasks, timeout=5.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report.cpu_seconds = usage.ru_utime + usage.ru_stime
    report.seconds, report.connected = time.monotonic() - setting.began, connected
    return report


async def _guide(agent: Agent, args: argparse.Namespace, ramp: float, count: int, place: int) -> None:
    """One agent's life: rounds at its place in the interval, connected at its place in the ramp."""
    start = ramp * (place + random.random()) / count  # noqa: S311 - jitter, no secret
    await asyncio.gather(agent.stay(start), agent.pace(args.interval * place / count, args.interval))


def _agent(args: argparse.Namespace, setting: Setting, name: str, place: int, write: Callable[..., None]) -> Agent:
    crosses = place < args.crossings
    plan = Plan(
        first=args.cross_at + args.cross_spread * place / max(1, args.crossings) if crosses else math.inf,
        hold=args.cross_hold,
        every=args.cross_every,
        backlog=args.backlog,
        step=args.interval,
        stale=place >= args.agents - args.stale,
        memory=args.memory,
    )
    epoch = f"bench-{os.getpid()}-{time.time_ns()}"
    note: Note = partial(write, name, epoch, setting.report)
    credentials = grpc.ssl_channel_credentials(
        (args.identities / identities.CA).read_bytes(),
        identities.key_of(args.identities, name),
        (args.identities / f"{name}.pem").read_bytes(),
    )
    return Agent(name, credentials, Member(plan, args.interval, note, boottime_ns()), setting, epoch)


def _ledger(args: argparse.Namespace, stack: ExitStack) -> Callable[..., None]:
    """Writes one line an obligation, at once; without a ledger it only counts."""
    file: IO[str] | None = None
    if args.ledger is not None:
        args.ledger.mkdir(parents=True, exist_ok=True)
        path = args.ledger / f"swarm-{args.first}-{os.getpid()}.jsonl"
        file = stack.enter_context(path.open("a", buffering=1, encoding="utf-8"))

    def write(agent: str, epoch: str, report: Report, what: str, **more: object) -> None:
        report.counts[what] += what == "crossed"
        if file is not None:
            file.write(json.dumps({"what": what, "agent": agent, "epoch": epoch, "at": time.time(), **more}) + "\n")

    return write


async def _until(early: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(early.wait(), seconds)
    except TimeoutError:
        return


async def _finish(agents: list[Agent], interval: float) -> None:
    """No more crossings; rounds go on until every turn is acknowledged, then they end and are waited for; patiently."""
    for agent in agents:
        if agent.member.plan.hold > 0:
            agent.member.calm()
    until = time.monotonic() + PATIENCE + 2 * interval
    await _while(lambda: any(_owes(agent) for agent in agents), until)
    for agent in agents:
        agent.resting = True
    await _while(lambda: any(agent.live and agent.member.live for agent in agents), until)


async def _while(busy: Callable[[], bool], until: float) -> None:
    while time.monotonic() < until and busy():  # noqa: ASYNC110 - also until a time
        await asyncio.sleep(0.1)


def _owes(agent: Agent) -> bool:
    return agent.member.restless if agent.member.plan.hold > 0 else not agent.member.settled


def _check_files(agents: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < agents + SPARE_FILES:
        if hard != resource.RLIM_INFINITY and hard < agents + SPARE_FILES:
            raise UsageError(f"{agents} streams need more than the {hard} files a process may open; use --processes")
        resource.setrlimit(resource.RLIMIT_NOFILE, (agents + SPARE_FILES, hard))
