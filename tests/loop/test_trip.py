"""One case's whole trip in Python, through the front doors, on every database; asserted on recorded events."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

import dualcontrol as dc
from dualcontrol.errors import (
    AnswerValueError,
    BlockedError,
    ClaimError,
    ContextError,
    ErasedError,
    EscalationError,
    KeyConflictError,
    LabelError,
    PayloadError,
    PayloadTooLargeError,
    RationaleError,
    SamePersonError,
    SettledError,
    SignalError,
    UnknownLoopError,
    VerdictError,
)
from dualcontrol.testing import FakeClock

REFUND = {
    "action": "refund",
    "args": {"order": "A-17", "amount": 420.0},
    "input": {"mail": "please refund"},
    "rationale": "the parcel never arrived",
    "alternatives": [],
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(database_url, clock):
    desk = dc.open(database_url, durability="process", clock=clock)
    yield desk
    desk.close()


@pytest.fixture
def refunds(desk):
    return desk.loop("refunds", mode="approval", threshold=0.9, respond_within="15m", on_timeout="reject")


def kinds(desk, case) -> list[str]:
    return [type(event).__name__ for event in desk.events(case.id)]


def test_a_confident_case_runs_on_autopilot(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.97)
    assert (case.route.to, case.route.by) == ("autopilot", "threshold")
    outcome = refunds.wait(case, timeout=0)
    assert (outcome.by, outcome.verdict) == ("autopilot", None)
    assert outcome.value == {"action": "refund", "args": {"order": "A-17", "amount": 420.0}}
    assert kinds(desk, case) == ["Opened", "Routed", "Concluded"]


def test_an_unsure_case_waits_for_a_human(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.62)
    assert case.route.to == "human"
    assert case.route.reason == "confidence 0.62 is below 0.90, the autopilot threshold of refunds"
    with pytest.raises(dc.Pending):
        refunds.wait(case, timeout=0)
    claim = desk.claim("ana", loop="refunds")
    assert claim.view["input"] == REFUND["input"]
    assert desk.claim("ben", loop="refunds") is None
    claim.approve()
    outcome = refunds.wait(case, timeout=0)
    assert (outcome.by, outcome.verdict, outcome.reviewers) == ("human", "approve", ("ana",))
    assert kinds(desk, case) == [
        "Opened", "Routed", "ReviewOpened", "Claimed", "Answered", "Decided", "Concluded",
    ]  # fmt: skip


def test_an_edit_is_what_the_program_continues_with(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.62)
    claim = desk.claim("ana", loop="refunds")
    claim.edit({"order": "A-17", "amount": 90.0}, rationale="partial")
    outcome = refunds.wait(case, timeout=0)
    assert outcome.value == {"action": "refund", "args": {"order": "A-17", "amount": 90.0}}
    assert outcome.rationale == "partial"
    assert desk.case(case.id).decision.wrong == 1


def test_a_rejection_gives_no_value(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.1)
    desk.claim("ana").reject("no such order")
    outcome = refunds.wait(case, timeout=0)
    assert (outcome.value, outcome.verdict, outcome.rationale) == (None, "reject", "no such order")
    assert desk.case(case.id).effect.state == "none"


def test_a_response_stands_in_for_the_action(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.1)
    desk.claim("ana").respond("ask for a photo first")
    assert refunds.wait(case, timeout=0).value == {"text": "ask for a photo first"}


def test_a_big_integer_survives_an_edit(desk, refunds):
    case = refunds.propose(**{**REFUND, "args": {"id": 2**53 + 1}}, confidence=0.1)
    desk.claim("ana").edit({"id": 2**70 + 1})
    assert refunds.wait(case, timeout=0).value["args"] == {"id": 2**70 + 1}


@pytest.mark.parametrize("key", ["order-17", "🧾" * 3, "k" * 10_000])
def test_a_key_finds_its_case_again(desk, refunds, key):
    first = refunds.propose(**REFUND, confidence=0.1, key=key)
    again = refunds.propose(**{**REFUND, "rationale": "other words"}, confidence=0.99, key=key)
    assert again.id == first.id
    assert desk.case(first.id).rationale == REFUND["rationale"]
    with pytest.raises(KeyConflictError):
        refunds.propose(**{**REFUND, "args": {"order": "A-17", "amount": 421.0}}, key=key)
    assert len(desk.store.queries.cases(loop="refunds").rows) == 1


def test_an_erased_key_is_never_run_again(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.1, key="k")
    desk.erase(case.id)
    assert desk.case(case.id).input is None
    with pytest.raises(ErasedError):
        refunds.propose(**REFUND, confidence=0.1, key="k")


def test_a_run_finds_its_cases_again(desk, refunds):
    def program():
        with desk.run("order-17"):
            return [refunds.propose(**REFUND, confidence=0.1).id for _ in range(2)]

    first = program()
    assert len(set(first)) == 2
    assert program() == first


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"confidence": 1.2}, SignalError),
        ({"confidence": float("inf")}, SignalError),
        ({"input": {"x": float("nan")}}, PayloadError),
        ({"input": {"x": "x" * 1_100_000}}, PayloadTooLargeError),
        ({"input": {}}, ContextError),
        ({"rationale": " "}, ContextError),
        ({"alternatives": None}, ContextError),
        ({"key": ""}, dc.DualcontrolError),
        ({"meta": {"x": object()}}, PayloadError),
        ({"input": {"x": "\ud800"}}, PayloadError),
    ],
)
def test_bad_proposals_are_refused_and_nothing_is_written(desk, refunds, change, error):
    with pytest.raises(error) as caught:
        refunds.propose(**{**REFUND, "confidence": 0.5, **change})
    assert caught.value.code.startswith("DC-")
    assert caught.value.hint
    assert desk.store.queries.cases(loop="refunds").rows == ()


def test_the_missing_context_is_named(refunds):
    with pytest.raises(ContextError) as caught:
        refunds.propose(action="refund", args={"a": 1}, confidence=0.5)
    assert caught.value.details["fields"] == ["input", "rationale", "alternatives"]


def test_an_unknown_loop_is_named(desk):
    with pytest.raises(UnknownLoopError, match="refundz"):
        desk.loop("refundz")


def test_verdicts_of_other_modes_are_refused(desk, refunds):
    refunds.propose(**REFUND, confidence=0.1)
    claim = desk.claim("ana")
    with pytest.raises(VerdictError, match="approve, edit, reject, respond"):
        claim.label("spam")
    claim.approve()
    with pytest.raises(SettledError):
        claim.approve()


def test_an_edit_of_the_wrong_type_is_refused_and_the_claim_still_holds(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.1)
    claim = desk.claim("ana")
    for bad in ({"order": "A-17", "amount": "ninety"}, "ninety", None, {"order": 5, "amount": 90.0}):
        with pytest.raises(AnswerValueError):
            claim.edit(bad)
    assert desk.case(case.id).seq == 2
    claim.edit({"order": "A-17", "amount": 90})


def test_an_edit_meets_the_rules_again(desk):
    loop = desk.loop(
        "pay",
        threshold=0.9,
        rules=[
            {"name": "never above 1000", "when": "args.amount > 1000.0", "route": "block"},
            {"name": "two eyes above 500", "when": "args.amount > 500.0", "route": "human", "quorum": {"answers": 2}},
        ],
    )
    case = loop.propose(**REFUND, confidence=0.5)
    claim = desk.claim("ana")
    with pytest.raises(BlockedError, match="never above 1000"):
        claim.edit({"order": "A-17", "amount": 2000.0})
    claim.edit({"order": "A-17", "amount": 700.0})
    assert desk.case(case.id).outcome is None
    assert desk.claim("ana") is None
    second = desk.claim("ben")
    assert second.view["proposal"]["value"] == {"order": "A-17", "amount": 700.0}
    second.approve()
    outcome = loop.wait(case, timeout=0)
    assert outcome.value["args"]["amount"] == 700.0
    assert set(outcome.reviewers) == {"ana", "ben"}


def test_a_late_answer_under_an_expired_claim_is_refused(desk, refunds, clock):
    case = refunds.propose(**REFUND, confidence=0.1)
    late = desk.claim("ana", lease="1m")
    clock.tick(61)
    with pytest.raises(ClaimError):
        late.approve()
    other = desk.claim("ben")
    with pytest.raises(ClaimError):
        late.approve()
    other.reject("no")
    assert refunds.wait(case, timeout=0).reviewers == ("ben",)


def test_a_case_nobody_answers_times_out_as_declared(desk, refunds, clock):
    case = refunds.propose(**REFUND, confidence=0.1)
    clock.tick(901)
    outcome = refunds.wait(case, timeout=0)
    assert (outcome.by, outcome.verdict, outcome.value) == ("timeout", "reject", None)
    assert desk.claim("ana") is None


def test_two_answers_at_once_settle_once(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.1)
    claim = desk.claim("ana")
    ends: list[str] = []

    def answer(verdict: str) -> None:
        try:
            desk.answer(claim.id, verdict, rationale="r")
            ends.append(verdict)
        except dc.DualcontrolError as error:
            ends.append(error.code)

    threads = [threading.Thread(target=answer, args=(v,)) for v in ("approve", "reject")]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(e for e in ends if e.startswith("DC-")) == ["DC-SETTLED"]
    assert kinds(desk, case).count("Decided") == 1


def test_a_gate_runs_once_with_the_edited_arguments(desk, refunds):
    ran: list[tuple[str, float]] = []

    @refunds.gate(risk="high", timeout=0)
    def refund(order: str, amount: float) -> str:
        ran.append((order, amount))
        return f"refunded {amount}"

    def program() -> str:
        with desk.run("order-17"), refunds.context(input={"mail": "x"}, rationale="because"):
            return refund("A-17", 420.0)

    with pytest.raises(dc.Pending):
        program()
    desk.claim("ana").edit({"order": "A-17", "amount": 90.0})
    assert program() == "refunded 90.0"
    assert program() == "refunded 90.0"
    assert ran == [("A-17", 90.0)]


def test_a_gate_on_a_method_and_a_coroutine(desk, refunds):
    class Shop:
        def __init__(self):
            self.ran = []

        @refunds.gate(timeout=0, context=lambda order: {"input": order, "rationale": "r"})
        def cancel(self, order: str) -> str:
            self.ran.append(order)
            return order

    @refunds.gate(timeout=0, context=lambda order: {"input": order, "rationale": "r"})
    async def ship(order: str) -> str:
        return f"shipped {order}"

    shop = Shop()
    with desk.run("r"), pytest.raises(dc.Pending):
        shop.cancel("A-1")
    desk.claim("ana").approve()
    with desk.run("r"):
        assert shop.cancel("A-1") == "A-1"
    assert shop.ran == ["A-1"]

    async def go() -> str:
        with desk.run("s"):
            return await ship("A-2")

    with pytest.raises(dc.Pending):
        asyncio.run(go())
    desk.claim("ana").approve()
    assert asyncio.run(go()) == "shipped A-2"


def test_a_rejected_gate_raises_and_does_not_run(desk, refunds):
    @refunds.gate(timeout=0, context=lambda: {"input": 1, "rationale": "r"})
    def boom() -> None:
        raise AssertionError("must not run")

    with desk.run("r"), pytest.raises(dc.Pending):
        boom()
    desk.claim("ana").reject("no")
    with desk.run("r"), pytest.raises(dc.Rejected, match="no"):
        boom()


def test_a_program_may_run_its_own_effect_once(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.99)
    with refunds.effect(case) as value:
        assert value["args"]["amount"] == 420.0
    assert desk.case(case.id).effect.state == "succeeded"
    with pytest.raises(dc.DualcontrolError), refunds.effect(case):
        pass


def test_a_lost_effect_is_unknown_until_somebody_looks(desk, refunds, clock):
    case = refunds.propose(**REFUND, confidence=0.99)
    refunds.start_effect(case.id)
    clock.tick(301)
    desk.sweep()
    assert desk.case(case.id).effect.state == "unknown"
    with pytest.raises(dc.DualcontrolError, match="DC-EFFECT-UNKNOWN"):
        refunds.start_effect(case.id)
    desk.resolve_effect(case.id, happened=False)
    refunds.start_effect(case.id)


def test_labels(desk):
    loop = desk.loop("mail", mode="labels", labels=["spam", "ham"], threshold=0.9, context="minimal")
    case = loop.propose(proposal="spam", scores={"spam": 0.6, "ham": 0.4}, input="win money")
    assert [c.value for c in case.candidates] == ["spam", "ham"]
    assert case.confidence == 0.6
    claim = desk.claim("ana")
    with pytest.raises(LabelError):
        claim.label("eggs")
    claim.label("ham")
    outcome = loop.wait(case, timeout=0)
    assert (outcome.value, outcome.verdict, desk.case(case.id).decision.wrong) == ("ham", "label", 1)
    other = loop.propose(proposal="spam", input="x", confidence=0.2)
    desk.claim("ana").approve()
    assert desk.case(other.id).outcome.value == "spam"
    assert desk.case(other.id).decision.wrong == 0


def test_preference(desk):
    loop = desk.loop("pairs", mode="preference", context="minimal")
    case = loop.propose(candidates=["a", "b"], input="which?")
    assert case.proposed is None
    claim = desk.claim("ana")
    shown = [c["id"] for c in claim.view["candidates"]]
    assert sorted(shown) == ["c1", "c2"]
    with pytest.raises(AnswerValueError):
        claim.prefer("c9")
    claim.prefer({"ranking": [["c2"], ["c1"]], "rejected": []})
    assert loop.wait(case, timeout=0).value["ranking"] == [["c2"], ["c1"]]
    assert list(desk.case(case.id).answers[0].presented) == shown


def test_fallback(desk):
    loop = desk.loop("help", mode="fallback", threshold=0.8, context="minimal")
    case = loop.propose(input=[{"role": "user", "content": "how?"}], confidence=0.3)
    desk.claim("ana").respond("like this")
    assert loop.wait(case, timeout=0).value == {"text": "like this"}
    sure = loop.propose(input="q", proposal="a", confidence=0.9)
    assert loop.wait(sure, timeout=0).value == "a"


def test_two_eyes_agree_blind(desk):
    loop = desk.loop("pay", quorum={"answers": 2, "arbiter": "leads"})
    case = loop.propose(**REFUND, confidence=0.5)
    ana, ben = desk.claim("ana"), desk.claim("ben")
    ana.approve()
    with pytest.raises(SettledError):
        ana.approve()
    assert ben.view["answers"] == []
    assert desk.claim("ana") is None
    ben.approve()
    decision = desk.case(case.id).decision
    assert (decision.verdict, decision.settled_by, len(decision.answers)) == ("approve", "unanimous", 2)


def test_a_dispute_goes_to_the_arbiter_who_sees_all(desk):
    loop = desk.loop("pay", quorum={"answers": 2, "arbiter": "leads"})
    case = loop.propose(**REFUND, confidence=0.5)
    ana, ben = desk.claim("ana"), desk.claim("ben")
    ana.approve()
    ben.reject("no")
    arbiter = desk.claim("cleo")
    assert arbiter.review.kind == "arbiter"
    assert [a["verdict"] for a in arbiter.view["answers"]] == ["approve", "reject"]
    arbiter.reject("ben is right")
    assert desk.case(case.id).decision.settled_by == "arbiter"
    assert loop.wait(case, timeout=0).verdict == "reject"


def test_abstain_asks_somebody_else_and_escalate_needs_somebody_above(desk, refunds):
    refunds.propose(**REFUND, confidence=0.5)
    claim = desk.claim("ana")
    with pytest.raises(EscalationError):
        claim.escalate()
    claim.abstain()
    assert desk.claim("ana") is None
    assert desk.claim("ben").review.group == "reviewers"


def test_a_required_rationale_is_required(desk):
    loop = desk.loop("pay", rationale="required")
    loop.propose(**REFUND, confidence=0.5)
    claim = desk.claim("ana")
    with pytest.raises(RationaleError):
        claim.reject()
    claim.reject("because")


def test_an_audit_never_rewrites_history(desk):
    loop = desk.loop("pay", threshold=0.5, audit=1.0)
    case = loop.propose(**REFUND, confidence=0.9, effect="none")
    assert case.route.audited
    assert loop.wait(case, timeout=0).by == "autopilot"
    claim = desk.claim("ana")
    assert claim.review.kind == "audit"
    claim.reject("wrong")
    after = desk.case(case.id)
    assert (after.outcome.by, after.audits[0]["wrong"]) == ("autopilot", 1)


def test_a_decision_may_be_retracted_until_it_is_effective(desk, clock):
    loop = desk.loop("pay", undo="30s")
    case = loop.propose(**REFUND, confidence=0.5)
    desk.claim("ana").approve()
    with pytest.raises(dc.Pending):
        loop.wait(case, timeout=0)
    desk.retract(case.id, "ana")
    desk.claim("ben").reject("no")
    clock.tick(31)
    assert loop.wait(case, timeout=0).verdict == "reject"


def test_the_same_person_cannot_hold_two_reviews_of_a_case(desk):
    desk.loop("pay", quorum={"answers": 2}).propose(**REFUND, confidence=0.5)
    assert desk.claim("ana") is not None
    assert desk.claim("ana") is None


def test_waiting_wakes_when_the_answer_comes(desk, refunds):
    case = refunds.propose(**REFUND, confidence=0.5)
    threading.Timer(0.2, lambda: desk.claim("ana").approve()).start()
    assert refunds.wait(case, timeout=10).verdict == "approve"


def test_async_programs_have_the_same_verbs(desk, refunds):
    async def program():
        aio = desk.aio
        loop = await aio.loop("refunds")
        case = await loop.propose(**REFUND, confidence=0.5)
        claim = await aio.claim("ana")
        await claim.approve()
        return await loop.wait(case, timeout=5)

    assert asyncio.run(program()).verdict == "approve"


def test_the_fold_of_the_ledger_is_the_case(desk, refunds):
    from dualcontrol.evolve import fold

    case = refunds.propose(**REFUND, confidence=0.5)
    desk.claim("ana").edit({"order": "A-17", "amount": 1.0})
    with refunds.effect(case):
        pass
    folded = None
    for entry in desk.store.queries.entries(f"case/{case.id}"):
        folded = fold(folded, entry.events, seq=entry.seq)
    assert folded == desk.case(case.id)


def test_same_person_error_is_exported():
    assert SamePersonError.code == "DC-SAME-PERSON"


def test_a_gate_takes_alternatives_from_its_context(desk, refunds):
    @refunds.gate(timeout=0)
    def refund(order: str) -> str:
        return order

    others = [{"action": "wait", "args": {}}]
    with refunds.context(input="mail", rationale="r", alternatives=others), pytest.raises(dc.Pending) as waiting:
        refund("A-1")
    assert [c.action for c in desk.case(waiting.value.case_id).candidates] == ["refund", "wait"]


def test_a_blocked_gate_says_so(desk):
    loop = desk.loop("pay", block_actions=["drop"], context="minimal")

    @loop.gate(timeout=0, context=lambda: {"input": 1})
    def drop() -> None:
        raise AssertionError("must not run")

    with pytest.raises(dc.Rejected, match="blocked"):
        drop()


def test_too_few_people_for_a_quorum_go_to_the_arbiter(database_url):
    groups = {"team": ["ana", "ben"], "leads": ["cleo"]}
    with dc.open(database_url, durability="process", groups=groups) as desk:
        loop = desk.loop("pay", group="team", quorum={"answers": 2, "arbiter": "leads"})
        case = loop.propose(**REFUND, confidence=0.5, owner="ana")
        assert [(r.kind, r.group) for r in case.reviews] == [("arbiter", "leads")]
        assert desk.claim("ben") is None
        desk.claim("cleo").approve()
        assert loop.wait(case, timeout=0).verdict == "approve"


def test_content_too_deep_for_rules_is_refused(desk):
    loop = desk.loop("pay", rules=[{"name": "r", "when": "input.a > 1", "route": "human"}])
    deep: list = []
    for _ in range(30_000):
        deep = [deep]
    with pytest.raises(PayloadError):
        loop.propose(**{**REFUND, "input": {"a": deep}}, confidence=0.5)


def test_a_gate_goes_on_with_a_case_by_its_id(desk, refunds):
    ran: list[tuple] = []

    @refunds.gate(timeout=0, context=lambda order, lines, note: {"input": order, "rationale": "r"})
    def refund(order: str, *lines: int, note: str = "") -> str:
        ran.append((order, lines, note))
        return "done"

    with pytest.raises(dc.Pending) as waiting:
        refund("A-1", 1, 2, note="x")
    with pytest.raises(dc.Pending):
        refund.resume(waiting.value.case_id)
    desk.claim("ana").edit({"order": "A-2", "lines": [3], "note": "y"})
    assert refund.resume(waiting.value.case_id) == "done"
    assert refund.resume(waiting.value.case_id) == "done"
    assert ran == [("A-2", (3,), "y")]


def test_a_gate_does_not_run_another_action_that_an_edit_chose(desk, refunds):
    @refunds.gate(timeout=0, context=lambda order: {"input": order, "rationale": "r"})
    def refund(order: str) -> str:
        raise AssertionError("must not run")

    with desk.run("r"), pytest.raises(dc.Pending) as waiting:
        refund("A-1")
    desk.claim("ana").edit({"action": "reship", "args": {"order": "A-1"}})
    with desk.run("r"), pytest.raises(dc.Rejected, match="another action, 'reship'"):
        refund("A-1")
    with pytest.raises(dc.Rejected):
        refund.resume(waiting.value.case_id)
    with refunds.effect(waiting.value.case_id) as value:
        assert value == {"action": "reship", "args": {"order": "A-1"}}


def test_a_case_is_json_both_ways_with_every_field_of_the_contract(desk):
    loop = desk.loop("pay", quorum={"answers": 2, "arbiter": "leads"})
    case = loop.propose(**REFUND, confidence=0.5, key="k", meta={"m": 1}, history=[])
    desk.claim("ana").edit({"order": "A-17", "amount": 1.0})
    desk.claim("ben").reject("no")
    desk.claim("cleo").approve(confidence=0.9, reasons=["ok"])
    said = json.loads(json.dumps(desk.case(case.id).to_dict()))
    assert dc.Case.from_dict(said) == desk.case(case.id)
    assert said["answers"][0]["actor"] == {
        "person": "ana", "via": "python", "authenticated": "none", "signed_in_at": None, "stepped_up_at": None,
    }  # fmt: skip
    assert set(said["outcome"]) == {"case_id", "value", "verdict", "by", "reviewers", "rationale", "effect"}
    assert {"to", "by", "reason", "control", "inclusion", "audited", "epoch", "bin"} <= set(said["route"])


def test_a_confidence_that_is_not_a_number_is_none(refunds):
    """As a batch has it, and as a data frame writes what is missing: a human decides."""
    case = refunds.propose(**REFUND, confidence=float("nan"))
    assert (case.confidence, case.route.to) == (None, "human")
