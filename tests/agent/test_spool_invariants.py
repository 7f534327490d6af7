"""I11 and I12 for the agent's side: what is counted as lost is what was lost, and any content of the file starts."""

import contextlib
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent.batch import schema_of
from agent.disk import Disk
from agent.errors import DiskError, DiskFullError
from agent.round import Round
from agent.rows import Row
from agent.sample import Family, Kind, Sample
from agent.spool import Spool
from czuwak.v1 import ingest_pb2 as pb
from tests.chaos import g25

INTERVAL = 15
START = -(2**62)
MEMORY = Path("/dev/shm")  # noqa: S108 - fresh folders in it
SCHEMAS = [
    schema_of(Round(0.0, 0, (Sample(Family(name, Kind.GAUGE, "One."), (), 1.0),))) for name in ("first", "second")
]

Key = tuple[str, int]


class Moody(Disk):
    """A disk that fails before or after the change, or is full, as it is told."""

    mood = ""

    def change(self, *args: Any, **kwargs: Any) -> int:
        if self.mood == "full" and kwargs.get("add"):
            raise DiskFullError("full")
        if self.mood == "dead":
            self._die()
        changed = super().change(*args, **kwargs)
        if self.mood == "late":
            self._die()
        return changed

    def open(self) -> None:
        if self.mood in {"dead", "late"}:
            self._die()
        super().open()

    def heads(self, after: int, before: int, limit: int) -> list[Row]:
        if self.mood == "dead":
            self._die()
        return super().heads(after, before, limit)

    def _die(self) -> None:
        self.close()
        raise DiskError("dead")


