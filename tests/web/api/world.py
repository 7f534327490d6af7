"""A collector behind the HTTP interface: a client that holds every answer to the OpenAPI document."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from werkzeug.test import TestResponse

from collector.intake import Intake
from collector.store import Store, api_tokens, enrollments
from collector.tickets.ticket import Actor, NewTicket
from web import openapi

AT = 1_760_000_000.0  # 2025-10-09T08:53:20Z
DOCUMENT = json.loads(json.dumps(openapi.document()))
ALL = ("tickets:read", "tickets:write", "hosts:read", "hosts:write")
PERSON = Actor(None, "Ewa")


@dataclass
class Clock:
    now: float = AT

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A collector with two companies, one host each, two technicians, and a client that checks every answer."""

    store: Store
    intake: Intake
    client: FlaskClient
    clock: Clock
    secrets: dict[str, str] = field(default_factory=dict)

    def token(self, *scopes: str, **more: Any) -> str:
        with self.store.write() as connection:
            return api_tokens.create(connection, "robot", scopes or ALL, at=AT, **more)[1]

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> TestResponse:
        if token is None:
            token = self.secrets.setdefault("all", self.token())
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        answer = self.client.open(f"/api{path}", method=method, headers=headers, **more)
        conforms(method, path, answer)
        return answer

    def opened(self, title: str = "Printer is on fire", company: str = "alfa") -> str:
        return self.intake.open_by_person(NewTicket(company=company, title=title), PERSON, self.clock.now).number


def conforms(method: str, path: str, answer: TestResponse) -> None:
    """The answer is one that the document describes for this method and path."""
    if answer.data:
        json.loads(answer.data, parse_constant=pytest.fail)
    template, operation = described(method, path)
    if answer.status_code in {404, 405} and answer.mimetype == "application/problem+json":
        schema: object = {"$ref": "#/components/schemas/Problem"}
    else:
        assert operation is not None, f"{method} {path} is not described"
        response = operation["responses"][str(answer.status_code)]
        if "content" not in response:
            assert answer.data == b""
            return
        schema = response["content"][answer.mimetype]["schema"]
    body = answer.get_json()
    Draft202012Validator({"allOf": [schema], "components": DOCUMENT["components"]}).validate(body)
    if answer.mimetype == "application/problem+json":
        assert body["status"] == answer.status_code, template


def described(method: str, path: str) -> tuple[str, Any]:
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path.partition("?")[0]):
            return template, methods.get(method.lower())
    return path, None


def enrol(store: Store, identity: str, company: str, name: str) -> None:
    with store.write() as connection:
        enrollments.add_host(
            connection,
            host_id=identity,
            company=company,
            site="main",
            class_="server",
            name=name,
            enrollment_id=f"e-{identity}",
            key_hash="00",
            serial=f"s-{identity}",
            certificate_pem="",
            not_after=AT + 86_400,
            at=AT,
        )
