"""G6: a collector is frozen under load, a second one takes its hosts over, the first one wakes and must write nothing.

Each collector has a database user of its own, and triggers note which user changed which row.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.chaos.outcome import fewer, judged, violated
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.site import Site, served, sited
from tests.e2e.plant import BIN, listens, ports, until

GOAL = "50 freezes: 0 rows written by the fenced side, 0 duplicate tickets"
EVERY, HOLD = 24.0, 9.0
LAST_PHASE = EVERY + HOLD + 10.0
USERS = ("one", "two")
TABLES = ("alert", "episode", "ticket", "ticket_event", "host", "host_event")
AWAKE = 4.0  # seconds a woken collector gets to do harm

_AUDIT = """
CREATE TABLE audit (id bigserial PRIMARY KEY, who text, what text);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO audit (who, what) VALUES (session_user, TG_TABLE_NAME || '' '' || TG_OP); RETURN NULL; END';
"""


@dataclass
class Pair:
    """Two collectors on one database behind one address."""

    site: Site
    proxy: Proxy
    conn: psycopg.Connection
    places: tuple[dict[str, int], dict[str, int]]
    serving: int = 0

    def start(self, number: int) -> None:
        """One of the two, under its own user and name."""
        command = [
            str(BIN / "czuwak"),
            "serve",
            "--config",
            str(self.site.folder / f"{USERS[number]}.toml"),
            "--only",
            "ingest",
        ]
        with self.site.log.open("ab") as log:
            self.site.processes[f"ingest-{number}"] = subprocess.Popen(command, stderr=log)
        until("it listens", lambda: listens(self.places[number]["ingest"]))

    def pid(self, number: int) -> int:
        return self.site.processes[f"ingest-{number}"].pid

    def switch(self) -> int:
        """Freeze the one that serves, lead the agents to the other; rows the frozen one wrote once it was awake."""
        frozen, self.serving = self.serving, 1 - self.serving
        os.kill(self.pid(frozen), signal.SIGSTOP)
        try:
            self.proxy.lead(self.places[self.serving]["ingest"])
            until("the other has every host", lambda: self.held_by_serving(frozen), 90.0)
            before = self.written(frozen)
        finally:
            os.kill(self.pid(frozen), signal.SIGCONT)
        time.sleep(AWAKE)
        return self.written(frozen) - before

    def held_by_serving(self, frozen: int) -> bool:
        living = "select count(*) from host h join collector c on c.id = h.collector_id where c.name like %s"
        found = self.conn.execute(living, (f"%:{self.places[frozen]['ingest']}",)).fetchone()
        return found is not None and found[0] == 0

    def written(self, number: int) -> int:
        found = self.conn.execute("select count(*) from audit where who = %s", (USERS[number],)).fetchone()
        return found[0] if found else 0


def run(budget_seconds: float, folder: Path, agents: int = 50, freezes: int = 50) -> list[str]:
    """Freeze, take over, wake, count; then the roles change. A phase without faults discharges every obligation."""
    written: list[int] = []
    took: list[float] = []
    with Postgres() as cluster, paired(cluster, folder, agents) as pair:
        began = time.monotonic()
        swarm = pair.site.swarm(
            *("--series", "46", "--interval", "1", "--memory", "60", "--widest", "2", "--ramp", "3"),
            *("--crossings", str(agents), "--cross-at", "3", "--cross-spread", str(EVERY)),
            *("--cross-hold", str(HOLD), "--cross-every", str(EVERY)),
            target=f"127.0.0.1:{pair.proxy.port}",
        )
        time.sleep(6)
        while len(written) < freezes and time.monotonic() - began < budget_seconds - LAST_PHASE - 60:
            at = time.monotonic()
            written.append(pair.switch())
            took.append(time.monotonic() - at - AWAKE)
        healthy = time.time()
        fresh = served(pair.site, healthy, agents, LAST_PHASE)
        swarm.finish()
        verdicts = pair.site.settled()
    said = f"{len(written)} freezes, {agents} agents: {sum(written)} rows written by the fenced side"
    lines = [said if not sum(written) else violated(said), f"taken over within {max(took):.1f} s"]
    lines += [judged(rule, verdict) for rule, verdict in verdicts.items()]
    lines += [] if fresh >= agents else [violated(f"only {fresh} of {agents} agents were served a fresh event")]
    return [*lines, *([fewer(f"{len(written)} freezes instead of {freezes}")] if len(written) < freezes else [])]


@contextlib.contextmanager
def paired(cluster: Postgres, folder: Path, agents: int) -> Iterator[Pair]:
    """Both running, the agents led to the first."""
    with sited(folder, url=cluster.url(), agents=agents, parts=()) as site:
        conn = psycopg.connect(cluster.url(), autocommit=True)
        _audit(conn)
        names = ("ingest", "enroll", "web")
        places = (dict(site.ports), ports(names))
        text = site.config.read_text()
        for number, user in enumerate(USERS):
            mine = text.replace("postgresql://postgres@", f"postgresql://{user}@")
            for name in names:
                mine = mine.replace(f':{places[0][name]}"', f':{places[number][name]}"')
            socket = f'query_socket = "{folder}/{user}.sock"\nsnapshot = "{folder}/{user}.snapshot"\n'
            (folder / f"{user}.toml").write_text(mine.replace("[ingest]\n", f"[ingest]\n{socket}"))
        with conn, Proxy(places[0]["ingest"]) as proxy:
            pair = Pair(site, proxy, conn, places)
            for number in range(2):
                pair.start(number)
            yield pair


def _audit(conn: psycopg.Connection) -> None:
    conn.execute(_AUDIT)
    for table in TABLES:
        each = f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION audit()"
        conn.execute(each.encode())
    for user in USERS:
        conn.execute(f"CREATE ROLE {user} SUPERUSER LOGIN".encode())
