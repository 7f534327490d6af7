"""Services, against a bus in this process that speaks D-Bus on a real socket: systemd itself runs only as process 1."""

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney import HeaderFields, MessageType, Parser, new_error, new_method_return  # type: ignore[import-untyped]

from agent.probes import ProbeSettings, probes, service
from agent.probes.errors import NoDataError, ProbeError
from agent.probes.service import Unit
from agent.probes.systemd import Units

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is Linux")

# name -> (load state, active state, type)
UNITS = {
    "nginx.service": ("loaded", "active", "forking"),
    "cron.service": ("loaded", "failed", "simple"),
    "logrotate.timer": ("loaded", "active", ""),
}


class Bus:
    """Answers what systemd's manager would, and keeps count of what it was asked."""

    def __init__(self, path: Path) -> None:
        self.units = dict(UNITS)
        self.restarts = {"nginx.service": 3}
        self.asked: list[str] = []
        self.silent = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            stream = connection.makefile("rb")
            assert stream.readline().startswith(b"\0AUTH EXTERNAL ")
            connection.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n")
            assert stream.readline() == b"BEGIN\r\n"
            parser, serial = Parser(), 0
            while data := stream.read1(4096):
                for message in parser.feed(data):
                    if not self.silent:
                        serial += 1
                        connection.sendall(self._answer(message).serialise(serial))

    def _answer(self, message: Any) -> Any:
        header = message.header
        assert header.message_type is MessageType.method_call
        member, path = header.fields[HeaderFields.member], header.fields[HeaderFields.path]
        self.asked.append(member)
        if member == "Hello":
            return new_method_return(message, "s", (":1.7",))
        if not self.units:
            return new_error(message, "org.freedesktop.DBus.Error.ServiceUnknown", "s", ("not provided",))
        if member == "ListUnitsByNames":
            rows = [self._row(name) for name in message.body[0]]
            return new_method_return(message, "a(ssssssouso)", (rows,))
        name = bytes.fromhex(path.rpartition("/")[2]).decode()
        kind = self.units[name][2]
        if message.body[1] == "NRestarts" and name in self.restarts:
            return new_method_return(message, "v", (("u", self.restarts[name]),))
        if not kind or message.body[1] != "Type":
            return new_error(message, "org.freedesktop.DBus.Error.UnknownInterface")
        return new_method_return(message, "v", (("s", kind),))

    def _row(self, name: str) -> tuple[object, ...]:
        load, active, _ = self.units.get(name, ("not-found", "inactive", ""))
        path = f"/org/freedesktop/systemd1/unit/{name.encode().hex()}"
        return (name, "A unit.", load, active, "x", "", path, 0, "", "/")


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    path = tmp_path / "bus"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={path}")
    made = Bus(path)
    yield made
    made.close()


@pytest.fixture
def units() -> Iterator[Units]:
    watching = Units(("nginx", "cron.service", "missing", "logrotate.timer"))
    yield watching
    watching.close()


@pytest.mark.usefixtures("bus")
def test_listed_units_in_order_and_an_unknown_one_is_inactive(units: Units) -> None:
    assert units.read() == (
        Unit("nginx.service", "active", "forking", 3.0),
        Unit("cron.service", "failed", "simple"),
        Unit("missing.service", "inactive"),
        Unit("logrotate.timer", "active"),
    )


def test_the_connection_and_the_types_are_kept(bus: Bus, units: Units) -> None:
    for _ in range(3):
        units.read()
    # At first the type and the restarts of two services, then only the restarts.
    assert bus.asked == ["Hello", "ListUnitsByNames", *["Get"] * 4, *["ListUnitsByNames", "Get", "Get"] * 2]


def test_a_type_is_asked_again_when_the_state_changed(bus: Bus, units: Units) -> None:
    units.read()
    bus.units["nginx.service"] = ("loaded", "activating", "notify")
    assert units.read()[0] == Unit("nginx.service", "activating", "notify", 3.0)


def test_after_a_broken_connection_the_next_reading_is_whole_again(bus: Bus, units: Units) -> None:
    units.read()
    bus.drop()
    with pytest.raises(ProbeError, match="did not answer"):
        units.read()
    assert units.read()[0].state == "active"


def test_a_bus_that_does_not_answer_costs_a_bounded_wait(
    bus: Bus, units: Units, monkeypatch: pytest.MonkeyPatch
) -> None:
    units.read()
    monkeypatch.setattr("agent.probes.systemd._SECONDS", 0.05)
    bus.silent = True
    with pytest.raises(ProbeError, match="did not answer"):
        units.read()


def test_without_a_bus_there_is_no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    with pytest.raises(NoDataError, match="no system bus"):
        Units(("nginx",)).read()


def test_a_bus_without_systemd_has_no_data(bus: Bus, units: Units) -> None:
    bus.units = {}
    with pytest.raises(NoDataError, match="not run by systemd"):
        units.read()


def test_a_name_systemd_would_refuse_does_not_cost_the_others_their_answer(bus: Bus) -> None:
    watching = Units(("Windows Search", "nginx"))
    assert [unit.state for unit in watching.read()] == ["inactive", "active"]
    assert bus.asked[-1] == "Get"
    watching.close()


@pytest.mark.parametrize("state", [*service.STATES, "reloading", "maintenance", "refreshing", "start_pending", "new"])
def test_exactly_one_state_is_true(state: str) -> None:
    shown = {dict(s.labels)["state"]: s.value for s in service.samples((Unit("a.service", state),))}
    assert (set(shown), sum(shown.values())) == (set(service.STATES), 1)


def test_a_service_that_reloads_is_active() -> None:
    (active,) = [s for s in service.samples((Unit("a.service", "reloading", "notify"),)) if s.value == 1]
    assert active.labels == (("name", "a.service"), ("state", "active"), ("type", "notify"))


def test_restarts_are_counted_where_systemd_counts_them() -> None:
    counted = service.samples((Unit("a.service", "active", "simple", 3.0), Unit("b.service", "active")))
    assert [(s.labels, s.value) for s in counted if s.family is service.RESTARTS] == [((("name", "a.service"),), 3.0)]


def test_where_no_service_is_listed_nobody_looks() -> None:
    assert {"systemd", "service"} & {probe.name for probe in probes(ProbeSettings())} == set()


def test_a_system_without_a_service_manager_has_no_data() -> None:
    with pytest.raises(NoDataError):
        service.read_windows(("Spooler",))
