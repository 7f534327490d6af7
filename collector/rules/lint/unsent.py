"""A metric that nobody sends gives no series, so its rule waits for ever."""

from collections.abc import Iterator
from difflib import get_close_matches

from collector.promql.nodes import Selector
from collector.promql.survey import nodes
from collector.rules.lint.shape import name_of
from collector.rules.lint.subject import Remark, Subject


def check(subject: Subject) -> Iterator[Remark]:
    """Metrics that no agent sends and no rule of the files records; each name once."""
    known = subject.world.catalogue
    told: set[str] = set()
    for node in nodes(subject.root):
        name = name_of(node) if isinstance(node, Selector) else ""
        if isinstance(node, Selector) and name and name not in known and name not in told:
            told.add(name)
            yield subject.at_selector(node, f"no agent of ours sends {name}{_hint(name, known)}")


def _hint(name: str, known: object) -> str:
    near = get_close_matches(name, known if isinstance(known, dict) else (), n=1, cutoff=0.9)
    return f"; did you mean {near[0]}?" if near else ""
