"""The `world` of the HTTP interface's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from collector.intake import Intake
from collector.store import hosts, open_store, upgrade, users
from tests.web.api.world import AT, Clock, World, enrol
from web import api
from web.live import Live
from web.settings import WebSettings


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    url = f"sqlite:///{tmp_path}/czuwak.db"
    upgrade(url)
    store = open_store(url)
    with store.write() as connection:
        hosts.add_company(connection, "alfa", "Alfa sp. z o.o.", AT)
        hosts.add_company(connection, "beta", "Beta S.A.", AT)
        users.add_user(connection, "ola", "Ola Nowak", "x", at=AT)
        users.add_user(connection, "jan", "Jan Kos", "x", at=AT)
    enrol(store, "agent-a", "alfa", "srv-1")
    enrol(store, "agent-b", "beta", "srv-2")
    clock = Clock()
    app = Flask(__name__)
    parts = WebSettings(b"a secret of thirty-two bytes len", now=clock)
    intake = Intake(store)
    app.register_blueprint(api.blueprint(store, intake, Live(""), parts))
    yield World(store, intake, app.test_client(), clock)
    store.close()
