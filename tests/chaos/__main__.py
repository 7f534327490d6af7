"""`make chaos BUDGET=minutes [ARGS="g1 g9"]`: the reliability figures, one after the other, and a table at the end.

usage: python -m tests.chaos [--budget MINUTES] [NAME[:agents=2000,...] ...]
Each figure is a module tests/chaos/NAME.py with GOAL and `run(budget_seconds, folder) -> lines` (see outcome.py).
Exits with 1 where anything was lost, doubled, invented or not served.
"""

import argparse
import importlib
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.outcome import summed, violated

HERE = Path(__file__).parent
SHARE = 15.0  # minutes of a figure without a budget


def names() -> list[str]:
    """Every figure there is, by number."""
    found = [path.stem for path in HERE.glob("*.py") if re.fullmatch(r"g\d+\w*|fleet", path.stem)]
    return sorted(found, key=lambda name: (int("".join(filter(str.isdigit, name.split("_")[0])) or 999), name))


def figure(name: str, budget: float, **sizes: int) -> tuple[str, list[str]]:
    """Goal and lines of one figure; `sizes` are arguments of its `run`. What it raises is a violation too."""
    module = importlib.import_module(f"tests.chaos.{name}")
    goal = str(getattr(module, "GOAL", ""))
    with tempfile.TemporaryDirectory(prefix="cz-", ignore_cleanup_errors=True) as folder:
        try:
            return goal, list(module.run(budget, Path(folder), **sizes))
        except (AssertionError, OSError, ValueError, RuntimeError) as error:
            tail = _tail(Path(folder))
            return goal, [violated(f"{type(error).__name__}: {error}"), *tail]


def sized(word: str) -> tuple[str, dict[str, int]]:
    """`g1:agents=50,kills=20` -> the figure and its sizes."""
    name, _, sizes = word.partition(":")
    return name, {key: int(value) for key, _, value in (each.partition("=") for each in sizes.split(",") if each)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help=f"of all figures together ({SHARE:g} each)")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    chosen = [sized(name) for name in args.names or names()]
    unknown = [name for name, _ in chosen if name not in names()]
    if unknown:
        print(f"unknown figure {unknown[0]!r}; there are {', '.join(names())}", file=sys.stderr)
        return 2
    os.environ.setdefault("CZUWAK_LOG", "WARNING")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what the figure has begun ends with it
    share = 60 * (args.budget / len(chosen) if args.budget else SHARE)
    rows = []
    for name, sizes in chosen:
        began = time.monotonic()
        print(f"== {name}, {share / 60:.1f} min", flush=True)
        goal, lines = figure(name, share, **sizes)
        print("".join(f"   {line}\n" for line in lines), end="", flush=True)
        rows.append((name, summed(lines), f"{(time.monotonic() - began) / 60:.1f} min", goal))
    print("\n" + "\n".join(f"{name:<10} {word:<20} {took:>9}   {goal}" for name, word, took, goal in rows))
    return int(any(word == "VIOLATED" for _, word, _, _ in rows))


def _tail(folder: Path) -> list[str]:
    """What the parts said last."""
    return [
        f"   {path.parent.name}/{path.name}: {line[:300]}"
        for path in folder.rglob("serve.log")
        for line in path.read_text(errors="replace").splitlines()[-5:]
    ]


if __name__ == "__main__":
    sys.exit(main())
