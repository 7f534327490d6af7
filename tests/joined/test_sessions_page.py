"""docs/sessions.md is made from the two tables of the stream and from what their moves do.

`CZUWAK_ACCEPT=1 pytest tests/joined/test_sessions_page.py` makes it again.
"""

import ast
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import agent.moves
import agent.session
import collector.ingest.session

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sessions.md"
HEAD = """# The two ends of the stream

Made from `agent/session.py` and `collector/ingest/session.py` by `tests/joined/test_sessions_page.py`; the same test
keeps it equal. Each end is a table without socket, clock or file: (state, what happens) -> the move that is made. A
pair that is not in its table does nothing: a message that comes too late, or that a newer release has added, is no
error.

What every release of protocol 1 speaks, for ever: Hello, Welcome, Heartbeat, GoingAway and GoAway. Fields beyond
the core are named in Welcome's `features`; a collector misses none that its agent does not fill, and one that does not
know a field passes it over. Only what stands in the place of a core field, as a packed schema does, is said to nobody
but a collector that has named it.
"""
Row = tuple[str, str, str, tuple[str, ...]]  # state, event, move, states it may lead to


def functions(module: ModuleType) -> dict[str, Callable[..., object]]:
    """Those with a text of their own to read, not those that another function has made."""
    found = {name: value for name, value in vars(module).items() if inspect.isfunction(value)}
    return {name: value for name, value in found.items() if value.__qualname__ == value.__name__}


def targets(move: str, module: ModuleType, enum: str, seen: set[str] | None = None) -> Iterator[str]:
    """States that a move, or a function of its module it uses, puts into a session."""
    known, seen = functions(module), {move} if seen is None else seen
    tree = ast.parse(inspect.getsource(known[move]))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        for value in (*call.args, *(keyword.value for keyword in call.keywords)):
            if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == enum:
                yield value.attr.lower()
    for name in {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & known.keys() - seen:
        seen.add(name)
        yield from targets(name, module, enum, seen)


def agents_rows() -> list[Row]:
    return [
        (state.name.lower(), event.__name__, move.__name__, found(move.__name__, agent.moves, "State", state.name))
        for (state, event), move in agent.session.TABLE.items()
    ]


def collectors_rows() -> list[Row]:
    module = collector.ingest.session
    return [
        (phase.value, event, row.__name__.strip("_"), found(row.__name__, module, "Phase", phase.name))
        for (phase, event), row in module.TABLE.items()
    ]


def found(move: str, module: ModuleType, enum: str, state: str) -> tuple[str, ...]:
    return tuple(sorted(set(targets(move, module, enum)) - {state.lower()}))


def diagram(rows: Iterable[Row], first: str) -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, event, _, leads in rows:
        for target in leads:
            arrows.setdefault((state, target), []).append(event)
    lines = [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *lines, "```"])


def table(rows: Iterable[Row]) -> str:
    lines = [f"| `{s}` | {e} | {m.replace('_', ' ')} | {', '.join(leads) or '-'} |" for s, e, m, leads in rows]
    return "\n".join(["| state | what happens | move | may lead to |", "|---|---|---|---|", *lines])


def page() -> str:
    agents, collectors = agents_rows(), collectors_rows()
    return (
        f"{HEAD}\n## The agent\n\n{diagram(agents, 'disconnected')}\n\n{table(agents)}\n"
        f"\n## The collector\n\n{diagram(collectors, 'hello')}\n\n{table(collectors)}\n"
    )


def test_the_page_is_what_the_tables_say() -> None:
    if os.environ.get("CZUWAK_ACCEPT"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


def test_moves_lead_where_one_expects() -> None:
    assert ("hello", "hello", "hello", ("closed", "opening")) in collectors_rows()
    assert ("opening", "Opened", "opened", ("live",)) in collectors_rows()
    assert ("disconnected", "Connected", "greet", ("greeting",)) in agents_rows()
