"""The uplink with a spool on disk: over restarts, at a goodbye, when rounds stop, and in steady state."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from agent import channel, identity
from agent.disk import Disk
from agent.round import Round
from agent.spool import Spool
from agent.uplink import Outside, Uplink
from czuwak.v1 import ingest_pb2 as pb
from tests.agent.conftest import Authority, Listener
from tests.e2e.plant import until

RoundOf = Callable[..., Round]


def uplink(
    folder: Path, where: str, *, interval: float = 15.0, boottime: Callable[[], float] = lambda: 100.0
) -> Uplink:
    def connect() -> grpc.Channel:
        owned = identity.load(folder / "identity")
        return channel.secure(where, ca=owned.ca, identity=owned)

    outside = Outside(
        hello=lambda: pb.Hello(protocol_min=1, protocol_max=1, boot_id="boot", boottime_ns=int(100e9)),
        boottime_ns=lambda: int(boottime() * 1e9),
        jitter=lambda _, __: 0.05,
    )
    spool = Spool("epoch-1", Disk(folder / "spool.db"), interval=interval)
    return Uplink(where, connect, spool, outside, boot_id="boot")


def test_what_nobody_took_is_on_disk_at_the_goodbye_and_sent_by_the_next_run(
    listener: Listener, ca: Authority, tmp_path: Path, identity_of: Callable[..., Path], round_of: RoundOf
) -> None:
    identity_of(ca, listener.where)
    listener.stop()
    first = uplink(tmp_path, listener.where)
    first.start()
    for at in (98, 99, 100):
        first.offer(round_of(at, a=float(at)))
    first.goodbye(pb.GOING_AWAY_REASON_SHUTDOWN)
    listener.start()
    second = uplink(tmp_path, listener.where)
    second.start()
    hello = listener.collector.next("hello").hello
    assert (hello.epoch, hello.first_seq, hello.next_seq, hello.dropped_total) == ("epoch-1", 1, 4, 0)
    assert listener.collector.next("schema").schema.series[0].name == "a"
    assert [listener.collector.next("batch").batch.seq for _ in range(3)] == [1, 2, 3]
    until("all is acknowledged", lambda: second.report.acked == 3, 10)
    second.goodbye(pb.GOING_AWAY_REASON_AGENT_STOP)


def test_a_flush_before_sleep_puts_everything_on_disk_and_goes_on(
    listener: Listener, ca: Authority, tmp_path: Path, identity_of: Callable[..., Path], round_of: RoundOf
) -> None:
    identity_of(ca, listener.where)
    listener.stop()
    one = uplink(tmp_path, listener.where)
    one.start()
    one.offer(round_of(100, a=1.0))
    one.flush()
    one.offer(round_of(101, a=1.0))
    until("the report is new", lambda: one.report.spool_batches == 2, 10)
    assert (one.report.stored, one.report.disk_ok) == (1, True)
    one.goodbye(pb.GOING_AWAY_REASON_AGENT_STOP)


@pytest.mark.parametrize("took", [0.0, 0.6], ids=["at once", "after a slow round"])
def test_a_round_that_nobody_takes_is_written_though_no_further_one_comes(
    listener: Listener,
    ca: Authority,
    tmp_path: Path,
    identity_of: Callable[..., Path],
    round_of: RoundOf,
    took: float,
) -> None:
    identity_of(ca, listener.where)
    listener.stop()
    began = time.monotonic()
    one = uplink(tmp_path, listener.where, interval=0.3, boottime=lambda: 100.0 + took + time.monotonic() - began)
    one.start()
    one.offer(round_of(100, a=1.0))
    until("it is on disk", lambda: one.report.stored == 1, 10)
    one.goodbye(pb.GOING_AWAY_REASON_AGENT_STOP)


def test_a_running_agent_whose_rounds_are_acknowledged_writes_nothing(
    listener: Listener, ca: Authority, tmp_path: Path, identity_of: Callable[..., Path]
) -> None:
    identity_of(ca, listener.where)
    listener.collector.welcome.interval_seconds = 1.0
    (tmp_path / "agent.toml").write_text(
        f'interval = 1\n[agent]\nstate_dir = "{tmp_path}/state"\n[identity]\ndir = "{tmp_path}/identity"\n'
        '[exposition]\nlisten = ""\n'
    )
    program = Path(sys.executable).parent / "czuwak-agent"
    with subprocess.Popen([program, "run", "--config", tmp_path / "agent.toml"], stderr=subprocess.DEVNULL) as agent:
        for _ in range(4):
            listener.collector.next("batch")
        before = written(agent.pid)
        for _ in range(5):
            listener.collector.next("batch")
        assert written(agent.pid) == before
        agent.terminate()
        assert agent.wait(20) == 0


def written(pid: int) -> int:
    """Bytes the process had written to a disk, by the kernel's account."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("write_bytes:")))
