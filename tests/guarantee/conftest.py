"""Streams under a guarantee, each on a desk of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certify_cases import Stream


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Evidence that could not be counted is only logged, so that answers stand: here it fails the test."""
    yield
    said = [record.getMessage() for record in caplog.get_records("call") if record.name == "dualcontrol.guarantee"]
    assert "fails" in request.node.name or not [text for text in said if text.startswith("the evidence")], caplog.text


@pytest.fixture
def make() -> Iterator[Callable[..., Stream]]:
    """Streams on a database in memory, or on the one that is named."""
    made: list[Stream] = []

    def start(url: str = "sqlite:///:memory:", **settings: Any) -> Stream:
        made.append(Stream(url, **settings))
        return made[-1]

    yield start
    for stream in made:
        stream.desk.close()


@pytest.fixture
def stream(make: Callable[..., Stream]) -> Stream:
    return make()
