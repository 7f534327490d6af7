"""The collector's configuration: one TOML file, one frozen value, all mistakes in one message.

Precedence: environment (CZUWAK_SECTION_KEY) over file over default. Paths are relative to the file's folder.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

from collector.errors import ConfigError

Reader = Callable[[Any, Path], Any]

_LONGEST = 3653 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _duration(value: Any, _: Path) -> float:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if match:
        value = float(match[1]) * _UNITS[match[2]]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.001 <= value <= _LONGEST:
        return float(value)
    raise ValueError('is not a duration from 1 ms to 10 years; write for example "15s", "5m" or "1h"')


def _address(value: Any, _: Path) -> str:
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", value) if isinstance(value, str) else None
    if not match or int(match[2]) > 65535:
        raise ValueError('is not an address; write "host:port", for example "0.0.0.0:8443"')
    return str(value)


def _optional_address(value: Any, folder: Path) -> str:
    return "" if value == "" else _address(value, folder)


def _path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError('is not a path; write for example "secrets/web"')
    return (folder / value).absolute()


def _shown(url: str) -> str:
    """Without the password, wherever it stands; its own @ and / need not be escaped to stay hidden."""
    return re.sub(r"((?:\?|&)password=)[^&]*", r"\1***", re.sub(r"(://[^:/@?]*):.*@", r"\1:***@", url))


def _optional_path(value: Any, folder: Path) -> Path | None:
    return None if value == "" else _path(value, folder)


def _database(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or not re.match(r"(sqlite:///.|postgresql(\+psycopg)?://)", value):
        raise ValueError('is not a database; write "sqlite:///file.db" or "postgresql://user@host/name"')
    if value.split("/")[2].count("@") > 1:
        raise ValueError("has more than one @; write that of a password as %40")
    if value.startswith("sqlite:///"):
        return f"sqlite:///{(folder / value.removeprefix('sqlite:///')).absolute()}"
    return value


def _texts(value: Any, _: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
        raise ValueError('is not a list of texts; write for example ["default", "rules/*.yml"]')
    return tuple(value)


def _networks(value: Any, folder: Path) -> tuple[str, ...]:
    for text in _texts(value, folder):
        try:
            ip_network(text)
        except ValueError:
            raise ValueError(f'has {text!r}, which is not a network; write for example "127.0.0.0/8"') from None
    return tuple(value)


def _zone(value: Any, _: Path) -> str:
    if not isinstance(value, str) or value not in available_timezones():
        raise ValueError('is not a time zone; write for example "Europe/Warsaw"')
    return value


def _hours(value: Any, _: Path) -> str:
    day, clock = "(?i:mon|tue|wed|thu|fri|sat|sun)", "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
    span = re.compile(rf"{day}(?:-{day})? ({clock})-({clock}|24:00)")
    parts = [span.fullmatch(part.strip()) for part in value.split(",")] if isinstance(value, str) and value else []
    if not isinstance(value, str) or not all(part and part[1] < part[2] for part in parts):
        raise ValueError('is not a schedule; write for example "Mon-Fri 08:00-18:00, Sat 09:00-13:00"')
    return value


def _days(value: Any, _: Path) -> str:
    try:
        for part in value.split(",") if value else ():
            each = re.fullmatch(r"([0-9]{4}-)?([0-9]{2}-[0-9]{2})", part.strip())
            date.fromisoformat(f"{each[1] or '2000-'}{each[2]}" if each else "")
    except (AttributeError, TypeError, ValueError):
        raise ValueError('is not a list of days; write for example "12-25, 2027-03-29"') from None
    return str(value)


def _threads(value: Any, _: Path) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or not 1 <= int(value) <= 64:
        raise ValueError("is not a number of threads from 1 to 64")
    return int(value)


def _flag(value: Any, _: Path) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")  # noqa: TRY004 - one error type per reader
    return value


def _key(default: Any, reader: Reader, doc: str) -> Any:
    return field(default=default, metadata={"reader": reader, "help": doc})


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where tickets, alerts and hosts are kept."""

    url: str = _key("sqlite:///czuwak.db", _database, "sqlite:///file.db or postgresql://user:password@host/name")

    @property
    def shown(self) -> str:
        """The url without its password."""
        return _shown(self.url)


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """The agents' side."""

    listen: str = _key("0.0.0.0:8443", _address, "agents' streams, mutual TLS")
    enrollment_listen: str = _key("0.0.0.0:8444", _address, "enrolment of new agents")
    advertise: str = _key("", _optional_address, "host:port told to new agents; empty: this machine's name")
    query_socket: Path = _key(Path("run/query.sock"), _path, "live values for the web")
    snapshot: Path = _key(Path("run/head.snapshot"), _path, "carries recent samples over a restart")
    interval: float = _key(15.0, _duration, "time between two rounds of every agent")
    offline_after: float = _key(90.0, _duration, "silence after which a host counts as away")


@dataclass(frozen=True, slots=True)
class PresenceConfig:
    """When absence is worth a ticket."""

    kiosk_hours: str = _key("", _hours, 'when kiosks must be there, as "Mon-Fri 08:00-18:00"; empty: always')
    timezone: str = _key("Europe/Warsaw", _zone, "zone of these hours and of working days")
    days_off: str = _key("", _days, 'public holidays, no working days: of each year or of one, as "12-25, 2027-03-29"')


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The helpdesk's pages."""

    listen: str = _key("127.0.0.1:8080", _address, "put a reverse proxy with TLS before it")
    secret_file: Path = _key(Path("secrets/web"), _path, "signs cookies")
    forwarded_allow: tuple[str, ...] = _key((), _networks, "networks whose X-Forwarded-* are believed")
    metrics_allow: tuple[str, ...] = _key(("127.0.0.0/8", "::1/128"), _networks, "networks that may read /metrics")
    metrics_token_file: Path | None = _key(None, _optional_path, "or who shows this token")
    secure_cookies: bool = _key(False, _flag, "true behind TLS")
    timezone: str = _key("Europe/Warsaw", _zone, "zone of the times shown")
    threads: int = _key(8, _threads, "requests served at once")


