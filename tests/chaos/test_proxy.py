import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.chaos.proxy import Proxy


class Echo(threading.Thread):
    """Sends back what it gets, and keeps what it got, connection after connection."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.got: list[bytes] = []

    def run(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with closing(peer):
            try:
                while data := peer.recv(65536):
                    self.got.append(data)
                    peer.sendall(data)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    server.start()
    yield server
    server.server.shutdown(socket.SHUT_RDWR)
    server.server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as between:
        yield between


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def all_of(client: socket.socket) -> bytes:
    data = b""
    try:
        while more := client.recv(65536):
            data += more
    except ConnectionResetError:
        return data
    return data + b"<closed in order>"


def told(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return client.recv(65536)


def test_without_a_fault_everything_passes(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert told(client, b"hello") == b"hello"
        assert proxy.passed(proxy.connections()[0]) == (5, 5)


def test_a_cut_lets_exactly_so_many_bytes_back_and_resets(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert told(client, b"before") == b"before"
        proxy.cut(down=7)
        client.sendall(b"x" * 100)
        assert all_of(client) == b"x" * 7


def test_a_cut_lets_exactly_so_many_bytes_through_to_the_target(proxy: Proxy, echo: Echo) -> None:
    proxy.cut(up=3)
    with dial(proxy) as client:
        client.sendall(b"abcdef")
        assert not all_of(client).endswith(b"<closed in order>")
    assert b"".join(echo.got) == b"abc"


def test_a_delay_holds_each_piece_back(proxy: Proxy) -> None:
    proxy.delay(0.1)
    with dial(proxy) as client:
        began = time.monotonic()
        assert told(client, b"late") == b"late"
        assert time.monotonic() - began >= 0.2


def test_what_a_stall_held_comes_after_it(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert told(client, b"1") == b"1"
        proxy.stall()
        client.sendall(b"2")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(10)
        proxy.heal()
        client.settimeout(5)
        assert client.recv(10) == b"2"


def test_a_half_open_connection_swallows(proxy: Proxy, echo: Echo) -> None:
    proxy.half_open()
    with dial(proxy) as client:
        client.sendall(b"nobody hears")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(10)
    assert echo.got == []


def test_refused_until_healed_at_the_same_port(proxy: Proxy) -> None:
    port = proxy.port
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.heal()
    assert proxy.port == port
    with dial(proxy) as client:
        assert told(client, b"again") == b"again"


def test_one_connection_alone_can_be_broken(proxy: Proxy) -> None:
    with dial(proxy) as first, dial(proxy) as second:
        assert told(first, b"1") == told(second, b"1") == b"1"
        proxy.cut(down=0, connection=proxy.connections()[0])
        first.sendall(b"2")
        assert all_of(first) == b""
        assert told(second, b"2") == b"2"


def test_all_open_connections_can_be_reset_at_once(proxy: Proxy) -> None:
    with dial(proxy) as client:
        assert told(client, b"1") == b"1"
        proxy.drop()
        assert all_of(client) == b""
        assert proxy.connections() == ()
