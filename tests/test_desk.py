"""Front doors explain themselves: an editor sees every argument, and a typo is answered with the nearest name."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol import propose
from dualcontrol.errors import ArgumentError, GuaranteeError, RequestError, SettingsError
from dualcontrol.events import AutopilotClosed, AutopilotOpened, BatchRouted
from dualcontrol.settings.schema import LOOP

VERBS: list[Callable[..., Any]] = [
    dc.Desk.loop, dc.Desk.claim, dc.Desk.answer, dc.Desk.revoke, dc.Desk.withdraw, dc.Desk.resolve_effect,
    dc.Loop.propose, dc.Loop.ask, dc.Loop.context, dc.Loop.gate, dc.Loop.stop_autopilot, dc.Loop.open_autopilot,
    dc.Loop.override, dc.Loop.drop_override,
    dc.Claim.answer, dc.Claim.approve, dc.Claim.edit, dc.Claim.reject, dc.Claim.respond, dc.Claim.label,
    dc.Claim.prefer, dc.Claim.abstain, dc.Claim.escalate, dc.Claim.commit, dc.Claim.extend,
]  # fmt: skip


@pytest.fixture
def desk():
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        yield desk


@pytest.mark.parametrize("verb", VERBS, ids=lambda v: v.__qualname__)
def test_every_argument_has_a_name_and_a_type_and_the_verb_a_docstring(verb: Callable[..., Any]) -> None:
    parameters = list(inspect.signature(verb).parameters.values())[1:]
    assert not [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert all(p.annotation is not p.empty for p in parameters)
    assert verb.__doc__


def test_propose_takes_what_a_proposal_may_say() -> None:
    wanted = {*inspect.signature(propose.command).parameters} - {"settings"}
    assert {*inspect.signature(dc.Loop.propose).parameters} - {"self", "again"} == wanted
    assert {*inspect.signature(dc.Loop.ask).parameters} - {"self", "again", "timeout"} == wanted


def test_loop_takes_every_setting() -> None:
    settings = {"rules" if key == "rule" else key for key in LOOP.keys}
    assert {*inspect.signature(dc.Desk.loop).parameters} - {"self", "name"} == settings


TYPOS: list[tuple[str, Callable[[dc.Desk, dc.Loop, dc.Claim], Any], str]] = [
    ("propose", lambda desk, loop, claim: loop.propose(action="a", confidense=1.0), "confidence"),
    ("ask", lambda desk, loop, claim: loop.ask(action="a", time_out=1.0), "timeout"),
    ("context", lambda desk, loop, claim: loop.context(rational="x"), "rationale"),
    ("gate", lambda desk, loop, claim: loop.gate(rsik="high"), "risk"),
    ("gate", lambda desk, loop, claim: loop.gate(lambda n: n, time=5), "timeout"),
    ("approve", lambda desk, loop, claim: claim.approve(last="2h"), "lasts"),
    ("edit", lambda desk, loop, claim: claim.edit({}, raesons=["x"]), "reasons"),
    ("reject", lambda desk, loop, claim: claim.reject(reason="no"), "reasons"),
    ("answer", lambda desk, loop, claim: desk.answer(claim.id, "approve", persn="ana"), "person"),
    ("claim", lambda desk, loop, claim: desk.claim("ana", lop="pay"), "loop"),
    ("revoke", lambda desk, loop, claim: desk.revoke("c", "ana", rationle="x"), "rationale"),
    ("stop_autopilot", lambda desk, loop, claim: loop.stop_autopilot("ana", because_of="x"), "because"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "call", "near"), TYPOS, ids=[f"{row[0]}-{row[2]}" for row in TYPOS])
def test_a_typo_is_answered_with_the_nearest_name(desk, verb: str, call: Any, near: str) -> None:
    loop = desk.loop("pay", context="minimal")
    claim = desk.claim("ana", case=loop.propose(action="a", args={}, input=1))
    with pytest.raises(ArgumentError, match=rf"^{verb} has no argument .*; did you mean '{near}'\?") as error:
        call(desk, loop, claim)
    assert isinstance(error.value, TypeError)
    assert "_" not in error.value.message.replace(verb, "").replace("time_out", "").replace("because_of", "")


def test_a_setting_that_is_misspelled_names_the_nearest_as_a_file_does(desk) -> None:
    with pytest.raises(SettingsError, match="did you mean 'threshold'"):
        desk.loop("pay", thresold=0.9)


def test_a_name_that_is_near_to_none_lists_them_all(desk) -> None:
    with pytest.raises(ArgumentError, match="it takes rationale, reasons, confidence"):
        desk.claim("ana", case=desk.loop("pay", context="minimal").propose(action="a", args={}, input=1)).abstain(zzz=1)


# a pause that nobody caught

PAUSED = """
    import asyncio, sys, threading
    import dualcontrol as dc

    desk = dc.open("sqlite:///:memory:", durability="process")
    loop = desk.loop("pay", context="minimal")
    way = sys.argv[1]
    if way == "plain":
        loop.ask(action="a", args={}, input=1, timeout=0)
    elif way == "async":
        async def program():
            case = await (await desk.aio.loop("pay")).propose(action="a", args={}, input=1)
            await loop.await_outcome(case, 0)
        asyncio.run(program())
    elif way == "thread":
        worker = threading.Thread(target=lambda: loop.ask(action="a", args={}, input=1, timeout=0), name="w1")
        worker.start()
        worker.join()
    elif way == "error":
        raise ZeroDivisionError("mine")
    elif way == "own hook":
        sys.excepthook = lambda *_: print("mine", file=sys.stderr)
        raise ZeroDivisionError
