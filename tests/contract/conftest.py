"""A store on each database in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dualcontrol.store import Store
from dualcontrol.store.sql import open_store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on an empty database, with acknowledged steps that survive a crash."""
    opened = open_store(database_url, durability="process")
    yield opened
    opened.close()
