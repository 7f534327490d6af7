"""An attendance over a real database, its clock moved by the test."""

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from collector.ingest.arrival import arrived
from collector.ingest.attendance import Attendance
from collector.ingest.stamp import Identity
from collector.labels import Labels
from collector.presence import Policy
from collector.store import hosts, tables
from czuwak.v1 import ingest_pb2 as pb

House = Any  # the class in this folder's conftest.py


class Desk:
    """An attendance over a real database, its clock moved by the test."""

    def __init__(self, house: House, collector: str = "", at: float = 0.0) -> None:
        self.house = house
        self.collector = collector  # its id and its name, where there are several
        self.at = at or time.time()
        self.described: dict[str, dict[str, float]] = {}
        self.values: dict[tuple[str, str], float] = {}
        self.labels: dict[str, Labels] = {}  # of the newest series under each name
        self.excused: list[tuple[str, str]] = []
        self.attendance = self.new()

    def new(self) -> Attendance:
        return Attendance(
            self.house.store,
            Policy(),
            self.describe,
            lambda: self.at,
            self.collector or None,
            name=self.collector,
            excuse=lambda host, reason, _: self.excused.append((host, reason)),
            database_clock=lambda _: self.at,
        )

    def describe(self, host: str, _: Labels, values: Mapping[Labels, float]) -> None:
        self.described.setdefault(host, {}).update(
            {labels.get("state"): value for labels, value in values.items() if labels.get("state")}
        )
        self.labels |= {labels.get("__name__"): labels for labels in values}
        self.values |= {(host, labels.get("__name__")): value for labels, value in values.items()}

    def join(self, name: str, *, live: bool = True, class_: str = "server", site: str = "waw") -> Identity:
        identity = Identity(self.house.enroll(name)[0], name, name, "acme", site, class_)
        with self.house.store.write() as conn:
            conn.execute(
                sa.update(tables.host)
                .where(tables.host.c.id == identity.agent_id)
                .values({"class": class_, "site": site, "instance": name})
            )
        self.again(identity, live=live)
        return identity

    def again(
        self, identity: Identity, *, live: bool = True, boot: str = "b1", slept: float = 0.0, absence: str = ""
    ) -> int:
        """A session as the servicer opens it; `absence` is the reason of a clean record of boot `b1`."""
        wall = int(self.at * 1e9)
        hello = pb.Hello(boot_id=boot, wall_ns=wall, boottime_ns=int((slept + 100) * 1e9), monotonic_ns=100 * 10**9)
        if absence:
            reason = pb.GoingAwayReason.Value(f"GOING_AWAY_REASON_{absence.upper()}")
            hello.last_absence.CopyFrom(pb.Absence(reason=reason, clean=True, boot_id="b1", wall_ns=wall))
        with self.house.store.write() as conn:
            before = hosts.host(conn, identity.agent_id, None)
            assert before is not None
            gen = hosts.open_session(
                conn,
                before.id,
                at=self.at,
                facts={},
                version="1",
                fingerprint="f",
                collector=self.collector or None,
            )
            (arrival,) = arrived(conn, [(before, gen, hello)], self.at)
        self.attendance.welcomed(identity, gen, arrival, slept=slept)
        if live:
            self.attendance.live(identity.agent_id)
        return gen

    def settle(self) -> None:
        self.attendance.write(self.attendance.take())

    def look(self) -> tuple[str, ...]:
        """One second's work of the servicer."""
        judgement = self.attendance.judge(self.attendance.look(everybody=bool(self.collector)))
        self.attendance.settle(self.attendance.claim(judgement.claims), judgement.claims)
        self.settle()
        return judgement.gone

    def wait(self, seconds: float, pace: float = 1.0) -> None:
        """So long, with a look each second."""
        until = self.at + seconds
        while self.at < until:
            self.at = min(until, self.at + pace)
            self.look()

    def value(self, identity: Identity, name: str) -> float | None:
        return self.values.get((identity.agent_id, name))

    def state(self, identity: Identity) -> str:
        (now,) = (state for state, value in self.described[identity.agent_id].items() if value == 1.0)
        return now

    def kinds(self, identity: Identity) -> list[str]:
        with self.house.store.read() as conn:
            return [event.kind for event in reversed(hosts.host_events(conn, identity.agent_id))]
