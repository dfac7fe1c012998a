"""A desk with a loop of every mode, its app, and clients that may ask it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import web_cases
from fastapi import FastAPI
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.web.app import create_app

TOKEN = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8765"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[dc.Desk]:
    """A desk on a file with a loop of every mode."""
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        web_cases.define(desk)
        yield desk


@pytest.fixture
def app(desk: dc.Desk) -> FastAPI:
    """The console over the desk."""
    return create_app(desk, token=TOKEN, person="ana")


@pytest.fixture
def api(app: FastAPI) -> Iterator[TestClient]:
    """A client that holds the API token."""
    with TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


@pytest.fixture
def stranger(app: FastAPI) -> Iterator[TestClient]:
    """A client that holds nothing."""
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        yield client


@pytest.fixture
def web(app: FastAPI) -> Iterator[TestClient]:
    """A browser without JavaScript that came in by the printed address."""
    with TestClient(app, base_url=BASE, headers={"Accept": "text/html"}) as client:
        client.get("/", params={"token": app.state.access.entry})
        yield client
