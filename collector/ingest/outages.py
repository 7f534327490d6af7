"""Outages among the hosts this collector watches: which silences belong together, and the number rules look at."""

from collections.abc import Callable, Iterable, Mapping

from collector.ingest.member import Claim, Member
from collector.labels import Labels
from collector.presence import Policy, Presence
from collector.presence.outage import WHOLE, Count, Outage, Scope, declare, restored
from collector.presence.states import OUTAGES, SITE_OUTAGE, WIDE_OUTAGE, DeadlinePassed, OutageDeclared
from collector.presence.table import serverlike

SERIES = "czuwak_outage_hosts"
PAUSE = 15.0  # seconds between two numbers of one outage: a ticket is no counter
_HERE = (Presence.ONLINE, Presence.CATCHING_UP)

Describe = Callable[[str, str, Mapping[Labels, float]], None]


class Outages:
    """Lives in attendance's thread. `own` are labels that tell this collector's outages from another's."""

    def __init__(self, policy: Policy, describe: Describe, own: Mapping[str, str]) -> None:
        self._policy = policy
        self._describe = describe
        self._own = own
        self._running: dict[Scope, Outage] = {}
        self._told: dict[Scope, tuple[float, float]] = {}  # scope -> (when, number)

    def restore(self, members: Iterable[Member], at: float) -> None:
        """At our start: outages that the rows show go on."""
        everybody = [m for m in members if m.ours]
        for scope in {_struck(m) for m in everybody if m.standing.reason in OUTAGES}:
            struck = [m for m in everybody if m.standing.reason in OUTAGES and _struck(m) == scope]
            count = self._count(everybody, at).get(scope, Count(len(everybody)))
            began = min(m.standing.since for m in struck)
            self._running[scope] = restored(began, len(struck), count, at)
            self._tell(scope, len(struck), at)

    def judge(self, members: Mapping[str, Member], overdue: Iterable[str], at: float) -> list[Claim]:
        """What becomes of hosts whose deadline has passed, and of those who are silent with them."""
        late = set(overdue)
        if not late:
            return []
        ours = {host: m for host, m in members.items() if m.ours}
        found = declare(self._count(ours.values(), at))
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
        if not self._running:
            return []
        left: dict[Scope, list[str]] = {scope: [] for scope in self._running}
        for host, member in members.items():
            if member.ours and member.standing.reason in OUTAGES and (scope := _struck(member)) in left:
                left[scope].append(host)
        alone: list[str] = []
        for scope, hosts in left.items():
            outage = self._running[scope] = self._running[scope].seen(len(hosts), at)
            if outage.over(at):
                del self._running[scope]
                alone += hosts
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
        return waits and member.told != "never_seen" and at - member.seen >= self._policy.quiet

    def _of(self, member: Member, new: Iterable[Scope]) -> Scope | None:
        scopes = {*self._running, *new}
        return WHOLE if WHOLE in scopes else site if (site := _site(member)) in scopes else None

    def _tell(self, scope: Scope, number: int, at: float) -> None:
        when, before = self._told.get(scope, (-PAUSE, 0.0))
        if number == before or (number and before and 0 <= at - when < PAUSE):
            return
        self._told[scope] = (at, float(number))
        labels = {"company": scope[0], "site": scope[1], "scope": "site"} if scope else {"scope": "collector"}
        series = Labels.of({**labels, **self._own, "__name__": SERIES})
        self._describe("\0outage/" + "/".join(scope), "", {series: float(number)})


def _site(member: Member) -> Scope:
    return (member.identity.company, member.identity.site)


def _struck(member: Member) -> Scope:
    return _site(member) if member.standing.reason == SITE_OUTAGE else WHOLE


def _claim(event: OutageDeclared | DeadlinePassed, hosts: Iterable[str], members: Mapping[str, Member]) -> Claim:
    return Claim(event, tuple((host, members[host].gen, members[host].standing) for host in hosts))
