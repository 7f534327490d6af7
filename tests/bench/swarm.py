"""Many agents' streams in one process of its own: real gRPC, real mutual TLS, one channel and one identity each.

usage: python -m tests.bench.swarm FOLDER TARGET ROUNDS INTERVAL SERIES CROSSINGS
FOLDER holds ca.pem and one NAME.key and NAME.pem an agent. Prints one JSON line: batches sent and acknowledged, and
when each crossing left.
"""

import asyncio
import json
import struct
import sys
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import grpc

from czuwak.v1 import ingest_pb2 as pb
from czuwak.v1 import ingest_pb2_grpc

MODES = ("user", "system", "idle", "iowait", "nice", "irq", "softirq", "steal")
MOUNTS = ("/", "/home", "/var")
LOW, HIGH = 1.0, 99.0


def schema(series: int) -> pb.Schema:
    """node_exporter's shape: filesystems, memory, load, processors for the rest; the first series does the crossing."""
    rows: list[tuple[str, dict[str, str]]] = [("bench_level", {})]
    rows += [(f"node_load{n}", {}) for n in (1, 5, 15)]
    rows += [(f"node_memory_{n}_bytes", {}) for n in ("MemTotal", "MemAvailable")]
    for mount in MOUNTS:
        labels = {"device": "/dev/sda1", "fstype": "ext4", "mountpoint": mount}
        rows += [
            (f"node_filesystem_{n}", labels) for n in ("avail_bytes", "size_bytes", "files", "files_free", "readonly")
        ]
    cpus = (series - len(rows) + len(MODES) - 1) // len(MODES)
    rows += [("node_cpu_seconds_total", {"cpu": str(c), "mode": m}) for c in range(cpus) for m in MODES]
    made = pb.Schema()
    for name, labels in rows[:series]:
        made.series.add(
            name=name,
            labels=[pb.Label(name=n, value=v) for n, v in sorted(labels.items())],
            kind=pb.METRIC_KIND_COUNTER if name.endswith("_total") else pb.METRIC_KIND_GAUGE,
        )
    made.hash = sha256(made.SerializeToString(deterministic=True)).digest()[:16]
    return made


def values(made: pb.Schema, number: int, level: float) -> bytes:
    """One round: counters grow, gauges stand, nothing is alarming but the level."""
    row = []
    for series in made.series:
        if series.name == "bench_level":
            row.append(level)
        elif series.name == "node_cpu_seconds_total":
            row.append(number * (0.9 if series.labels[1].value == "idle" else 0.01))
        else:
            row.append({"node_filesystem_readonly": 0.0, "node_load1": 0.5}.get(series.name, 6e10))
    return struct.pack(f"<{len(row)}d", *row)


class Agent:
    """One stream."""

    def __init__(self, name: str, folder: Path, target: str, made: pb.Schema) -> None:
        self.name, self.target, self.made = name, target, made
        self.credentials = grpc.ssl_channel_credentials(
            (folder / "ca.pem").read_bytes(),
            (folder / f"{name}.key").read_bytes(),
            (folder / f"{name}.pem").read_bytes(),
        )
        self.outbox: asyncio.Queue[pb.StreamRequest] = asyncio.Queue()
        self.welcome = asyncio.Event()
        self.acked = self.sent = 0
        self.high = False

    async def messages(self) -> AsyncIterator[pb.StreamRequest]:
        while True:
            yield await self.outbox.get()

    async def run(self) -> None:
        async with grpc.aio.secure_channel(self.target, self.credentials) as channel:
            hello = pb.Hello(
                protocol_min=1, protocol_max=1, agent_version="bench", machine_fingerprint=self.name, boot_id=self.name,
                run_id="1", epoch="bench", first_seq=1, next_seq=1, wall_ns=time.time_ns(),
                boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME), monotonic_ns=time.monotonic_ns(),
            )  # fmt: skip
            await self.outbox.put(pb.StreamRequest(hello=hello))
            async for answer in ingest_pb2_grpc.IngestServiceStub(channel).Stream(self.messages()):
                kind = answer.WhichOneof("message")
                if kind == "welcome":
                    await self.outbox.put(pb.StreamRequest(schema=self.made))
                    self.welcome.set()
                elif kind == "ack":
                    self.acked = max(self.acked, answer.ack.live_through)
                elif kind == "nack":
                    sys.exit(f"{self.name}: nack {answer.nack}")

    async def round(self) -> float:
        """Send the next batch; its moment of sending."""
        self.sent += 1
        batch = pb.Batch(
            epoch="bench", seq=self.sent, boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME), lane=pb.LANE_LIVE,
            schema_hash=self.made.hash, boot_id=self.name,
            values=values(self.made, self.sent, HIGH if self.high else LOW),
        )  # fmt: skip
        await self.outbox.put(pb.StreamRequest(batch=batch))
        return time.time()


async def swarm(agents: list[Agent], rounds: int, interval: float, crossings: int) -> dict[str, object]:
    """Drive the agents, spread over the interval as real ones are; the second half of the rounds has the crossings."""
    tasks = [asyncio.create_task(agent.run()) for agent in agents]
    await asyncio.wait_for(asyncio.gather(*(agent.welcome.wait() for agent in agents)), 120)
    crossed: dict[str, float] = {}
    began = time.monotonic()
    for number in range(rounds):
        for place, agent in enumerate(agents):
            due = began + (number + place / len(agents)) * interval
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            cross = (
                number >= rounds // 2
                and not agent.high
                and len(crossed) < crossings * (number - rounds // 2 + 1) * 2 / rounds
            )
            agent.high = agent.high or cross
            at = await agent.round()
            if cross:
                crossed[agent.name] = at
    await asyncio.sleep(4 * interval)
    result = {"sent": sum(a.sent for a in agents), "acked": sum(a.acked for a in agents), "crossed": crossed}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return result


def main() -> None:
    folder, target, rounds, interval, series, crossings = sys.argv[1:]
    made = schema(int(series))
    keys = sorted(Path(folder).glob("*.key"))
    agents = [Agent(path.stem, Path(folder), target, made) for path in keys]
    print(json.dumps(asyncio.run(swarm(agents, int(rounds), float(interval), int(crossings)))))


if __name__ == "__main__":
    main()
