"""The emergency stop on the command line: stop and resume, and where it is shown."""

from __future__ import annotations

from typing import Any

import dualcontrol as dc


def test_a_loop_is_stopped_and_opened_again(run: Any, refund: Any) -> None:
    case = refund()
    result = run("stop", "refunds", "--because", "wrong amounts", "--person", "Ada", "--json")
    assert result.code == 0, result
    assert result.json["all"] is None
    assert result.json["loops"]["refunds"]["because"] == "wrong amounts"
    said = "Ada stopped the loop: wrong amounts"
    assert said in run("stop", "refunds", "--because", "again").out
    assert said in run("show", case).out
    assert said in run("guarantee", "refunds").out
    assert "loop refunds is stopped" in run("inbox").err
    assert said in run("inbox", "--loop", "refunds").err
    assert "dualcontrol resume refunds" in " ".join(run("doctor").out.split())
    finding = next(f for f in run("doctor", "--json").json["findings"] if f["check"] == "stop")
    assert (finding["level"], "Ada stopped the loop: wrong amounts" in finding["what"]) == ("warning", True)
    result = run("resume", "refunds", "--because", "mended")
    assert (result.code, "open" in result.out) == (0, True)
    assert "stopped" not in run("inbox").err
    assert run("resume", "refunds", "--because", "mended").code == 4


def test_all_loops_are_stopped_and_opened_again(run: Any, refund: Any) -> None:
    refund()
    result = run("stop", "--all", "--because", "the bank is down", "--json")
    assert (list(result.json["loops"]), result.json["all"]["by"]) == (["both", "pairs", "refunds", "spam"], "ana")
    routed = run(
        "propose", "refunds", "--action", "a", "--args", "{}", "--input", "1", "--confidence", "0.99", "--json"
    )
    assert run("show", routed.json["case_id"], "--json").json["route"]["to"] == "human"
    assert "all loops are stopped" in run("inbox").err
    assert "loop refunds" not in run("inbox").err
    with dc.open("sqlite:///dualcontrol.db") as desk:
        assert desk.loop("later", context="minimal").control.stopped is not None
    assert run("resume", "--all", "--because", "it is back").code == 0
    assert "the bank is down" not in run("doctor").out


def test_one_loop_or_all_and_why(run: Any, refund: Any) -> None:
    refund()
    for arguments in (["stop", "--because", "x"], ["stop", "refunds", "--all", "--because", "x"], ["stop", "refunds"]):
        assert run(*arguments).code == 2, arguments
    assert run("stop", "refunds", "--because", " ").code == 1
    result = run("stop", "refund", "--because", "x")
    assert (result.code, "did you mean 'refunds'?" in result.err) == (3, True)


def test_who_is_recorded_by_which_door(run: Any, refund: Any) -> None:
    refund()
    run("stop", "refunds", "--because", "x")
    run("resume", "refunds", "--because", "x", "--person", "Lea")
    with dc.open("sqlite:///dualcontrol.db") as desk:
        events = [e for entry in desk.store.queries.entries(desk.loop("refunds").stream) for e in entry.events]
        assert [(e.actor.person, e.actor.via, e.actor.authenticated) for e in events if hasattr(e, "actor")] == [
            ("ana", "cli", "os"),
            ("Lea", "cli", "none"),
        ]
