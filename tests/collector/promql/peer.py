"""A real Prometheus on the loopback, filled by remote write and asked over HTTP: what our answers are held against."""

import http.client
import json
import math
import struct
import subprocess
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cramjam

from collector.labels import Labels

Points = list[tuple[float, float]]
Answer = dict[Labels, dict[float, float]]


class PeerError(Exception):
    """Prometheus refuses the expression, or says that the data does not allow an answer."""


class Peer:
    """One connection, kept open."""

    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def write(self, series: Mapping[Labels, Points]) -> None:
        """Append samples; the staleness marker's bits arrive as they are."""
        body = bytes(cramjam.snappy.compress_raw(_message(1, (_series(*one) for one in series.items()))))
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        self._http.request("POST", "/api/v1/write", body, headers)
        response = self._http.getresponse()
        text = response.read()
        assert response.status == 204, text

    def instant(self, expression: str, at: float) -> Answer:
        """The expression's vector, or one value without labels."""
        found = self._ask("query", query=expression, time=f"{at:.3f}")
        if found["resultType"] == "scalar":
            return {Labels(): {at: float(found["result"][1])}}
        return {Labels.of(one["metric"]): {at: float(one["value"][1])} for one in found["result"]}

    def ranged(self, expression: str, start: float, end: float, step: float) -> Answer:
        """The expression's lines."""
        found = self._ask("query_range", query=expression, start=f"{start:.3f}", end=f"{end:.3f}", step=str(step))
        return {Labels.of(one["metric"]): {at: float(value) for at, value in one["values"]} for one in found["result"]}

    def ready(self) -> bool:
        """Whether it answers yet."""
        try:
            self._http.request("GET", "/-/ready")
            response = self._http.getresponse()
            response.read()
        except OSError:
            self._http.close()
            return False
        return response.status == 200

    def close(self) -> None:
        self._http.close()

    def _ask(self, path: str, **parameters: str) -> dict:  # type: ignore[type-arg]  # JSON
        self._http.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(self._http.getresponse().read())
        if answer["status"] != "success":
            raise PeerError(answer["error"])
        data: dict = answer["data"]  # type: ignore[type-arg]  # JSON
        return data


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[Peer]:
    """A Prometheus that scrapes nothing, as long as the block lasts."""
    (folder / "prometheus.yml").write_text("global: {}\n")
    options = [
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--log.level=error",
    ]
    with subprocess.Popen(["prometheus", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peer = Peer(port)
        try:
            until = time.monotonic() + 30
            while not peer.ready():
                assert process.poll() is None, "prometheus has ended"
                assert time.monotonic() < until, "prometheus is not ready"
                time.sleep(0.05)
            yield peer
        finally:
            peer.close()
            process.kill()


def _series(labels: Labels, points: Points) -> bytes:
    pairs = (_field(1, name.encode()) + _field(2, value.encode()) for name, value in labels)
    samples = (b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(_milli(at)) for at, value in points)
    return _message(1, pairs) + _message(2, samples)


def _milli(at: float) -> int:
    return math.floor(at * 1000 + 0.5)


def _message(number: int, parts: Iterable[bytes]) -> bytes:
    return b"".join(_field(number, part) for part in parts)


def _field(number: int, data: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes([*made, number])
