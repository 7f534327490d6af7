import asyncio
from concurrent.futures import ThreadPoolExecutor

from collector.ingest import acks
from collector.ingest.acks import Acks
from collector.ingest.events import Mark


def mark(seq: int) -> Mark:
    return Mark(1, "e", 1, seq)


def test_marks_of_many_hosts_arrive_in_order_in_pieces() -> None:
    async def scenario() -> list[tuple[str, int]]:
        heard: list[tuple[str, int]] = []
        made = Acks(lambda host, marks: heard.append((host, marks[0].seq)))
        told = [made.of(f"h{number}") for number in range(3)]
        with ThreadPoolExecutor(1) as engine:
            for seq in range(acks._AT_ONCE):
                for each in told:
                    await asyncio.get_running_loop().run_in_executor(engine, each, (mark(seq),))
        while len(heard) < 3 * acks._AT_ONCE:  # noqa: ASYNC110 - for what the loop itself does
            await asyncio.sleep(0)
        return heard

    heard = asyncio.run(scenario())
    assert heard == [(f"h{number}", seq) for seq in range(acks._AT_ONCE) for number in range(3)]


def test_a_commit_of_many_hosts_wakes_the_loop_once_and_leaves_room_for_others() -> None:
    async def scenario() -> list[str]:
        heard: list[str] = []
        loop = asyncio.get_running_loop()
        made = Acks(lambda host, _: heard.append(host))
        for number in range(acks._AT_ONCE + 1):
            made.of(f"{number}")((mark(1),))
        loop.call_soon(heard.append, "other")
        while len(heard) < acks._AT_ONCE + 2:  # noqa: ASYNC110 - for what the loop itself does
            await asyncio.sleep(0)
        return heard

    assert asyncio.run(scenario())[-2:] == ["other", f"{acks._AT_ONCE}"]


def test_one_hosts_marks_travel_together() -> None:
    async def scenario() -> int:
        made = Acks(lambda *_: None)
        return len({made.of("a"), made.of("a"), made.of("b")})

    assert asyncio.run(scenario()) == 2
