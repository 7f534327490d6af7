"""Outages: which silences belong together, and the number rules look at.

A site is counted over the database, whichever collectors its hosts are with: each draws the same conclusion about its
own, and one number, told by all, is judged by whoever has the lead. That many hosts of several sites are silent is said
of one collector alone: it may be its own network.
"""

import math
from collections.abc import Callable, Iterable, Mapping

from collector.ingest.member import Claim, Member
from collector.labels import Labels
from collector.presence import Policy, Presence
from collector.presence.outage import WHOLE, Count, Outage, Scope, declare, restored
from collector.presence.states import OUTAGES, RESTARTED, SITE_OUTAGE, WIDE_OUTAGE, DeadlinePassed, OutageDeclared
from collector.presence.table import serverlike

SERIES = "czuwak_outage_hosts"
PAUSE = 60.0  # seconds between two numbers of one outage: a ticket is no counter
_HERE = (Presence.ONLINE, Presence.CATCHING_UP)

Describe = Callable[[str, Labels, Mapping[Labels, float]], None]


class Outages:
    """Lives in attendance's thread. `own` are labels that tell what is this collector's alone from another's."""

    def __init__(self, policy: Policy, describe: Describe, own: Mapping[str, str]) -> None:
        self._policy = policy
        self._describe = describe
        self._own = own
        self._returning = -math.inf
        self._running: dict[Scope, Outage] = {}
        self._told: dict[Scope, tuple[float, float]] = {}  # scope -> (when, number)
        self._ended: dict[Scope, float] = {}  # whoever was struck before is no outage again

    def restore(self, members: Iterable[Member], at: float) -> None:
        """Outages that the rows show go on: at our start, and where another collector has seen one first."""
        struck: dict[Scope, list[Member]] = {}
        everybody = tuple(members)
        for member in everybody:
            scope = _struck(member)
            if scope is not None and scope not in self._running:
                struck.setdefault(scope, []).append(member)
        for scope, found in struck.items():
            if max(m.standing.since for m in found) <= self._ended.get(scope, 0.0):
                continue
            count = self._count(everybody, at).get(scope, Count(sum(m.ours for m in everybody)))
            began = min(m.standing.since for m in found)
            self._running[scope] = restored(began, len(found), count, at)
            self._tell(scope, len(found), at)

    def judge(
        self, members: Mapping[str, Member], overdue: Iterable[str], at: float, returning: float = -math.inf
    ) -> list[Claim]:
        """What becomes of hosts whose deadline has passed, and of those who are silent with them.

        `returning`: until when hosts came back to us after we were away.
        """
        self._returning = returning
        late = set(overdue)
        if not late:
            return []
        ours = {host: m for host, m in members.items() if m.ours}
        found = declare(self._count(ours.values(), at), self._count(members.values(), at))
        new = [scope for scope in found if scope not in self._running and WHOLE not in self._running]
        struck: dict[str, list[str]] = {}
        for host, member in ours.items():
            scope = self._of(member, new)
            planned = member.standing.presence is Presence.AWAY_PLANNED  # it is late by its own word
            if scope is not None and not planned and (host in late or self._quiet(member, at)):
                struck.setdefault(SITE_OUTAGE if scope else WIDE_OUTAGE, []).append(host)
        for scope in new:
            self._running[scope] = Outage(at, 0, 0, at)
        taken = {host for found in struck.values() for host in found}
        events = [(OutageDeclared(reason), found) for reason, found in struck.items()]
        claims = [_claim(event, found, ours) for event, found in events]
        return [*claims, *([_claim(DeadlinePassed(), sorted(late - taken), ours)] if late - taken else [])]

    def settle(self, members: Mapping[str, Member], at: float) -> list[str]:
        """Counts again, tells the numbers; the hosts that are alone now because their outage is over."""
        self.restore(members.values(), at)
        if not self._running:
            return []
        left: dict[Scope, list[str]] = {scope: [] for scope in self._running}
        for host, member in members.items():
            if (scope := _struck(member)) in left:
                left[scope].append(host)
        alone: list[str] = []
        for scope, hosts in left.items():
            outage = self._running[scope] = self._running[scope].seen(len(hosts), at)
            if outage.over(at):
                del self._running[scope]
                self._ended[scope] = at
                alone += (host for host in hosts if members[host].ours)
                self._tell(scope, 0, at)
            else:
                self._tell(scope, len(hosts), at)
        return alone

    def _count(self, members: Iterable[Member], at: float) -> dict[Scope, Count]:
        found: dict[Scope, list[int]] = {}
        for member in members:
            silent = self._silent(member, at)
            if silent is not None:
                numbers = found.setdefault(_site(member), [0, 0])
                numbers[0] += 1
                numbers[1] += silent
        return {scope: Count(total, silent) for scope, (total, silent) in found.items()}

    def _silent(self, member: Member, at: float) -> bool | None:
        """None: this host does not count. It must be one whose silence is a ticket, and not away by its own word."""
        class_, standing = member.identity.class_, member.standing
        if not serverlike(class_) or (class_ == "kiosk" and not self._policy.kiosk.inside(at)):
            return None
        match standing.presence:
            case Presence.ONLINE | Presence.CATCHING_UP:
                return self._quiet(member, at)
            case Presence.UNKNOWN:
                return standing.reason in OUTAGES or self._quiet(member, at)
            case Presence.AWAY_UNEXPLAINED:
                return True if standing.since >= at - self._policy.together else None
            case _:
                return None

    def _quiet(self, member: Member, at: float) -> bool:
        standing = member.standing
        if standing.presence in _HERE:
            return at - member.seen >= self._policy.quiet
        waits = standing.presence is Presence.UNKNOWN and standing.reason not in OUTAGES
        seen = member.seen
        if standing.reason == RESTARTED:  # until the grace is over it was our silence
            seen = max(seen, standing.since + self._policy.grace, self._returning if member.ours else 0.0)
        return waits and member.told != "never_seen" and at - seen >= self._policy.quiet

    def _of(self, member: Member, new: Iterable[Scope]) -> Scope | None:
        scopes = {*self._running, *new}
        return WHOLE if WHOLE in scopes else site if (site := _site(member)) in scopes else None

    def _tell(self, scope: Scope, number: int, at: float) -> None:
        when, before = self._told.get(scope, (-PAUSE, 0.0))
        if number == before or (number and before and 0 <= at - when < PAUSE):
            return
        self._told[scope] = (at, float(number))
        site = {"company": scope[0], "site": scope[1], "scope": "site"} if scope else {}
        series = Labels.of({**(site or {"scope": "collector", **self._own}), "__name__": SERIES})
        self._describe("\0outage/" + "/".join(scope), Labels(), {series: float(number)})


def _site(member: Member) -> Scope:
    return (member.identity.company, member.identity.site)


def _struck(member: Member) -> Scope | None:
    """The outage the host is counted in; a wide one is of its own collector."""
    if member.standing.reason == SITE_OUTAGE:
        return _site(member)
    return WHOLE if member.standing.reason == WIDE_OUTAGE and member.ours else None


def _claim(event: OutageDeclared | DeadlinePassed, hosts: Iterable[str], members: Mapping[str, Member]) -> Claim:
    return Claim(event, tuple((host, members[host].gen, members[host].standing) for host in hosts))
