"""What the agent's tests share: a little PKI, identities on disk, and a real gRPC collector that remembers."""

import datetime as dt
import ipaddress
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent import files
from agent.identity import CA, CERTIFICATE, FACTS, KEY, Facts
from agent.round import Round
from agent.sample import Family, Kind, Sample
from czuwak.v1 import ingest_pb2 as pb
from czuwak.v1 import ingest_pb2_grpc as rpc

DAY = dt.timedelta(days=1)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(pem.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.NoEncryption())

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True)
class Authority:
    """A CA that signs what a test asks for."""

    issued: Issued

    def sign(self, subject: str, public_key: ec.EllipticCurvePublicKey, days: float = 30) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(self.issued.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 60 * DAY)
            .not_valid_after(now + days * DAY)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.issued.key, hashes.SHA256())
        )

    def issue(self, subject: str, days: float = 30) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(self.sign(subject, key.public_key(), days), key)


def authority(subject: str = "Test CA") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 90 * DAY)
        .not_valid_after(now + 90 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(Issued(certificate, key))


def write_identity(folder: Path, ca: Authority, collector: str, days: float = 30) -> Path:
    """An identity directory as enrolment leaves it."""
    issued = ca.issue("agent", days)
    files.write(folder / KEY, issued.key_pem, files.PRIVATE)
    files.write(folder / CERTIFICATE, issued.pem)
    files.write(folder / CA, ca.issued.pem)
    files.write(folder / FACTS, msgspec.json.encode(Facts("agent-1", "pc-1", collector)))
    return folder


class Collector(rpc.IngestServiceServicer):
    """Hears everything; welcomes and acknowledges by itself unless a test says otherwise."""

    def __init__(self) -> None:
        self.heard: queue.Queue[pb.StreamRequest] = queue.Queue()
        self.welcome = pb.Welcome(protocol=1, interval_seconds=5, heartbeat_seconds=60, replay_credits=4)
        self.acks = True
        self.lingers = False
        self.answers: Callable[[pb.StreamRequest], list[pb.StreamResponse]] = lambda _: []
        self.pushes: queue.Queue[pb.StreamResponse | None] = queue.Queue()

    def Stream(  # noqa: N802 - the protocol's name
        self, request_iterator: Iterator[pb.StreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamResponse]:
        pushes: queue.Queue[pb.StreamResponse | None] = queue.Queue()
        self.pushes = pushes
        context.add_callback(lambda: pushes.put(None))
        threading.Thread(target=self._hear, args=(request_iterator, pushes), daemon=True).start()
        while (message := pushes.get()) is not None:
            yield message

    def _hear(self, requests: Iterator[pb.StreamRequest], pushes: "queue.Queue[pb.StreamResponse | None]") -> None:
        try:
            for request in requests:
                self.heard.put(request)
                for answer in self.answers(request) or self._usual(request):
                    pushes.put(answer)
        except grpc.RpcError:
            pass
        except Exception as error:  # noqa: BLE001 - gRPC raises a bare Exception in a stream that was cancelled
            assert "cancel" in str(error).lower() or not str(error)  # noqa: PT017
        if not self.lingers:
            pushes.put(None)

    def _usual(self, request: pb.StreamRequest) -> list[pb.StreamResponse]:
        if request.HasField("hello"):
            return [pb.StreamResponse(welcome=self.welcome)]
        if request.HasField("batch") and self.acks:
            batch = request.batch
            live = batch.lane == pb.LANE_LIVE
            ack = pb.Ack(
                epoch=batch.epoch,
                live_through=batch.seq if live else 0,
                replay_through=0 if live else batch.seq,
                replay_credits=self.welcome.replay_credits,
            )
            return [pb.StreamResponse(ack=ack)]
        return []

    def next(self, kind: str) -> pb.StreamRequest:
        """The next message of this kind, others skipped; queue.Empty when it does not come."""
        while True:
            request = self.heard.get(timeout=10)
            if request.WhichOneof("message") == kind:
                return request


@dataclass
class Listener:
    """A collector on a port, over real mTLS; may be stopped and started again on the same port."""

    ca: Authority
    collector: Collector = field(default_factory=Collector)
    port: int = 0
    server: grpc.Server | None = None

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        issued = self.ca.issue("collector")
        credentials = grpc.ssl_server_credentials(
            [(issued.key_pem, issued.pem)], root_certificates=self.ca.issued.pem, require_client_auth=True
        )
        self.server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        rpc.add_IngestServiceServicer_to_server(self.collector, self.server)
        self.port = self.server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        self.server.start()

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop(grace=None).wait(10)
            self.server = None


@pytest.fixture(scope="session")
def ca() -> Authority:
    return authority()


@pytest.fixture(scope="session")
def other_ca() -> Authority:
    return authority("Another CA")


@pytest.fixture
def listener(ca: Authority) -> Iterator[Listener]:
    running = Listener(ca)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def identity_of(tmp_path: Path) -> Callable[..., Path]:
    """A function (ca, collector, days=30) that writes an identity directory."""
    return lambda ca, collector, days=30: write_identity(tmp_path / "identity", ca, collector, days)


@pytest.fixture
def round_of() -> Callable[..., Round]:
    """A function that makes a round of `name=value` gauges at a boottime in seconds."""

    def make(boottime: float = 100.0, /, **values: float) -> Round:
        samples = tuple(Sample(Family(n, Kind.GAUGE, "A value."), (), v) for n, v in values.items())
        return Round(1000.0 + boottime, int(boottime * 1e9), samples)

    return make
