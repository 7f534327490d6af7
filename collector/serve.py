"""The composition root: each part of the collector built in one straight function, read top to bottom.

The only module that may import `web`. Each part is a process of its own: gRPC servers and pre-forking web servers
never share one.
"""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from collector import config as configuration
from collector import ending, supervise
from collector.config import Config
from collector.errors import CollectorError
from collector.exposed import exposed
from collector.intake import Intake
from collector.presence import hours
from collector.store import Store, StoreError, open_store
from collector.tickets.desk import Policy

if TYPE_CHECKING:
    from collector.rules.model import Group

log = logging.getLogger(__name__)

PARTS = ("ingest", "web", "worker")
TICK = 1.0  # seconds between two looks of the worker
DEFAULTS = Path(__file__).parent / "rules" / "defaults"


def serve(config: Config, only: Sequence[str] = PARTS) -> int:
    """Run the parts named: one in this process, several as supervised children. Returns the exit code."""
    supervise.die_with_parent()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload before the rules are read the first time has nothing to do
    if len(only) > 1:
        check_ready(config, only)
        return supervise.supervise([(part, _command(config, part)) for part in only], reloading=("ingest",))
    return {"ingest": run_ingest, "web": run_web, "worker": run_worker}[only[0]](config)


def check_ready(config: Config, only: Sequence[str] = PARTS) -> None:
    """Everything that can be wrong before a part starts, found in one place; raises CollectorError and its kin."""
    from collector.ingest import ca  # noqa: PLC0415 - brings cryptography, which most commands do without

    load_rules(config)
    opened(config).close()
    for told, command in exposed(config):
        log.warning("%s; run `%s`", told, command, extra={"action": "file_exposed"})
    ca.load(config.ca.dir)
    secret(config.web.secret_file)
    ingest = (config.ingest.listen, config.ingest.enrollment_listen) if "ingest" in only else ()
    for address in (*ingest, *((config.web.listen,) if "web" in only else ())):
        check_free(address)


def check_free(address: str) -> None:
    """Raises CollectorError where `host:port` cannot be listened on; a port that was just left is free."""
    host, _, port = address.rpartition(":")
    try:
        info = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(info[0], info[1]) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(info[4])
            probe.listen(1)
    except OSError as error:
        why = error.strerror or str(error)
        raise CollectorError(f"cannot listen on {address}: {why}; is another program listening there?") from None


def opened(config: Config) -> Store:
    """The configured database; raises CollectorError that names it and says what to do."""
    try:
        return open_store(config.database.url)
    except StoreError as error:
        raise CollectorError(f"{config.database.shown}: {error} (configured in {config.path})") from None


def rule_files(config: Config) -> tuple[Path, ...]:
    """The files behind `rules.files`; raises RuleFileError with every pattern that matches nothing."""
    from collector.rules.errors import Mistake, RuleFileError  # noqa: PLC0415 - as in load_rules

    found: list[Path] = []
    mistakes: list[Mistake] = []
    for pattern in config.rules.files:
        matched = _matched(config, pattern)
        if not matched or not all(path.is_file() for path in matched):
            line = configuration.line_of(config.path, "rules", "files")
            mistakes.append(Mistake(str(config.path), line, 1, f"rules.files names {pattern!r}, which is no file"))
        found += matched
    if mistakes:
        raise RuleFileError(tuple(mistakes))
    return tuple(dict.fromkeys(found))


def load_rules(config: Config) -> "tuple[Group, ...]":
    """All rule groups; raises RuleFileError with every mistake of every file."""
    from collector.rules import load  # noqa: PLC0415 - brings numpy, which web and worker do without

    return load.load_files(rule_files(config))


def policy(config: Config) -> Policy:
    """The desk's policy as configured; the priority matrix is the database's."""
    return Policy(settle=config.tickets.settle, reopen_window=config.tickets.reopen_window)


def run_ingest(config: Config) -> int:
    """Agents' streams, head, rules and presence; until SIGTERM."""
    from collector.ingest.polling import poll_in_one_thread  # noqa: PLC0415 - as below

    poll_in_one_thread(os.environ)  # before gRPC is loaded
    from collector.ingest import process  # noqa: PLC0415 - the web process never loads gRPC servers and numpy
    from collector.ingest.gathering import Loop  # noqa: PLC0415 - as above

    raise_file_limit()
    opened(config).close()
    settings = process.IngestSettings(
        listen=config.ingest.listen,
        enrollment_listen=config.ingest.enrollment_listen,
        advertise=config.ingest.advertise,
        query_socket=config.ingest.query_socket,
        snapshot=config.ingest.snapshot,
        ca_dir=config.ca.dir,
        agent_certificates=config.ca.agent_certificates,
        server_certificates=config.ca.server_certificates,
        database=config.database.url,
        interval=config.ingest.interval,
        offline_after=config.ingest.offline_after,
        kiosk_hours=hours.parse(config.presence.kiosk_hours, config.presence.timezone),
        timezone=config.presence.timezone,
        days_off=hours.days_off(config.presence.days_off),
        evaluation_interval=config.rules.evaluation_interval,
        unknown_after=config.rules.unknown_after,
    )
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(
            process.serve(
                settings,
                load_rules=lambda: load_rules(config),
                policy=policy(config),
                settled=spare_garbage_collection,
            )
        )
    gc.freeze()  # the interpreter would look for cycles among a whole fleet's objects before it ends
    return 0


def spare_garbage_collection() -> None:
    """Walk less often through what lives as long as the process: batches come and go and leave hardly a cycle."""
    gc.freeze()  # modules, rules, hosts: what is there when agents are served; then what belongs to a fleet's streams
    gc.set_threshold(100_000, 10, 100)  # a fleet stops for half a second, a minute or two apart


def raise_file_limit() -> None:
    """As many open files as we are allowed: each agent holds one, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # what cannot be raised stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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

    opened(config).close()
    check_free(config.web.listen)  # gunicorn would try for five seconds and not say it plainly

    def make() -> object:
        store = open_store(config.database.url)
        live = Live(f"unix:{config.ingest.query_socket}")
        return create_app(store, Intake(store, policy(config)), live, settings)

    return server.run(make, listen=config.web.listen, threads=config.web.threads)


def run_worker(config: Config) -> int:
    """What time alone does to tickets; until SIGTERM."""
    ended = ending.told()
    store = opened(config)
    try:
        work(Intake(store, policy(config)), ended)
    finally:
        store.close()
    return 0


def work(intake: Intake, ended: Callable[[float], bool], pause: float = TICK) -> None:
    """Tick until `ended` says so; a database that is away is waited for and said once."""
    away = False
    while not ended(pause):
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
        raise CollectorError(f"{path}: the secret cannot be read: {error.strerror}; `czuwak init` makes one") from None
    except UnicodeDecodeError:
        raise CollectorError(f"{path}: the secret is not UTF-8 text") from None
    if not text:
        raise CollectorError(f"{path}: the secret is empty; remove the file and run `czuwak init` again")
    return text


def _matched(config: Config, pattern: str) -> list[Path]:
    if pattern == "default":
        return sorted(DEFAULTS.glob("*.yml"))
    folder = Path("/") if pattern.startswith("/") else config.folder
    try:
        return sorted(folder.glob(pattern.lstrip("/")))
    except (ValueError, IndexError):  # not a pattern at all, as "**.yml" and "."
        return []


def _command(config: Config, part: str) -> list[str]:
    # -I: nothing of the current folder or of PYTHON* variables is imported.
    return [sys.executable, "-I", "-m", "collector.main", "serve", "--config", str(config.path), "--only", part]
