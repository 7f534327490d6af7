"""Goodbyes that nobody heard at first, on real processes: the collector was away."""

import json
import re
import signal
from collections.abc import Callable

from tests.e2e.plant import Plant, until

WHOLE = "ingest,web,worker"
TRIES = 6  # the next one is up to 32 s away


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


def test_an_agent_that_stops_between_two_tries_is_heard_by_a_collector_that_has_just_started(
    plant: Callable[..., Plant],
) -> None:
    site = plant()
    site.enrol("host")
    until("the host is online", lambda: presence(site)[0] == "online")
    before = tries(site)
    site.kill(WHOLE, signal.SIGKILL)
    until("its tries are far apart", lambda: tries(site) - before >= TRIES)
    site.serve()
    site.ready()
    site.kill("host", signal.SIGTERM)
    until("its stop is known", lambda: presence(site) == ("away_planned", "agent_stop"), 20)


def tries(site: Plant) -> int:
    """How often the agent has begun to wait for its next try."""
    found = re.search(r"^czuwak_agent_reconnects_total (\d+)", site.page(), re.MULTILINE)
    return int(found[1]) if found else 0
