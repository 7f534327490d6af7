"""EnrollmentService: a join token and a proven key for an identity, and later that identity's renewals.

Keys are proven before anything is written.
"""

import asyncio
import logging
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial

import grpc

from collector.ingest.ca import Authority, key_hash, read_csr
from collector.ingest.errors import CsrError, EnrollmentError
from collector.ingest.renewal import renew
from collector.metrics import Metrics
from collector.store import enrollments, hosts, tokens
from collector.store.engine import Store
from collector.store.errors import StoreError, TokenRefused
from czuwak.v1 import enrollment_pb2 as pb
from czuwak.v1 import enrollment_pb2_grpc

MAX_MESSAGE = 16 << 10
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", 64 << 10),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.so_reuseport", 0),
)
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_ID = re.compile(r"[A-Za-z0-9-]{16,64}")
_TRIES = 5
_REFUSALS = {"unknown": "PERMISSION_DENIED", "key": "ALREADY_EXISTS", "name": "PERMISSION_DENIED"}

log = logging.getLogger(__name__)
_Context = grpc.aio.ServicerContext[pb.EnrollRequest, pb.EnrollResponse]
_RenewContext = grpc.aio.ServicerContext[pb.RenewRequest, pb.RenewResponse]


@dataclass(slots=True)
class Limiter:
    """Token buckets per peer: `burst` at once, then `rate` a second; remembers the last `peers` of them."""

    now: Callable[[], float]
    burst: float = 30.0
    rate: float = 2.0
    peers: int = 10_000
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def spend(self, peer: str) -> None:
        """Spends one of the peer's tokens; raises EnrollmentError if it has none."""
        at = self.now()
        left, since = self._left.pop(peer, (self.burst, at))
        left = min(self.burst, left + (at - since) * self.rate)
        self._left[peer] = (left - 1 if left >= 1 else left, at)
        while len(self._left) > self.peers:
            self._left.popitem(last=False)
        if left < 1:
            raise EnrollmentError("RESOURCE_EXHAUSTED", "Too many enrolments from this address; wait a minute.")


class EnrollmentServicer(enrollment_pb2_grpc.EnrollmentServiceServicer):
    """One per process, on a listener of its own. `advertise` is the agents' listener as host:port."""

    def __init__(
        self,
        *,
        store: Store,
        authority: Authority,
        advertise: str,
        worker: Executor,
        now: Callable[[], float],
        metrics: Metrics,
        limiter: Limiter | None = None,
    ) -> None:
        self._store = store
        self._authority = authority
        self._advertise = advertise
        self._worker = worker
        self._now = now
        self._metrics = metrics
        self._limiter = limiter or Limiter(now)

    async def Enroll(  # noqa: N802 - the protocol's name
        self, request: pb.EnrollRequest, context: _Context
    ) -> pb.EnrollResponse:
        """An identity for the key in the request; the same one again for the same id and key."""
        peer = _address(context.peer())
        try:
            self._limiter.spend(peer)
            work = partial(enroll, self._store, self._authority, request, self._now())
            made = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except EnrollmentError as error:
            self._metrics.enrollments.labels(error.code.lower()).inc()
            log.warning("An enrolment was refused: %s", error, extra={"action": "enrollment_refused", "peer": peer})
            await context.abort(grpc.StatusCode[error.code], str(error))
        self._metrics.enrollments.labels("ok").inc()
        log.info("A host was enrolled.", extra={"action": "enrolled", "host": made.host.instance, "peer": peer})
        return pb.EnrollResponse(
            agent_id=made.host.id,
            certificate=made.certificate_pem,
            ca_certificates=self._authority.ca_pem.decode(),
            host=made.host.instance,
            collector=self._advertise,
            waits_for_approval=made.host.approved_at is None,
        )

    async def Renew(  # noqa: N802 - the protocol's name
        self, request: pb.RenewRequest, context: _RenewContext
    ) -> pb.RenewResponse:
        """A new certificate for an agent that proves an old one's key; the same one again for the same new key."""
        peer = _address(context.peer())
        try:
            self._limiter.spend(peer)
            work = partial(renew, self._store, self._authority, request, self._now())
            made = await asyncio.get_running_loop().run_in_executor(self._worker, work)
        except EnrollmentError as error:
            self._metrics.renewals.labels(error.code.lower()).inc()
            log.warning("A renewal was refused: %s", error, extra={"action": "renewal_refused", "peer": peer})
            await context.abort(grpc.StatusCode[error.code], str(error))
        self._metrics.renewals.labels("ok").inc()
        log.info("A certificate was renewed.", extra={"action": "renewed", "host": made.host_id, "peer": peer})
        return pb.RenewResponse(
            certificate=made.certificate_pem,
            ca_certificates=self._authority.ca_pem.decode(),
            not_before=made.not_before,
            not_after=made.not_after,
        )


