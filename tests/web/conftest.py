"""A desk with a loop of every mode, its app, and clients that may ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import web_cases
from browsing import DESKTOP, ready
from fastapi import FastAPI
from starlette.testclient import TestClient
from team import People, session, team

import dualcontrol as dc
from dualcontrol.web.app import create_app
from dualcontrol.web.server import Serving, background

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TOKEN = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8765"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[dc.Desk]:
    """A desk on a file with a loop of every mode."""
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        web_cases.define(desk)
        team(desk)
        yield desk


@pytest.fixture
def app(desk: dc.Desk) -> FastAPI:
    """The console over the desk."""
    return create_app(desk, token=TOKEN, people=() if desk.people.begun else ("ana", "ben", "eva"))


@pytest.fixture
def api(app: FastAPI, desk: dc.Desk) -> Iterator[TestClient]:
    """A client that holds the API token, and those of the people who act."""
    with People(app, desk, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    """A client that holds nothing."""
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        yield client


@pytest.fixture
def web(app: FastAPI, desk: dc.Desk) -> Iterator[TestClient]:
    """A browser without JavaScript in which ana has just signed in."""
    with TestClient(app, base_url=BASE, headers={"Accept": "text/html"}) as client:
        client.cookies.set(app.state.access.cookie, session(desk, "ana"), domain="127.0.0.1", path="/")
        yield client


@pytest.fixture
def console(desk: dc.Desk) -> Iterator[Serving]:
    """The console on a port of its own."""
    with background(desk, port=0) as serving:
        yield serving


@pytest.fixture
def enter(browser: Browser, console: Serving) -> Iterator[Any]:
    """Opens pages that are let in and, unless `soon`, take answers; errors in a page's console fail the test."""
    contexts = []
    wrong: list[str] = []

    def opened(path: str = "", *, soon: bool = False, **options: Any) -> Page:
        cookie = session(console.desk, options.pop("person", "ana"))
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        contexts.append(context)
        context.add_cookies([{"name": console.access.cookie, "value": cookie, "url": console.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(console.url + path)
        if options.get("java_script_enabled", True) and "claims/" in path and not soon:
            ready(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [w for w in wrong if "422" not in w and "409" not in w] == []
