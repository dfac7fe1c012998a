"""The headless demo of measured people: who stamps is found out, and what they let pass counts against the bound."""

from __future__ import annotations

import io
import json

import pytest

pytest.importorskip("rich")
from dualcontrol.demo import refunds


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('refunds')}/demo.db"
    return refunds.run(3, url, limit=900)[0]


def test_who_stamps_is_flagged_and_nobody_else_is(played):
    rows = {row["person"]: row for row in played["people"]}
    assert rows["Zoe"]["flags"] >= 1
    assert rows["Zoe"]["let_pass"] == rows["Zoe"]["probes"] >= 5
    assert [name for name, row in rows.items() if row["flags"]] == ["Zoe"]
    assert rows["Zoe"]["let_pass_at_least"] > 0.3 > rows["Ana"]["let_pass_at_least"]


def test_probes_cost_at_most_a_twentieth_of_the_answers(played):
    assert 0 < played["probes"] <= 0.05 * (played["probes"] + played["answers"])


def test_one_seed_gives_one_result(tmp_path):
    one, _ = refunds.run(1, f"sqlite:///{tmp_path}/one.db", limit=60)
    other, _ = refunds.run(1, f"sqlite:///{tmp_path}/other.db", limit=60)
    assert one == other


def test_it_is_shown_as_a_table_and_as_json(tmp_path):
    out, err = io.StringIO(), io.StringIO()
    refunds.main(1, f"sqlite:///{tmp_path}/one.db", limit=40, out=out, err=err)
    assert "Zoe" in out.getvalue()
    assert "who lets them pass" in out.getvalue()
    out = io.StringIO()
    refunds.main(1, f"sqlite:///{tmp_path}/two.db", limit=40, as_json=True, out=out, err=err)
    assert {row["person"] for row in json.loads(out.getvalue())["people"]} == {"Ana", "Ben", "Cleo", "Zoe"}
