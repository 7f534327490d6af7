"""The README's architecture table, walked literally: twelve calls from a reading to a row, in one process."""

import importlib
import inspect
import pkgutil
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from agent import batch, session, wire
from agent.events import (
    Acknowledge,
    AckReceived,
    Action,
    Connected,
    Entry,
    Lane,
    RoundTaken,
    SendBatch,
    SendHello,
    SendSchema,
    WelcomeReceived,
)
from agent.probes import Probe, filesystem
from agent.probes.filesystem import Filesystems, Mount, Usage
from agent.probes.probe import Kernel, ProbeSettings
from agent.probes.statvfs import Space
from agent.round import Round, take_round
from agent.spool import Spool
from collector.alerts.alert import AlertChanges, AlertState, EventKind
from collector.head import Head
from collector.head.decode import decode
from collector.ingest import session as ingest
from collector.ingest.events import Append, Committed, Opened, OpenSession, Said, Send, Terms
from collector.ingest.stamp import Identity
from collector.intake import Intake
from collector.promql import evaluate
from collector.rules import alerting
from collector.rules.alerting import Context, State
from collector.rules.load import load
from collector.rules.model import AlertRule
from collector.rules.schedule import rules_key
from collector.store import Store, enrollments, hosts, open_store, upgrade, users
from collector.tickets import desk
from collector.tickets.desk import Open, Place
from czuwak.v1 import ingest_pb2 as pb
from web.app import create_app
from web.live import Live
from web.settings import WebSettings

