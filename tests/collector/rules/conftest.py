"""A head, rules and expressions for tests of rules."""

from pathlib import Path

import pytest

from tests.field import HOW, field_data

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def default_rules() -> Path:
    return REPOSITORY / "collector" / "rules" / "defaults"


@pytest.fixture
def field_rules() -> list[Path]:
    folder = field_data("rules")
    if folder is None:
        pytest.skip(HOW)
    found = sorted(folder.glob("*.yml"))
    assert found, f"{folder} has no rule packs"
    return found
