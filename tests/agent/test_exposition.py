import http.client
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ListenError
from agent.exposition import Exposition, page, select, serve
from agent.round import Part, Round
from agent.sample import Family, Kind, Sample, labels

SIZE = Family("a_size_bytes", Kind.GAUGE, 'A "size"\\ of\ntwo lines.')
READS = Family("a_reads_total", Kind.COUNTER, "Reads.")
FAULTS = Family("a_faults", Kind.GAUGE, "Faults.", untyped=True)
SAMPLES = (
    Sample(READS, labels(device="sda"), 3),
    Sample(SIZE, labels(device='a"b\\c\nd'), 1.5),
    Sample(FAULTS, (), 7),
    Sample(READS, labels(device="sdb"), float("inf")),
)
ROUND = Round(1.0, 1, SAMPLES, (Part("disk", 0, 2), Part("vm", 2, 3), Part("late", 3, 4)))
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# What Prometheus 3 sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.fixture
def served() -> Iterator[Exposition]:
    with serve(("127.0.0.1", 0), lambda: ROUND) as exposition:
        yield exposition


def ask(exposition: Exposition, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", exposition.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read().decode()
    finally:
        connection.close()


def test_the_text_format_groups_families_and_escapes() -> None:
    body, content_type = page(SAMPLES)
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert body.decode() == (
        "# HELP a_faults Faults.\n# TYPE a_faults untyped\na_faults 7.0\n"
        "# HELP a_reads_total Reads.\n# TYPE a_reads_total counter\n"
        'a_reads_total{device="sda"} 3.0\na_reads_total{device="sdb"} +Inf\n'
        '# HELP a_size_bytes A "size"\\\\ of\\ntwo lines.\n# TYPE a_size_bytes gauge\n'
        'a_size_bytes{device="a\\"b\\\\c\\nd"} 1.5\n'
    )


def test_openmetrics_names_a_counters_family_without_its_suffix_and_ends() -> None:
    body, content_type = page(SAMPLES, OPENMETRICS)
    assert content_type.startswith(OPENMETRICS)
    assert "# TYPE a_reads counter\n" in body.decode()
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept", [OPENMETRICS, PROMETHEUS, "application/openmetrics-text", "text/plain, " + OPENMETRICS]
)
def test_who_takes_openmetrics_gets_it(accept: str) -> None:
    assert page(SAMPLES, accept)[1].startswith("application/openmetrics-text; version=1.0.0")


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/html", "application/openmetrics-text; version=2.0.0", "application/openmetrics-text;q=0"],
)
def test_everyone_else_gets_text(accept: str) -> None:
    assert page(SAMPLES, accept)[1] == "text/plain; version=0.0.4; charset=utf-8"


@given(accept=st.text() | st.text(";,=/ qversion.01").map(lambda rest: f"application/openmetrics-text;version={rest}"))
def test_what_a_client_writes_never_comes_back_in_the_content_type(accept: str) -> None:
    assert page((), accept)[1] in {page((), "")[1], page((), OPENMETRICS)[1]}


def test_the_metrics_are_the_last_round(served: Exposition) -> None:
    status, headers, body = ask(served, "/metrics", Accept=PROMETHEUS)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert body.encode() == page(SAMPLES, PROMETHEUS)[0]


def test_head_is_get_without_the_page(served: Exposition) -> None:
    status, headers, body = ask(served, "/metrics", "HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) == len(page(SAMPLES)[0])


def test_the_landing_page_leads_to_the_metrics(served: Exposition) -> None:
    status, headers, body = ask(served, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<a href="/metrics">' in body


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/metrics/x", 404), ("GET", "//[", 404), ("POST", "/", 501)]
)
def test_nothing_else_is_served(served: Exposition, method: str, path: str, status: int) -> None:
    assert ask(served, path, method)[0] == status


def test_the_server_does_not_tell_what_it_is_made_of(served: Exposition) -> None:
    assert ask(served, "/")[1]["Server"].strip() == "czuwak-agent"


def test_only_the_collectors_asked_for(served: Exposition) -> None:
    _, _, body = ask(served, "/metrics?collect[]=vm&collect[]=late")
    assert [line for line in body.splitlines() if line[0] != "#"] == [
        "a_faults 7.0",
        'a_reads_total{device="sdb"} +Inf',
    ]


def test_all_but_the_excluded_collectors() -> None:
    assert select(ROUND, exclude=["disk", "late"]) == SAMPLES[2:3]


@pytest.mark.parametrize("query", ["collect[]=nonsense", "collect[]=vm&exclude[]=disk"])
def test_a_collector_nobody_has_is_a_bad_request(served: Exposition, query: str) -> None:
    assert ask(served, f"/metrics?{query}")[0] == 400


def test_too_many_parameters_are_a_bad_request(served: Exposition) -> None:
    assert ask(served, "/metrics?" + "a=1&" * 101)[0] == 400


def test_before_the_first_round_it_says_so() -> None:
    with serve(("127.0.0.1", 0), lambda: None) as exposition:
        status, _, body = ask(exposition, "/metrics")
    assert (status, body) == (503, "No round has been taken yet. Try again in a moment.\n")


def test_others_may_add_families() -> None:
    with serve(
        ("127.0.0.1", 0), lambda: ROUND, lambda: [Sample(Family("x_total", Kind.COUNTER, "X."), (), 1)]
    ) as exposition:
        _, _, body = ask(exposition, "/metrics")
    assert "x_total 1.0\n" in body


def test_a_port_in_use_is_told_with_what_to_do(served: Exposition) -> None:
    with pytest.raises(ListenError, match=rf"cannot serve metrics at 127\.0\.0\.1:{served.port}: .*in use"):
        serve(("127.0.0.1", served.port), lambda: ROUND)


def test_a_host_that_does_not_exist_is_told() -> None:
    with pytest.raises(ListenError, match="cannot serve metrics at 256"):
        serve(("256.0.0.1", 0), lambda: ROUND)


def test_after_close_nobody_answers() -> None:
    exposition = serve(("127.0.0.1", 0), lambda: ROUND)
    exposition.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", exposition.port), timeout=5)


def test_a_client_that_drips_its_request_is_cut() -> None:
    with (
        serve(("127.0.0.1", 0), lambda: ROUND, seconds=0.3) as exposition,
        socket.create_connection(("127.0.0.1", exposition.port), timeout=10) as dripping,
    ):
        dripping.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert dripping.recv(1) == b""


def test_connections_past_the_bound_are_told_to_come_again_and_the_rest_goes_on() -> None:
    with serve(("127.0.0.1", 0), lambda: ROUND, seconds=0.5) as exposition:
        where = ("127.0.0.1", exposition.port)
        idle = [socket.create_connection(where, timeout=10) for _ in range(4)]
        with socket.create_connection(where, timeout=10) as fifth:
            assert fifth.recv(100).startswith(b"HTTP/1.1 503 ")
        for connection in idle:
            assert connection.recv(1) == b""
            connection.close()
        assert ask(exposition, "/")[0] == 200


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x02\x00\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n", b"GET /" + b"a" * 70_000 + b"\r\n"]
)
def test_what_is_no_request_does_not_stop_the_server(served: Exposition, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(junk)
        connection.shutdown(socket.SHUT_WR)
    assert ask(served, "/")[0] == 200