NOW = 1_800_000_000.0
UP = 1000.0  # the computer runs this long at the first round
LATER = 45.0  # the second round: longer than the rule's `for`
MOUNT = Mount("/dev/sdb1", "/srv", "ext4", readonly=False)
ROOM = Space(size=100e9, free=1.2e9, avail=1.2e9, files=1e6, files_free=9e5)
IDENTITY = Identity("agent-1", "srv-1", "srv-1", "alfa", "main", "server")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real database with one company, its computer and a technician."""
    url = f"sqlite:///{tmp_path}/czuwak.db"
    upgrade(url)
    opened = open_store(url)
    with opened.write() as conn:
        hosts.add_company(conn, "alfa", "Alfa", NOW)
        enrollments.add_host(
            conn, host_id="agent-1", company="alfa", site="main", class_="server", name="srv-1", enrollment_id="e-1",
            key_hash="k", serial="s", certificate_pem="", not_after=NOW + 86400, at=NOW,
        )  # fmt: skip
        users.add_user(conn, "anna", "Anna Kowal", "no-hash", at=NOW, language="en")
    yield opened
    opened.close()


def test_a_reading_becomes_a_row_in_the_queue_in_twelve_calls(store: Store) -> None:  # noqa: PLR0915 - one line
    # 1: the host's reading
    disks = Filesystems(ProbeSettings(kernel=Kernel(space=lambda _: ROOM)), lambda: [MOUNT])
    reading = disks.read()
    assert reading == (Usage(MOUNT, ROOM),)

    # 2: samples
    labels = (("device", "/dev/sdb1"), ("device_error", ""), ("fstype", "ext4"), ("mountpoint", "/srv"))
    (avail,) = (s for s in filesystem.samples(reading) if s.family.name == "node_filesystem_avail_bytes")
    assert (avail.labels, avail.value) == (labels, 1.2e9)

    # 3: a round
    rounds = [round_of(disks, after) for after in (0.0, LATER)]
    assert avail in rounds[0].samples
    assert [part.failure for part in rounds[0].parts] == [""]

    # 4: bytes
    spool = Spool("epoch-1")
    layout = batch.layout_for(rounds[0], None)
    entries = [kept(spool, layout, round_) for round_ in rounds]
    column = layout.columns["node_filesystem_avail_bytes", labels]
    sent = spool.batch(1, pb.LANE_LIVE)
    assert sent is not None
    assert struct.unpack_from("<d", sent.values, 8 * column) == (1.2e9,)

    # 5: messages on the wire, and 6: new samples for the collector
    agent, there = greeted()
    appends = []
    for entry, after in zip(entries, (0.0, LATER), strict=True):
        agent, actions = session.step(agent, RoundTaken(entry))
        first = (SendSchema(layout.hash),) if entry.seq == 1 else ()
        assert actions == (*first, SendBatch(entry.seq, Lane.LIVE))
        there, heard = received(there, spool, actions, NOW + after)
        appends.append(heard)
    assert [(a.at, a.edge, a.duplicate) for a in appends] == [(NOW, True, False), (NOW + LATER, True, False)]

    # 7: arrays
    head = Head()
    for append in appends:
        assert append.columns is not None
        head.register("agent-1", append.columns.key, append.columns.series())
        head.append(
            "agent-1", append.columns.key, append.at, *decode(append.columns.total, append.presence, append.values)
        )
    held = {series.get("__name__"): value for series, value, _ in head.values_of("srv-1", NOW + LATER)}
    assert held["node_filesystem_avail_bytes"] == 1.2e9

    # 8: the matching vector and what was considered; 9: new states and events
    rule = filesystem_rule()
    state, context = State(), Context(key_of=rules_key, started_at=NOW)
    told = []
    for at in (NOW, NOW + LATER):
        result = evaluate(rule.plan, head.select, at)
        (found,) = result.vector.labels
        assert result.vector.values.tolist() == pytest.approx([0.988])
        assert result.considered(found) == (at > NOW)  # one sample alone has no trend: no proof of recovery
        taken = alerting.step(rule, state, result, at, context)
        state = taken.state
        told.append(taken.changes)
    assert [alert.state for change in told for alert in change.upserts] == [AlertState.PENDING, AlertState.FIRING]
    (event,) = told[1].events
    assert (event.kind, event.started_at, event.labels.get("mountpoint")) == (EventKind.FIRED, NOW, "/srv")

    # 10: a decision
    decision = desk.decide(event, None, None, episode=1, place=Place("alfa", "agent-1", "srv-1"))
    assert isinstance(decision, Open)
    assert decision.new.title == "/srv on srv-1 is 98.8% full (limit 92%)"

    # 11: one committed change with a ticket number; only now the ack
    number = committed(store, told)
    there, answers = ingest.step(there, Committed(tuple(append.mark for append in appends)), NOW + LATER)
    (answer,) = (action.message for action in answers if isinstance(action, Send))
    acked = wire.event_of(over_the_wire(answer), at_ns=0)
    assert isinstance(acked, AckReceived)
    agent, actions = session.step(agent, acked)
    assert Acknowledge((1, 2)) in actions

    # 12: the row
    page = queue(store)
    (row,) = re.findall(r'<tr id="t\d+".*?</tr>', page, re.DOTALL)
    assert number in row
    assert "/srv on srv-1 is 98.8% full (limit 92%)" in row
    assert "Alfa" in row


def round_of(disks: Filesystems, after: float) -> Round:
    probe = Probe("filesystem", disks.read, filesystem.samples)
    return take_round((probe,), wall=NOW + after, boottime_ns=int((UP + after) * 1e9), clock=lambda: 0.0)


def kept(spool: Spool, layout: batch.Layout, round_: Round) -> Entry:
    assert batch.layout_for(round_, layout) is layout
    encoded = batch.encode(round_, layout, epoch=spool.epoch, seq=spool.next_seq, boot_id="boot-1")
    return spool.add(encoded, layout.schema)


def greeted() -> tuple[session.Session, ingest.Session]:
    """Both ends of a stream after Hello and Welcome, which travel as bytes."""
    agent, actions = session.step(session.Session(), Connected())
    assert SendHello() in actions
    hello = pb.Hello(
        protocol_min=1, protocol_max=1, epoch="epoch-1", boot_id="boot-1", run_id="run-1", first_seq=1, next_seq=1,
        boottime_ns=int(UP * 1e9), wall_ns=int(NOW * 1e9),
    )  # fmt: skip
    there = ingest.begin(IDENTITY, Terms(), NOW)
    there, asked = ingest.step(there, said(pb.StreamRequest(hello=hello)), NOW)
    assert asked == (OpenSession(hello),)
    there, answers = ingest.step(there, Opened(1), NOW)
    (welcome,) = (action.message for action in answers if isinstance(action, Send))
    event = wire.event_of(over_the_wire(welcome), at_ns=int(UP * 1e9))
    assert isinstance(event, WelcomeReceived)
    agent, _ = session.step(agent, event)
    assert agent.state is session.State.LIVE
    return agent, there


def received(
    there: ingest.Session, spool: Spool, actions: tuple[Action, ...], at: float
) -> tuple[ingest.Session, Append]:
    """What the collector makes of what the agent sends."""
    done: tuple[object, ...] = ()
    for action in actions:
        request = pb.StreamRequest()
        if isinstance(action, SendSchema):
            request.schema.CopyFrom(spool.schema(action.schema) or pb.Schema())
        elif isinstance(action, SendBatch):
            request.batch.CopyFrom(spool.batch(action.number, wire.LANES[action.lane]) or pb.Batch())
        there, done = ingest.step(there, said(request), at)
    (append,) = (action for action in done if isinstance(action, Append))
    return there, append


def said(request: pb.StreamRequest) -> Said:
    data = request.SerializeToString()
    return Said(pb.StreamRequest.FromString(data), len(data))


def over_the_wire(message: pb.StreamResponse) -> pb.StreamResponse:
    return pb.StreamResponse.FromString(message.SerializeToString())


def filesystem_rule() -> AlertRule:
    """The shipped rule for servers' filesystems."""
    (group,) = load(ROOT / "collector/rules/defaults/filesystem.yml")
    rule = group.rules[0]
    assert isinstance(rule, AlertRule)
    assert rule.name == "HostFilesystemFull"
    return rule