def enroll(store: Store, authority: Authority, request: pb.EnrollRequest, at: float) -> enrollments.Enrollment:
    """The whole enrolment in one transaction, tried again where it lost a race. Raises EnrollmentError."""
    _check(request)
    try:
        key = key_hash(read_csr(request.csr_der))
    except CsrError as error:
        raise EnrollmentError("INVALID_ARGUMENT", str(error)) from error
    for _ in range(_TRIES):
        try:
            return _enroll_once(store, authority, request, key, at)
        except TokenRefused as error:
            raise EnrollmentError(_REFUSALS.get(error.reason, "PERMISSION_DENIED"), _sentence(error.message)) from error
        except StoreError as error:
            if not error.again:
                raise EnrollmentError("UNAVAILABLE", "The collector's database is away; try again later.") from error
    raise EnrollmentError("ABORTED", "Too many hosts enrol at once; try again.")


def _enroll_once(
    store: Store, authority: Authority, request: pb.EnrollRequest, key: str, at: float
) -> enrollments.Enrollment:
    with store.write() as conn:
        known = enrollments.find_enrollment(conn, request.enrollment_id, key)
        if known is not None:
            if known.host.revoked_at is not None or known.host.retired_at is not None:
                raise EnrollmentError("PERMISSION_DENIED", "This host's identity was revoked; use a new join token.")
            return known
        token = tokens.use_token(conn, request.token, request.hostname, at)
        agent_id = str(uuid.uuid4())
        issued = authority.sign_agent(request.csr_der, agent_id, at)
        host = enrollments.add_host(
            conn,
            host_id=agent_id,
            company=token.company,
            site=token.site,
            class_=token.class_,
            name=request.hostname,
            enrollment_id=request.enrollment_id,
            key_hash=key,
            serial=issued.serial,
            certificate_pem=issued.certificate_pem,
            not_after=issued.not_after,
            at=at,
            machine_fingerprint=request.machine_fingerprint[:128],
            approved=not token.approval,
        )
        hosts.add_host_event(conn, host.id, at, "enrolled", {"token": token.id, "hostname": request.hostname})
    return enrollments.Enrollment(request.enrollment_id, host, issued.serial, issued.certificate_pem, issued.not_after)


def _check(request: pb.EnrollRequest) -> None:
    if not _ID.fullmatch(request.enrollment_id):
        raise EnrollmentError("INVALID_ARGUMENT", "The enrolment id is not 16 to 64 letters, digits and dashes.")
    if not _HOSTNAME.fullmatch(request.hostname):
        raise EnrollmentError("INVALID_ARGUMENT", "The host name has characters other than letters, digits, . _ and -.")
    if not 1 <= len(request.token) <= 256:
        raise EnrollmentError("INVALID_ARGUMENT", "The join token is missing or too long.")


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."


def _address(peer: str) -> str:
    """`ipv4:10.0.0.1:5000` -> `ipv4:10.0.0.1`; an IPv6 peer is its /64, which is one subscriber."""
    address = peer.rpartition(":")[0]
    return ":".join(address.split("%5B")[-1].split(":")[:4]) if address.startswith("ipv6") else address