@dataclass(frozen=True, slots=True)
class CaConfig:
    """The certificate authority, our own or the company's (`czuwak init --ca-cert`)."""

    dir: Path = _key(Path("ca"), _path, "key and certificate, readable by the collector alone")
    agent_certificates: float = _key(30 * 86400.0, _duration, "life of an agent's certificate; renewed at its half")
    server_certificates: float = _key(90 * 86400.0, _duration, "life of the listeners' certificate; renewed by itself")


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """Which rules judge."""

    files: tuple[str, ...] = _key(("default",), _texts, '"default" is the shipped pack; else files or patterns')
    evaluation_interval: float = _key(1.0, _duration, "for groups that name no interval")
    unknown_after: float = _key(90.0, _duration, 'a firing alert without data says "no data" after this')


@dataclass(frozen=True, slots=True)
class TicketsConfig:
    """How tickets behave."""

    settle: float = _key(300.0, _duration, "an untouched ticket whose fault is gone closes itself after this")
    reopen_window: float = _key(86400.0, _duration, "a fault that returns within this reopens its ticket")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the collector is told."""

    path: Path
    database: DatabaseConfig
    ingest: IngestConfig
    presence: PresenceConfig
    web: WebConfig
    ca: CaConfig
    rules: RulesConfig
    tickets: TicketsConfig

    @property
    def folder(self) -> Path:
        """Folder of the file, which relative paths start from."""
        return self.path.parent


SECTIONS: Mapping[str, type[Any]] = {
    "database": DatabaseConfig,
    "ingest": IngestConfig,
    "presence": PresenceConfig,
    "web": WebConfig,
    "ca": CaConfig,
    "rules": RulesConfig,
    "tickets": TicketsConfig,
}


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """The configuration of a file; ConfigError lists every mistake as `file:line: what, what to write`."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError((f"{path}: no such file; `czuwak init DIR` makes one",)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{path}: not valid TOML: {error}",)) from None
    return parse(data, text, path.absolute(), environ)


def parse(data: Mapping[str, Any], text: str, path: Path, environ: Mapping[str, str]) -> Config:
    """Same, from parsed TOML; `text` is only used to find line numbers."""
    mistakes = [
        f"{path}:{_line(text, name, None)}: unknown section [{name}]{_near(name, SECTIONS)}"
        for name in data
        if name not in SECTIONS
    ]
    made: dict[str, Any] = {}
    for name, cls in SECTIONS.items():
        given = data.get(name, {})
        if not isinstance(given, Mapping):
            mistakes.append(f"{path}:{_line(text, name, None)}: [{name}] is not a section")
            continue
        made[name] = _section(name, cls, given, _Origin(text, path, environ), mistakes)
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return Config(path=path, **made)


def line_of(path: Path, section: str, key: str) -> int:
    """The line of the file in which the key stands, from 1; 1 where it does not."""
    try:
        return _line(path.read_text(encoding="utf-8"), section, key)
    except (OSError, UnicodeDecodeError):
        return 1


def template() -> str:
    """A configuration file with every default and its meaning, as `czuwak init` writes it."""
    lines = ["# Czuwak's collector. Every value below is the default; paths are relative to this file.", ""]
    for name, cls in SECTIONS.items():
        lines.append(f"[{name}]")
        for f in fields(cls):
            lines.append(f"# {f.metadata['help']}")
            lines.append(f"# {f.name} = {_toml(f)}")
        lines.append("")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class _Origin:
    text: str
    path: Path
    environ: Mapping[str, str]

    def where(self, section: str, key: str) -> str:
        return f"{self.path}:{_line(self.text, section, key)}"


def _section(name: str, cls: type[Any], given: Mapping[str, Any], origin: _Origin, mistakes: list[str]) -> Any:
    known = {f.name: f for f in fields(cls)}
    mistakes += [
        f"{origin.where(name, key)}: unknown key {key!r} in [{name}]{_near(key, known)}"
        for key in given
        if key not in known
    ]
    values = {}
    for key, f in known.items():
        variable = f"CZUWAK_{name}_{key}".upper()
        here = variable in origin.environ
        where = variable if here else origin.where(name, key)
        raw = _from_text(origin.environ[variable], f) if here else given.get(key, _plain(f.default))
        try:
            values[key] = f.metadata["reader"](raw, origin.path.parent)
        except (ValueError, TypeError) as error:
            mistakes.append(f"{where}: {name}.{key} = {_shown(repr(raw))} {error}")
    return cls(**values) if len(values) == len(known) else None


def _plain(default: Any) -> Any:
    if isinstance(default, Path):
        return str(default)
    return "" if default is None else list(default) if isinstance(default, tuple) else default


def _from_text(text: str, f: Field[Any]) -> Any:
    if isinstance(f.default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(f.default, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _toml(f: Field[Any]) -> str:
    plain = _plain(f.default)
    if f.metadata["reader"] is _duration:
        return f'"{plain / 86400:g}d"' if plain > 86400 else f'"{plain:g}s"'
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, list):
        return "[" + ", ".join(f'"{v}"' for v in plain) + "]"
    return f'"{plain}"' if isinstance(plain, str) else f"{plain:g}"


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def _line(text: str, section: str, key: str | None) -> int:
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(rf"\s*\[\s*{re.escape(section)}\s*\]", line):
            inside = True
            if key is None:
                return number
        elif line.lstrip().startswith("["):
            inside = False
        elif inside and key and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return 1
