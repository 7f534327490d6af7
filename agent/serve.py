"""The running agent, wired in one straight function: rounds, the Prometheus page, the uplink, and an orderly end."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import grpc
import msgspec

from agent import __version__, away, channel, control, exposition, files, identity, presence, report
from agent.away import Away
from agent.config import Config
from agent.disk import MIB, Disk
from agent.errors import IdentityMissingError
from agent.notify import notify
from agent.pace import Pace
from agent.probes import AnyProbe, Probe, probes
from agent.renewal import Keeper, child
from agent.report import Report, Told
from agent.round import Round, take_round
from agent.spool import Spool
from agent.turns import Turns
from agent.uplink import Outside, Uplink
from czuwak.v1 import ingest_pb2 as pb

LOG = logging.getLogger(__name__)

PROTOCOL = 1
STATUS_FILE = "status.json"
SPOOL_FILE = "spool.db"
_GOODBYES = {
    Told.HEARD: "goodbye was said",
    Told.LATER: "no collector has heard the goodbye yet: it will be said as soon as one listens",
    Told.AT_RETURN: "no collector has heard the goodbye: it will be told when this machine is back",
    Told.NEVER: "no collector hears the goodbye, for this agent streams no more: see `czuwak-agent doctor`",
}


def run(
    config: Config, ended: Callable[[], object], environment: Mapping[str, str], renewing: Sequence[str] = ()
) -> None:
    """Run until `ended` returns; `renewing` is the command that renews the certificate.

    Raises ListenError, IdentityError; without an identity it serves its page only.
    """
    pace = Pace(config.interval)
    for told in identity.exposed(config.identity_dir, config.state_dir):
        LOG.warning("%s", told, extra={"action": "file_exposed"})
    keepers: list[Keeper] = []
    uplink = _uplink(config, pace, lambda: _refused(keepers))
    if uplink is not None and renewing:
        keepers.append(Keeper(config.identity_dir, config.state_dir, child(renewing), uplink.reconnect))
    subjects = probes(config.probes)
    if uplink is not None:
        subjects = (*subjects, Probe("uplink", lambda: uplink.report, report.samples))
    gone = Away(config.state_dir, uplink, pace.hurry, before=uplink.flush) if uplink is not None else None
    rounds = _Rounds(subjects, pace, _offer(uplink, gone))
    page = exposition.serve(config.listen, lambda: rounds.latest) if config.listen else None
    if page is not None:
        LOG.info("Metrics are at port %d", page.port, extra={"action": "exposition_started"})
    unlisten = None
    if uplink is not None and gone is not None:
        unlisten = control.listen(config.state_dir, _controls(gone))
        uplink.start(gone.restore())
        for keeper in keepers:
            keeper.start()
    rounds.start()
    notify(environment, "READY=1")
    ended()
    notify(environment, "STOPPING=1")
    pace.end()
    if unlisten is not None:
        unlisten()
    if uplink is not None and gone is not None:
        _leave(config, uplink, gone, environment)
    if page is not None:
        page.close()


def _refused(keepers: Sequence[Keeper]) -> None:
    for keeper in keepers:
        keeper.refused()


class _Rounds:
    """Takes the rounds in a thread of its own: a slow probe must not delay the goodbye."""

    def __init__(self, subjects: tuple[AnyProbe, ...], pace: Pace, offer: Callable[[Round], None]) -> None:
        self.latest: Round | None = None
        self._subjects = subjects
        self._pace = pace
        self._offer = offer

    def start(self) -> None:
        threading.Thread(target=self._run, name="rounds", daemon=True).start()

    def _run(self) -> None:
        while not self._pace.over:
            self.latest = self._taken()
            self._offer(self.latest)
            self._pace.wait()

    def _taken(self) -> Round:
        return take_round(
            self._subjects,
            wall=time.time(),
            boottime_ns=presence.boottime_ns(),
            clock=time.perf_counter,
            previous=self.latest,
            suspended_ns=presence.suspended_ns(),
        )


def _uplink(config: Config, pace: Pace, expired: Callable[[], object]) -> Uplink | None:
    try:
        owned = identity.load(config.identity_dir)
    except IdentityMissingError as missing:
        LOG.warning("Only the Prometheus page is served: %s", missing, extra={"action": "no_identity"})
        return None
    turns = Turns((identity.collector_of(owned, config.collector), *config.alternates))

    def connect() -> grpc.Channel:
        now = identity.load(config.identity_dir)
        name = config.server_name or now.facts.server_name
        return channel.secure(turns.advance(), ca=now.ca, identity=now, server_name=name)

    def changed(state: Report) -> None:
        _write_status(config, turns.current, state)
        if channel.tells_expiry(state.problem):
            expired()

    outside = Outside(
        hello=_hello(config),
        welcomed=lambda: _welcomed(config, pace),
        interval=pace.set,
        changed=changed,
    )
    disk = Disk(config.state_dir / SPOOL_FILE, config.spool_mib * MIB)
    spool = Spool(str(uuid.uuid4()), disk, interval=config.interval)
    return Uplink(str(turns), connect, spool, outside, boot_id=presence.boot_id())


def _hello(config: Config) -> Callable[[], pb.Hello]:
    run_id = str(uuid.uuid4())

    def hello() -> pb.Hello:
        return pb.Hello(
            protocol_min=PROTOCOL,
            protocol_max=PROTOCOL,
            agent_version=__version__,
            machine_fingerprint=presence.machine_fingerprint(),
            boot_id=presence.boot_id(),
            run_id=run_id,
            wall_ns=time.time_ns(),
            boottime_ns=presence.boottime_ns(),
            monotonic_ns=time.monotonic_ns(),
            last_absence=presence.read_absence(config.state_dir),
            facts=presence.host_facts(),
        )

    return hello


def _offer(uplink: Uplink | None, gone: Away | None) -> Callable[[Round], None]:
    def offer(round_: Round) -> None:
        if uplink is not None and gone is not None and gone.streams():
            uplink.offer(round_)

    return offer


def _controls(gone: Away) -> Callable[[control.Request], control.Answer]:
    def act(request: control.Request) -> control.Answer:
        if request.action == "goodbye" and request.reason in away.REASONS:
            told, recorded = gone.goodbye(away.REASONS[request.reason], request.back)
            return _answered(told, recorded=recorded)
        if request.action == "resume":
            return control.Answer(ok=True, said="streaming goes on" if gone.resume() else "nothing was paused")
        return control.Answer(ok=False, said=f"unknown action or reason; reasons are {', '.join(away.REASONS)}")

    return act


def _answered(told: Told, *, recorded: bool) -> control.Answer:
    if told is Told.AT_RETURN and not recorded:
        return control.Answer(ok=False, said="no collector heard the goodbye, and the disk took no record of it")
    said = _GOODBYES[told] if recorded else f"{_GOODBYES[told]}; the disk took no record of it"
    return control.Answer(ok=told is not Told.NEVER, said=said)


def _leave(config: Config, uplink: Uplink, gone: Away, environment: Mapping[str, str]) -> None:
    reason = presence.leaving_reason(environment)
    if not gone.paused:  # else the record of the pause stays, and the pause goes on at the next start
        away.record(config.state_dir, reason)
    uplink.goodbye(reason)


def _welcomed(config: Config, pace: Pace) -> None:
    # Only a round taken after the Hello is at the live edge: until then the host's alerts are frozen.
    pace.hurry()
    try:
        presence.clear_absence(config.state_dir)
    except OSError as error:
        LOG.warning("The absence record stays: %s", error, extra={"action": "absence_not_cleared"})


def _write_status(config: Config, where: str, state: Report) -> None:
    # Only when the stream comes or goes: in its steady state the agent writes nothing to disk.
    status = {"collector": where, "connected": state.connected, "problem": state.problem, "since": time.time()}
    try:
        files.write(config.state_dir / STATUS_FILE, msgspec.json.encode(status))
    except OSError as error:
        LOG.debug("No status file: %s", error, extra={"action": "status_not_written"})
