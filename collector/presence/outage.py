"""When many fall silent together: which sites, or the whole collector, have an outage, and when it is over. Pure.

Only hosts count whose silence alone would be a ticket (servers, kiosks in their hours) and who said no goodbye: a
laptop room at five in the afternoon is no outage.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST = 5  # more than this many ...
SHARE = 0.2  # ... and more than this part of a site's hosts
ONE_SITE = 0.8  # of all that are silent: then it is that site, however many others lost one
STRAGGLERS = 900.0  # nobody came back for this long: who is still away stays away
FEW = 5

Scope = tuple[str, ...]  # (company, site), or () for everybody this collector watches
WHOLE: Scope = ()


@dataclass(frozen=True, slots=True)
class Count:
    """Hosts of one site that count: how many there should be, and how many are silent."""

    total: int = 0
    silent: int = 0

    @property
    def many(self) -> bool:
        """Whether so many are no coincidence."""
        return self.silent > max(LEAST, SHARE * self.total)


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage: how many hosts it had at its worst, and when one came back last."""

    began: float
    worst: int
    remaining: int
    returned_at: float

    def seen(self, remaining: int, at: float) -> "Outage":
        """The same with what is true now."""
        came = remaining < self.remaining
        return Outage(self.began, max(self.worst, remaining), remaining, at if came else self.returned_at)

    def over(self, at: float) -> bool:
        """The rest has returned: whoever is still away is a case of its own."""
        if self.remaining == 0:
            return True
        if 2 * self.remaining > self.worst:
            return False
        return self.remaining <= FEW or at - self.returned_at >= STRAGGLERS


def declare(own: Mapping[Scope, Count], sites: Mapping[Scope, Count]) -> tuple[Scope, ...]:
    """The scopes that have an outage: one site, several, or WHOLE where it is not a matter of one site.

    `own` counts the hosts of one collector, `sites` those of all.
    """
    over = [scope for scope in own if own[scope].many]
    silent = sum(count.silent for count in own.values())
    everybody = Count(sum(count.total for count in own.values()), silent)
    affected = sum(count.silent > 0 for count in own.values())
    one_site = len(over) == 1 and own[over[0]].silent >= ONE_SITE * silent
    if everybody.many and affected > 1 and not one_site:
        return (WHOLE,)
    return tuple(scope for scope in sorted(own) if sites[scope].many)


def restored(began: float, remaining: int, count: Count, at: float) -> Outage:
    """An outage as the database shows it after our own start: its worst is not known any more."""
    few = remaining <= max(LEAST, SHARE * count.total)
    return Outage(began, 2 * remaining if few else remaining, remaining, at)
