"""Who calls the HTTP interface: a program by its bearer token, with scopes and companies. Cookies do not count here."""

import math
from dataclasses import dataclass

from flask import request

from collector.store import api_tokens, users
from collector.store.api_tokens import ApiToken
from collector.store.hosts import Scope
from collector.tickets.ticket import Actor
from web.problem import Problem
from web.settings import Parts

REALM = 'Bearer realm="czuwak"'
_USE_EVERY = 60.0  # seconds between two notes that a token is in use


@dataclass(frozen=True, slots=True)
class Caller:
    """An admitted program: as whom it acts, and which companies it sees (None: all)."""

    token_id: int
    actor: Actor
    scope: Scope


def admit(parts: Parts, scope: str) -> Caller:
    """The caller, if its token holds the scope. Raises Problem 401, 403 or 429."""
    given = request.authorization
    if given is None or given.type != "bearer" or not given.token:
        raise Problem(401, "Send Authorization: Bearer <token>.", headers={"WWW-Authenticate": REALM})
    with parts.store.read() as connection:
        token = api_tokens.verify(connection, given.token, parts.now())
        owner = users.user(connection, token.user_id) if token and token.user_id is not None else None
    if token is None or (owner is not None and owner.disabled_at is not None):
        raise refused(parts)
    if scope not in token.scopes:
        wanted = f'{REALM}, error="insufficient_scope", scope="{scope}"'
        raise Problem(403, f"The token lacks the scope {scope}.", headers={"WWW-Authenticate": wanted})
    note_use(parts, token)
    actor = Actor(token.user_id, owner.name if owner else token.name, "api")
    return Caller(token.id, actor, narrowed(token, owner))


def narrowed(token: ApiToken, owner: users.User | None) -> Scope:
    """The companies that both the token and its owner may see."""
    if owner is None or owner.companies is None:
        return token.companies
    return owner.companies if token.companies is None else token.companies & owner.companies


def refused(parts: Parts) -> Problem:
    """A wrong token: 401, and 429 without a further look in the throttle's table once there were too many."""
    address = request.remote_addr or ""
    account = f"api {address}"  # the address is part of the account: wrong tokens elsewhere lock nobody out here
    at = parts.now()
    with parts.store.read() as connection:
        until = users.locked_until(connection, account, address, at)
    if until is not None:
        wait = str(math.ceil(until - at))
        return Problem(429, "Too many wrong tokens from this address.", headers={"Retry-After": wait})
    with parts.store.write() as connection:
        users.record_failure(connection, account, address, at)
    invalid = f'{REALM}, error="invalid_token"'
    return Problem(401, "The token is unknown, expired or revoked.", headers={"WWW-Authenticate": invalid})


def note_use(parts: Parts, token: ApiToken) -> None:
    """Remember that the token is in use; seldom, so that reading stays reading."""
    at = parts.now()
    if token.last_used_at is None or token.last_used_at < at - _USE_EVERY:
        with parts.store.write() as connection:
            api_tokens.note_use(connection, token.id, at)
