"""A full database: the request is refused whole, everything acknowledged stays, and it works again with more room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from failure.conftest import PAY, folded

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import StoreFullError


@pytest.fixture
def full(tmp_path: Path) -> Any:
    """A desk whose database may grow by two pages."""
    with dc.open(f"sqlite:///{tmp_path}/dc.db") as desk:
        desk.loop("pay", context="minimal")
        desk.kept = desk.loop("pay").propose(**PAY, key="kept").id
        writer: Any = desk.store._dialect._writer
        writer.execute(f"PRAGMA max_page_count={writer.execute('PRAGMA page_count').fetchone()[0] + 2}")
        yield desk


def more_room(desk: dc.Desk) -> None:
    desk.store._dialect._writer.execute("PRAGMA max_page_count=1000000")


def test_a_proposal_that_does_not_fit(full: Any) -> None:
    large = {**PAY, "input": "x" * 200_000}
    with pytest.raises(StoreFullError) as caught:
        full.loop("pay").propose(**large, key="large")
    assert caught.value.hint
    assert [row.id for row in full.store.queries.cases().rows] == [full.kept]
    assert not [f for f in examine(full.store) if f.level == PROBLEM]
    more_room(full)
    assert full.loop("pay").propose(**large, key="large").seq == 1
    assert full.loop("pay").propose(**PAY, key="kept").id == full.kept


def test_an_answer_that_does_not_fit(full: Any) -> None:
    claim = full.claim("ana")
    with pytest.raises(StoreFullError):
        claim.respond("x" * 200_000)
    assert full.case(full.kept).answered == ()
    assert full.case(full.kept) == folded(full, full.kept)
    more_room(full)
    claim.respond("x" * 200_000)
    assert full.case(full.kept).outcome.verdict == "respond"
