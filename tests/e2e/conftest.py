from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.e2e.plant import Plant, planted


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short name: the path of a local socket in it has at most 107 bytes."""
    with TemporaryDirectory(prefix="cz-") as folder:
        yield Path(folder).resolve()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """A function that sets up and starts a collector, stopped when the test ends."""
    with ExitStack() as stack:

        def start(rules: str = "", parts: Sequence[str] = ("ingest,web,worker",)) -> Plant:
            return stack.enter_context(planted(tmp_path / "collector", rules, parts))

        yield start
