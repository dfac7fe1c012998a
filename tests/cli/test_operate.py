"""What an operator does: withdraw, revoke, resolve, stop autopilot, explain; by the beginning of an id."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.errors import kinds

URL = "sqlite:///dualcontrol.db"


def proposed(run: Any, n: int = 1, **more: Any) -> str:
    """A case of the loop refunds, by the command line."""
    given = ["--confidence", str(more.get("confidence", 0.1))]
    args = json.dumps({"order": "A", "amount": n})
    result = run(
        "propose",
        "refunds",
        "--action",
        "refund",
        "--args",
        args,
        "--input",
        '"x"',
        *given,
        "--effect",
        "ready",
        "--json",
    )
    assert result.code in (0, 5), result.err
    return str(result.json.get("case_id") or result.json["id"])


def test_withdraw(run: Any) -> None:
    case = proposed(run)
    assert run("withdraw", case, "--json").json["outcome"]["by"] == "withdrawn"
    assert run("withdraw", case).code == 4


def test_revoke(run: Any) -> None:
    case = proposed(run)
    assert run("revoke", case).code == 4
    assert run("approve", case, "--lasts", "2h").code == 0
    result = run("revoke", case, "--person", "ben", "--rationale", "the customer called")
    assert result.code == 0
    assert "revoked by" in result.out
    assert "the customer called" in result.out
    shown = run("show", case, "--json").json
    assert (shown["outcome"]["verdict"], shown["outcome"]["reviewers"]) == ("reject", ["ben"])


def test_an_approval_with_a_time(run: Any) -> None:
    case = proposed(run)
    assert run("approve", case, "--lasts", "soon").code == 1
    assert run("approve", case, "--lasts", "90s").code == 0
    assert run("show", case, "--json").json["decision"]["until"] is not None
    assert "--lasts" not in run("reject", "--help").out


def test_resolve(run: Any) -> None:
    case = proposed(run, confidence=0.95)
    assert run("resolve", case).code == 2
    assert run("resolve", case, "--did-not-happen", "--result", "1").code == 2
    assert run("resolve", case, "--happened").code == 4
    with dc.open(URL) as desk:
        desk.loop("refunds", effect_lease="1ms").start_effect(case)
        time.sleep(0.01)
        desk.sweep()
    result = run("resolve", case, "--happened", "--result", '{"ref": 7}', "--person", "ben")
    assert result.code == 0
    assert "succeeded" in result.out
    assert run("show", case, "--json").json["outcome"]["effect"] == {"state": "succeeded", "result": {"ref": 7}}


def test_resolve_an_effect_that_did_nothing(run: Any) -> None:
    case = proposed(run, confidence=0.95)
    with dc.open(URL) as desk, pytest.raises(dc.errors.NotRun), desk.loop("refunds").effect(case):
        raise dc.errors.NotRun("no connection")
    result = run("resolve", case, "--did-not-happen", "--person", "ben", "--json")
    assert (result.code, result.json["effect"]) == (0, "ready")


def test_the_beginning_of_an_id_is_enough_where_only_one_has_it(run: Any) -> None:
    first, second = proposed(run, 1), proposed(run, 2)
    common = next(n for n in range(36) if first[:n] != second[:n]) - 1
    assert run("show", second[: common + 1]).code == 0
    both = run("show", first[:common])
    assert both.code == 3
    assert "begins more than one id" in both.err
    assert run("show", "ffff").code == 3
    assert run("show", "%").code == 3
    assert run("show", first.upper()).code == 0
    assert run("reject", second[: common + 1], "--rationale", "no").code == 0
    assert run("show", second, "--json").json["outcome"]["verdict"] == "reject"


def test_show_takes_a_review(run: Any) -> None:
    case = proposed(run)
    review = run("show", case, "--json").json["reviews"][0]["id"]
    assert run("show", review, "--json").json["id"] == case
    assert run("approve", review).code == 0


def test_the_inbox_shows_what_the_page_shows(run: Any) -> None:
    proposed(run, 420)
    run("propose", "spam", "--proposal", '"spam"', "--confidence", "0.2", "--input", '"You won a prize"')
    out = run("inbox").out
    assert "refund" in out
    assert "420" in out
    assert "You won a prize" in out
    rows = run("inbox", "--json").json
    assert {row["title"] for row in rows} == {"refund", "You won a prize"}


def test_autopilot_is_stopped_and_opened(run: Any) -> None:
    proposed(run)
    assert run("autopilot", "stop", "refunds").code == 2
    stopped = run("autopilot", "stop", "refunds", "--because", "odd amounts", "--person", "ben")
    assert stopped.code == 0
    assert "ben stopped it: odd amounts" in stopped.out
    case = proposed(run, confidence=0.99)
    assert run("show", case, "--json").json["route"]["by"] == "closed"
    assert run("autopilot", "stop", "nobody", "--because", "x").code == 3
    opened = run("autopilot", "open", "refunds", "--json")
    assert (opened.code, opened.json["closed"]) == (0, {})
    assert run("show", proposed(run, 7, confidence=0.99), "--json").json["route"]["to"] == "autopilot"


@pytest.mark.parametrize("code", sorted({*kinds(), "DC-USAGE"}))
def test_every_error_is_explained(run: Any, code: str) -> None:
    result = run("explain", code)
    assert result.code == 0
    assert "What to do" in result.out
    assert run("explain", code, "--json").json["code"] == code


def test_explain_takes_a_code_as_it_is_printed_and_names_the_nearest(run: Any) -> None:
    assert run("explain", "[dc-pending]").code == 0
    assert run("explain", "pending").code == 0
    wrong = run("explain", "DC-PENDNG")
    assert wrong.code == 3
    assert "Did you mean DC-PENDING?" in wrong.err
    listed = run("explain")
    assert "DC-PENDING" in listed.out
    assert {row["code"] for row in run("explain", "--json").json} == {*kinds()}


def test_every_error_names_the_command_that_explains_it(run: Any) -> None:
    proposed(run)
    failed = run("show", "ffff")
    line = failed.err.strip().splitlines()[-1]
    assert line == "more: dualcontrol explain DC-CASE"
    assert run(*line.split()[2:]).code == 0


def test_decided_finds_what_was_decided(run: Any) -> None:
    case = proposed(run)
    open_case, auto = proposed(run, 2), proposed(run, 3, confidence=0.95)
    run("reject", case, "--rationale", "no")
    with dc.open(URL) as desk:
        ids = {row.id for row in desk.store.queries.cases(state="decided").rows}
    assert case in ids
    assert open_case not in ids
    assert auto in ids  # decided by autopilot, and its effect still waits
