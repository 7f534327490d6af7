"""A metric that nobody sends gives no series, so its rule waits for ever."""

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from collector.promql.nodes import Selector
from collector.rules.lint.catalogue import TEXTFILE, Catalogue
from collector.rules.lint.shape import name_of
from collector.rules.lint.subject import NOTE, Remark, Subject

_SLIP = 2  # characters too many or missing
_STEM = 5  # characters that must be right


def check(subject: Subject) -> Iterator[Remark]:
    """Metrics that no agent sends and no rule of the files records; each name once. Those of scripts are notes."""
    known = subject.world.catalogue
    told: set[str] = set()
    for node in subject.nodes:
        name = name_of(node) if isinstance(node, Selector) else ""
        if not isinstance(node, Selector) or not name or name in told:
            continue
        told.add(name)
        if name not in known:
            yield subject.at_selector(node, f"no agent of ours sends {name}{_hint(name, known)}")
        elif known[name].kind == TEXTFILE:
            message = f"{name} comes only where a script of the host writes it into the agent's textfile directory"
            yield replace(subject.at_selector(node, message), severity=NOTE)


def _hint(name: str, known: Catalogue) -> str:
    likely = [one for one in known if abs(len(one) - len(name)) <= _SLIP and one[:_STEM] == name[:_STEM]]
    near = get_close_matches(name, likely, n=1, cutoff=0.9)
    return f"; did you mean {near[0]}?" if near else ""
