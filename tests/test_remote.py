"""A desk over HTTP is the desk: the same trips, the same errors, and whatever breaks on the way happens once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator
from team import team

import dualcontrol as dc
from dualcontrol import errors
from dualcontrol.remote import refusal
from dualcontrol.web.problem import problem
from dualcontrol.web.server import background

BIG = 2**70 + 1
LOOPS: dict[str, dict[str, Any]] = {
    "pay": {"mode": "approval", "context": "minimal", "threshold": 0.9},
    "mail": {"mode": "labels", "labels": ["spam", "ham", "news"], "context": "minimal", "threshold": 0.9},
    "pairs": {"mode": "preference", "context": "minimal"},
    "answers": {"mode": "fallback", "context": "minimal", "threshold": 0.9},
}


class Both(NamedTuple):
    """A desk, its server, and the desk over HTTP as a program and as two reviewers have it."""

    desk: dc.Desk
    url: str
    tokens: dict[str, str]
    program: dc.Desk
    ana: dc.Desk
    ben: dc.Desk


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Both]:
    with contextlib.ExitStack() as stack:
        desk = stack.enter_context(dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process"))
        for name, declared in LOOPS.items():
            desk.loop(name, rationale="optional", **declared)
        team(desk, ("ana", "ben", "olga"))
        desk.people.register("bot", "root", owner="olga")
        tokens = {"bot": desk.tokens.issue("bot", "root")[1]}
        for name in ("ana", "ben"):
            tokens[name] = desk.tokens.issue(name, "root", scopes=("decide",))[1]
        url = stack.enter_context(background(desk, port=0)).url
        far = [stack.enter_context(dc.open(url, token=tokens[name])) for name in ("bot", "ana", "ben")]
        yield Both(desk, url, tokens, *far)


def told(call: Any) -> tuple[type[BaseException], str]:
    """The class and the message of what a call raises."""
    with pytest.raises((dc.DualcontrolError, dc.Paused)) as raised:
        call()
    return type(raised.value), raised.value.message


# The trip


@pytest.mark.parametrize(
    ("loop", "proposal", "verdict", "value"),
    [
        ("pay", {"action": "refund", "args": {"order": BIG, "much": 1.0}}, "approve", None),
        ("pay", {"action": "refund", "args": {"order": 1}}, "edit", {"order": BIG}),
        ("pay", {"action": "refund", "args": {"order": 1}}, "reject", None),
        ("pay", {"action": "refund", "args": {}, "alternatives": ({"x": 1}, "none")}, "respond", "ask me"),
        ("mail", {"proposal": "spam", "confidence": 0.3}, "approve", None),
        ("mail", {"proposal": "spam", "scores": {"ham": 0.6, "spam": 0.4}, "confidence": 0.1}, "label", "ham"),
        ("pairs", {"candidates": ["a", {"value": {"n": BIG}}]}, "prefer", "c2"),
        ("answers", {"proposal": {"n": BIG}, "confidence": 0.2}, "respond", {"text": "no"}),
    ],
)
def test_the_trip_is_that_of_the_local_desk(
    both: Both, loop: str, proposal: dict[str, Any], verdict: str, value: Any
) -> None:
    """Proposed, claimed and answered over HTTP; every field of the case is as the database has it."""
    case = both.program.loop(loop).propose(input={"q": [BIG, "é"]}, meta={"of": "test"}, rationale="so", **proposal)
    assert isinstance(case, dc.Case)
    beside = both.desk.loop(loop).propose(input={"q": [BIG, "é"]}, meta={"of": "test"}, rationale="so", **proposal)
    assert (case.content.values, case.proposed) == (beside.content.values, beside.proposed)
    assert case.signal == beside.signal
    claim = both.ana.claim("ana", loop)
    assert claim is not None
    assert (claim.person, claim.case.id) == ("ana", case.id)
    assert claim.view == both.desk.claimed(claim.id).view
    after = claim.answer(verdict, value, rationale="because", reasons=["r1"], confidence=0.75)
    local = both.desk.case(case.id)
    assert after.outcome == both.program.loop(loop).wait(case.id, timeout=0) == local.outcome
    assert after.decision == local.decision
    assert after.answers == local.answers
    assert after.answers[0].actor == dc.case.Actor(person="ana", via="http", authenticated="token")
    assert local.submitter == "bot"
    for name in dc.Case.__struct_fields__:
        if name not in ("content", "reviews"):  # ids of claims are their holders'
            assert getattr(both.program.case(case.id), name) == getattr(local, name), name


def test_who_decides_goes_through_every_verb_of_a_claim(both: Both) -> None:
    first, second = (both.program.loop("pay").propose(action="pay", args={"n": n}, input=n) for n in (1, 2))
    claim = both.ana.claim(case=second)
    assert claim is not None
    assert claim.case.id == second.id
    assert both.ana.claimed(claim.id).id == claim.id
    assert claim.extend("1h").reviews[0].lease_until > second.opened_at + 3_000_000_000
    assert claim.release().reviews[0].state == "open"
    claim = both.ana.claim("ana", both.ana.loop("pay"), lease="5m")
    assert claim is not None
    assert claim.case.id == first.id
    assert both.ben.claim("ben", case=second).abstain().state == "open"
    assert both.ana.answer(claim.id, "approve", person="ana", lasts="1h", expected_seq=claim.case.seq).state != "open"
    assert both.ana.revoke(first.id, "ana", "no").outcome.rationale == "no"
    assert both.program.withdraw(second.id).outcome.by == "withdrawn"
    assert both.ana.claim() is None


def test_an_action_that_is_committed_to_first_is_shown_after(both: Both) -> None:
    rules = [{"name": "all", "when": "true", "route": "autopilot"}]
    promise = {"max_error": 0.05}
    both.desk.loop("certain", context="minimal", guarantee=promise, audit=1.0, rules=rules, rationale="optional")
    case = both.program.loop("certain").propose(action="pay", args={"n": 1}, input="x", risk="low")
    claim = both.ana.claim(loop="certain")
    assert claim is not None
    assert claim.view["committed"] is None
    assert told(lambda: both.ana.commit(claim.id, "perhaps"))[0] is errors.AnswerValueError
    shown = claim.commit("happen", {"n": 1})
    assert shown.view == both.desk.claimed(claim.id).view
    assert shown.view["committed"] == {"should": "happen", "to": {"n": 1}}
    assert shown.approve().id == case.id


def test_stop_and_resume_by_whom_the_token_stands_for(both: Both) -> None:
    stopped = both.ana.stop("ana", "an odd mail", loop="pay")
    assert [(control.loop, control.stopped.by) for control in stopped] == [("pay", "ana")]
    assert both.desk.control("pay") == stopped[0] == both.program.loop("pay").control
    assert both.ana.resume("ana", "it was mine", loop="pay")[0].stopped is None
    assert {control.loop for control in both.ana.stop("ana", "all")} >= set(LOOPS)
    assert all(control.stopped is None for control in both.ana.resume("ana", "all"))
    assert told(lambda: both.ana.stop("ben", "not me"))[0] is errors.RoleError


def test_a_loop_that_takes_two_people_is_opened_by_a_second(both: Both) -> None:
    both.desk.loop("pay", changes="two")
    both.ana.stop("ana", "an odd mail", loop="pay")
    with pytest.raises(dc.Pending, match="second person") as waits:
        both.ana.resume("ana", "it was mine", loop="pay")
    assert both.desk.case(waits.value.case_id).loop == "changes"
    claim = both.ben.claim(case=waits.value.case_id)
    assert claim is not None
    claim.approve()
    assert both.desk.control("pay").stopped is None


# What is refused


CLAIMS: dict[str, Any] = {
    "unknown claim": lambda desk, case: desk.claimed("nothing.at"),
    "odd claim": lambda desk, case: desk.claimed("no/thing"),
    "claim of nobody": lambda desk, case: desk.claimed(f"{case.id}.00"),
    "claim in no loop": lambda desk, case: desk.claim("ana", "pya"),
    "claim of no case": lambda desk, case: desk.claim("ana", case="nothing"),
    "no such time": lambda desk, case: desk.claim("ana", lease="soon"),
    "revoked too early": lambda desk, case: desk.revoke(case.id, "ana"),
    "resolved too early": lambda desk, case: desk.resolve_effect(case.id, happened=True, by="ana"),
    "stopped for nothing": lambda desk, case: desk.stop("ana", " "),
    "not stopped": lambda desk, case: desk.resume("ana", "go", loop="pay"),
    "no loop to stop": lambda desk, case: desk.stop("ana", "go", loop="pya"),
}
CASES: dict[str, Any] = {
    "unknown loop": lambda desk, case: desk.loop("pya"),
    "unknown case": lambda desk, case: desk.case("nothing"),
    "odd case": lambda desk, case: desk.case("no/thing?"),
    "no action": lambda desk, case: desk.loop("pay").propose(proposal="x", input=1),
    "no context": lambda desk, case: desk.loop("pay").propose(action="x"),
    "odd confidence": lambda desk, case: desk.loop("pay").propose(action="x", input=1, confidence=2),
    "odd risk": lambda desk, case: desk.loop("pay").propose(action="x", input=1, risk="1"),
    "odd label": lambda desk, case: desk.loop("mail").propose(proposal="spma", input=1),
    "odd rationale": lambda desk, case: desk.loop("pay").propose(action="x", input=1, rationale=3),
    "no JSON": lambda desk, case: desk.loop("pay").propose(action="x", input={1, 2}),
    "too large": lambda desk, case: desk.loop("pay").propose(action="x", input="x" * 1_100_000),
    "odd argument": lambda desk, case: desk.loop("pay").propose(acton="x"),
    "empty key": lambda desk, case: desk.loop("pay").propose(action="x", input=1, key=""),
    "another's key": lambda desk, case: desk.loop("pay").propose(action="x", input=2, key="k"),
    "not decided": lambda desk, case: desk.loop("pay").start_effect(case.id),
    "not started": lambda desk, case: desk.loop("pay").finish_effect(case.id, 1, succeeded=True),
    "not waited for": lambda desk, case: desk.loop("pay").wait(case.id, timeout=0),
    "waited in vain": lambda desk, case: desk.loop("pay").wait(case.id, timeout=0.05),
    "no timeout": lambda desk, case: desk.loop("pay").wait(case.id, timeout="1"),
}


# The HTTP API names the nearest loop where the desk does not, and JSON is made where the database would have made it.
WORDED_OTHERWISE = ("claim in no loop", "no loop to stop", "claim of no case", "no JSON")


@pytest.mark.parametrize("name", CASES | CLAIMS)
def test_a_refusal_is_that_of_the_local_desk(both: Both, name: str) -> None:
    case = both.desk.loop("pay").propose(action="x", input=1, key="k")
    call, far = (CASES[name], both.program) if name in CASES else (CLAIMS[name], both.ana)
    there, here = told(lambda: call(far, case)), told(lambda: call(both.desk, case))
    assert there[0] is here[0]
    assert there[1] == here[1] or name in WORDED_OTHERWISE


ANSWERS: dict[str, Any] = {
    "unknown verdict": lambda claim: claim.answer("label", "spam"),
    "odd edit": lambda claim: claim.edit("nothing"),
    "odd confidence": lambda claim: claim.approve(confidence=3),
    "odd reasons": lambda claim: claim.approve(reasons="r"),
    "nothing to commit to": lambda claim: claim.commit("happen"),
    "moved on": lambda claim: claim.approve(expected_seq=1),
    "odd time": lambda claim: claim.approve(lasts="soon"),
    "nobody above": lambda claim: claim.escalate(),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_refused_answer_is_that_of_the_local_desk(both: Both, name: str) -> None:
    both.desk.loop("pay").propose(action="x", args={"n": 1}, input=1)
    far = both.ana.claim()
    assert far is not None
    assert told(lambda: ANSWERS[name](far)) == told(lambda: ANSWERS[name](both.desk.claimed(far.id)))
    assert far.approve().outcome is not None
    assert told(far.approve)[0] is told(both.desk.claimed(far.id).approve)[0]
    assert told(far.release)[0] is told(both.desk.claimed(far.id).release)[0]


def test_a_token_does_what_it_is_good_for(both: Both) -> None:
    case = both.program.loop("pay").propose(action="x", input=1)
    claim = both.ana.claim()
    assert claim is not None
    for refused in (
        lambda: both.program.claim(), lambda: both.program.claim("ana"),
        lambda: both.program.answer(claim.id, "approve"), lambda: both.program.revoke(case.id, "bot"),
        lambda: both.program.stop("bot", "x"),
        lambda: both.ana.loop("pay").propose(action="x", input=1), lambda: both.ana.loop("pay").start_effect(case.id),
    ):  # fmt: skip
        assert told(refused)[0] is errors.ScopeError
    assert told(lambda: both.ana.claim("ben"))[0] is errors.RoleError
    assert told(lambda: both.ana.answer(claim.id, "approve", person="ben"))[0] is errors.RoleError
    assert told(lambda: both.ben.answer(claim.id, "approve"))[0] is errors.ClaimError
    assert both.desk.case(case.id).state == "open"


def test_a_token_for_one_loop_opens_no_other(both: Both) -> None:
    token = both.desk.tokens.issue("bot", "root", loops=["pay"])[1]
    with dc.open(both.url, token=token) as desk:
        assert [control.loop for control in desk.loops()] == ["pay"]
        assert told(lambda: desk.loop("mail"))[0] is errors.ScopeError
        assert told(lambda: desk.loop("lost"))[0] is errors.UnknownLoopError


def test_what_takes_the_database_is_refused(both: Both) -> None:
    loop = both.program.loop("pay")
    for refused in (
        lambda: both.program.people.accounts(), lambda: both.program.sweep(), lambda: loop.export("x.csv"),
        lambda: loop.propose_batch({"proposal": ["x"]}), lambda: both.program.erase("x"), loop.guarantee, loop.certify,
        loop.breakdown, lambda: loop.look_once(10),
        lambda: loop.override("threshold", 0.5, "ana"), lambda: both.program.loop("pay", threshold=0.1),
    ):  # fmt: skip
        assert told(refused)[0] is errors.RequestError


@pytest.mark.parametrize(
    ("url", "options", "kind"),
    [
        ("http://example.org", {"token": "dc_x"}, errors.SettingsError),
        ("https://user:pass@example.org", {"token": "dc_x"}, errors.SettingsError),
        ("https://example.org?token=dc_x", {"token": "dc_x"}, errors.SettingsError),
        ("https://example.org", {}, errors.AccessError),
        ("https://example.org", {"token": "dc_ x"}, errors.AccessError),
        ("https://example.org", {"token": "dc_x", "durability": "process"}, errors.RequestError),
        ("sqlite:///:memory:", {"token": "dc_x"}, errors.RequestError),
    ],
)
def test_an_address_that_is_none(url: str, options: dict[str, Any], kind: type, monkeypatch: Any) -> None:
    monkeypatch.delenv("DUALCONTROL_TOKEN", raising=False)
    with pytest.raises(kind) as refused:
        dc.open(url, **options)
    assert "dc_" not in str(refused.value)


def test_the_token_comes_from_the_environment_and_is_not_shown(both: Both, monkeypatch: Any) -> None:
    monkeypatch.setenv("DUALCONTROL_TOKEN", both.tokens["bot"])
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # for others, not for this machine
    dc.open("sqlite:///:memory:").close()  # a desk on a database takes no notice
    with dc.open(both.url) as desk:
        assert desk.loop("pay").name == "pay"
        assert both.tokens["bot"] not in repr(desk) + repr(vars(desk)) + repr(vars(desk.server)).replace("'", "")


def test_a_wrong_token_is_refused(both: Both) -> None:
    with dc.open(both.url, token="dc_0_wrong") as desk:
        assert told(lambda: desk.loop("pay"))[0] is errors.AccessError


def test_a_refusal_of_a_newer_server_keeps_its_code() -> None:
    error = refusal({"code": "DC-NEWER", "detail": "not yet", "hint": "Upgrade.", "status": 400, "by": "ana"})
    assert (type(error), error.code, str(error)) == (dc.DualcontrolError, "DC-NEWER", "not yet [DC-NEWER] Upgrade.")
    assert error.details == {"by": "ana"}


def test_every_error_is_made_again_from_its_problem() -> None:
    for code, kind in errors.kinds().items():
        if issubclass(kind, dc.DualcontrolError):
            there = kind("words", hint="Do.", by="ana")
            there.details["message"] = 1
            error = refusal(problem(there))
            assert (type(error), error.code) == (kind, code)
            assert (error.message, error.hint, error.details) == ("words", "Do.", {"by": "ana", "message": 1})


# Gates


PROGRAM = """
import sys
import dualcontrol as dc

