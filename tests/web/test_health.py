"""Health, readiness and metrics of the web process: a real database, and a real QueryService on a local socket."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from flask import Flask
from flask.testing import FlaskClient

from collector.store import Store, open_store, upgrade
from czuwak.v1 import query_pb2 as pb
from web import health
from web.live import Live
from web.settings import WebSettings

SECRET = b"a secret of thirty-two bytes len"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path}/czuwak.db"
    upgrade(url)
    opened = open_store(url)
    yield opened
    opened.close()


def answer(request: pb.MetricsRequest, context: grpc.ServicerContext) -> pb.MetricsResponse:
    """What the ingest process says about itself."""
    del request, context
    return pb.MetricsResponse(text_format=b"# TYPE czuwak_collector_hosts gauge\nczuwak_collector_hosts 3.0\n")


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(
        answer, pb.MetricsRequest.FromString, pb.MetricsResponse.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("czuwak.v1.QueryService", {"Metrics": handler})
    server.add_generic_rpc_handlers((service,))
    target = f"unix:{tmp_path}/query.sock"
    server.add_insecure_port(target)
    server.start()
    yield target
    server.stop(None).wait()


def client(store: Store, *, target: str = "", token: str | None = None, allow: tuple[str, ...] = ()) -> FlaskClient:
    app = Flask(__name__)
    settings = WebSettings(SECRET, metrics_allow=allow, metrics_token=token)
    app.register_blueprint(health.blueprint(store, Live(target), settings))
    return app.test_client()


def test_a_process_that_answers_is_healthy(store: Store) -> None:
    got = client(store).get("/-/healthy")
    assert (got.status_code, got.text) == (200, "healthy\n")


def test_a_process_with_its_database_is_ready(store: Store) -> None:
    got = client(store).get("/-/ready")
    assert (got.status_code, got.text) == (200, "ready\n")


def test_a_process_without_its_database_is_healthy_and_not_ready(store: Store, tmp_path: Path) -> None:
    store.close()
    (tmp_path / "czuwak.db").unlink()
    (tmp_path / "czuwak.db").mkdir()
    asked = client(store)
    got = asked.get("/-/ready")
    assert got.status_code == 503
    assert got.mimetype == "application/problem+json"
    assert got.get_json()["detail"].startswith("The database does not answer: ")
    assert asked.get("/-/healthy").status_code == 200


def test_metrics_hold_both_processes(store: Store, socket: str) -> None:
    asked = client(store, target=socket, allow=("127.0.0.0/8",))
    asked.get("/-/healthy")
    text = asked.get("/metrics").text
    assert 'czuwak_collector_web_requests_total{method="GET",route="/-/healthy",status="200"} 1.0' in text
    assert 'process_open_fds{process="web"}' in text
    assert "czuwak_collector_hosts 3.0" in text
    assert "czuwak_collector_ingest_up 1.0" in text


def test_metrics_without_ingest_say_so_and_still_answer(store: Store, tmp_path: Path) -> None:
    asked = client(store, target=f"unix:{tmp_path}/nobody.sock", allow=("127.0.0.0/8",))
    got = asked.get("/metrics")
    assert got.status_code == 200
    assert got.content_type.startswith("text/plain; version=")
    assert "czuwak_collector_ingest_up 0.0" in got.text


@pytest.mark.parametrize(
    ("address", "header", "status"),
    [
        ("10.1.2.3", "", 200),
        ("192.0.2.7", "", 403),
        ("192.0.2.7", "Bearer the-right-token", 200),
        ("192.0.2.7", "Bearer the-wrong-token", 403),
        ("192.0.2.7", "Bearer zażółć", 403),
        ("192.0.2.7", "Basic dXNlcjpwYXNz", 403),
        ("10.1.2.3", "Bearer the-wrong-token", 403),
        ("not an address", "", 403),
    ],
)
def test_metrics_are_for_configured_networks_or_the_token(store: Store, address: str, header: str, status: int) -> None:
    asked = client(store, token="the-right-token", allow=("10.0.0.0/8",))
    headers = {"Authorization": header} if header else {}
    got = asked.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})
    assert got.status_code == status


def test_a_path_that_nobody_serves_is_counted_without_its_name(store: Store) -> None:
    asked = client(store, allow=("127.0.0.0/8",))
    asked.get("/wp-login.php")
    text = asked.get("/metrics").text
    assert 'czuwak_collector_web_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert "wp-login" not in text
