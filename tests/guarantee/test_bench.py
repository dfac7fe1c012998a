"""The guarantee from end to end on simulated streams, as the benchmark runs it, in short."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def cells() -> Any:
    """The benchmark's own cells; its modules lie beside each other and import each other by plain name."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
    try:
        import cells as found
    finally:
        sys.path.pop(0)
    return found


def runs(cells: Any, cell: Any, count: int) -> list[Any]:
    return [cells.once(cell, seed) for seed in range(count)]


def test_the_product_opens_and_keeps_its_promise(cells: Any) -> None:
    found = runs(cells, cells.Cell("cal_heavy", decisions=6_000), 6)
    assert sum(run.violated for run in found) <= 1
    assert all(run.coverage > 0.6 and run.reviews < 0.9 and not run.miscovered for run in found)


def test_tuning_to_the_error_so_far_breaks_the_promise_on_the_same_streams(cells: Any) -> None:
    assert sum(run.violated for run in runs(cells, cells.Cell("cal_heavy", "naive", decisions=6_000), 6)) >= 4


def test_a_change_for_the_worse_closes_autopilot(cells: Any) -> None:
    """Three times the odds of error from the middle on: an alarm, and none before."""
    found = runs(cells, cells.Cell("cal_heavy", decisions=20_000, drift=4.0), 3)
    assert all(run.delay >= 0 and run.false_alarms == 0 for run in found)


def test_labels_by_arrival_break_the_promise_where_labels_by_decision_keep_it(cells: Any) -> None:
    """Errors that are answered later than the rest."""
    late = {
        order: sum(
            run.violated
            for run in runs(cells, cells.Cell("flat51", decisions=5_000, delay=(1000.0, 50.0), order=order), 6)
        )
        for order in ("arrival", "decisions")
    }
    assert late["arrival"] >= 3 > 1 >= late["decisions"]


def test_a_learned_score_opens_where_raw_confidence_does_not(cells: Any) -> None:
    """The most confident decisions are often wrong, and the bound is low."""
    promise = cells.Promise(max_error=0.02)
    learned = cells.once(cells.Cell("topwrong", "risk model", promise=promise), 0)
    raw = cells.once(cells.Cell("topwrong", promise=promise), 0)
    assert learned.coverage > 0.25 > raw.coverage
    assert not learned.violated


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["cal_light", "overconf", "topwrong", "flat51"])
def test_at_most_delta_of_many_streams_are_violated(cells: Any, stream: str) -> None:
    """And 1.65 standard errors of chance."""
    found = runs(cells, cells.Cell(stream), 100)
    assert sum(run.violated for run in found) <= 100 * (0.05 + 1.65 * (0.05 * 0.95 / 100) ** 0.5)
