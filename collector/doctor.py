"""`czuwak check-config` and `czuwak doctor`: a list of findings, each with the next step."""

import json
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from collector import config as configuration
from collector import serve
from collector.errors import CollectorError, ConfigError
from collector.exposed import exposed
from collector.ingest import ca
from collector.ingest.errors import CaError
from collector.rules.errors import RuleFileError
from collector.store import SchemaError, StoreError, open_store, sqlite


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: level "ok", "warn" or "fail", what was looked at, what was found and what to do next."""

    level: str
    what: str
    detail: str = ""
    next: str = ""


def check_config(path: Path, environ: Mapping[str, str]) -> list[Finding]:
    """The configuration and every rule file it names."""
    try:
        config = configuration.load(path, environ)
    except ConfigError as error:
        return [Finding("fail", "configuration", line) for line in error.mistakes]
    return [Finding("ok", "configuration", str(path)), *_rules(config)]


def examine(path: Path, environ: Mapping[str, str]) -> list[Finding]:
    """Everything that can be looked at from outside a running collector."""
    findings = check_config(path, environ)
    if findings[0].level == "fail":
        return findings
    config = configuration.load(path, environ)
    return [
        *findings,
        _database(config),
        *_secrets(config),
        _certificate(config),
        *_ports(config),
        _disk(config),
        _sqlite(config),
    ]


def show(findings: Iterable[Finding], as_json: bool) -> int:
    """Print them; exit code 1 when one failed."""
    rows = list(findings)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
    else:
        for row in rows:
            print(f"{row.level:<4}  {row.what}: {row.detail}" + (f"\n      next: {row.next}" if row.next else ""))
    return int(any(row.level == "fail" for row in rows))


def _rules(config: configuration.Config) -> list[Finding]:
    try:
        groups = serve.load_rules(config)
    except RuleFileError as error:
        next_ = "mend the file; a running collector keeps the rules it has"
        return [Finding("fail", "rules", str(mistake), next_) for mistake in error.mistakes]
    files = len({group.file for group in groups})
    rules = sum(len(group.rules) for group in groups)
    return [Finding("ok", "rules", f"{rules} rules in {len(groups)} groups of {files} files")]


def _database(config: configuration.Config) -> Finding:
    shown = config.database.shown
    began = time.monotonic()
    try:
        open_store(config.database.url).close()
    except SchemaError as error:
        return Finding("fail", "database", f"{shown}: {error}", f"czuwak db upgrade --config {config.path}")
    except StoreError as error:
        return Finding("fail", "database", f"{shown}: {error}", f"correct database.url in {config.path}, or mend it")
    return Finding("ok", "database", f"{shown}, opened in {(time.monotonic() - began) * 1000:.0f} ms")


def _secrets(config: configuration.Config) -> list[Finding]:
    findings = []
    for path in (config.web.secret_file, config.ca.dir / ca.KEY_FILE):
        try:
            others = stat.S_IMODE(path.stat().st_mode) & 0o077
        except OSError as error:
            detail = f"{path} cannot be read: {error.strerror}"
            findings.append(Finding("fail", "secret", detail, f"czuwak init {config.folder}, as the collector's user"))
            continue
        if others:
            findings.append(Finding("fail", "secret", f"{path} can be read by others", f"chmod 600 {path}"))
        else:
            findings.append(Finding("ok", "secret", f"{path} is readable by its owner only"))
    return [*findings, *(Finding("warn", "permissions", told, command) for told, command in exposed(config))]


def _certificate(config: configuration.Config) -> Finding:
    try:
        authority = ca.load(config.ca.dir)
    except CaError as error:
        return Finding("fail", "certificate authority", str(error), f"restore {config.ca.dir} from a backup")
    days = (authority.not_after - time.time()) / 86400
    level = "ok" if days > 30 else "warn" if days > 0 else "fail"
    return Finding(level, "certificate authority", f"{authority.fingerprint}, good for {days:.0f} days")


def _ports(config: configuration.Config) -> list[Finding]:
    findings = []
    for address in (config.ingest.listen, config.ingest.enrollment_listen, config.web.listen):
        try:
            serve.check_free(address)
            findings.append(Finding("ok", "port", f"{address} is free"))
        except CollectorError as error:
            findings.append(Finding("warn", "port", str(error), "fine while the collector runs; else free it"))
    return findings


def _disk(config: configuration.Config) -> Finding:
    folder = config.folder
    if config.database.url.startswith("sqlite"):
        folder = Path(config.database.url.removeprefix("sqlite:///")).parent
    try:
        room = os.statvfs(folder)
    except OSError as error:
        return Finding("fail", "disk", f"{folder}: {error.strerror}", "make the folder or correct database.url")
    free = room.f_bavail * room.f_frsize / 2**20
    level = "ok" if free > 1024 else "warn" if free > 100 else "fail"
    return Finding(level, "disk", f"{folder}: {free:.0f} MiB free", "" if level == "ok" else "free some room")


def _sqlite(config: configuration.Config) -> Finding:
    if not config.database.url.startswith("sqlite"):
        return Finding("ok", "python", sys.version.split()[0])
    return Finding(
        "ok", "sqlite", f"{sqlite3.sqlite_version}, journal mode {sqlite.journal_mode(sqlite3.sqlite_version_info)}"
    )
