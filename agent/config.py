"""The agent's configuration: one frozen value from flags, environment, file and defaults, in that order of precedence.

All mistakes are told at once, each with its file and line, variable or flag.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agent.errors import ConfigError, Mistake
from agent.identity import DEFAULT_PORT, ENROLLMENT_PORT
from agent.probes import ProbeSettings, WatchedProcess
from agent.text import listen_address, split_address

DEFAULT_PATH = Path("/etc/czuwak/agent.toml")
PREFIX = "CZUWAK_AGENT_"


class _Process(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    match: str = ""


_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Mib = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_Seconds = Annotated[float, msgspec.Meta(ge=0.2, le=3600)]

# (section, key) -> the type of its value; no section: at the top of the file. All there is stands here.
SETTINGS: Mapping[tuple[str, str], Any] = {
    ("", "interval"): _Seconds,
    ("agent", "state_dir"): _Text,
    ("agent", "spool_mib"): _Mib,
    ("collector", "address"): _Text | Annotated[list[_Text], msgspec.Meta(min_length=1, max_length=16)],
    ("collector", "server_name"): _Text,
    ("collector", "enrollment"): _Text,
    ("identity", "dir"): _Text,
    ("exposition", "listen"): str,
    ("probes", "processes"): list[_Process],
    ("probes", "services"): list[_Text],
    ("probes", "procfs"): _Text,
    ("probes", "sysfs"): _Text,
    ("probes", "rootfs"): _Text,
    ("probes", "textfiles"): _Text,
    ("probes", "mounts_excluded"): str,
    ("probes", "filesystems_excluded"): str,
    ("probes", "disks_excluded"): str,
    ("probes", "networks_excluded"): str,
}
SECTIONS = tuple(dict.fromkeys(section for section, _ in SETTINGS if section))

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. `collector`, `enrollment` None: as the identity says. `listen` None: no page.

    `alternates` are collectors on the same database, tried in turn with the first one.
    """

    state_dir: Path = Path("/var/lib/czuwak-agent")
    interval: float = 15.0
    spool_mib: int = 64
    collector: tuple[str, int] | None = None
    alternates: tuple[tuple[str, int], ...] = ()
    server_name: str = ""
    enrollment: tuple[str, int] | None = None
    identity_dir: Path = Path("/var/lib/czuwak-agent/identity")
    listen: tuple[str, int] | None = ("127.0.0.1", 19115)
    probes: ProbeSettings = field(default_factory=ProbeSettings)


@dataclass(frozen=True, slots=True)
class _Origin:
    where: str
    value: Any


def load(path: Path | None, environment: Mapping[str, str], flags: Mapping[Key, str] | None = None) -> Config:
    """Read it all. `path` None: the default file if there is one. Raises ConfigError with every mistake found."""
    mistakes: list[Mistake] = []
    file = _read(path)
    origins = dict(_from_file(*file, mistakes)) if file else {}
    origins |= _from_environment(environment)
    origins |= {key: _Origin(_flag_name(key), text) for key, text in (flags or {}).items()}
    values = dict(_converted(origins, mistakes))
    config = _config(values, origins, Path() if file is None else file[0].parent, mistakes)
    if mistakes:
        raise ConfigError(tuple(mistakes))
    return config


