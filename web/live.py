"""Live values from the ingest process: a client of QueryService on a local socket.

Never raises to a page: an answer that does not come in time is `Unavailable`. The channel is made at the first call of
each process, so a pre-forking server may hold this object before it forks.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from czuwak.v1 import query_pb2 as pb
from czuwak.v1.query_pb2_grpc import QueryServiceStub
from web import book

log = logging.getLogger(__name__)

_DEADLINE = 1.0  # seconds a page waits for live values
_TYPED = 8.0  # seconds for a typed expression; its helper process may have to start
_PATIENCE = 4.0  # seconds for what somebody typed; the other side gives up after 2
_LONG = 25.0  # seconds for a back-test; the other side gives up after 20
_TOLD = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"})  # the question's fault, in words for who asked
_MAX_ANSWER = 16 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No answer: `reason` is for the log, never a trace; `said` is what is wrong with the question, in English."""

    reason: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """One series' newest value; `at` in Unix seconds."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Line:
    """One series over time."""

    labels: Mapping[str, str]
    at: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HostValues:
    """The newest value of every series of one host; `newest_at` is 0 when there is none."""

    points: tuple[Point, ...]
    newest_at: float


@dataclass(slots=True)
class Live:
    """A client of the QueryService at `target` (`unix:/run/czuwak/query.sock`); an empty target is never available."""

    target: str
    deadline: float = _DEADLINE
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _pid: int = 0
    _channel: grpc.Channel | None = None

    def host_values(self, instance: str) -> HostValues | Unavailable:
        """Newest values of one host."""

        def ask(stub: QueryServiceStub) -> HostValues:
            answer = stub.HostValues(pb.HostValuesRequest(instance=instance), timeout=self.deadline)
            return HostValues(tuple(_point(p) for p in answer.points), answer.newest_at)

        return self._ask(ask)

    def query(self, expression: str, at: float = 0.0) -> tuple[Point, ...] | Unavailable:
        """An expression at one moment; 0 is now."""

        def ask(stub: QueryServiceStub) -> tuple[Point, ...]:
            answer = stub.Query(pb.QueryRequest(expression=expression, at=at), timeout=self.deadline)
            return tuple(_point(p) for p in answer.points)

        return self._ask(ask)

    def range(
        self, expression: str, start: float, end: float, step: float, *, typed: bool = False
    ) -> tuple[Line, ...] | Unavailable:
        """An expression over time, for charts; a typed one may be wrong, and may take its time."""

        def ask(stub: QueryServiceStub) -> tuple[Line, ...]:
            request = pb.QueryRangeRequest(expression=expression, start=start, end=end, step=step, typed=typed)
            answer = stub.QueryRange(request, timeout=_TYPED if typed else self.deadline)
            return tuple(Line(dict(line.labels), tuple(line.at), tuple(line.values)) for line in answer.lines)

        return self._ask(ask)

    def rules(self) -> tuple[book.Group, ...] | Unavailable:
        """Every group of rules with its health."""
        return self._ask(lambda stub: book.groups(stub.ListRules(pb.ListRulesRequest(), timeout=self.deadline).groups))

    def check(self, rules: str) -> tuple[book.Finding, ...] | Unavailable:
        """What is wrong or doubtful about the text of a rule file."""
        request = pb.CheckRulesRequest(rules=rules)
        return self._ask(lambda stub: book.findings(stub.CheckRules(request, timeout=_PATIENCE).findings))

    def backtest(self, rules: str) -> book.Rehearsal | Unavailable:
        """What the text of a rule file would have done on the history in the collector's memory."""
        request = pb.BacktestRequest(rules=rules)
        return self._ask(lambda stub: book.rehearsal(stub.Backtest(request, timeout=_LONG)))

    def metrics(self) -> str | None:
        """The ingest process' own metrics as Prometheus text; None where it does not answer."""

        def ask(stub: QueryServiceStub) -> str:
            return stub.Metrics(pb.MetricsRequest(), timeout=self.deadline).text_format.decode()

        answer = self._ask(ask)
        return None if isinstance(answer, Unavailable) else answer

    def close(self) -> None:
        """Closes this process' channel; a later call opens a new one."""
        with self._lock:
            if self._channel is not None and self._pid == os.getpid():
                self._channel.close()
            self._channel = None

    def _ask(self, ask: Callable[[QueryServiceStub], T]) -> T | Unavailable:
        if not self.target:
            return Unavailable("no query socket is configured")
        try:
            return ask(QueryServiceStub(self._open()))
        except grpc.RpcError as e:
            code = getattr(e, "code", None)  # a failed call has one; a closed channel may not
            reason = code().name if callable(code) else type(e).__name__
            log.info("no live values: %s", reason, extra={"action": "live"})
            details = getattr(e, "details", None)
            return Unavailable(reason, str(details()) if reason in _TOLD and callable(details) else "")

    def _open(self) -> grpc.Channel:
        with self._lock:
            if self._channel is None or self._pid != os.getpid():
                options = [("grpc.max_receive_message_length", _MAX_ANSWER), ("grpc.enable_retries", 0)]
                self._channel = grpc.insecure_channel(self.target, options=options)
                self._pid = os.getpid()
            return self._channel


def _point(point: pb.Point) -> Point:
    labels = dict(point.labels)
    return Point(labels.pop("__name__", ""), labels, point.value, point.at)
