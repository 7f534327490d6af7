"""What agents had to drop, from their sessions to the database: the newest count of each host, written once a second.

`tell` runs in the event loop, `write` in a worker thread.
"""

from dataclasses import dataclass, field

from collector.store.engine import Store
from collector.store.gaps import count_lost


@dataclass(frozen=True, slots=True)
class Told:
    """The newest count one session heard."""

    gen: int
    epoch: str
    total: int


@dataclass(slots=True)
class Losses:
    """Bounded by the number of hosts; a count that could not be written is written later."""

    due: dict[str, Told] = field(default_factory=dict)

    def tell(self, host: str, gen: int, epoch: str, total: int) -> None:
        """A session heard a count."""
        self.due[host] = Told(gen, epoch, total)

    def take(self) -> dict[str, Told]:
        """What is to be written now; give it to `keep` if that failed."""
        due, self.due = self.due, {}
        return due

    def keep(self, due: dict[str, Told]) -> None:
        """What could not be written; newer counts say more."""
        self.due = {**due, **self.due}


def write(store: Store, due: dict[str, Told], at: float) -> int:
    """One transaction; how many batches were lost that nobody had counted. Raises StoreError."""
    if not due:
        return 0
    with store.write() as conn:
        return sum(count_lost(conn, host, told.gen, told.epoch, told.total, at) for host, told in sorted(due.items()))
