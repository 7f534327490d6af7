"""Ingest CPU per sample and the time from a crossing's leaving the agent to its committed ticket, over real mTLS."""

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.ingest import ca
from collector.store import enrollments, hosts, open_store
from tests.bench import process
from tests.e2e.plant import Plant, planted

RULES = """
groups:
  - name: bench
    rules:
      - alert: BenchLevel
        expr: bench_level > 90
        labels: {severity: info}
        annotations: {summary: "over {{ $value }}"}
"""


def run(folder: Path, agents: int = 200, series: int = 500, rounds: int = 40, crossings: int = 60) -> list[str]:
    """Lines: CPU per sample of the ingest process, its memory, what was acknowledged, and the latency's quantiles."""
    parts = ("ingest", "web", "worker")
    with planted(folder / "ingest", RULES, parts, files='["default", "rules.yml"]') as site:
        keys = identities(site, agents)
        pid = site.processes["ingest"].pid
        time.sleep(2)  # the identities are noticed
        target = f"127.0.0.1:{site.ports['ingest']}"
        words = [str(keys), target, str(rounds), "1.0", str(series), str(crossings)]
        before = process.cpu_seconds(pid)
        swarm = subprocess.Popen([sys.executable, "-m", "tests.bench.swarm", *words], stdout=subprocess.PIPE, text=True)
        seen, warm = watch(site, swarm, pid)
        out, _ = swarm.communicate()
        cost = process.cpu_seconds(pid) - warm[0]
        told = json.loads(out)
        memory = process.pss_mib(pid)
    samples = agents * series * (rounds - warm[1])
    late = sorted(seen[name] - at for name, at in told["crossed"].items() if name in seen)
    heard = f"{told['sent']} batches sent, {told['acked']} acknowledged"
    cpu = f"{cost * 1e6 / samples:.2f} us CPU a sample, {memory:.0f} MiB PSS"
    p99 = late[min(len(late) - 1, int(len(late) * 0.99))]
    quantiles = f"p50 {statistics.median(late):.2f} s, p99 {p99:.2f} s"
    return [
        f"{agents} agents x {series} series each second over mTLS: {heard}",
        f"whole ingest process (TLS, head, default rules each second, tickets): {cpu}",
        f"connecting and warming up: {warm[0] - before:.1f} s CPU",
        f"crossing sent -> ticket committed: {len(late)} of {len(told['crossed'])}, {quantiles}",
    ]


def watch(site: Plant, swarm: "subprocess.Popen[str]", pid: int) -> tuple[dict[str, float], tuple[float, int]]:
    """When each host's ticket was first visible, and (CPU so far, rounds past) at a quarter of the run, as warm-up."""
    seen: dict[str, float] = {}
    began, warm = time.time(), None
    with sqlite3.connect(f"file:{site.folder}/czuwak.db?mode=ro", uri=True, timeout=5) as conn:
        while swarm.poll() is None:
            rows = conn.execute("select host from ticket where rule_name = 'BenchLevel'").fetchall()
            at = time.time()
            for (name,) in rows:
                seen.setdefault(name, at)
            if warm is None and at - began > 15:
                warm = (process.cpu_seconds(pid), int(at - began))
            time.sleep(0.01)
    conn.close()
    return seen, warm or (0.0, 0)


def identities(site: Plant, count: int) -> Path:
    """`count` enrolled hosts with keys and certificates in a folder; what enrolment does, without its network."""
    folder = site.folder / "swarm"
    folder.mkdir()
    authority = ca.load(site.folder / "ca")
    (folder / "ca.pem").write_bytes(authority.ca_pem)
    store = open_store(f"sqlite:///{site.folder}/czuwak.db")
    at = time.time()
    with store.write() as conn:
        company = hosts.companies(conn)[0].slug
        for number in range(count):
            name, host_id = f"bench-{number:04d}", f"00000000-0000-4000-8000-{number:012d}"
            key = ec.generate_private_key(ec.SECP256R1())
            csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
            issued = authority.sign_agent(csr.public_bytes(serialization.Encoding.DER), host_id, at)
            (folder / f"{name}.key").write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            (folder / f"{name}.pem").write_text(issued.certificate_pem)
            enrollments.add_host(
                conn, host_id=host_id, company=company, site="bench", class_="server", name=name,
                enrollment_id=name, key_hash=name, serial=issued.serial, certificate_pem=issued.certificate_pem,
                not_after=issued.not_after, at=at,
            )  # fmt: skip
    store.close()
    return folder
