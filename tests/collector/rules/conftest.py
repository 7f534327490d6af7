"""A head, rules and expressions for tests of rules."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def default_rules() -> Path:
    return REPOSITORY / "collector" / "rules" / "defaults"


@pytest.fixture
def field_rules() -> list[Path]:
    found = sorted((REPOSITORY.parent / "shared" / "data" / "rules").glob("*.yml"))
    if not found:
        pytest.skip("the rule packs from the field are not beside this checkout (../shared/data/rules)")
    return found
