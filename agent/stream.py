"""One gRPC stream to the collector: an outbox for what is sent, a thread of its own that tells what comes back."""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc

from czuwak.v1 import ingest_pb2 as pb
from czuwak.v1 import ingest_pb2_grpc as rpc


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the collector."""

    stream: int
    message: pb.StreamResponse


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over; without an error the collector has ended it in order."""

    stream: int
    error: grpc.RpcError | None


class Stream:
    """One open stream. `tell` is called in another thread and may wait; only `send` and `close` are its owner's."""

    def __init__(self, number: int, channel: grpc.Channel, tell: Callable[[Received | Ended], None]) -> None:
        self.number = number
        self._channel = channel
        self._tell = tell
        self._outbox: queue.SimpleQueue[pb.StreamRequest | None] = queue.SimpleQueue()
        self._goodbye = False  # was said
        self._taken = False  # the collector has heard all and ended the stream in order
        self._reader = threading.Thread(target=self._read, name="uplink-reader", daemon=True)
        self._reader.start()

    @property
    def heard(self) -> bool:
        """Whether a goodbye was said and the collector has taken it; known once it is closed."""
        return self._goodbye and self._taken

    def send(self, request: pb.StreamRequest) -> None:
        """Send it after what was sent before; never waits."""
        self._goodbye |= request.HasField("going_away")
        self._outbox.put(request)

    def close(self, patience: float = 0.0) -> None:
        """End our side, wait `patience` until a goodbye is taken, drop the connection."""
        self._outbox.put(None)
        if patience and self._goodbye:
            self._reader.join(patience)
        self._channel.close()

    def _requests(self) -> Iterator[pb.StreamRequest]:
        while (request := self._outbox.get()) is not None:
            yield request

    def _read(self) -> None:
        error: grpc.RpcError | None = None
        try:
            for message in rpc.IngestServiceStub(self._channel).Stream(self._requests()):
                self._tell(Received(self.number, message))
            self._taken = True
        except grpc.RpcError as raised:
            error = raised
        except ValueError:
            return  # the channel was closed before its first use
        self._tell(Ended(self.number, error))
