"""G28: random lifecycles on a virtual clock: shutdowns, sleep, reboots, crashes, lost goodbyes, our own restarts."""

import logging
import os
import tempfile
import time
from pathlib import Path

from tests.chaos.lifecycle import World, build, deserved, live, wrong
from tests.chaos.outcome import fewer, violated

GOAL = "2,000 lifecycles: a planned absence and any workstation 0 tickets, a server's crash exactly 1"
SIZE = 200  # lives of one world
# Nobody pulls a plug here, and half of the time was the disk's.
MEMORY = Path("/dev/shm")  # noqa: S108 - only a folder with a random name in it is used


def run(budget_seconds: float, folder: Path, lives: int = 2000, seed: int = 1) -> list[str]:
    """World after world of SIZE lives, each with two kills of the collector and two jumps of the database's clock."""
    logging.getLogger("collector").setLevel(logging.ERROR)
    fast = MEMORY if os.access(MEMORY, os.W_OK) else folder
    with tempfile.TemporaryDirectory(prefix="cz-", dir=fast, ignore_cleanup_errors=True) as worlds:
        return _run(budget_seconds, Path(worlds), lives, seed)


def _run(budget_seconds: float, folder: Path, lives: int, seed: int) -> list[str]:
    began, slowest, done, loud = time.monotonic(), 0.0, 0, 0
    found: list[str] = []
    while done < lives and time.monotonic() - began + slowest < budget_seconds:
        started = time.monotonic()
        world = build(folder / "world", min(SIZE, lives - done), seed + done)
        live(world)
        found += [f"seed {seed + done}: {line}" for line in wrong(world)]
        loud += _loud(world)
        done += len(world.lives)
        world.store.close()
        slowest = max(slowest, time.monotonic() - started)
    lines = [f"{done} lifecycles in {time.monotonic() - began:.0f} s, {loud} of them deserved a ticket"]
    lines += [violated(line) for line in found[:20]]
    lines += [fewer(f"{done} of {lives} lifecycles in the time there was")] if done < lives else []
    return lines


def _loud(world: World) -> int:
    return sum(deserved(life)[1] > 0 for life in world.lives.values())