def committed(store: Store, told: list[AlertChanges]) -> str:
    """The number of the one ticket that is there after every change is committed; twice is as good as once."""
    intake = Intake(store)
    for at, changes in zip((NOW, NOW + LATER), told, strict=True):
        intake.alerts(changes, at)
    (stored,) = intake.alerts(told[1], NOW + LATER)
    assert stored.episode == 1
    with store.read() as conn:
        rows = conn.exec_driver_sql("SELECT number, host_id, status FROM ticket").fetchall()
    ((number, host, status),) = rows
    assert (host, status) == ("agent-1", "new")
    return str(number)


def queue(store: Store) -> str:
    settings = WebSettings(secret_key=b"0123456789abcdef", now=lambda: NOW + LATER + 5.0)
    client = create_app(store, Intake(store), Live(""), settings).test_client()
    with store.write() as conn:
        anna = users.user_by_login(conn, "anna")
        assert anna is not None
        client.set_cookie("czuwak_session", users.new_session(conn, anna.id, NOW + LATER, 3600.0))
    page = client.get("/queue/unassigned")
    assert page.status_code == 200
    return page.text


# --- the table itself ---


def steps() -> list[str]:
    """The second column of the README's table, a row each."""
    rows = re.findall(r"^\| (\d+) \| (.+?) \| .+ \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 13))
    return [where for _, where in rows]


def modules(path: str) -> list[ModuleType]:
    """The module of a file's path, or a package with all its modules."""
    found = importlib.import_module(path.removesuffix(".py").strip("/").replace("/", "."))
    inside = pkgutil.iter_modules(getattr(found, "__path__", []))
    return [found, *(importlib.import_module(f"{found.__name__}.{each.name}") for each in inside)]


def defines(module: ModuleType, name: str) -> bool:
    """Whether it has this function, or a class of its own with this method."""
    own = (value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__)
    return any(inspect.isfunction(getattr(place, name, None)) for place in (module, *own))


@pytest.mark.parametrize("where", steps())
def test_a_step_of_the_readme_names_what_exists(where: str) -> None:
    quoted = re.findall(r"`([^`]+)`", where)
    paths = [name for name in quoted if "/" in name]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    code = [module for path in paths if path.endswith((".py", "/")) for module in modules(path)]
    functions = [name for name in quoted if "/" not in name]
    assert [name for name in functions if not any(defines(module, name) for module in code)] == []


def test_a_function_that_is_not_there_is_seen() -> None:
    (module,) = modules("agent/round.py")
    assert defines(module, "take_round")
    assert not defines(module, "take_squares")
