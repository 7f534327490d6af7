"""`make screenshot`: the queue as the README shows it, from the real application over a seeded store, in Chromium."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flask import Flask
from playwright.sync_api import sync_playwright
from werkzeug.serving import make_server

from collector.intake import Intake
from collector.store import Store, open_store, upgrade, users
from tests.conftest import ROOT, find, missing
from tests.web import seed
from web.app import create_app
from web.live import Live
from web.settings import WebSettings

TARGET = ROOT / "docs" / "images" / "queue.png"
SIZE = (1280, 800)
HEAVIEST = 150_000  # bytes
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def main() -> int:
    """Write the picture; the exit code."""
    lacking = missing("chromium")
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    with TemporaryDirectory() as folder, seeded(Path(folder)) as (store, app), served(app) as address:
        picture = photograph(f"{address}/queue", session(store))
    if len(picture) > HEAVIEST:
        print(f"the picture has {len(picture)} bytes; {HEAVIEST} are the most", file=sys.stderr)
        return 1
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(picture)
    print(f"{TARGET.relative_to(ROOT)}: {len(picture)} bytes")
    return 0


@contextmanager
def seeded(folder: Path) -> Iterator[tuple[Store, Flask]]:
    """The application over a database of its own with a Monday morning in it; its clock stands still."""
    url = f"sqlite:///{folder}/czuwak.db"
    upgrade(url)
    store = open_store(url)
    intake = Intake(store)
    seed.estate(store, intake)
    yield store, create_app(store, intake, Live(""), WebSettings(seed.PASSWORD.encode(), now=lambda: seed.NOW))
    store.close()


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The address of the application on a free loopback port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def session(store: Store) -> str:
    """The secret of a session of the first technician."""
    with store.write() as conn:
        anna = users.user_by_login(conn, "anna")
        assert anna is not None
        return users.new_session(conn, anna.id, seed.NOW, 3600)


def photograph(address: str, secret: str) -> bytes:
    """A PNG of one page as this session sees it: light and English."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(find("chromium")), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme="light", locale="en-GB")
        page.context.add_cookies([{"name": "czuwak_session", "value": secret, "url": address}])
        page.goto(address)
        page.evaluate("document.fonts.ready")
        picture = page.screenshot()
        browser.close()
    return picture


if __name__ == "__main__":
    raise SystemExit(main())
