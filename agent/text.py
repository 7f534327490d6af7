"""Words from outside made safe: addresses, fingerprints, and what a peer says before a person reads it."""

import re

# [v6] or [v6]:port; a bare v6, which has no port; host or host:port.
_ADDRESS = re.compile(
    r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<bare>[^\[\]:]*:[^\[\]:]*:[^\[\]]*)|(?P<host>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?"
)


def split_address(address: str, default_port: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `[v6]:port`. Raises ValueError."""
    found = _ADDRESS.fullmatch(address)
    port = int(found["port"] or default_port) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError(f"{address!r} is not HOST:PORT")
    return found["v6"] or found["bare"] or found["host"], port


def listen_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:19115`, `[::1]:0` or `:19115` (every address) as host and port; port 0 is any. Raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address to listen on: write HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def joined(address: tuple[str, int]) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def normal_fingerprint(text: str) -> str:
    """64 lower-case hex digits of `sha256:AB:CD…`, colons and prefix optional. Raises ValueError."""
    digits = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if len(digits) != 64 or any(digit not in "0123456789abcdef" for digit in digits):
        raise ValueError("the CA fingerprint must be 64 hex digits of a SHA-256, as `czuwak token create` printed it")
    return digits


def plain(text: str, limit: int = 300) -> str:
    """A peer's text for a person's terminal or log: one printable line, cut at `limit` characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:limit]).strip()
