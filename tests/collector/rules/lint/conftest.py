"""Rules in, what one check says of them out, as it is printed."""

from collections.abc import Callable

import pytest

from collector.rules.check import check_text, shown

Remarks = Callable[[str, str], str]


@pytest.fixture
def remarks() -> Remarks:
    """`remarks(check, rules)`: the rules are items of one group, from line 4 on, four columns in."""

    def told(check: str, rules: str) -> str:
        text = "groups:\n  - name: g\n    rules:\n" + "".join(f"    {line}\n" for line in rules.strip().splitlines())
        findings = check_text(text, "r.yml")
        assert [one for one in findings if one.severity == "error"] == []
        return "\n".join(shown(one, {"r.yml": text.splitlines()}) for one in findings if one.lint == check)

    return told