with dc.open(sys.argv[1]) as desk:
    loop = desk.loop("pay")

    @loop.gate(timeout=0, input="x")
    def refund(order: int) -> int:
        with open(sys.argv[2], "a") as ran:
            ran.write(f"{order}\\n")
        return 2 * order

    with desk.run("nightly"):
        print(refund(7))
"""


def test_a_program_that_is_started_again_goes_on_and_runs_once(both: Both, tmp_path: Path) -> None:
    """Three processes: the first pauses, the second runs what was edited, the third is given the result."""
    program, ran = tmp_path / "program.py", tmp_path / "ran"
    program.write_text(PROGRAM)

    def start() -> subprocess.CompletedProcess[str]:
        known = {**os.environ, "DUALCONTROL_TOKEN": both.tokens["bot"]}
        command = [sys.executable, str(program), both.url, str(ran)]
        return subprocess.run(command, env=known, cwd=tmp_path, capture_output=True, text=True, timeout=50)

    assert start().returncode == 5
    claim = both.ana.claim()
    assert claim is not None
    claim.edit({"order": BIG})
    ends = [start(), start()]
    assert [end.stdout for end in ends] == [f"{2 * BIG}\n"] * 2, ends
    assert ran.read_text() == f"{BIG}\n"
    assert both.desk.case(claim.case.id).effect.state == "succeeded"
    assert both.desk.store.queries.cases().rows[0].id == claim.case.id


def test_many_calls_of_one_key_run_it_once(both: Both) -> None:
    ran: list[int] = []
    gate = both.program.loop("pay").gate(lambda n: ran.append(n), action="pay", key="k", input="x", confidence=0.99)
    threads = [threading.Thread(target=gate, args=(1,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ran == [1]


def test_an_effect_by_hand_and_one_that_fails(both: Both) -> None:
    loop = both.program.loop("pay")
    case = loop.propose(action="pay", args={"n": 1}, input="x", confidence=0.99)
    with pytest.raises(ZeroDivisionError, match="args"), loop.effect(case) as value:
        raise ZeroDivisionError(str(value))
    assert both.program.case(case.id).outcome.effect == {
        "state": "failed",
        "error": f"ZeroDivisionError: {case.proposed_value()}",
    }
    assert told(lambda: loop.start_effect(case.id))[0] is errors.EffectTakenError


def test_what_the_function_cannot_take_goes_back_to_people(both: Both) -> None:
    loop = both.program.loop("pay")

    @loop.gate(timeout=0, input="x", key="k")
    def pay(to: Annotated[str, AfterValidator(str.lower)]) -> None:
        raise AssertionError("must not run")

    with pytest.raises(dc.Pending):
        pay("a")
    both.ana.claim().edit({"to": "ABC"})
    with pytest.raises(errors.EffectError, match="decided"):
        pay("a")
    assert both.desk.loop("pay").look(both.desk.store.queries.cases().rows[0].id).state == "open"


def test_a_result_that_json_cannot_hold_is_said_to_be_not_kept(both: Both) -> None:
    gate = both.program.loop("pay").gate(lambda n: object(), action="pay", input="x", key="k", confidence=0.99)
    gate(1)
    assert told(lambda: gate(1))[0] is errors.ResultError


def test_what_an_edit_makes_riskier_is_restated_and_goes_to_more_people(both: Both) -> None:
    """The function behind `meta` is asked of the edited arguments, and the server routes by what it says."""
    rules = [{"name": "much", "when": "meta.much == true", "route": "human", "quorum": {"answers": 2}}]
    both.desk.loop("pay", rules=rules, rationale="optional", **LOOPS["pay"])

    @both.program.loop("pay").gate(timeout=0, input="x", key="k", meta=lambda n: {"much": n > 100})
    def pay(n: int) -> int:
        raise AssertionError("must not run")

    with pytest.raises(dc.Pending) as first:
        pay(1)
    both.ana.claim().edit({"n": 1000})
    with pytest.raises(dc.Pending) as second:
        pay(1)
    assert first.value.case_id == second.value.case_id
    assert both.desk.case(first.value.case_id).state == "open"


def test_a_run_whose_program_has_changed_is_noticed(both: Both) -> None:
    def pay(n: int) -> int:
        return n

    def pay_more(n: int, much: bool = False) -> int:
        raise AssertionError("must not run")

    loop = both.program.loop("pay")
    with both.program.run("r"), pytest.raises(dc.Pending) as first:
        loop.gate(pay, timeout=0, input="x")(1)
    both.ana.claim().approve()
    with both.program.run("r"), pytest.raises(errors.RunChangedError):
        loop.gate(pay_more, action="pay", timeout=0, input="x")(1)
    with both.program.run("r"):
        assert loop.gate(pay, action="renamed", formerly="pay", timeout=0, input="x")(1) == 1
    with both.desk.run("r"):  # where the database itself is at hand, it is the same call
        assert both.desk.loop("pay").gate(pay, timeout=0, input="x")(1) == 1
    assert both.desk.case(first.value.case_id).effect.state == "succeeded"


def test_a_stopped_loop_makes_gates_wait(both: Both) -> None:
    gate = both.program.loop("pay").gate(lambda n: n, action="pay", input="x", key="k", timeout=0)
    with pytest.raises(dc.Pending):
        gate(1)
    both.ana.claim().approve()
    both.desk.stop("ana", "wait", loop="pay")
    with pytest.raises(dc.Pending, match="wait"):
        gate(1)
    both.desk.resume("ana", "go", loop="pay")
    assert gate(1) == 1


def test_coroutines_wait_without_a_thread(both: Both) -> None:
    async def trip() -> Any:
        desk = both.program.aio
        loop = await desk.loop("pay")
        waits = [asyncio.ensure_future(loop.ask(action="pay", args={"n": n}, input=n, timeout=20)) for n in range(8)]
        for _ in waits:
            while (claim := await both.ana.aio.claim()) is None:
                await asyncio.sleep(0.05)
            await claim.approve()
        return await asyncio.gather(*waits)

    assert [outcome.verdict for outcome in asyncio.run(trip())] == ["approve"] * 8


def test_a_wait_ends_soon_after_the_answer(both: Both) -> None:
    case = both.program.loop("pay").propose(action="pay", input="x")
    timer = threading.Timer(0.5, lambda: both.desk.claim("ana").approve())
    timer.start()
    begun = time.monotonic()
    assert both.program.loop("pay").wait(case, timeout=30).verdict == "approve"
    assert time.monotonic() - begun < 5
    timer.join()


# What breaks on the way


class Cut:
    """A way to the server that hands each request on, and loses the reply of the next one that `losing` names."""

    def __init__(self, port: int) -> None:
        self.port, self.losing = port, ""
        self.lost = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._pass, args=(self._listening.accept()[0],), daemon=True).start()

    def _pass(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self.port)) as far:
            request = near.recv(1 << 20)
            head, _, body = request.partition(b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
            )
            while len(body) < length:
                more = near.recv(1 << 20)
                request, body = request + more, body + more
            far.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            reply = b""
            while part := far.recv(1 << 20):
                reply += part
            if self.losing and self.losing in head.split(b"\r\n")[0].decode():
                self.losing = ""
                self.lost += 1
                return
            near.sendall(reply)

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def cut(both: Both) -> Iterator[Cut]:
    way = Cut(int(both.url.rstrip("/").rpartition(":")[2]))
    yield way
    way.close()


def test_a_lost_reply_makes_no_second_case_and_no_second_run(both: Both, cut: Cut) -> None:
    ran: list[int] = []
    with dc.open(cut.url, token=both.tokens["bot"]) as desk:
        loop = desk.loop("pay")
        gate = loop.gate(lambda n: ran.append(n), action="pay", input="x", confidence=0.99)
        for lost in ("POST /api/v1/loops", "/effect/start", "/effect/finish", "GET /api/v1/cases"):
            cut.losing = lost
            gate(len(ran))
            assert cut.losing == ""
    assert ran == [0, 1, 2, 3]
    assert cut.lost == 4
    rows = both.desk.store.queries.cases(loop="pay").rows
    assert [both.desk.case(row.id).effect.state for row in rows] == ["succeeded"] * 4
    assert {both.desk.case(row.id).effect.fence for row in rows} == {1}


def test_a_lost_reply_to_what_is_not_repeatable_is_told(both: Both, cut: Cut) -> None:
    """The answer stands, and is not given twice: its giver is told to look."""
    both.program.loop("pay").propose(action="pay", input="x")
    with dc.open(cut.url, token=both.tokens["ana"]) as desk:
        claim = desk.claim()
        assert claim is not None
        cut.losing = "/answer"
        kind, message = told(claim.approve)
        assert kind is errors.StoreUnavailableError
        assert "was lost" in message
        assert desk.case(claim.case.id).outcome.verdict == "approve"


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with dc.open(f"http://127.0.0.1:{port}", token="dc_x") as desk:
        kind, message = told(lambda: desk.loop("pay"))
    assert kind is errors.StoreUnavailableError
    assert "cannot be reached" in message


def test_a_closed_desk_says_so(both: Both) -> None:
    case = both.program.loop("pay").propose(action="pay", input="x")
    loop, raised = both.program.loop("pay"), []
    waiting = threading.Thread(target=lambda: raised.append(told(lambda: loop.wait(case, timeout=20))))
    waiting.start()
    time.sleep(0.3)
    both.program.close()
    assert told(lambda: loop.propose(action="pay", input="x"))[0] is errors.StoreUnavailableError
    both.desk.claim("ana").approve()  # what was asked of the server ends with its reply
    waiting.join(10)
    assert not waiting.is_alive()


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries({"args": st.dictionaries(st.text("abc", min_size=1), JSONS, max_size=3), "input": JSONS}))
def test_what_is_proposed_is_what_is_kept(both: Both, fields: dict[str, Any]) -> None:
    """Byte by byte the content of the local desk, floats and integers of any size told apart."""
    far, near = (d.loop("answers") for d in (both.program, both.desk))
    fields["proposal"] = fields.pop("args")
    fields["input"] = [fields["input"]]
    assert repr(far.propose(**fields).content.values) == repr(near.propose(**fields).content.values)
