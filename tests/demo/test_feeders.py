"""The demo's programs: a few open cases in each of four modes, and no twins after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualcontrol.demo import digits, feeders, runner, scans, start
from dualcontrol.learn.serving import current_model


@pytest.fixture
def desk(tmp_path: Path):
    with runner.open_desk(f"sqlite:///{tmp_path}/demo.db") as opened:
        yield opened


def opened(desk) -> dict[str, int]:
    queries = desk.store.queries
    return {c.loop: queries.counts(c.loop_id)["open"] for c in desk.loops()}


def turns(turn: feeders.FeederStep, most: int = 400) -> None:
    for _ in range(most):
        if not turn():
            return


def test_about_twenty_cases_over_four_modes_wait_and_a_restart_adds_none(desk, tmp_path):
    for _ in range(2):
        running = start(desk, tmp_path / "files")
        assert running.wait_ready(40)
        running.stop()
        found = opened(desk)
        assert set(found) == {"digits", "tidy", "pairs", "fallback"}
        assert all(3 <= count <= feeders.MOST_OPEN for count in found.values())
    assert {c.settings.mode for c in desk.loops()} == {"labels", "approval", "preference", "fallback"}


def test_answers_train_the_interactive_model_and_make_room(desk):
    turn = feeders.digits_turn(desk, seed=3)
    turns(turn)
    first = current_model(desk, digits.NAME).version
    for _ in range(60):
        claim = desk.claim("ana", digits.NAME)
        if claim is not None:
            claim.label(scans.truth(claim.case.meta["sample"]))
        turns(turn)
    models = desk.store.queries.models(desk.control(digits.NAME).loop_id)
    assert len(models) >= 3
    assert models[-1].version == first
    assert desk.store.queries.unfed().get(digits.NAME, 0) < feeders.RETRAIN_EVERY
    assert opened(desk)[digits.NAME] <= feeders.MOST_OPEN


def test_the_stream_goes_on_where_it_was(desk):
    turns(feeders.digits_turn(desk, seed=3))
    claim = desk.claim("ana", digits.NAME)
    claim.label(0)
    turns(feeders.digits_turn(desk, seed=3))
    rows = desk.store.queries.cases(loop=digits.NAME, limit=500).rows
    samples = [desk.case(row.id).meta["sample"] for row in rows]
    order = scans.order(3)
    assert sorted(samples) == sorted(order.stream[: len(rows)])


def test_a_lost_model_file_sends_every_scan_to_a_human(desk):
    turns(feeders.digits_turn(desk, seed=3))
    for file in Path(desk.settings.models).glob("*.joblib"):
        file.unlink()
    with runner.open_desk(desk.store.url) as again:
        turn = feeders.digits_turn(again, seed=3)
        assert again.claim("ana", digits.NAME) is not None
        turn()
        newest = again.store.queries.cases(loop=digits.NAME, limit=1).rows[0]
        assert (newest.route, newest.confidence) == ("human", None)
        assert "model file" in again.control(digits.NAME).closed_for(None)


def test_files_lie_beside_the_database(tmp_path):
    assert runner.files_folder(f"sqlite:///{tmp_path}/x.db") == tmp_path / "x-files"
    assert runner.files_folder("postgresql://h/d") == Path(runner.FILES)
