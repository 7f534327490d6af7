"""Two collectors on one PostgreSQL and an agent that knows both: one is killed, the agent goes to the other."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.chaos.postgres import Postgres
from tests.e2e.plant import BIN, Plant, listens, planted, ports, until

RULES = """\
groups:
  - name: files
    rules:
      - alert: FlagIsUp
        expr: demo_flag == 1
        labels: {severity: warning}
        annotations: {summary: "The flag is up on {{ $labels.host }}"}
      - alert: OtherIsUp
        expr: demo_other == 1
        for: 3s
        labels: {severity: warning}
        annotations: {summary: "The other is up on {{ $labels.host }}"}
"""
OWN = ("ingest", "enroll", "page")


class Pair:
    """The two, by the port that agents reach them at."""

    def __init__(self, site: Plant, conn: psycopg.Connection) -> None:
        self.site = site
        self.conn = conn
        self.second = ports(OWN)
        self.names = {site.ports["ingest"]: "ingest", self.second["ingest"]: "second"}

    def start_second(self) -> None:
        """Another ingest process: addresses, socket and snapshot of its own, all else shared."""
        text = self.site.config.read_text()
        for name in OWN[:2]:
            text = text.replace(f':{self.site.ports[name]}"', f':{self.second[name]}"')
        own = f'query_socket = "{self.site.folder}/second.sock"\nsnapshot = "{self.site.folder}/second.snapshot"\n'
        config = self.site.folder / "second.toml"
        config.write_text(text.replace("[ingest]\n", f"[ingest]\n{own}"))
        with self.site.log.open("ab") as log:
            words = ["serve", "--config", str(config), "--only", "ingest"]
            self.site.processes["second"] = subprocess.Popen([BIN / "czuwak", *words], stderr=log)
        until("the second listens", lambda: listens(self.second["ingest"]))

    def holder(self) -> int:
        """The port of the collector that holds the one host; 0 before its first session."""
        rows = self.rows("select c.name from host h join collector c on c.id = h.collector_id")
        return int(rows[0][0].rpartition(":")[2]) if rows else 0

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.conn.execute(query.encode()).fetchall()

    def timeline(self, number: str) -> list[str]:
        of_ticket = "select e.kind from ticket_event e join ticket t on t.id = e.ticket_id where t.number = %s"
        return [row[0] for row in self.conn.execute(f"{of_ticket} order by e.id".encode(), (number,))]


@contextmanager
def paired(folder: Path) -> Iterator[Pair]:
    with Postgres() as cluster:
        database = f'[database]\nurl = "{cluster.url()}"\n'
        with (
            planted(folder, RULES, ("ingest", "web", "worker"), more=database) as site,
            closing(psycopg.connect(cluster.url(), autocommit=True)) as conn,
        ):
            pair = Pair(site, conn)
            pair.start_second()
            yield pair


@pytest.mark.server("postgres")
def test_the_agent_of_a_killed_collector_goes_to_the_other_and_no_ticket_is_lost_or_doubled(tmp_path: Path) -> None:
    flags = tmp_path / "flags"
    flags.mkdir()
    (flags / "flag.prom").write_text("demo_flag 1\n")
    (flags / "other.prom").write_text("demo_other 0\n")
    with paired(tmp_path / "collector") as pair:
        site = pair.site
        known = ", ".join(f'"127.0.0.1:{port}"' for port in pair.names)
        site.enrol("host", collector=f"address = [{known}]", probes=f'textfiles = "{flags}"')
        opened = site.ticket("FlagIsUp")
        first = pair.holder()
        site.kill(pair.names[first])
        (flags / "other.prom").write_text("demo_other 1\n")  # begins while nobody listens
        other = site.ticket("OtherIsUp")
        (second,) = pair.names.keys() - {first}
        assert pair.holder() == second
        (flags / "flag.prom").write_text("demo_flag 0\n")
        recovered = site.ticket("FlagIsUp", lambda ticket: ticket["recovered_at"] is not None)
        assert recovered["number"] == opened["number"]
        assert {ticket[0] for ticket in pair.rows("select number from ticket")} == {opened["number"], other["number"]}
        assert pair.timeline(opened["number"]) == ["opened", "recovered"]
        assert pair.timeline(other["number"]) == ["opened"]
        assert pair.rows("select lost, session_gen > 1 from host") == [(0, True)]
