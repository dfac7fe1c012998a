"""Fixtures for every test: databases of each kind, and a browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from postgres_server import Server, open_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BACKENDS = [
    "memory",
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL, started when the first test asks; under xdist each worker that asks has its own."""
    server = open_server()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: Server) -> Iterator[str]:
    """An empty PostgreSQL database for one test."""
    url = postgres_server.new_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn; only the last kind starts a server."""
    if request.param == "memory":
        return "sqlite:///:memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dc.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(scope="session")
def chromium_path(pytestconfig: pytest.Config) -> str:
    """The browser that `make test` found; without one the test is skipped, or fails where CI is true."""
    found = pytestconfig.rootpath / ".venv" / "chromium-path"
    noted = found.read_text(encoding="utf-8").strip() if found.exists() else ""
    if path := os.environ.get("DUALCONTROL_CHROMIUM") or noted:
        return path
    reason = "no Chromium: `make browser` finds or installs one, DUALCONTROL_CHROMIUM names one"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    """A headless Chromium for one file of tests.

    Not for the session: while playwright's synchronous API is open, its event loop counts as running in this
    thread, and asyncio.run() in any other test would fail.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        # Chromium refuses its sandbox to root, which is what most containers run as.
        options = ["--no-sandbox"] if os.geteuid() == 0 else []
        instance = driver.chromium.launch(executable_path=chromium_path, args=options)
        yield instance
        instance.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page with cookies of its own."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC")
    yield context.new_page()
    context.close()
