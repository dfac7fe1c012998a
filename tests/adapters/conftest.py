"""Agent frameworks are installed by `make test-slow` alone; without them their tests are not collected."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

import dualcontrol as dc

FRAMEWORKS = {
    "langgraph": ("test_langgraph.py", "test_resumer.py", "test_killed.py"),
    "langchain": ("test_langchain.py", "test_ungated.py"),
}
collect_ignore = [file for module, files in FRAMEWORKS.items() if find_spec(module) is None for file in files]


@pytest.fixture
def desk(database_url: str) -> Iterator[dc.Desk]:
    """A desk on each database, with the clock of the machine, as a framework's threads have it."""
    with dc.open(database_url) as opened:
        yield opened
