"""systemd's units over D-Bus. Only the listed ones are asked for, in one call; the connection is kept.

The one home of jeepney, which exists on Linux only: import this module only where services are watched there.
"""

import re
from typing import Any

from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]
from jeepney.io.blocking import DBusConnection, open_dbus_connection  # type: ignore[import-untyped]
from jeepney.wrappers import DBusErrorResponse, Properties, unwrap_msg  # type: ignore[import-untyped]

from agent.probes.errors import NoDataError, ProbeError
from agent.probes.service import Unit

_NAME = "org.freedesktop.systemd1"
_MANAGER = DBusAddress("/org/freedesktop/systemd1", bus_name=_NAME, interface=f"{_NAME}.Manager")
_VALID = re.compile(r"[A-Za-z0-9:_.\\@-]{1,249}\.[a-z]+")
_SECONDS = 2.0
# What a bus without systemd answers: nobody owns the name, and nobody can be started for it.
_ABSENT = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.Spawn.")


class Units:
    """Asks for the state of units. Reconnects at the next reading after anything went wrong."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = tuple(dict.fromkeys(name if "." in name else f"{name}.service" for name in names))
        self._connection: DBusConnection | None = None
        self._types: dict[tuple[str, str], str] = {}

    def read(self) -> tuple[Unit, ...]:
        """Every listed unit in order; one that systemd does not know is inactive. NoDataError without a bus."""
        asked = [name for name in self._names if _VALID.fullmatch(name)]
        connection = self._connected()
        try:
            found = self._ask(connection, asked)
        except (OSError, ValueError, RuntimeError, DBusErrorResponse) as error:
            self.close()
            if getattr(error, "name", "").startswith(_ABSENT):
                raise NoDataError("this host is not run by systemd") from error
            raise ProbeError(f"systemd did not answer over D-Bus: {error}") from error
        return tuple(found.get(name, Unit(name, "inactive")) for name in self._names)

    def close(self) -> None:
        """Leave the bus."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _connected(self) -> DBusConnection:
        if self._connection is None:
            try:
                self._connection = open_dbus_connection(bus="SYSTEM", auth_timeout=_SECONDS)
            except (OSError, ValueError, RuntimeError) as error:
                raise NoDataError(f"there is no system bus: {error}") from error
        return self._connection

    def _ask(self, connection: DBusConnection, names: list[str]) -> dict[str, Unit]:
        call = new_method_call(_MANAGER, "ListUnitsByNames", "as", (names,))
        (rows,) = unwrap_msg(connection.send_and_get_reply(call, timeout=_SECONDS))
        # One row per name, in order; the row's own name is the unit's first name where an alias was asked for.
        return {name: self._unit(connection, name, row) for name, row in zip(names, rows, strict=True)}

    def _unit(self, connection: DBusConnection, name: str, row: tuple[str, ...]) -> Unit:
        loaded, state, path = row[2], row[3], row[6]
        if loaded == "not-found" or not name.endswith(".service"):
            return Unit(name, state)
        restarts = _property(connection, path, "NRestarts")
        known = isinstance(restarts, int)
        return Unit(name, state, self._type(connection, name, path, state), float(restarts) if known else None)

    # A type changes only when the unit's file does, and then the unit is started anew.
    def _type(self, connection: DBusConnection, name: str, path: str, state: str) -> str:
        if (name, state) not in self._types:
            self._types = {key: value for key, value in self._types.items() if key[0] != name}
            self._types[name, state] = str(_property(connection, path, "Type") or "")
        return self._types[name, state]


def _property(connection: DBusConnection, path: str, name: str) -> Any:
    """A property of a service; None where this systemd does not have it."""
    unit = Properties(DBusAddress(path, bus_name=_NAME, interface=f"{_NAME}.Service"))
    try:
        (answer,) = unwrap_msg(connection.send_and_get_reply(unit.get(name), timeout=_SECONDS))
    except DBusErrorResponse:
        return None
    return answer[1]
