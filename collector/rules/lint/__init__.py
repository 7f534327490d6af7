"""What is doubtful about rules that load. One check a file; `CHECKS` names all of them."""

from collections.abc import Callable, Iterator, Mapping

from collector.rules.lint import (
    blind,
    constant,
    counters,
    flapping,
    functions,
    joins,
    labels,
    newer,
    retention,
    selectors,
    severity,
    unsent,
    windows,
)
from collector.rules.lint.subject import Remark, Subject

Check = Callable[[Subject], Iterator[Remark]]

CHECKS: Mapping[str, Check] = {
    "blind": blind.check,
    "windows": windows.check,
    "unsent": unsent.check,
    "selectors": selectors.check,
    "joins": joins.check,
    "retention": retention.check,
    "constant": constant.check,
    "flapping": flapping.check,
    "counters": counters.check,
    "labels": labels.check,
    "functions": functions.check,
    "severity": severity.check,
    "newer": newer.check,
}


def lint(subject: Subject) -> Iterator[tuple[str, Remark]]:
    """Every remark on one rule, with the name of the check that made it."""
    for name, check in CHECKS.items():
        for remark in check(subject):
            yield name, remark
