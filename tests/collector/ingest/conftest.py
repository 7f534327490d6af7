import asyncio
import dataclasses
import hashlib
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.ingest import ca
from collector.ingest.enrollment import enroll
from collector.ingest.process import Bound, Ingest, IngestSettings, running
from collector.ingest.stamp import Identity
from collector.rules.model import Group
from collector.store import hosts, schema, tokens
from collector.store.schema import open_store
from collector.tickets.desk import Policy
from czuwak.v1 import enrollment_pb2, ingest_pb2_grpc
from czuwak.v1 import ingest_pb2 as pb
from tests.collector.ingest.desk import Desk

IDENTITY = Identity("a-1", "pc1", "pc1", "acme", "waw", "server")


class Wire:
    """Messages as an agent makes them."""

    identity = IDENTITY

    def schema(self, *series: pb.Series) -> pb.Schema:
        bare = pb.Schema(series=series)
        digest = hashlib.sha256(bare.SerializeToString(deterministic=True)).digest()[:16]
        return pb.Schema(hash=digest, series=series)

    def packed(self, schema: pb.Schema) -> pb.Schema:
        words = pb.Schema(series=schema.series).SerializeToString(deterministic=True)
        return pb.Schema(hash=schema.hash, packed=zlib.compress(words))

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


def csr_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ignored")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Agent:
    """The smallest agent: one stream over real mutual TLS."""

    def __init__(self, wire: Wire, channel: grpc.aio.Channel) -> None:
        self.wire = wire
        self.channel = channel
        self.call: Any = ingest_pb2_grpc.IngestServiceStub(channel).Stream()
        self.welcome = pb.Welcome()

    async def say(self, message: Any) -> None:
        request = pb.StreamRequest()
        name = next(f.name for f in pb.StreamRequest.DESCRIPTOR.fields if f.message_type is message.DESCRIPTOR)
        getattr(request, name).CopyFrom(message)
        await self.call.write(request)

    async def hear(self, kind: str) -> Any:
        """The next message of this kind; others are passed over."""
        async with asyncio.timeout(10):
            while True:
                message = await self.call.read()
                assert message is not grpc.aio.EOF, f"ended without {kind}: {await self.call.code()}"
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)

    async def greet(self, **hello: Any) -> pb.Welcome:
        await self.say(self.wire.hello(**hello))
        self.welcome = await self.hear("welcome")
        return self.welcome

    async def ended(self) -> grpc.StatusCode:
        async with asyncio.timeout(10):
            code: grpc.StatusCode = await self.call.code()
            return code


class House:
    """An installation in a folder, and the agents it enrolled."""

    def __init__(self, folder: Path, wire: Wire, url: str = "") -> None:
        self.folder = folder
        self.wire = wire
        self.url = url or f"sqlite:///{folder / 'czuwak.db'}"
        self.authority = ca.create(folder / "ca")
        schema.upgrade(self.url)
        self.store = open_store(self.url)
        with self.store.write() as conn:
            hosts.add_company(conn, "acme", "Acme", time.time())
        self.rules: Callable[[], Iterable[Group]] = lambda: ()

    def settings(self, **changes: Any) -> IngestSettings:
        base = IngestSettings(
            listen="127.0.0.1:0",
            enrollment_listen="127.0.0.1:0",
            query_socket=self.folder / "q" / "s",
            ca_dir=self.folder / "ca",
            database=self.url,
            evaluation_interval=0.05,
        )
        return dataclasses.replace(base, **changes)

    def running(self, **changes: Any) -> AbstractAsyncContextManager[Ingest]:
        return running(self.settings(**changes), load_rules=self.load_rules, policy=Policy())

    def load_rules(self) -> Iterable[Group]:
        return self.rules()

    def token(self, **changes: Any) -> str:
        now = time.time()
        fields = {"company": "acme", "site": "waw", "class_": "server", "uses": 1, "expires_at": now + 3600, "at": now}
        with self.store.write() as conn:
            return tokens.create_token(conn, **{**fields, **changes})[1]

    def enroll(self, name: str, **token: Any) -> tuple[str, bytes, bytes]:
        """(agent_id, certificate, key) of a new host."""
        key = ec.generate_private_key(ec.SECP256R1())
        request = enrollment_pb2.EnrollRequest(
            token=self.token(**token),
            enrollment_id=f"enrollment-of-{name}-{time.time_ns()}",
            csr_der=csr_of(key),
            hostname=name,
        )
        made = enroll(self.store, self.authority, request, time.time())
        return made.host.id, made.certificate_pem.encode(), pem_of(key)

    @asynccontextmanager
    async def agent(self, bound: Bound, identity: tuple[str, bytes, bytes]) -> AsyncIterator[Agent]:
        _, certificate, key = identity
        credentials = grpc.ssl_channel_credentials(self.authority.ca_pem, key, certificate)
        async with grpc.aio.secure_channel(f"127.0.0.1:{bound.port}", credentials) as channel:
            agent = Agent(self.wire, channel)
            yield agent
            agent.call.cancel()

    def host(self, agent_id: str) -> hosts.Host:
        with self.store.read() as conn:
            found = hosts.host(conn, agent_id, None)
        assert found is not None
        return found

    @staticmethod
    async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the condition is in the database
                await asyncio.sleep(0.02)


@pytest.fixture
def house(tmp_path: Path, wire: Wire) -> Iterator[House]:
    made = House(tmp_path, wire)
    yield made
    made.store.close()


@pytest.fixture
def desk(house: House) -> Desk:
    return Desk(house)


@pytest.fixture
def shared_house(tmp_path: Path, wire: Wire, database_url: str) -> Iterator[House]:
    """On both databases, for what several collectors of one installation must agree on."""
    made = House(tmp_path, wire, database_url)
    yield made
    made.store.close()
