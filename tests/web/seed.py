"""Realistic tickets and computers for the tests and for looking at the pages, through the product's own door."""

import math
from dataclasses import dataclass

from collector.alerts.alert import AlertChanges, AlertEvent, EventKind, Evidence, EvidenceLine
from collector.intake import Intake
from collector.labels import Labels, dedup_key
from collector.store import Store, enrollments, hosts, tickets, users
from collector.store.hosts import Host
from collector.store.users import User
from collector.tickets.action import Action, Comment, Move, SetPriority, Take
from collector.tickets.ticket import Actor, Kind, Level, NewTicket, Source, Status
from web.auth import hash_password

NOW = 1_795_420_800.0  # 2026-11-23 08:00 UTC, a Monday
PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD)
FACTS = {
    "os": "Debian GNU/Linux",
    "os_version": "12",
    "kernel": "6.1.0-26-amd64",
    "architecture": "x86_64",
    "cpu_model": "AMD EPYC 7302P",
    "cpu_count": 8,
    "memory_bytes": 33_600_000_000,
    "boot_time_seconds": NOW - 41 * 86400,
    "addresses": ["10.20.0.14"],
}


@dataclass(frozen=True)
class Seeded:
    """What was made."""

    anna: User
    jan: User
    admin: User
    hosts: dict[str, Host]
    numbers: list[str]


def people(store: Store) -> tuple[User, User, User]:
    """Two technicians - one of them for the company alfa only - and an admin; two companies."""
    with store.write() as conn:
        hosts.add_company(conn, "alfa", "Alfa sp. z o.o.", NOW - 90 * 86400)
        hosts.add_company(conn, "beta", "Beta S.A.", NOW - 90 * 86400)
        anna = users.add_user(conn, "anna", "Anna Kowal", HASH, at=NOW, language="")
        jan = users.add_user(conn, "jan", "Jan Nowak", HASH, at=NOW, companies=frozenset({"alfa"}))
        admin = users.add_user(conn, "admin", "Łucja Żak", HASH, "admin", at=NOW)
    return anna, jan, admin


def computer(store: Store, name: str, company: str, site: str, class_: str, presence: str = "online") -> Host:
    """An enrolled host that was seen six seconds ago, or two hours if it is away."""
    with store.write() as conn:
        made = enrollments.add_host(
            conn,
            host_id=f"id-{name}",
            company=company,
            site=site,
            class_=class_,
            name=name,
            enrollment_id=f"e-{name}",
            key_hash="k",
            serial=f"s-{name}",
            certificate_pem="",
            not_after=NOW + 86400,
            at=NOW - 30 * 86400,
        )
        gen = hosts.open_session(conn, made.id, at=NOW - 6, facts=FACTS, version="0.1.0", fingerprint="f")
        hosts.set_presence(conn, made.id, gen, presence, "" if presence == "online" else "reboot", NOW - 7200, None)
        hosts.touch(conn, [(made.id, gen)], NOW - (6 if presence == "online" else 7200))
        hosts.add_host_event(conn, made.id, NOW - 30 * 86400, "enrolled", {})
        hosts.add_host_event(conn, made.id, NOW - 7200, "presence", {"presence": presence, "reason": "reboot"})
        found = hosts.host(conn, made.id, None)
    assert found is not None
    return found


def disk_evidence(at: float, host: str) -> Evidence:
    """An hour of a disk that fills up and crosses its threshold."""
    times = tuple(at - 3600 + 30 * i for i in range(1, 121))
    values = tuple(0.20 - 0.00135 * max(0, i - 20) + 0.002 * math.sin(i) for i in range(120))
    labels = Labels.of({"instance": host, "mountpoint": "/", "device": "/dev/sda1"})
    return Evidence(
        "node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.08\n  and node_filesystem_avail_bytes < 10e9",
        0.08,
        "<",
        (EvidenceLine(labels, times, values),),
        "node_filesystem_avail_bytes / node_filesystem_size_bytes",
    )


def alert(
    kind: EventKind,
    rule: str,
    host: Host,
    title: tuple[str, str],
    severity: str,
    at: float,
    started_at: float | None = None,
) -> AlertEvent:
    """What a rule says about a host; `title` is (English, Polish)."""
    labels = Labels.of({"alertname": rule, "instance": host.instance, "host": host.name, "company": host.company})
    book = "runbooks/en/HostFilesystemFull" if rule == "HostDiskFull" else f"https://wiki.example/runbooks/{rule}"
    texts = {"summary": title[0], "summary_pl": title[1], "runbook_url": book}
    return AlertEvent(
        kind=kind,
        source="rules",
        key=dedup_key(host.company, "rules", labels),
        labels=labels.with_({"severity": severity, "impact": "high" if severity == "critical" else "medium"}),
        annotations=texts,
        value=0.0412,
        at=at,
        started_at=at if started_at is None else started_at,
        rule=f"uid-{rule}",
        rule_name=rule,
        evidence=disk_evidence(at, host.instance),
    )


def fire(intake: Intake, event: AlertEvent) -> None:
    """One evaluation with this event."""
    intake.alerts(AlertChanges(events=(event,)), event.at)