class Losses(RuleBasedStateMachine):
    """Rounds, acknowledgements, refusals, kills at any point, overflow, a disk that is full or dead."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.runs = 0
        self.now = 0
        self.taken: dict[Key, int] = {}  # in the order taken
        self.acked: set[Key] = set()
        self.unseen: set[Key] = set()  # in memory only at a kill: nobody can count them
        self.uncounted = 0  # counted in memory, not yet on disk, at a kill
        self.refused = False  # since the last round
        self.mood = ""

    @initialize()
    def start(self) -> None:
        self.runs += 1
        self.disk = Moody(self.folder / "spool.db", limit=400 * 1024, most_rows=40)
        self.disk.mood = self.mood
        self.spool = Spool(
            f"epoch-{self.runs}", self.disk, interval=INTERVAL, max_age_ns=90 * 10**9, max_bytes=30 * 1024
        )

    @property
    def healthy(self) -> bool:
        return not self.mood and not self.spool.trouble

    def waiting(self) -> dict[Key, int]:
        return {(entry.epoch, entry.seq): entry.number for entry in self.spool.waiting(START, 10_000)}

    @rule(count=st.integers(1, 12), which=st.sampled_from(SCHEMAS), size=st.sampled_from([0, 1000, 5000]))
    def rounds(self, count: int, which: pb.Schema, size: int) -> None:
        self.refused = False
        for _ in range(count):
            self.now += INTERVAL
            key = (self.spool.epoch, self.spool.next_seq)
            assert key not in self.taken, "a number was given twice"
            self.taken[key] = len(self.taken)
            batch = pb.Batch(
                epoch=key[0], seq=key[1], boottime_ns=self.now * 10**9, schema_hash=which.hash, values=bytes(size)
            )
            self.spool.add(batch, which)

    @precondition(lambda self: self.spool.batches)
    @rule(data=st.data(), many=st.booleans())
    def acknowledge(self, data: st.DataObject, many: bool) -> None:
        waiting = self.waiting()
        if not waiting:
            return
        chosen = data.draw(st.sampled_from(sorted(waiting, key=waiting.__getitem__)))
        for key, number in waiting.items():
            if key == chosen or (many and number < waiting[chosen]):
                assert self.spool.acknowledge(number)
                self.acked.add(key)

    @precondition(lambda self: self.healthy)
    @rule(back=st.integers(0, 30))
    def resume(self, back: int) -> None:
        below = max(1, self.spool.next_seq - back)
        news = {key for key in self.waiting() if key[0] == self.spool.epoch and key[1] < below}
        assert self.spool.acknowledge_below(below) == len(news)
        self.acked |= news

    @precondition(lambda self: self.spool.batches)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        waiting = self.waiting()
        if waiting:
            self.refused = True
            self.spool.discard(waiting[data.draw(st.sampled_from(sorted(waiting)))])

    @rule()
    def flush(self) -> None:
        self.spool.flush()

    @rule(mood=st.sampled_from(["", "", "full", "dead", "late"]))
    def change_mood(self, mood: str) -> None:
        self.mood = self.disk.mood = mood

    @rule()
    def kill(self) -> None:
        """What memory alone has is gone; with a disk that works that is nothing older than an interval."""
        loose = {(self.spool.epoch, seq) for seq in self.spool._ring.loose}
        if self.healthy:
            newest = [key for key in self.taken if key[0] == self.spool.epoch][-1:]
            assert loose <= set(newest)
        self.unseen |= loose
        self.restart(self.disk.close)

    @precondition(lambda self: self.healthy)
    @rule()
    def stop(self) -> None:
        self.restart(self.spool.close)

    def restart(self, end: Callable[[], None]) -> None:
        """The disk works at the next start; only one that failed, or a refusal just before, leaves losses uncounted."""
        counts = not self.mood and not self.spool.trouble and not self.refused
        before = self.spool.epoch
        end()
        self.mood = ""
        self.start()
        assert self.spool.epoch == before
        waiting = self.waiting().keys()
        self.acked -= waiting  # acknowledged, but the deletion was not yet written
        self.unseen -= waiting
        if not counts:
            self.uncounted = self.real() - self.spool.dropped
            assert self.uncounted >= 0

    def real(self) -> int:
        """How many batches are neither waiting nor acknowledged nor gone with a process."""
        return len(self.taken.keys() - self.waiting().keys() - self.acked - self.unseen)

    def heal(self) -> None:
        self.mood = self.disk.mood = ""
        self.rounds(1, SCHEMAS[0], 0)
        assert self.spool.trouble == ""

    @invariant()
    def counted_loss_is_real_loss(self) -> None:
        if not self.healthy:
            return
        waiting = self.waiting()
        assert waiting.keys() <= self.taken.keys()
        assert not waiting.keys() & self.acked
        assert [self.taken[key] for key in waiting] == sorted(self.taken[key] for key in waiting)
        assert self.spool.dropped + self.uncounted == self.real()
        assert self.spool.batches == len(waiting)

    @invariant()
    def nothing_that_waits_is_told_to_be_lost(self) -> None:
        waiting = self.waiting()
        for (epoch, seq), number in waiting.items():
            batch = self.spool.batch(number, pb.LANE_REPLAY)
            assert batch is not None
            assert not any((epoch, seq - 1 - n) in waiting for n in range(batch.lost_before))

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError):
            self.heal()
            self.counted_loss_is_real_loss()
            self.disk.close()
        shutil.rmtree(self.folder)


def test_i11_counted_loss_is_real_loss() -> None:
    run_state_machine_as_test(Losses, settings=settings(max_examples=50, stateful_step_count=25, deadline=None))


def test_i12_the_start_never_fails_because_of_the_spools_content() -> None:
    """Bits flipped, ends cut off, pages exchanged: three hundred here, ten thousand in `make chaos`."""
    with g25.workshop(Path(tempfile.gettempdir())) as folder:
        files = g25.original(folder)
        results = list(hurt(files, folder, 300))
    assert all(result.started for result in results)
    assert sum(result.exact for result in results) > len(results) / 2
    assert max(result.seconds for result in results) < 20  # a hang, not a figure


def hurt(files: Mapping[str, bytes], folder: Path, count: int) -> Iterator[g25.Result]:
    chance = random.Random(12)  # noqa: S311 - repeatable, not secret
    for _ in range(count):
        yield g25.tried(g25.damaged(files, chance), folder)


def test_an_heir_does_not_tell_of_a_number_that_a_kill_brings_back() -> None:
    """The second is acknowledged and not yet deleted, the first is refused, the third tells of it."""
    model = Losses()
    model.start()
    model.rounds(count=4, size=0, which=SCHEMAS[0])
    model.spool.acknowledge(model.waiting()[model.spool.epoch, 2])
    model.acked.add((model.spool.epoch, 2))
    model.refused = True
    model.spool.discard(model.waiting()[model.spool.epoch, 1])
    model.kill()
    model.counted_loss_is_real_loss()
    model.nothing_that_waits_is_told_to_be_lost()
    model.teardown()
