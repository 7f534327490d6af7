"""Random secrets and what is kept of them: a hash, so that a stolen database opens nothing."""

import hashlib
import secrets


def make(prefix: str) -> str:
    """A new secret of 256 random bits, recognisable by its prefix."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def digest(secret: str) -> str:
    """What is stored. The secrets are random, so a plain hash cannot be guessed backwards."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
