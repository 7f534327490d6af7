"""What the web part is given when it is made, and how a view reaches it. No request and no page here."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import cast

from flask import current_app

from collector.intake import Intake
from collector.store import Store
from web.live import Live

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Everything the pages need from the configuration; `now` gives Unix seconds, UTC.

    `forwarded_allow` and `metrics_allow` are networks (`10.0.0.0/8`) or single addresses. Raises ValueError for a
    secret shorter than 16 bytes or a network that is none.
    """

    secret_key: bytes
    forwarded_allow: tuple[str, ...] = ()
    secure_cookies: bool = False
    metrics_allow: tuple[str, ...] = ("127.0.0.0/8", "::1")
    metrics_token: str | None = None
    version: str = ""
    timezone: str = "Europe/Warsaw"
    session_seconds: float = 12 * 3600.0
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if len(self.secret_key) < 16:
            raise ValueError("the web secret is shorter than 16 bytes")
        networks(self.forwarded_allow)
        networks(self.metrics_allow)


@dataclass(frozen=True, slots=True)
class Parts:
    """The real parts behind the pages, made in the composition root."""

    store: Store
    intake: Intake
    live: Live
    settings: WebSettings

    def now(self) -> float:
        """Unix seconds, UTC."""
        return self.settings.now()


def networks(names: tuple[str, ...]) -> tuple[Network, ...]:
    """The networks by their text; raises ValueError for one that is none."""
    return tuple(ip_network(name, strict=False) for name in names)


def parts() -> Parts:
    """The parts of the application that serves this request."""
    return cast("Parts", current_app.extensions["czuwak"])
