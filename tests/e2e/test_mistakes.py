"""Wrong input to a collector that runs: what is refused says why, and everything else goes on."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.ingest import ca
from tests.e2e.plant import BIN, Plant, configuration, listens, ports, until

Start = Callable[..., Plant]

ALWAYS = """\
groups:
  - name: {name}
    rules:
      - alert: {name}
        expr: vector(1) > 0
        labels: {{severity: warning}}
        annotations: {{summary: "{name}"}}
"""


def enrol(site: Plant, token: str, name: str) -> "subprocess.CompletedProcess[str]":
    folder = site.folder / name
    folder.mkdir()
    (folder / "join").write_text(token)
    (folder / "agent.toml").write_text(f'[identity]\ndir = "{folder}/identity"\n')
    words = [
        "enroll", "--config", str(folder / "agent.toml"), "--collector", f"127.0.0.1:{site.ports['enroll']}",
        "--token-file", str(folder / "join"), "--ca-fingerprint", ca.load(site.folder / "ca").fingerprint,
    ]  # fmt: skip
    done = subprocess.run([BIN / "czuwak-agent", *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        assert not (folder / "identity" / "identity.json").exists()
    return done


def created(site: Plant, *words: str) -> str:
    made = site.command("token", "create", *words, "--config", str(site.config), "--json")
    return str(json.loads(made)["token"])


def test_a_token_or_identity_that_does_not_fit_is_told_to_the_agent_and_changes_nothing(plant: Start) -> None:
    site = plant(ALWAYS.format(name="First"))
    once = created(site)
    assert enrol(site, once, "good").returncode == 0
    revoked = created(site)
    site.command("token", "revoke", "2", "--config", str(site.config))
    wrong = {
        "unknown": ("czj_nobody-made-this-one", "is not known here"),
        "used": (once, "has been used up; make a new one"),
        "revoked": (revoked, "was revoked"),
        "other": (created(site, "--name", "another-host"), "is only for hosts named another-host"),
    }
    for name, (token, said) in wrong.items():
        done = enrol(site, token, name)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr
        assert done.stderr.count("\n") == 1
    assert len(json.loads(site.command("host", "list", "--config", str(site.config), "--json"))) == 1

    stranger = site.folder / "good" / "identity"
    with_identity_of_another_authority(site.folder / "other-ca", stranger)
    agent = subprocess.Popen(
        [BIN / "czuwak-agent", "run", "--config", str(site.folder / "good" / "agent.toml"), "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert agent.stderr is not None
        line = next(line for line in agent.stderr if "action=uplink_lost" in line)
    finally:
        agent.terminate()
        agent.communicate(timeout=20)
    assert "certificate" in line or "identity" in line
    assert site.get("/-/ready") is not None


def with_identity_of_another_authority(folder: Path, identity: Path) -> None:
    """Puts a certificate that another collector signed into the agent's identity; the rest stays as it is."""
    from cryptography import x509  # noqa: PLC0415 - only here
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    key = serialization.load_pem_private_key((identity / "key.pem").read_bytes(), password=None)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    issued = ca.create(folder).sign_agent(request.public_bytes(serialization.Encoding.DER), "agent-1", time.time())
    (identity / "cert.pem").write_text(issued.certificate_pem)


def test_a_broken_rule_file_at_reload_is_told_by_place_and_the_running_rules_stay(plant: Start) -> None:
    site = plant(ALWAYS.format(name="First"))
    (supervisor,) = site.processes.values()
    first, before = site.ticket("First"), site.pids()
    assert set(before) == {"ingest", "web", "worker"}

    for broken, said in ((":", "rules.yml:1:"), (ALWAYS.format(name="Next").replace("> 0", ">"), "rules.yml:5:")):
        told = len(site.lines("reload_failed"))
        (site.folder / "rules.yml").write_text(broken)
        supervisor.send_signal(signal.SIGHUP)
        until("it is told", lambda told=told: len(site.lines("reload_failed")) > told)  # type: ignore[misc]
        assert said in site.lines("reload_failed")[-1]["message"]
    (site.folder / "rules.yml").unlink()
    supervisor.send_signal(signal.SIGHUP)
    until("it is told", lambda: "which is no file" in site.lines("reload_failed")[-1]["message"])
    assert site.ticket("First")["version"] == first["version"]

    (site.folder / "rules.yml").write_text(ALWAYS.format(name="Second"))
    supervisor.send_signal(signal.SIGHUP)
    site.ticket("Second")
    site.ticket("First", lambda ticket: ticket["status"] == "closed" or ticket["recovered_at"] is not None)
    assert site.pids() == before
    assert [pid for pid in before.values() if not Path(f"/proc/{pid}").exists()] == []


def test_a_killed_part_returns_and_none_outlives_a_killed_supervisor(plant: Start) -> None:
    site = plant(ALWAYS.format(name="First"))
    site.ticket("First")
    before = site.pids()
    for part in before:
        os.kill(before[part], signal.SIGKILL)
    until("all are started again", lambda: not set(site.pids().values()) & set(before.values()))
    site.ready()
    until("ingest serves", lambda: len(site.lines("serving")) == 2)
    site.kill("ingest,web,worker", signal.SIGKILL)
    pids = site.pids().values()
    until("all are gone", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    until("nobody listens", lambda: not any(map(listens, site.ports.values())))


@pytest.mark.parametrize(
    ("name", "only"), [("ingest", ""), ("enroll", ""), ("web", ""), ("web", "web"), ("enroll", "ingest")]
)
def test_a_port_in_use_ends_the_whole_with_its_address(tmp_path: Path, name: str, only: str) -> None:
    chosen = ports(("ingest", "enroll", "web"))
    config = tmp_path / "czuwak.toml"
    config.write_text(configuration('["default"]', chosen))
    subprocess.run([BIN / "czuwak", "init", tmp_path], check=True, stderr=subprocess.DEVNULL)
    words = ["serve", "--config", str(config), *(("--only", only) if only else ())]
    with socket.create_server(("127.0.0.1", chosen[name])):
        done = subprocess.run([BIN / "czuwak", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"isten on 127.0.0.1:{chosen[name]}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("czuwak: ")
