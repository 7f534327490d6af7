import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.e2e.plant import COLLECTOR, Plant, ports


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """A function that sets up and starts a collector; `rules` is the text of a rule file, or the default pack."""
    made: list[Plant] = []

    def start(rules: str = "", parts: Sequence[str] = ("ingest,web,worker",)) -> Plant:
        new = Plant(tmp_path / "collector", ports(("ingest", "enroll", "web", "page")))
        made.append(new)
        new.folder.mkdir()
        (new.folder / "rules.yml").write_text(rules)
        files = '["rules.yml"]' if rules else '["default"]'
        new.config.write_text(COLLECTOR.format(rules=files, **new.ports))
        new.command("init", str(new.folder), "--company", "Test")
        new.bearer = json.loads(
            new.command("token", "api", "test", "--scope", "tickets:read", "--scope", "hosts:read", "--config",
                        str(new.config), "--json")
        )["token"]  # fmt: skip
        for part in parts:
            new.serve(part)
        new.ready()
        return new

    yield start
    for each in made:
        each.close()
