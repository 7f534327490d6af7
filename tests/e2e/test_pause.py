"""A pause that somebody asked for while the collector was away, on real processes."""

import json
import signal
from collections.abc import Callable

from tests.e2e.plant import Plant, until

WHOLE = "ingest,web,worker"


def presence(site: Plant) -> tuple[str, str]:
    """The one host's presence and its reason."""
    page = site.get("/api/v1/hosts")
    found = json.loads(page)["hosts"][0] if page else {"presence": "", "presence_reason": ""}
    return found["presence"], found["presence_reason"]


def test_a_goodbye_that_nobody_heard_is_said_when_the_collector_is_back(plant: Callable[..., Plant]) -> None:
    site = plant()
    site.enrol("host")
    config = str(site.folder / "host" / "agent.toml")
    until("the host is online", lambda: presence(site)[0] == "online")
    site.kill(WHOLE, signal.SIGTERM)
    until("the agent knows", lambda: "czuwak_agent_uplink_connected 0.0" in site.page())
    site.command("goodbye", "--reason", "user_pause", "--back", "2h", "--config", config, program="czuwak-agent")
    site.serve()
    site.ready()
    until("the pause is known, long before its end", lambda: presence(site) == ("away_planned", "user_pause"), 150)
    assert json.loads((site.folder / "host/state/absence.json").read_text())["reason"].endswith("USER_PAUSE")
    site.command("resume", "--config", config, program="czuwak-agent")
    until("the host is back", lambda: presence(site)[0] == "online")
    assert site.tickets("HostSilent") == []
