"""The composition root: each part of the collector built in one straight function, read top to bottom.

The only module that may import `web`. Each part is a process of its own: gRPC servers and pre-forking web servers
never share one.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from collector import supervise
from collector.config import Config
from collector.errors import CollectorError, ConfigError
from collector.intake import Intake
from collector.rules import load as rules
from collector.rules.model import Group
from collector.store import StoreError, open_store
from collector.tickets.desk import Policy

log = logging.getLogger(__name__)

PARTS = ("ingest", "web", "worker")
TICK = 1.0  # seconds between two looks of the worker
DEFAULTS = Path(__file__).parent / "rules" / "defaults"


def serve(config: Config, only: Sequence[str] = PARTS) -> int:
    """Run the parts named: one in this process, several as supervised children. Returns the exit code."""
    if os.environ.get("CZUWAK_SUPERVISED"):
        supervise.die_with_parent()
    if len(only) > 1:
        check_ready(config)
        return supervise.supervise([(part, _command(config, part)) for part in only])
    return {"ingest": run_ingest, "web": run_web, "worker": run_worker}[only[0]](config)


def check_ready(config: Config) -> None:
    """Everything that can be wrong before a part starts, found in one place; raises CollectorError and its kin."""
    load_rules(config)
    open_store(config.database.url).close()
    for path, what in ((config.ca.dir / "ca.pem", "certificate authority"), (config.web.secret_file, "cookie secret")):
        if not path.is_file():
            raise CollectorError(f"{path}: the {what} is missing; `czuwak init {config.folder}` makes it")


def rule_files(config: Config) -> tuple[Path, ...]:
    """The files behind `rules.files`; a pattern that matches nothing is a mistake."""
    found: list[Path] = []
    for pattern in config.rules.files:
        folder, glob = (DEFAULTS, "*.yml") if pattern == "default" else (config.folder, pattern)
        matched = [Path(pattern)] if Path(pattern).is_absolute() else sorted(folder.glob(glob))
        if not matched or not all(path.is_file() for path in matched):
            raise ConfigError((f"{config.path}: rules.files names {pattern!r}, which matches no file",))
        found += matched
    return tuple(dict.fromkeys(found))


def load_rules(config: Config) -> tuple[Group, ...]:
    """All rule groups; raises RuleFileError with every mistake of the first bad file."""
    return tuple(group for path in rule_files(config) for group in rules.load(path))


def policy(config: Config) -> Policy:
    """The desk's policy as configured."""
    return Policy(settle=config.tickets.settle, reopen_window=config.tickets.reopen_window)


def run_ingest(config: Config) -> int:
    """Agents' streams, head, rules and presence; until SIGTERM."""
    from collector.ingest import process  # noqa: PLC0415 - the web process never loads gRPC servers and numpy

    settings = process.IngestSettings(
        listen=config.ingest.listen,
        enrollment_listen=config.ingest.enrollment_listen,
        advertise=config.ingest.advertise,
        query_socket=config.ingest.query_socket,
        ca_dir=config.ca.dir,
        database=config.database.url,
        interval=config.ingest.interval,
        offline_after=config.ingest.offline_after,
        evaluation_interval=config.rules.evaluation_interval,
        unknown_after=config.rules.unknown_after,
    )
    asyncio.run(process.serve(settings, load_rules=lambda: load_rules(config), policy=policy(config)))
    return 0


def run_web(config: Config) -> int:
    """The helpdesk's pages and HTTP interface, in gunicorn; until SIGTERM."""
    from web import server  # noqa: PLC0415 - only this process loads flask
    from web.app import create_app  # noqa: PLC0415
    from web.live import Live  # noqa: PLC0415
    from web.settings import WebSettings  # noqa: PLC0415

    settings = WebSettings(
        secret_key=secret(config.web.secret_file).encode(),
        forwarded_allow=config.web.forwarded_allow,
        secure_cookies=config.web.secure_cookies,
        metrics_allow=config.web.metrics_allow,
        metrics_token=secret(config.web.metrics_token_file) if config.web.metrics_token_file else None,
        version=version("czuwak"),
        timezone=config.web.timezone,
    )

    def make() -> object:
        store = open_store(config.database.url)
        live = Live(f"unix:{config.ingest.query_socket}")
        return create_app(store, Intake(store, policy(config)), live, settings)

    return server.run(make, listen=config.web.listen, threads=config.web.threads)


def run_worker(config: Config) -> int:
    """What time alone does to tickets; until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_store(config.database.url)
    try:
        work(Intake(store, policy(config)), stop)
    finally:
        store.close()
    return 0


def work(intake: Intake, stop: threading.Event, pause: float = TICK) -> None:
    """Tick until told to stop; a database that is away is waited for and said once."""
    away = False
    while not stop.wait(pause):
        try:
            for number in intake.settle(time.time()):
                log.info("ticket closed itself", extra={"action": "settled", "ticket": number})
            away = False
        except StoreError as error:
            if not away:
                log.error("database: %s", error, extra={"action": "database-away"})  # noqa: TRY400 - said, not traced
            away = True


def secret(path: Path) -> str:
    """The one line of a secret file; refuses one that others can read."""
    try:
        if path.stat().st_mode & 0o077:
            raise CollectorError(f"{path}: others can read this secret; run `chmod 600 {path}`")
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CollectorError(f"{path}: the secret cannot be read: {error.strerror}") from None
    if not text:
        raise CollectorError(f"{path}: the secret is empty; remove the file and run `czuwak init` again")
    return text


def _command(config: Config, part: str) -> list[str]:
    # -I: nothing of the current folder or of PYTHON* variables is imported.
    return [sys.executable, "-I", "-m", "collector.main", "serve", "--config", str(config.path), "--only", part]