"""


@pytest.mark.parametrize(
    ("way", "status", "lines", "text"),
    [("plain", 5, 1, "still waits for a human"), ("async", 5, 1, "still waits for a human"),
     ("thread", 0, 1, "paused in w1"), ("error", 1, None, "ZeroDivisionError: mine"), ("own hook", 1, 1, "mine")],
)  # fmt: skip
def test_a_pause_that_nobody_caught_ends_with_one_line_and_status_5(tmp_path, way, status, lines, text) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PAUSED), encoding="utf-8")
    done = subprocess.run([sys.executable, str(program), way], capture_output=True, text=True, timeout=50)
    assert done.returncode == status, done.stderr
    assert text in done.stderr
    if lines is not None:
        assert len(done.stderr.strip().splitlines()) == lines


# autopilot stopped by a person


def test_a_person_stops_autopilot_and_opens_it_again(desk) -> None:
    loop = desk.loop("pay", context="minimal", threshold=0.5)
    ready = loop.propose(action="a", args={"n": 1}, input=1, confidence=0.9)
    loop.stop_autopilot("Ana", "wrong amounts since noon")
    case = loop.propose(action="a", args={"n": 2}, input=1, confidence=0.9)
    assert (case.route.to, case.route.by) == ("human", "closed")
    assert "Ana stopped it: wrong amounts since noon" in case.route.reason
    with pytest.raises(dc.Pending), loop.effect(ready):  # what had not begun is people's as well
        raise AssertionError("must not run")
    loop.open_autopilot("ben", "mended")
    assert loop.propose(action="a", args={"n": 3}, input=1, confidence=0.9).route.to == "autopilot"
    entries = desk.store.queries.entries(loop.stream)
    moves = [(e.actor, type(v)) for e in entries for v in e.events if isinstance(v, AutopilotClosed | AutopilotOpened)]
    assert moves == [("Ana", AutopilotClosed), ("ben", AutopilotOpened)]
    assert loop.open_autopilot("ben").closed == {}  # open already: nothing is written
    assert len(desk.store.queries.entries(loop.stream)) == len(entries)


def test_only_a_segment_is_stopped_where_one_is_named(desk) -> None:
    loop = desk.loop("pay", context="minimal", threshold=0.5)
    loop.stop_autopilot("ana", "odd", segment="de")
    said = {"input": 1, "confidence": 0.9, "args": {}, "action": "a"}
    assert loop.propose(segment="de", **said).route.to == "human"
    assert loop.propose(segment="fr", **said).route.to == "autopilot"


@pytest.mark.parametrize("because", ["", "  ", "x" * 300])
def test_a_stop_says_why(desk, because: str) -> None:
    with pytest.raises(RequestError):
        desk.loop("pay", context="minimal").stop_autopilot("ana", because)


def test_what_an_alarm_closed_no_person_opens(desk) -> None:
    loop = desk.loop("pay", context="minimal", threshold=0.5)
    desk.steps.move("pay", lambda now, at: [AutopilotClosed(version=now.version + 1, at=at, segment="", cause="alarm",
                                                            reason="the monitor found too many errors")])  # fmt: skip
    with pytest.raises(GuaranteeError, match="not stopped by a person"):
        loop.open_autopilot("ana")
    loop.stop_autopilot("ana", "to be sure")
    assert loop.open_autopilot("ana").closed == {}


# whoever chooses the key of a batch does not choose its audits


def test_the_audits_of_a_batch_are_not_drawn_by_its_key(tmp_path: Path) -> None:
    drawn = []
    for place in range(2):
        with dc.open(f"sqlite:///{tmp_path}/{place}.db", durability="process", secret="s" * 32) as desk:
            loop = desk.loop("pay", context="minimal", threshold=0.5, audit=0.5)
            columns = {"action": ["a"] * 64, "input": ["x"] * 64, "confidence": [0.9] * 64}
            batch = loop.propose_batch(columns, key="mine")
            again = loop.propose_batch(columns, key="mine")
            assert batch.audited.tolist() == again.audited.tolist()
            drawn.append(batch.audited.tolist())
            events = [e for entry in desk.store.queries.entries(loop.stream) for e in entry.events]
            assert [e.drawn != "" for e in events if isinstance(e, BatchRouted)] == [True]
    assert drawn[0] != drawn[1]  # the same secret and the same key
