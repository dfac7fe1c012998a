"""``policy set``, ``drop`` and ``show``: a setting is overridden by command, beside the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def row(run: Any, key: str) -> Any:
    return next(row for row in run("policy", "show", "refunds", "--json").json["settings"] if row["key"] == key)


@pytest.fixture(autouse=True)
def begun(run: Any) -> None:
    """There is a database."""
    assert run("propose", "refunds", "--action", "refund", "--args", "{}", "--input", '"x"').code in (0, 5)


def test_a_setting_is_overridden_shown_and_dropped(run: Any) -> None:
    laid = run("policy", "set", "refunds", "threshold", "0.95", "--person", "ana")
    assert laid.code == 0
    assert "0.95" in laid.out
    assert "ana" in laid.out
    shown = run("policy", "show", "refunds")
    line = next(line for line in shown.out.splitlines() if line.strip().startswith("threshold"))
    assert line.split() == ["threshold", "0.95", "0.9", "ana"]
    assert row(run, "threshold")["override"]["by"] == "ana"
    assert "threshold is 0.95 by ana, over 0.9" in " ".join(run("doctor").out.split())
    dropped = run("policy", "drop", "refunds", "threshold", "--person", "ben", "--json")
    assert dropped.json["setting"] == {"key": "threshold", "value": 0.9, "declared": 0.9, "override": None}
    assert run("policy", "drop", "refunds", "threshold").code == 3


def test_a_value_is_json_or_else_text(run: Any, tmp_path: Path) -> None:
    assert run("policy", "set", "refunds", "groups.leads", '["lee", "lou"]').code == 0
    assert run("policy", "set", "refunds", "group", "leads").code == 0
    file = tmp_path / "rules.json"
    file.write_text('[{"name": "all", "when": "true", "route": "human"}]', encoding="utf-8")
    assert run("policy", "set", "refunds", "rule", f"@{file}").code == 0
    assert run("policy", "set", "refunds", "threshold", "null").code == 0
    assert row(run, "group")["value"] == "leads"
    assert row(run, "groups.leads")["value"] == ["lee", "lou"]
    assert row(run, "rules")["value"][0]["name"] == "all"
    assert row(run, "threshold")["value"] is None
    assert run("policy", "set", "refunds", "quorum", '{"answers": ').code == 2
    typo = run("policy", "set", "refunds", "treshold", "1")
    assert typo.code == 2
    assert "did you mean 'threshold'" in " ".join(typo.err.split())


def test_a_changed_file_is_refused_until_the_override_is_dropped(run: Any) -> None:
    run("policy", "set", "refunds", "threshold", "0.95", "--person", "ana")
    file = Path("dualcontrol.toml")
    file.write_text(file.read_text(encoding="utf-8").replace("threshold = 0.9\nrisk", "threshold = 0.8\nrisk"),
                    encoding="utf-8")  # fmt: skip
    refused = run("inbox")
    assert refused.code == 2
    words = " ".join(refused.err.split())
    for said in ("0.8", "0.9", "0.95", "ana", "dualcontrol policy drop refunds threshold", "DC-OVERRIDE"):
        assert said in words
    assert run("policy", "show", "refunds").code == 0
    assert run("policy", "drop", "refunds", "threshold").code == 0
    assert run("inbox").code == 0
    assert row(run, "threshold")["value"] == 0.8


def test_in_a_loop_of_two_a_second_person_approves(run: Any) -> None:
    assert run("policy", "set", "refunds", "changes", "two", "--person", "ana").code == 0
    asked = run("policy", "set", "refunds", "threshold", "0.5", "--person", "ana")
    assert asked.code == 5
    assert "a second person has to approve this change" in " ".join(asked.err.split())
    assert row(run, "threshold")["value"] == 0.9
    (case,) = [line["review"]["case_id"] for line in run("inbox", "--json").json if line["review"]["group"] == "policy"]
    assert run("approve", case, "--person", "ana").code != 0
    assert run("approve", case, "--person", "ben").code == 0
    override = row(run, "threshold")["override"]
    assert (override["by"], override["approved_by"], override["case_id"]) == ("ana", "ben", case)
    assert run("policy", "set", "refunds", "threshold", "0.5", "--person", "ana").code == 0
