"""The commands' side of QueryService: one question at a time over the collector's local socket."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from collector.errors import CollectorError
from czuwak.v1 import query_pb2 as pb
from czuwak.v1.query_pb2_grpc import QueryServiceStub

DEADLINE = 10.0  # seconds
PATIENCE = 30.0  # of a back-test
_LARGEST = 64 << 20  # bytes of an answer


class QueryFailedError(CollectorError):
    """The running collector did not answer the question."""


@dataclass(frozen=True, slots=True)
class Point:
    """One element of a vector; `at` in Unix seconds."""

    labels: Mapping[str, str]
    value: float
    at: float


def query(socket: Path, expression: str, at: float) -> list[Point]:
    """An expression at one moment; `at` 0 is now. Raises QueryFailedError."""
    with _stub(socket) as stub:
        answer = stub.Query(pb.QueryRequest(expression=expression, at=at), timeout=DEADLINE)
    return [Point(dict(point.labels), point.value, point.at) for point in answer.points]


def backtest(socket: Path, rules: str, start: float, end: float, step: float) -> pb.BacktestResponse:
    """The text of a rule file on the history in the collector's memory. Raises QueryFailedError."""
    with _stub(socket) as stub:
        return stub.Backtest(pb.BacktestRequest(rules=rules, start=start, end=end, step=step), timeout=PATIENCE)


@contextmanager
def _stub(socket: Path) -> Iterator[QueryServiceStub]:
    options = [("grpc.max_receive_message_length", _LARGEST), ("grpc.enable_retries", 0)]
    try:
        with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
            yield QueryServiceStub(channel)
    except grpc.RpcError as error:
        raise QueryFailedError(_told(error, socket)) from None


def _told(error: grpc.RpcError, socket: Path) -> str:
    if not isinstance(error, grpc.Call) or error.code() is grpc.StatusCode.UNAVAILABLE:
        return f"the collector does not answer at {socket}: is `czuwak serve` running?"
    return error.details() or error.code().name
