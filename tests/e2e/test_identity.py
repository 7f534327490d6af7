"""A real agent's certificate over its life: renewed by itself, expired while it was off, revoked."""

import time
from pathlib import Path

from tests.e2e.plant import Plant, planted, until

LIFE = 20.0


def used(site: Plant) -> int:
    """Certificates with which a stream was opened."""
    return len(site.rows("select 1 from certificate where used_at is not null"))


def connected(site: Plant) -> bool:
    return "czuwak_agent_uplink_connected 1" in site.page()


def test_a_certificate_renews_itself_returns_after_its_end_and_never_after_revocation(tmp_path: Path) -> None:
    more = f'[ca]\nagent_certificates = "{LIFE:g}s"\n'
    with planted(tmp_path / "c", "groups: []\n", parts=("ingest", "web"), more=more) as site:
        site.enrol("pc1")
        until("it streams", lambda: used(site) == 1 and connected(site))
        until("it streams with a renewed certificate", lambda: used(site) >= 2 and connected(site))
        site.kill("pc1")
        before = used(site)
        time.sleep(LIFE + 1)
        site.agent("pc1")
        until("it is back by its key", lambda: used(site) > before and connected(site))
        site.command("host", "revoke", site.rows("select name from host")[0][0], "--config", str(site.config))
        until("it is cut", lambda: not connected(site))
        time.sleep(LIFE / 2)
        assert not connected(site)
