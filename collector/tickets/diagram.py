"""The page docs/tickets.md, made from the one table of states; `python -m collector.tickets.diagram` prints it."""

import sys

from collector.tickets.ticket import TRANSITIONS, Status

_HEAD = """\
# States of a ticket

This page is made from `collector.tickets.ticket.TRANSITIONS` by `python -m collector.tickets.diagram`; a test keeps
them equal. `new` is entered again only when a fault comes back; a person reopens into `in_progress`. *Recovered* and
*no data* are marks beside the state, not states.

```mermaid
stateDiagram-v2
    [*] --> new
"""


def page() -> str:
    """The whole page as Markdown."""
    arrows = (f"    {a.value} --> {b.value}\n" for a in Status for b in Status if b in TRANSITIONS[a])
    rows = (f"| `{a.value}` | {', '.join(f'`{b.value}`' for b in Status if b in TRANSITIONS[a])} |\n" for a in Status)
    return f"{_HEAD}{''.join(arrows)}```\n\n| from | to |\n|---|---|\n{''.join(rows)}"


if __name__ == "__main__":
    sys.stdout.write(page())
