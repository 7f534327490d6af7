"""G28: random lifecycles on a virtual clock: shutdowns, sleep, reboots, crashes, lost goodbyes, our own restarts."""

import logging
import time
from pathlib import Path

from tests.chaos.lifecycle import LOUD, World, build, live, wrong
from tests.chaos.outcome import fewer, violated

GOAL = "2,000 lifecycles: a planned absence and any workstation 0 tickets, a server's crash exactly 1"
SIZE = 200  # lives of one world


def run(budget_seconds: float, folder: Path, lives: int = 2000, seed: int = 1) -> list[str]:
    """World after world of SIZE lives, each with two kills of the collector and two jumps of the database's clock."""
    logging.getLogger("collector").setLevel(logging.ERROR)
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
    return sum((life.identity.class_, life.what) in LOUD for life in world.lives.values())
