"""The headless demo: figures from the ledger, the same for the same seed, within their bounds for any."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import pytest

from dualcontrol import compose
from dualcontrol.demo import headless, scans
from dualcontrol.errors import SettingsError
from dualcontrol.events import Opened, Routed

SHORT = 220
SCRIPT = Path(__file__).parents[2] / "scripts" / "recompute_demo.py"


def recomputed(url: str) -> dict:
    spec = importlib.util.spec_from_file_location("recompute_demo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.figures(url)


def agree(found: dict, url: str) -> None:
    mine = recomputed(url)
    for a, b in zip([*mine["rounds"], mine["total"]], [*found["rounds"], found["total"]], strict=True):
        assert a == {name: b[name] for name in a}


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> tuple[dict, str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('demo')}/a.db"
    return headless.run(7, url, limit=SHORT)


def test_a_short_run_has_its_rounds_and_its_total(short):
    found, _ = short
    assert len(found["rounds"]) == 10
    assert sum(r["cases"] for r in found["rounds"]) == found["total"]["cases"] == SHORT
    assert found["total"]["start_labels"] == 60
    assert {r["threshold"] for r in found["rounds"]} == {0.9}
    assert found["total"]["promoted"] == sum(r["promoted"] for r in found["rounds"]) >= 1


def test_an_independent_program_finds_the_same_figures_in_the_ledger(short):
    agree(*short)


@pytest.mark.slow
def test_one_seed_gives_one_result_and_another_gives_another(short, tmp_path):
    again, _ = headless.run(7, f"sqlite:///{tmp_path}/b.db", limit=SHORT)
    other, _ = headless.run(8, f"sqlite:///{tmp_path}/c.db", limit=40)
    assert again == short[0]
    assert other["rounds"] != again["rounds"][:10]


def test_the_ledger_is_left_with_every_sample_of_the_stream_and_nothing_else(short):
    with compose.open(short[1], durability="process") as desk:
        rows = desk.store.queries.cases(loop="digits", limit=500).rows
        events = [desk.events(row.id) for row in rows]
        samples = [desk.case(row.id).meta["sample"] for row in rows]
    assert sorted(samples) == sorted(scans.order(7).stream[:SHORT])
    assert all(isinstance(found[0], Opened) and isinstance(found[1], Routed) for found in events)


def test_every_entry_has_its_position_when_a_run_is_over(short):
    with compose.open(short[1], durability="process") as desk:
        assert desk.store.queries.unplaced() == (0, None)


def test_where_the_ledger_lies_is_said_beside_the_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, err = io.StringIO(), io.StringIO()
    headless.main(7, as_json=True, limit=20, out=out, err=err)
    assert json.loads(out.getvalue())["rounds"]
    assert "The ledger: sqlite:///dualcontrol-headless.db" in err.getvalue()


def test_every_model_names_the_start_labels_it_was_trained_on(short):
    with compose.open(short[1], durability="process") as desk:
        models = desk.store.queries.models(desk.control("digits").loop_id)
    starters = " ".join(str(sample) for sample in scans.order(7).starters)
    assert models[-1].examples == 60
    assert all(model.metrics["start"]["rows"] == 60 for model in models)
    assert all(model.metrics["start"]["source"].endswith(starters) for model in models)


def test_the_truth_reaches_neither_proposals_nor_the_model(short):
    with compose.open(short[1], durability="process") as desk:
        for row in desk.store.queries.cases(loop="digits", limit=50).rows:
            case = desk.case(row.id)
            assert set(case.meta) == {"sample"}
            assert set(case.input) == {"image", "pixels"}


def test_a_database_in_use_is_refused(short):
    with pytest.raises(SettingsError, match="in use already"):
        headless.run(7, short[1], limit=1)


def test_without_a_database_a_new_file_is_taken(tmp_path):
    (tmp_path / "dualcontrol-headless.db").touch()
    assert headless.fresh_url(str(tmp_path)) == f"sqlite:///{tmp_path}/dualcontrol-headless-2.db"


def test_the_result_is_a_table_and_a_closing_line_or_json(tmp_path):
    plain, as_json, bar = io.StringIO(), io.StringIO(), io.StringIO()
    headless.main(1, f"sqlite:///{tmp_path}/a.db", limit=30, out=plain, err=bar)
    found = headless.main(1, f"sqlite:///{tmp_path}/b.db", limit=30, as_json=True, out=as_json, err=bar)
    assert "Human load fell from" in plain.getvalue() or "human load" in plain.getvalue()
    assert "The ledger: sqlite:///" in plain.getvalue()
    assert json.loads(as_json.getvalue()) == found


def test_the_reviewer_errs_on_two_percent_by_seed_and_scan():
    wrong = [headless.misread(3, sample, 4) != 4 for sample in range(5_000)]
    assert 0.014 < sum(wrong) / 5_000 < 0.026
    assert headless.misread(3, 17, 4) == headless.misread(3, 17, 4)


@pytest.mark.postgres
def test_postgres_gives_the_same_result(short, postgres_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, url = headless.run(7, postgres_url, limit=SHORT)
    assert found == short[0]
    agree(found, url)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_human_load_falls_at_a_bounded_error_for_any_seed(seed, tmp_path):
    found, url = headless.run(seed, f"sqlite:///{tmp_path}/a.db")
    total = found["total"]
    assert total["cases"] == 1737
    assert found["rounds"][0]["human_load"] >= 0.50
    assert total["last_third_human_load"] <= 0.25
    assert total["autopilot_error"] <= 0.01
    assert total["worst_tenth_autopilot_error"] <= 0.04
    assert total["promoted"] >= 2
    assert total["calibration_error"] <= 0.10
    agree(found, url)
