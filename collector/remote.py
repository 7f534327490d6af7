"""The history of a Prometheus server, for back-tests: range queries over its HTTP interface, bounded."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any

from collector.errors import CollectorError
from collector.labels import Labels
from collector.promql import Line
from collector.rules.backtest import History

TIMEOUT = 60.0  # seconds of one request
LARGEST = 128 << 20  # bytes of one answer


class RemoteError(CollectorError):
    """The Prometheus server did not answer as it should."""


def prometheus(url: str) -> History:
    """History of the server at `url`, as in http://127.0.0.1:9090. Asking raises RemoteError, as a wrong url does."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise RemoteError(f"{url!r} is not the address of a Prometheus server: write it as http://127.0.0.1:9090")
    address = f"{url.rstrip('/')}/api/v1/query_range"
    return lambda expression, start, end, step: _lines(_ask(address, expression, start, end, step))


def _ask(address: str, expression: str, start: float, end: float, step: float) -> Any:
    form = {"query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
    request = urllib.request.Request(address, urllib.parse.urlencode(form).encode())  # noqa: S310 - http(s), see above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - http(s), see above
            return _read(address, answer.read(LARGEST + 1))
    except urllib.error.HTTPError as error:
        with error:
            return _read(address, error.read(LARGEST + 1))
    except OSError as error:
        raise RemoteError(f"{address}: {getattr(error, 'reason', error)}") from None


def _read(address: str, body: bytes) -> Any:
    if len(body) > LARGEST:
        raise RemoteError(f"{address}: an answer of more than {LARGEST >> 20} MiB; shorten the time or widen the step")
    try:
        answer = json.loads(body)
        if answer["status"] == "success" and answer["data"]["resultType"] == "matrix":
            return answer["data"]["result"]
        message = answer["error"]
    except (ValueError, LookupError, TypeError):
        message = "this is no Prometheus server"
    raise RemoteError(f"{address}: {str(message)[:500]}")


def _lines(result: Any) -> Iterable[Line]:
    try:
        yield from _parsed(result)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RemoteError(f"not a matrix of series: {error}") from None


def _parsed(result: Any) -> Iterator[Line]:
    for series in result:
        points = series.get("values", ())
        labels = Labels.of((str(name), str(value)) for name, value in series["metric"].items())
        yield Line(labels, tuple(float(at) for at, _ in points), tuple(float(value) for _, value in points))
