"""Live values through a real QueryService on a local socket: what is shown, and what is said when it is away."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import grpc
import pytest
from flask import Flask

from czuwak.v1 import query_pb2 as pb
from czuwak.v1.query_pb2_grpc import QueryServiceServicer, add_QueryServiceServicer_to_server
from tests.web import seed
from tests.web.visitor import Visit
from web.live import HostValues, Live, Unavailable

pytestmark = pytest.mark.usefixtures("estate")

VALUES = {
    "node_memory_MemTotal_bytes": ({}, 32e9),
    "node_memory_MemAvailable_bytes": ({}, 2e9),
    "node_load1": ({}, 0.42),
    "node_boot_time_seconds": ({}, 1_795_420_800.0 - 41 * 86400),
    "node_filesystem_size_bytes": ({"mountpoint": "/"}, 50e9),
    "node_filesystem_avail_bytes": ({"mountpoint": "/"}, 2e9),
    "czuwak_process_running": ({"name": "nginx"}, 0.0),
    "node_cpu_seconds_total": ({"cpu": "0", "mode": "idle"}, 1000.0),
}


class Service(QueryServiceServicer):
    """Answers like the ingest process would, with fixed numbers; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.slow = False

    def HostValues(self, request: pb.HostValuesRequest, context: grpc.ServicerContext) -> pb.HostValuesResponse:  # noqa: N802
        if self.slow:
            sleep(0.3)
        if request.instance == "broken":
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        points = [pb.Point(labels={"__name__": n, **labels}, value=v, at=5.0) for n, (labels, v) in VALUES.items()]
        return pb.HostValuesResponse(points=points, newest_at=1_795_420_795.0)

    def Query(self, request: pb.QueryRequest, context: grpc.ServicerContext) -> pb.QueryResponse:  # noqa: N802
        del context
        self.asked.append(request.expression)
        value = 0.25 if "idle" in request.expression else 1500.0
        return pb.QueryResponse(points=[pb.Point(labels={"device": "eth0"}, value=value, at=5.0)])

    def QueryRange(self, request: pb.QueryRangeRequest, context: grpc.ServicerContext) -> pb.QueryRangeResponse:  # noqa: N802
        del context
        self.asked.append(request.expression)
        labels = {"instance": "srv-db-02", "mountpoint": "/", "device": "/dev/sda1"}
        line = pb.Line(labels=labels, at=[request.start, request.end], values=[0.05, 0.033])
        return pb.QueryRangeResponse(lines=[line])

    def ListRules(self, request: pb.ListRulesRequest, context: grpc.ServicerContext) -> pb.ListRulesResponse:  # noqa: N802
        del request, context
        return pb.ListRulesResponse()

    def CheckRules(self, request: pb.CheckRulesRequest, context: grpc.ServicerContext) -> pb.CheckRulesResponse:  # noqa: N802
        del request, context
        return pb.CheckRulesResponse()

    def Backtest(self, request: pb.BacktestRequest, context: grpc.ServicerContext) -> pb.BacktestResponse:  # noqa: N802
        del request, context
        return pb.BacktestResponse()

    def Metrics(self, request: pb.MetricsRequest, context: grpc.ServicerContext) -> pb.MetricsResponse:  # noqa: N802
        del request, context
        return pb.MetricsResponse()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def target(tmp_path: Path, service: Service) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_QueryServiceServicer_to_server(service, server)
    address = f"unix:{tmp_path}/query.sock"
    server.add_insecure_port(address)
    server.start()
    yield address
    server.stop(None).wait()


@pytest.fixture
def live(target: str) -> Iterator[Live]:
    made = Live(target)
    yield made
    made.close()


def test_the_newest_values_of_a_host(live: Live) -> None:
    got = live.host_values("srv-db-02")
    assert isinstance(got, HostValues)
    assert got.newest_at == 1_795_420_795.0
    assert {p.name: p.value for p in got.points}["node_load1"] == 0.42
    assert all("__name__" not in p.labels for p in got.points)


def test_an_error_there_is_no_error_here(live: Live) -> None:
    assert live.host_values("broken") == Unavailable("INTERNAL")


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    live = Live(f"unix:{tmp_path}/nobody.sock")
    assert live.query("up") == Unavailable("UNAVAILABLE")
    assert Live("").range("up", 0, 1, 1) == Unavailable("no query socket is configured")
    live.close()


def test_a_slow_answer_is_not_waited_for(target: str, service: Service) -> None:
    service.slow = True
    live = Live(target, deadline=0.05)
    assert live.host_values("srv-db-02") == Unavailable("DEADLINE_EXCEEDED")
    live.close()


def test_the_channel_is_made_at_the_first_call(target: str) -> None:
    live = Live(target)
    assert live._channel is None
    live.query("up")
    assert live._pid == os.getpid()
    live.close()
    assert live._channel is None


def test_a_host_s_page_shows_its_values_in_groups(
    make_app: Callable[..., Flask],
    on: Visit,
    target: str,
    service: Service,
) -> None:
    here = on(make_app(live=target))
    here.login("anna", seed.PASSWORD)
    page = here.get("/hosts/id-srv-db-02").text
    for shown in ("75 %", "93.8 %", "96 %", "32 GB", "0.42", "41 days", "1.5 kB/s", "not running", "nginx"):
        assert shown in page
    assert 'avg(rate(node_cpu_seconds_total{instance="srv-db-02",mode="idle"}[2m]))' in service.asked


def test_without_live_values_the_page_says_so_and_works(browser: Visit) -> None:
    page = browser("anna").get("/hosts/id-srv-db-02").text
    assert "Live values are not available now" in page
    assert "Debian GNU/Linux 12" in page
    assert "000010" in page


def test_the_chart_goes_on_with_live_values(
    make_app: Callable[..., Flask],
    on: Visit,
    target: str,
    service: Service,
) -> None:
    here = on(make_app(live=target))
    here.login("anna", seed.PASSWORD)
    page = here.get("/tickets/CZ-2026-000010/evidence").text
    assert 'Now <b class="num">3.3 %</b>' in page
    assert "not available" not in page
    assert service.asked == ["node_filesystem_avail_bytes / node_filesystem_size_bytes"]