def _read(path: Path | None) -> tuple[Path, str] | None:
    if path is None and not DEFAULT_PATH.exists():
        return None
    path = path or DEFAULT_PATH
    try:
        return path, path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError((Mistake(str(path), f"{error.strerror}; give the file's path with --config"),)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((Mistake(str(path), "is not UTF-8 text"),)) from error


def _from_file(path: Path, text: str, mistakes: list[Mistake]) -> Iterator[tuple[Key, _Origin]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        mistakes.append(_syntax_mistake(path, text, str(error)))
        return
    lines = _lines(text)
    for section, table in document.items():
        where = f"{path}:{lines.get((section, ''), lines.get(('', section), 1))}"
        if ("", section) in SETTINGS:
            yield ("", section), _Origin(where, table)
        elif section not in SECTIONS:
            mistakes.append(Mistake(where, f"unknown section [{section}]{_near(section, SECTIONS)}"))
        elif not isinstance(table, dict):
            mistakes.append(Mistake(where, f"{section} is a section: write [{section}] and its settings below"))
        else:
            yield from _from_table(path, section, table, lines, mistakes)


def _from_table(
    path: Path, section: str, table: dict[str, Any], lines: Mapping[Key, int], mistakes: list[Mistake]
) -> Iterator[tuple[Key, _Origin]]:
    known = [key for each, key in SETTINGS if each == section]
    for key, value in table.items():
        where = f"{path}:{lines.get((section, key), lines.get((section, ''), 1))}"
        if key in known:
            yield (section, key), _Origin(where, value)
        else:
            mistakes.append(Mistake(where, f"unknown setting {key!r} in [{section}]{_near(key, known)}"))


def _from_environment(environment: Mapping[str, str]) -> dict[Key, _Origin]:
    names = {variable(key): key for key in SETTINGS if key != ("probes", "processes")}
    return {names[name]: _Origin(name, text) for name, text in environment.items() if name in names}


def variable(key: Key) -> str:
    """Name of a setting's environment variable: CZUWAK_AGENT_STATE_DIR, CZUWAK_AGENT_COLLECTOR_ADDRESS."""
    section, name = key
    return PREFIX + (name if section in {"", "agent"} else f"{section}_{name}").upper()


def _converted(origins: Mapping[Key, _Origin], mistakes: list[Mistake]) -> Iterator[tuple[Key, Any]]:
    for key, origin in origins.items():
        value = origin.value
        from_text = isinstance(value, str)
        if from_text and key in {("probes", "services"), ("collector", "address")}:
            value = [part.strip() for part in value.split(",") if part.strip()]
        # A number may be text only where it can be nothing else: in a variable or a flag.
        lenient = from_text and ":" not in origin.where
        try:
            yield key, msgspec.convert(value, SETTINGS[key], strict=not lenient)
        except msgspec.ValidationError as error:
            mistakes.append(Mistake(origin.where, f"{key[1]}: {error}"))


def _config(values: Mapping[Key, Any], origins: Mapping[Key, _Origin], base: Path, mistakes: list[Mistake]) -> Config:
    state_dir = base / values.get(("agent", "state_dir"), Config().state_dir)
    collectors = _collectors(values, origins, mistakes)
    return Config(
        state_dir=state_dir,
        interval=values.get(("", "interval"), Config().interval),
        spool_mib=values.get(("agent", "spool_mib"), Config().spool_mib),
        collector=next(iter(collectors), None),
        alternates=collectors[1:],
        enrollment=_enrollment(values, origins, mistakes),
        server_name=values.get(("collector", "server_name"), ""),
        identity_dir=base / values.get(("identity", "dir"), state_dir / "identity"),
        listen=_listen(values, origins, mistakes),
        probes=_probes(values, origins, mistakes),
    )


def _collectors(
    values: Mapping[Key, Any], origins: Mapping[Key, _Origin], mistakes: list[Mistake]
) -> tuple[tuple[str, int], ...]:
    key = ("collector", "address")
    try:
        return tuple(dict.fromkeys(split_address(text, DEFAULT_PORT) for text in values.get(key, ())))
    except ValueError as error:
        mistakes.append(Mistake(origins[key].where, f"address: {error}"))
        return ()


def _enrollment(
    values: Mapping[Key, Any], origins: Mapping[Key, _Origin], mistakes: list[Mistake]
) -> tuple[str, int] | None:
    key = ("collector", "enrollment")
    try:
        return split_address(values[key], ENROLLMENT_PORT) if key in values else None
    except ValueError as error:
        mistakes.append(Mistake(origins[key].where, f"enrollment: {error}"))
        return None


def _listen(
    values: Mapping[Key, Any], origins: Mapping[Key, _Origin], mistakes: list[Mistake]
) -> tuple[str, int] | None:
    key = ("exposition", "listen")
    text = values.get(key)
    if text is None:
        return Config().listen
    try:
        return listen_address(text) if text else None
    except ValueError as error:
        mistakes.append(Mistake(origins[key].where, f"listen: {error}"))
        return None


def _probes(values: Mapping[Key, Any], origins: Mapping[Key, _Origin], mistakes: list[Mistake]) -> ProbeSettings:
    settings: dict[str, Any] = {}
    for (section, key), value in values.items():
        if section != "probes":
            continue
        try:
            setting = {key: _probe_value(key, value)}
            ProbeSettings(**setting)
            settings |= setting
        except ValueError as error:
            mistakes.append(Mistake(origins[section, key].where, f"{key}: {error}"))
    return ProbeSettings(**settings)


def _probe_value(key: str, value: Any) -> Any:
    if key == "processes":
        return tuple(WatchedProcess(each.name, each.match) for each in value)
    if key == "services":
        return tuple(value)
    return Path(value) if key in {"procfs", "sysfs", "rootfs", "textfiles"} else value


def _lines(text: str) -> dict[Key, int]:
    """Line of every section and of every key at the start of a line; good enough to point a person there."""
    lines: dict[Key, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.\"-]+)\s*\]+", line):
            section, _, key = header[1].partition(".")
            lines.setdefault((section, key), number)
        elif setting := re.match(r"\s*\"?([\w-]+)\"?\s*[.=]", line):
            lines.setdefault((section, setting[1]), number)
    return lines


def _syntax_mistake(path: Path, text: str, message: str) -> Mistake:
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    place = f"{path}:{len(text.splitlines()) or 1}"
    if found and found[1]:
        place = f"{path}:{found[1]}:{found[2]}"
    return Mistake(place, f"not TOML: {message[: found.start()] if found else message}")


def _near(name: str, known: tuple[str, ...] | list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"


def _flag_name(key: Key) -> str:
    return {("identity", "dir"): "--identity", ("exposition", "listen"): "--listen"}.get(key, f"--{key[1]}")
