"""The last round on a page for Prometheus. A scrape never reads the host again, so it costs the host nothing twice."""

import contextlib
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from agent.errors import ListenError
from agent.round import Round
from agent.sample import Family, Kind, Sample

logger = logging.getLogger(__name__)

# So many scrapes are served at once, each within so many seconds; what comes on top is told to come again.
_CONNECTIONS = 4
_SECONDS = 10.0
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_OPENMETRICS = "application/openmetrics-text"
_LANDING = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Czuwak agent</title></head>
<body><h1>Czuwak agent</h1><p><a href="/metrics">Metrics</a></p></body>
</html>
"""

Latest = Callable[[], Round | None]
Extra = Callable[[], Iterable[Sample]]

# As socketserver has it; ours are always streams.
_Request = socket.socket | tuple[bytes, socket.socket]


class Exposition:
    """A page being served, in threads of its own."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self._thread = threading.Thread(target=server.run, name="exposition", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening. Scrapes under way end by themselves."""
        self._server.closing.set()
        # A connection wakes the thread that waits for one.
        with contextlib.suppress(OSError):
            socket.create_connection(self._server.socket.getsockname()[:2], timeout=1).close()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(listen: tuple[str, int], latest: Latest, extra: Extra = tuple, *, seconds: float = _SECONDS) -> Exposition:
    """Serve `latest()` and what `extra()` adds at host and port (0: any). ListenError says why it cannot be done.

    A connection that has not sent its request or taken its answer after `seconds` is cut.
    """
    host, port = listen
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return Exposition(_Server((host, port), family, latest, extra, seconds))
    except OSError as error:
        raise ListenError(
            f"cannot serve metrics at {host}:{port}: {error.strerror or error}."
            " Stop what listens there, or set another address under [exposition] listen"
        ) from error


def page(samples: Iterable[Sample], accept: str = "") -> tuple[bytes, str]:
    """The samples as a page and its content type: OpenMetrics 1.0 where `accept` asks for it, else text 0.0.4."""
    # Only whether OpenMetrics is wanted is passed on: what a client writes must not come back in our header.
    wanted = f"{_OPENMETRICS}; version=1.0.0" if _takes_openmetrics(accept) else ""
    encode, content_type = choose_encoder(wanted)
    return encode(_Families(samples)), content_type


def select(round_: Round, collect: Iterable[str] = (), exclude: Iterable[str] = ()) -> tuple[Sample, ...]:
    """The samples of the named collectors, or of all but the excluded ones; ValueError for a name nobody has."""
    wanted, unwanted = set(collect), set(exclude)
    if not wanted and not unwanted:
        return round_.samples
    unknown = (wanted | unwanted) - {part.collector for part in round_.parts}
    if unknown or (wanted and unwanted):
        raise ValueError(
            f"unknown collector: {', '.join(sorted(unknown))}" if unknown else "collect or exclude, not both"
        )
    parts = (p for p in round_.parts if (p.collector in wanted if wanted else p.collector not in unwanted))
    return tuple(sample for part in parts for sample in round_.samples[part.start : part.stop])


class _Families:
    """Samples grouped by family, as prometheus_client's encoders want them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        grouped: dict[str, tuple[Family, list[Sample]]] = {}
        for sample in self._samples:
            grouped.setdefault(sample.family.name, (sample.family, []))[1].append(sample)
        return (_metric(*grouped[name]) for name in sorted(grouped))


def _metric(family: Family, samples: list[Sample]) -> Metric:
    counter = family.kind is Kind.COUNTER
    name = family.name.removesuffix("_total") if counter else family.name
    metric = Metric(name, family.help, "untyped" if family.untyped else family.kind.value)
    for sample in samples:
        metric.add_sample(family.name, dict(sample.labels), sample.value)
    return metric


def _takes_openmetrics(accept: str) -> bool:
    for one in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in one.split(";"))
        version = next((p[8:] for p in parameters if p.startswith("version=")), "1.0.0")
        if kind == _OPENMETRICS and "q=0" not in parameters and version in {"1.0.0", "0.0.1"}:
            return True
    return False


class _Server(ThreadingHTTPServer):
    """A bounded number of threads, each for a bounded time."""

    daemon_threads = True
    block_on_close = False
    # A second agent on the same port must fail, not share it.
    allow_reuse_port = False
    # Only for systems where close() cannot connect to itself; a short wait would cost more than all the probes.
    timeout = 5.0

    def __init__(
        self, where: tuple[str, int], family: socket.AddressFamily, latest: Latest, extra: Extra, seconds: float
    ) -> None:
        self.address_family = family
        self.latest = latest
        self.extra = extra
        self.seconds = seconds
        self.closing = threading.Event()
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(where, _Handler)

    def run(self) -> None:
        while not self.closing.is_set():
            self.handle_request()

    def server_bind(self) -> None:
        # The inherited one looks up the host's name, which can take long and is not used.
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: _Request, client_address: tuple[str, int]) -> None:
        if not self._slots.acquire(blocking=False):
            with contextlib.suppress(OSError):
                _stream(request).setblocking(False)
                _stream(request).send(_BUSY)
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: _Request, client_address: tuple[str, int]) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, _request: object, client_address: object) -> None:
        reason = sys.exc_info()[1]
        logger.debug("A scrape from %s broke off: %s", client_address, reason, extra={"action": "scrape_failed"})


def _stream(request: _Request) -> socket.socket:
    return request if isinstance(request, socket.socket) else request[1]


class _Timed(io.RawIOBase):
    """A socket to read from until a deadline, however slowly the bytes drip in."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        self._connection.settimeout(max(self._deadline - time.monotonic(), 0.001))
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    """One request and then the connection is closed: scrapes are seconds apart, and threads are few."""

    protocol_version = "HTTP/1.1"
    server_version = "czuwak-agent"
    sys_version = ""
    server: _Server

    def setup(self) -> None:
        super().setup()
        timed = _Timed(self.connection, time.monotonic() + self.server.seconds)
        self.rfile = io.BufferedReader(timed)  # type: ignore[type-var]  # any raw stream will do

    def do_GET(self) -> None:
        """Answer by path."""
        path, _, query = self.path.partition("?")
        if path == "/":
            self._answer(HTTPStatus.OK, _LANDING, "text/html; charset=utf-8")
        elif path == "/metrics":
            self._metrics(query)
        else:
            self._text(HTTPStatus.NOT_FOUND, "Nothing is here. The metrics are at /metrics.")

    do_HEAD = do_GET  # noqa: N815 - the name is the base class's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """A scrape is not worth a line in the log, except for who looks closely."""
        logger.debug(format, *args, extra={"action": "scrape"})

    def _metrics(self, query: str) -> None:
        round_ = self.server.latest()
        if round_ is None:
            self._text(HTTPStatus.SERVICE_UNAVAILABLE, "No round has been taken yet. Try again in a moment.")
            return
        try:
            asked = parse_qs(query, max_num_fields=100)
            samples = select(round_, asked.get("collect[]", ()), asked.get("exclude[]", ()))
        except ValueError as error:
            self._text(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._answer(HTTPStatus.OK, *page((*samples, *self.server.extra()), self.headers.get("Accept", "")))

    def _text(self, status: HTTPStatus, sentence: str) -> None:
        self._answer(status, f"{sentence}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.connection.settimeout(self.server.seconds)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
