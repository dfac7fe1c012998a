"""A store on each database in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualcontrol.store import Store
from dualcontrol.store.sql import open_store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on an empty database, with acknowledged steps that survive a crash."""
    opened = open_store(database_url, durability="process")
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lasting_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that two connections can see."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dc.db"
    return str(request.getfixturevalue("postgres_url"))
