"""Which batches of an agent were received and which are durable: interval sets over sequence numbers. Pure.

Bounded by construction: two epochs, and at most MAX_SPANS intervals in each.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace

MAX_SPANS = 1024
MAX_AHEAD = 1_000_000
MAX_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of non-negative integers as sorted, disjoint, non-touching closed intervals."""

    spans: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.spans, (number, number)) - 1
        return any(low <= number <= high for low, high in self.spans[max(index, 0) : index + 2])

    def add(self, low: int, high: int | None = None) -> "Ranges":
        """The set with `low`, or with everything from `low` to `high`."""
        end = low if high is None else high
        if end < low:
            return self
        if self.spans and self.spans[-1][0] <= low <= self.spans[-1][1] + 1:  # in order, as nearly always
            first, last = self.spans[-1]
            return self if end <= last else Ranges((*self.spans[:-1], (first, end)))
        before = tuple(s for s in self.spans if s[1] < low - 1)
        after = tuple(s for s in self.spans if s[0] > end + 1)
        touching = self.spans[len(before) : len(self.spans) - len(after)]
        joined = (min([low, *(s[0] for s in touching)]), max([end, *(s[1] for s in touching)]))
        return Ranges((*before, joined, *after))

    def first_missing(self, start: int) -> int:
        """Smallest number >= start that is not in the set."""
        return next((high + 1 for low, high in self.spans if low <= start <= high), start)

    @property
    def highest(self) -> int:
        """Largest member; 0 when empty."""
        return self.spans[-1][1] if self.spans else 0


@dataclass(frozen=True, slots=True)
class Page:
    """One epoch's books."""

    epoch: str
    seen: Ranges = Ranges()
    durable: Ranges = Ranges()


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is known of one agent's batches; the pages used last stand last."""

    pages: tuple[Page, ...] = ()

    def page(self, epoch: str) -> Page:
        """The epoch's books, empty if it is new."""
        for page in reversed(self.pages):
            if page.epoch == epoch:
                return page
        return Page(epoch)

    def __contains__(self, epoch: object) -> bool:
        """Whether it has the epoch's books."""
        return any(page.epoch == epoch for page in self.pages)

    def open(self, epoch: str, first_seq: int) -> "Ledger":
        """At a Hello: what the agent cannot send any more counts as done, so gaps never pile up."""
        page = self.page(epoch)
        if first_seq > 0:
            page = replace(page, seen=page.seen.add(0, first_seq - 1), durable=page.durable.add(0, first_seq - 1))
        return self._with(page)

    def see(self, epoch: str, seq: int) -> "Ledger":
        """After receiving a batch."""
        page = self.page(epoch)
        return self._with(Page(epoch, page.seen.add(seq), page.durable))

    def settle(self, epoch: str, low: int, high: int | None = None) -> "Ledger":
        """After a batch's effect is committed or it was finally refused; or of numbers that will never come."""
        page = self.page(epoch)
        return self._with(Page(epoch, page.seen.add(low, high), page.durable.add(low, high)), used=False)

    def _with(self, page: Page, *, used: bool = True) -> "Ledger":
        if self.pages and self.pages[-1].epoch == page.epoch:
            return Ledger((*self.pages[:-1], page))
        if not used and page.epoch in self:  # a commit that comes late makes nothing younger than it is
            return Ledger(tuple(page if p.epoch == page.epoch else p for p in self.pages))
        kept = [p for p in self.pages if p.epoch != page.epoch]
        return Ledger((*kept, page)[-MAX_EPOCHS:])