def estate(store: Store, intake: Intake) -> Seeded:
    """A Monday morning: tickets in every state, from rules and from people, in both languages."""
    anna, jan, admin = people(store)
    made = {
        name: computer(store, name, company, site, class_, presence)
        for name, company, site, class_, presence in (
            ("srv-db-02", "alfa", "Wrocław", "server", "online"),
            ("srv-file-01", "alfa", "Wrocław", "server", "online"),
            ("srv-app-03", "beta", "Gdańsk", "server", "away_unexplained"),
            ("pc-ksieg-07", "alfa", "Wrocław", "workstation", "online"),
            ("lap-handel-11", "beta", "Gdańsk", "laptop", "away_planned"),
            ("kiosk-recepcja", "beta", "Gdańsk", "kiosk", "online"),
        )
    }
    acting = {user.login: Actor(user.id, user.name) for user in (anna, jan)}
    numbers: list[str] = []

    def person(at: float, title: str, who: str, impact: Level, urgency: Level, company: str = "alfa") -> str:
        new = NewTicket(
            company, title, Kind.INCIDENT_PERSON, Source.PHONE, "", requester=who, impact=impact, urgency=urgency
        )
        number = intake.open_by_person(new, acting["anna"], at).number
        numbers.append(number)
        return number

    low, mid, high = Level.LOW, Level.MEDIUM, Level.HIGH
    old = person(NOW - 4 * 86400, "Poproszę o drugi monitor", "Piotr Nowak", low, low)
    intake.act(old, [Take(), Move(Status.WAITING_PART)], acting["jan"], NOW - 4 * 86400 + 900)
    mail = person(
        NOW - 86400,
        "Nie mogę wysłać poczty z załącznikiem większym niż 10 MB do klienta w Niemczech",
        "Marta Zielińska",
        mid,
        mid,
    )
    intake.act(mail, [Take(), Move(Status.WAITING_REQUESTER)], acting["jan"], NOW - 86400 + 1200)
    print_ = person(NOW - 3 * 86400, "Drukarka na 2. piętrze nie drukuje w kolorze", "Ewa Lis", low, mid)
    intake.act(print_, [Take()], acting["anna"], NOW - 3 * 86400 + 60)
    intake.act(print_, [Move(Status.CLOSED, "Wymieniony toner.")], acting["anna"], NOW - 3 * 86400 + 2400)
    disk = (
        "Disk / on srv-db-02 is nearly full: 4.1 % (2.1 GB) left",
        "Dysk / na srv-db-02 jest prawie pełny: zostało 4,1 % (2,1 GB)",
    )
    db = made["srv-db-02"]
    earlier = alert(EventKind.FIRED, "HostDiskFull", db, disk, "critical", NOW - 20 * 86400)
    fire(intake, earlier)
    solved: list[Action] = [Take(), Move(Status.CLOSED, "Skasowano stare archiwa WAL, ustawiono archive_cleanup.")]
    intake.act(_number(store, earlier.key), solved, acting["jan"], NOW - 20 * 86400 + 2100)
    for rule, host, title, severity, at in (
        (
            "RaidDegraded",
            "srv-file-01",
            ("RAID md0 runs without one disk", "Macierz md0 działa bez jednego dysku"),
            "warning",
            NOW - 7200,
        ),
        (
            "ServiceDown",
            "pc-ksieg-07",
            ("Service “Print Spooler” is not running", "Usługa „Bufor wydruku” nie działa"),
            "warning",
            NOW - 1260,
        ),
        ("HostMemoryHigh", "srv-app-03", ("Memory 97 % used", "Pamięć zajęta w 97 %"), "warning", NOW - 10800),
        (
            "CertificateEnds",
            "kiosk-recepcja",
            ("Certificate www.firma.example ends in 9 days", "Certyfikat www.firma.example wygasa za 9 dni"),
            "info",
            NOW - 2640,
        ),
        (
            "BatteryWorn",
            "lap-handel-11",
            ("Laptop battery worn (52 % capacity)", "Bateria laptopa zużyta (52 % pojemności)"),
            "info",
            NOW - 2 * 86400,
        ),
        ("HostDiskFull", "srv-db-02", disk, "critical", NOW - 400),
    ):
        event = alert(EventKind.FIRED, rule, made[host], title, severity, at)
        fire(intake, event)
        numbers.append(_number(store, event.key))
        if rule == "RaidDegraded":
            intake.act(numbers[-1], [Take()], acting["anna"], at + 900)
        if rule == "HostMemoryHigh":
            unknown = alert(EventKind.UNKNOWN, rule, made[host], title, severity, NOW - 7000, started_at=at)
            fire(intake, unknown)
        if rule == "BatteryWorn":
            back = alert(EventKind.RECOVERED, rule, made[host], title, severity, NOW - 86400, started_at=at)
            fire(intake, back)
    note = Comment("Wczoraj wieczorem ruszyła nowa replikacja, podejrzewam sloty.", public=False)
    reply = Comment("Baza może zwolnić do 10:00. Pracujemy nad tym.", public=True)
    intake.act(numbers[-1], [note], acting["jan"], NOW - 200)
    intake.act(numbers[-1], [reply], acting["anna"], NOW - 90)
    intake.act(mail, [SetPriority(high, mid)], acting["anna"], NOW - 3600)
    return Seeded(anna, jan, admin, made, numbers)


def _number(store: Store, key: str) -> str:
    with store.read() as conn:
        found = tickets.open_by_key(conn, (key,))[key]
    return found.number
