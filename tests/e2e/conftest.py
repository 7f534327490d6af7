from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.plant import Plant, planted


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """A function that sets up and starts a collector, stopped when the test ends."""
    with ExitStack() as stack:

        def start(rules: str = "", parts: Sequence[str] = ("ingest,web,worker",)) -> Plant:
            return stack.enter_context(planted(tmp_path / "collector", rules, parts))

        yield start
