"""Who visits the pages in tests: a client that fills forms in as a browser does, and the time it is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web import seed


@dataclass
class Clock:
    """The time of the application; a test moves it."""

    at: float

    def __call__(self) -> float:
        return self.at


@dataclass
class Visitor:
    """A test client that reads a form's token as a browser does."""

    client: FlaskClient
    base_url: str = "http://localhost"

    def get(self, path: str, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named, base_url=self.base_url, buffered=True)

    def send(self, path: str, form: Mapping[str, object], *, page: str | None = None) -> TestResponse:
        """Posts a form with the token of `page` (for a stranger the login page)."""
        text = self.client.get(page or "/help/keys", follow_redirects=True, base_url=self.base_url).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', text)
        assert found is not None
        referer = {"Referer": f"{self.base_url}/"}
        data = {"csrf_token": found[1], **form}
        return self.client.post(path, data=data, base_url=self.base_url, headers=referer)

    def login(self, name: str, password: str = seed.PASSWORD) -> TestResponse:
        return self.send("/login", {"login": name, "password": password}, page="/login")

    def session(self) -> str:
        """The secret in the session's cookie."""
        cookie = self.client.get_cookie("czuwak_session")
        assert cookie is not None
        return str(cookie.value)


Visit = Callable[..., Visitor]  # (name) -> a visitor with this person's session, a stranger without a name
