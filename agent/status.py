"""What a running agent says of itself, read from its own Prometheus page and the state directory."""

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from agent import renewal
from agent.config import Config
from agent.identity import FACTS, Facts, renewal_due
from agent.serve import STATUS_FILE
from agent.text import joined, plain

_Kind = TypeVar("_Kind")

TIMEOUT_SECONDS = 3.0
MAX_PAGE = 8 * 1024 * 1024
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Status:
    """One agent at one moment. `ok`: it runs and, if it is enrolled, streams."""

    running: bool
    enrolled: bool
    connected: bool
    host: str = ""
    collector: str = ""
    problem: str = ""
    certificate: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.running and (self.connected or not self.enrolled)


class _State(msgspec.Struct, frozen=True):
    collector: str = ""
    problem: str = ""


def read(config: Config) -> Status:
    """Ask the agent. Never raises for an agent that is not there."""
    facts = _decoded(config.identity_dir / FACTS, Facts)
    state = _decoded(config.state_dir / STATUS_FILE, _State) or _State()
    try:
        numbers = own_numbers(_page(config.listen)) if config.listen else {}
        problem = state.problem
    except (OSError, ValueError, http.client.HTTPException) as error:
        numbers = {}
        where = joined(config.listen or ("", 0))
        problem = f"no agent answers at {where}: {plain(str(error))}; start it with `czuwak-agent run`"
    connected = numbers.get("czuwak_agent_uplink_connected") == 1
    return Status(
        running=bool(numbers),
        enrolled=facts is not None,
        connected=connected,
        host=facts.host if facts else "",
        collector=state.collector or (facts.collector if facts else ""),
        problem="" if connected else problem,
        certificate=_certificate(facts, renewal.state(config.state_dir).problem, time.time()) if facts else "",
        numbers=numbers,
    )


def lines(status: Status) -> list[str]:
    """One screen for a person."""
    stream = "no identity: only the Prometheus page" if not status.enrolled else "not connected"
    screen = [
        f"agent      {'running' if status.running else 'not running'}",
        f"host       {status.host or '-'}",
        f"collector  {status.collector or '-'}",
        f"stream     {'connected' if status.connected else stream}",
    ]
    if status.certificate:
        screen.append(f"renewal    {status.certificate}")
    if status.problem:
        screen.append(f"problem    {status.problem}")
    return screen + [f"{name} {value:.10g}" for name, value in sorted(status.numbers.items())]


def as_json(status: Status) -> dict[str, object]:
    """The same for scripts."""
    return {
        "ok": status.ok,
        "running": status.running,
        "enrolled": status.enrolled,
        "connected": status.connected,
        "host": status.host,
        "collector": status.collector,
        "problem": status.problem,
        "certificate": status.certificate,
        "metrics": dict(status.numbers),
    }


def own_numbers(page: str) -> dict[str, float]:
    """The agent's own series on a page, as name -> value, labels in braces. ValueError for what is no page."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name.startswith("czuwak_agent_"):
                inner = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{inner}}}" if inner else sample.name] = sample.value
    return found


def _certificate(facts: Facts, problem: str, now: float) -> str:
    if not facts.not_after:
        return ""
    days = (facts.not_after - now) / DAY
    told = f"certificate good for {days:.1f} days" if days > 0 else f"certificate ended {-days:.1f} days ago"
    if problem:
        return f"{told}; not renewed: {problem}"
    return f"{told}; renewal is due" if renewal_due(facts, now) else f"{told}, renewed by itself before"


def _page(listen: tuple[str, int]) -> str:
    host, port = listen
    connection = http.client.HTTPConnection(host or "127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise ValueError(f"its page answers {answer.status}")
        return answer.read(MAX_PAGE).decode("utf-8", "replace")
    finally:
        connection.close()


def _decoded(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None
