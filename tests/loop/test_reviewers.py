"""Many reviewers on one queue, as the benchmark runs it, in short: each case decided once, none left."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bench() -> Any:
    """The benchmark's own functions."""
    path = Path(__file__).parents[2] / "bench" / "reviewers.py"
    spec = importlib.util.spec_from_file_location("bench_reviewers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_each_case_is_decided_once_and_none_is_left(
    bench: Any, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else f"sqlite:///{tmp_path}/dc.db"
    run = bench.measured(url, cases=200, reviewers=16, durability="process")
    assert bench.sound(run)
    assert (run["cases"], run["decided_once"], run["left"], run["double"]) == (200, 200, 0, 0)
