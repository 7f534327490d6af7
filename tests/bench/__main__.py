"""`make bench`: every figure that we claim, measured here and now, ours beside the peer's.

usage: python -m tests.bench [fleet] [footprint] [hostile] [ingest] [memory] [page] [ranges] [rules] [storm]
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import footprint, hostile, ingest, memory, page, ranges, rules, storm
from tests.chaos import fleet

FLEET_SECONDS = 1800.0  # ten thousand agents for twenty minutes, and what it takes to connect them

BENCHES: dict[str, Callable[[Path], list[str]]] = {
    "fleet": lambda folder: fleet.run(FLEET_SECONDS, folder),
    "footprint": footprint.run,
    "hostile": hostile.run,
    "ingest": ingest.run,
    "memory": memory.run,
    "page": page.run,
    "ranges": ranges.run,
    "rules": rules.run,
    "storm": storm.run,
}


def main() -> int:
    chosen = sys.argv[1:] or [name for name in BENCHES if name != "fleet"]  # that one takes half an hour
    unknown = [name for name in chosen if name not in BENCHES]
    if unknown:
        print(f"unknown bench {unknown[0]!r}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    os.environ["CZUWAK_LOG"] = "ERROR"
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="czuwak-bench-") as folder:
            print(f"== {name}", flush=True)
            for line in BENCHES[name](Path(folder)):
                print(f"   {line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
