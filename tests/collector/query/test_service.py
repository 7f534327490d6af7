"""QueryService over a real socket, on an engine that runs."""

import struct
import time
from pathlib import Path

import grpc
import pytest

from collector.head import Head
from collector.labels import Labels
from collector.query.preview import Preview
from collector.query.service import MAX_POINTS, _pieces
from collector.rules.load import load_text
from czuwak.v1 import query_pb2 as pb
from tests.collector.query.serving import Ask, Stub, refused, serve

RULES = "groups: [{name: g, rules: [{alert: High, expr: m > 90}, {record: r, expr: m * 2}]}]"


def labels(number: int) -> Labels:
    return Labels.of(__name__="m", instance="pc1", number=str(number))


def with_service(folder: Path, ask: Ask, preview: Preview | None = None) -> None:
    """Ten minutes of m{number} = number + minute for two series, every 15 s."""
    now = time.time()
    head = Head()
    for tick in range(41):
        head.set([labels(0), labels(1)], [tick / 4, 1 + tick / 4], now - 600 + tick * 15)
    serve(folder, ask, head, now, load_text(RULES, "r.yml"), preview)


def test_an_expression_is_answered_at_a_moment(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        answer = await stub.Query(pb.QueryRequest(expression="sum(m)", at=now - 300))
        assert [(dict(p.labels), p.value) for p in answer.points] == [({}, 11.0)]
        answer = await stub.Query(pb.QueryRequest(expression='m{number="1"}'))
        assert [p.value for p in answer.points] == [11.0]

    with_service(tmp_path, ask)


def test_a_mistake_is_told_with_its_column(tmp_path: Path) -> None:
    async def ask(stub: Stub, _: float) -> None:
        for expression in ("sum(", "m +", "(" * 300, "m" * 5000, "nonsense(m)"):
            code, detail = await refused(stub.Query(pb.QueryRequest(expression=expression)))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "column" in detail

    with_service(tmp_path, ask)


def test_a_range_is_the_same_in_pieces_as_in_one(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        request = pb.QueryRangeRequest(expression="m", start=now - 600, end=now, step=3)
        answer = await stub.QueryRange(request)
        assert len(answer.lines) == 2
        first = next(line for line in answer.lines if line.labels["number"] == "0")
        assert len(first.at) == 201
        assert list(first.at) == sorted(set(first.at))
        assert first.values[0] == 0.0
        assert first.values[-1] == 10.0

    with_service(tmp_path, ask)


def test_ranges_are_bounded(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        wrong = [
            (now - 600, now, 0.0),
            (now - 600, now, -1.0),
            (now, now - 600, 1.0),
            (float("nan"), now, 1.0),
            (now - float(MAX_POINTS), now, 0.5),
        ]
        for start, end, step in wrong:
            request = pb.QueryRangeRequest(expression="m", start=start, end=end, step=step)
            code, detail = await refused(stub.QueryRange(request))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert detail

    with_service(tmp_path, ask)


def test_pieces_cover_every_step_once() -> None:
    assert list(_pieces(0.0, 10.0, 5.0)) == [(0.0, 10.0)]
    assert list(_pieces(0.0, 120.0, 1.0)) == [(0.0, 59.0), (60.0, 119.0), (120.0, 120.0)]
    assert list(_pieces(7.0, 7.0, 5.0)) == [(7.0, 7.0)]


def test_a_hosts_newest_values_and_the_rules_health(tmp_path: Path) -> None:
    async def ask(stub: Stub, now: float) -> None:
        answer = await stub.HostValues(pb.HostValuesRequest(instance="pc1"))
        assert {p.labels["number"]: p.value for p in answer.points if p.labels["__name__"] == "m"} == {
            "0": 10.0,
            "1": 11.0,
        }
        assert answer.newest_at >= now - 1
        nobody = await stub.HostValues(pb.HostValuesRequest(instance="nobody"))
        assert (len(nobody.points), nobody.newest_at) == (0, 0.0)
        (group,) = (await stub.ListRules(pb.ListRulesRequest())).groups
        assert [(rule.name, rule.kind, rule.health) for rule in group.rules] == [
            ("High", "alert", "ok"),
            ("r", "record", "ok"),
        ]
        text = (await stub.Metrics(pb.MetricsRequest())).text_format
        assert b"czuwak_collector_head_series" in text

    with_service(tmp_path, ask)


def test_what_somebody_typed_is_tried_in_a_process_of_its_own_first(tmp_path: Path) -> None:
    def ranged(expression: str, now: float, *, typed: bool = True) -> pb.QueryRangeRequest:
        return pb.QueryRangeRequest(expression=expression, start=now - 60, end=now, step=15, typed=typed)

    async def ask(stub: Stub, now: float) -> None:
        assert len((await stub.QueryRange(ranged("m + 1", now))).lines) == 2
        with pytest.raises(grpc.aio.AioRpcError, match="column 5") as caught:
            await stub.QueryRange(ranged("m + )", now))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    async def slow(stub: Stub, now: float) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match="took longer") as caught:
            await stub.QueryRange(ranged("m", now))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len((await stub.QueryRange(ranged("m", now, typed=False))).lines) == 2  # the engine's own are not

    for work, seconds in ((ask, 5.0), (slow, 0.0)):
        preview = Preview(seconds=seconds)
        try:
            with_service(tmp_path, work, preview)
        finally:
            preview.close()


def test_packed_doubles_are_little_endian() -> None:
    from collector.head.decode import decode  # noqa: PLC0415 - the only test of it here

    present, values = decode(10, b"\x01\x02", struct.pack("<2d", 1.0, float("nan")))
    assert present is not None
    assert present.tolist() == [True] + [False] * 9
    assert values[0] == 1.0
    present, values = decode(3, b"", struct.pack("<3d", 1.0, 2.0, 3.0), (0, 2))
    assert (present, values.tolist()) == (None, [1.0, 3.0])
