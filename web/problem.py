"""Errors of the HTTP interface as `application/problem+json` (RFC 9457), in English: programs read them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from flask import Response, request
from werkzeug.exceptions import HTTPException

MIME = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong field of a body (`pointer`, as #/status) or one wrong parameter (`parameter`, its name)."""

    detail: str
    pointer: str = ""
    parameter: str = ""

    def plain(self) -> dict[str, str]:
        """The entry of `errors[]`."""
        place = {"pointer": self.pointer} if self.pointer else {"parameter": self.parameter}
        return {"detail": self.detail, **place}


class Problem(Exception):  # noqa: N818 - RFC 9457's own word
    """A request was refused; `detail` says what to do about it, `extra` are further members of the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        faults: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = tuple(faults)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def plain(self, instance: str) -> dict[str, object]:
        """The members of the answer; `instance` is the path that was asked for."""
        named = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        errors = {"errors": [each.plain() for each in self.faults]} if self.faults else {}
        return {**self.extra, **named, **errors}


def answer(problem: Problem) -> Response:
    """The problem as the answer to the current request."""
    text = json.dumps(problem.plain(request.path), allow_nan=False, ensure_ascii=False)
    return Response(text + "\n", problem.status, problem.headers, mimetype=MIME)


def answer_http(error: HTTPException) -> Response:
    """What Flask or Werkzeug refused (404, 405, 413, 500 ...) in the same shape."""
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    return answer(Problem(error.code or 500, error.description or "", headers=headers))
