import hashlib
import struct
from collections.abc import Iterable

import pytest

from collector.ingest.stamp import Identity
from czuwak.v1 import ingest_pb2 as pb

IDENTITY = Identity("a-1", "pc1", "pc1", "acme", "waw", "server")


class Wire:
    """Messages as an agent makes them."""

    identity = IDENTITY

    def schema(self, *series: pb.Series) -> pb.Schema:
        bare = pb.Schema(series=series)
        digest = hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()[:16]
        return pb.Schema(hash=digest, series=series)

    def series(self, name: str, **labels: str) -> pb.Series:
        pairs = [pb.Label(name=n, value=v) for n, v in sorted(labels.items())]
        return pb.Series(name=name, labels=pairs, kind=pb.METRIC_KIND_GAUGE)

    def gauges(self, count: int) -> pb.Schema:
        return self.schema(*(self.series("node_thing", number=str(n)) for n in range(count)))

    def hello(self, *, epoch: str = "e1", first: int = 1, following: int = 1, boottime: float = 1000.0) -> pb.Hello:
        return pb.Hello(
            protocol_min=1,
            protocol_max=1,
            agent_version="1.2.3",
            machine_fingerprint="board-1",
            boot_id="b1",
            run_id="r1",
            epoch=epoch,
            first_seq=first,
            next_seq=following,
            wall_ns=int(1_800_000_000 * 1e9),
            boottime_ns=int(boottime * 1e9),
            monotonic_ns=int(boottime * 1e9),
        )

    def batch(
        self,
        schema: pb.Schema,
        seq: int,
        values: Iterable[float],
        *,
        boottime: float = 1001.0,
        lane: pb.Lane.ValueType = pb.LANE_LIVE,
        epoch: str = "e1",
    ) -> pb.Batch:
        numbers = list(values)
        return pb.Batch(
            epoch=epoch,
            seq=seq,
            boottime_ns=int(boottime * 1e9),
            lane=lane,
            schema_hash=schema.hash,
            values=struct.pack(f"<{len(numbers)}d", *numbers),
            boot_id="b1",
        )


@pytest.fixture(scope="session")
def wire() -> Wire:
    return Wire()
