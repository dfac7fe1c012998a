"""Replay, policy and settings: what is looked at before anybody is exposed to it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dualcontrol.guarantee.curve import ScoredRow, at, curve, wilson


def scored(count: int = 400) -> list[ScoredRow]:
    """Proposals that are right as often as they are confident."""
    noise = random.Random(1)
    return [ScoredRow(score, noise.random() < score) for score in (noise.random() for _ in range(count))]


def write(path: str, rows: list[dict]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_wilson_is_the_interval_of_the_books():
    assert wilson(1, 10) == pytest.approx((0.01788, 0.40415), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


def test_a_point_counts_load_and_error():
    rows = [ScoredRow(0.2, False), ScoredRow(0.9, True), ScoredRow(0.95, False), ScoredRow(0.9, True)]
    point = at(rows, 0.9)
    assert (point.autopilot, point.wrong, point.load, point.error) == (3, 1, 0.25, pytest.approx(1 / 3))
    assert at(rows, 1.0).error is None


def test_a_curve_trades_load_for_error():
    points = curve(scored())
    assert [p.load for p in points] == sorted(p.load for p in points)
    assert points[0].load == 0
    assert points[-1].error < points[0].error


def test_replay_of_a_file_prints_a_point_and_a_curve(run):
    rows = [{"confidence": row.score, "right": int(row.right)} for row in scored()]
    write("scored.jsonl", rows)
    given = ("replay", "scored.jsonl", "--score", "confidence", "--truth", "right", "--threshold", "0.9")
    told = run(*given, "--json").json
    expected = at([ScoredRow(r["confidence"], bool(r["right"])) for r in rows], 0.9)
    assert (told["at"]["autopilot"], told["at"]["wrong"]) == (expected.autopilot, expected.wrong)
    shown = run(*given)
    assert shown.code == 0
    assert "autopilot from 0.9" in shown.out


def test_replay_reads_csv_and_compares_proposal_and_truth(run):
    Path("scored.csv").write_text("score,said,truth\n0.9,cat,cat\n0.8,cat,dog\n", encoding="utf-8")
    told = run("replay", "scored.csv", "--proposal", "said", "--threshold", "0.5", "--json").json
    assert (told["at"]["wrong"], told["at"]["autopilot"]) == (1, 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"score": 2, "truth": 1}\n', ":1: score"),
        ('{"score": 0.5, "truth": 1}\n{"score": 0.5, "truth": "maybe"}\n', ":2: truth"),
        ('{"score": 0.5}\n', "no field 'truth'"),
        ("nonsense\n", ":1: not JSON"),
        ("", "no rows"),
    ],
)
def test_replay_names_the_line_that_does_not_fit(run, text, says):
    Path("scored.jsonl").write_text(text, encoding="utf-8")
    result = run("replay", "scored.jsonl")
    assert result.code == 2
    assert says in result.err


def test_replay_of_a_loop_routes_past_cases_by_todays_rules(run, refund, folder):
    cases = [refund(), refund()]
    run("approve", cases[0])
    assert run("replay", "--loop", "refunds", "--json").json["moved"] == 0
    settings = (folder / "dualcontrol.toml").read_text(encoding="utf-8")
    (folder / "looser.toml").write_text(settings.replace("threshold = 0.9", "threshold = 0.5"), encoding="utf-8")
    told = run("--settings", "looser.toml", "replay", "--loop", "refunds", "--json").json
    assert (told["cases"], told["moved"], told["moves"][0]["now"]) == (2, 2, "autopilot")
    assert "autopilot" in run("--settings", "looser.toml", "replay", "--loop", "refunds").out
    assert run("replay", "--loop", "refunds", "--json").json["moved"] == 0, "the replay put nothing in force"
    assert run("replay", "--loop", "nope").code == 3
    assert run("replay").code == 2


def test_policy_check_prints_the_rules(run):
    result = run("policy", "check")
    assert result.code == 0
    assert "large amounts" in result.out
    assert "args.amount > 500.0" in result.out
    assert run("policy", "check", "--json").json["loops"]["refunds"]["threshold"] == 0.9


def test_policy_check_names_file_and_line(run, folder):
    (folder / "wrong.toml").write_text("[loop.a]\nmode = 'approval'\ntreshold = 0.9\n", encoding="utf-8")
    result = run("policy", "check", "wrong.toml")
    assert result.code == 2
    assert "wrong.toml:3" in result.err
    (folder / "wrong.toml").write_text(
        "[loop.a]\n[[loop.a.rule]]\nname = 'x'\nwhen = 'args.amount >'\nroute = 'human'\n", encoding="utf-8"
    )
    result = run("policy", "check", "wrong.toml", "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "DC-RULE")
    assert "wrong.toml:4" in result.json["error"]["message"]


def test_policy_test_routes_one_case_and_writes_nothing(run, folder):
    result = run("policy", "test", "refunds", "--case", '{"action": "refund", "args": {"amount": 900}}', "--json")
    assert (result.code, result.json["route"], result.json["by"]) == (0, "human", "rule:large amounts")
    shown = run("policy", "test", "refunds", "--case", '{"action": "refund", "confidence": 0.99, "risk": "low"}')
    assert "autopilot" in shown.out
    assert not (folder / "dualcontrol.db").exists()


def test_policy_test_compares_a_file_with_what_is_expected(run):
    rows = [
        {"action": "refund", "args": {"amount": 900}, "route": "human", "by": "rule:large amounts"},
        {"action": "refund", "confidence": 0.95, "route": "autopilot"},
        {"action": "drop_table", "route": "block"},
        {"action": "refund"},
    ]
    assert run("policy", "test", "refunds", "--cases", write("cases.jsonl", rows)).code == 0
    rows[1]["route"] = "human"
    result = run("policy", "test", "refunds", "--cases", write("cases.jsonl", rows))
    assert result.code == 1
    assert "1 of 4" in result.out
    told = run("policy", "test", "refunds", "--cases", "cases.jsonl", "--json").json["cases"]
    assert [row["met"] for row in told] == [True, False, True, None]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--case", "[]"],
        ["--case", '{"actoin": "refund"}'],
        ["--case", '{"action": "refund", "confidence": 3}'],
        ["--case", "{", "--json"],
        ["--cases", "missing.jsonl"],
        ["--case", "{}", "--cases", "x"],
    ],
)
def test_policy_test_refuses_what_is_no_proposal(run, given):
    assert run("policy", "test", "refunds", *given).code == 2


def test_policy_test_of_an_unknown_loop_is_exit_code_3(run):
    assert run("policy", "test", "nope", "--case", "{}").code == 3


def test_policy_test_knows_a_loop_that_only_the_database_knows(run, refund, folder):
    refund()
    (folder / "empty.toml").write_text("", encoding="utf-8")
    result = run(
        "--settings", "empty.toml", "policy", "test", "refunds", "--case", '{"action": "delete_account"}', "--json"
    )
    assert result.json["by"] == "human_actions"
