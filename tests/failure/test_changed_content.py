"""Content that is not what was sealed is never decided on and never run; content of a caller's is nobody else's."""

from __future__ import annotations

import pytest
from failure.test_broken_record import execute

import dualcontrol as dc
from dualcontrol.errors import LedgerError


@pytest.fixture
def opened(lasting_url):
    return lambda: dc.open(lasting_url, durability="process")


def pay_loop(desk):
    return desk.loop("pay", mode="approval", threshold=0.9, context="minimal")


def tampered(url: str) -> None:
    execute(url, "UPDATE payloads SET body = replace(body, '10.0', '99999.0') WHERE slot = 'candidates'")


def test_a_changed_payload_is_not_run(opened, lasting_url):
    ran = []

    def gated(desk):
        @pay_loop(desk).gate(timeout=0, confidence=0.3, context=lambda amount: {"input": 1})
        def pay(amount: float) -> None:
            ran.append(amount)

        return pay

    with opened() as desk:
        with pytest.raises(dc.Pending) as waiting:
            gated(desk)(10.0)
        desk.claim("ana", loop="pay").approve()
    tampered(lasting_url)
    with opened() as desk, pytest.raises(LedgerError, match="candidates"):
        gated(desk).resume(waiting.value.case_id)
    with opened() as desk:
        pay_loop(desk)
        with pytest.raises(LedgerError), desk.loop("pay").effect(waiting.value.case_id):
            ran.append("own effect")
    assert ran == []


def test_a_changed_payload_is_not_decided_on(opened, lasting_url):
    with opened() as desk:
        case = pay_loop(desk).propose(action="pay", args={"amount": 10.0}, input=1, confidence=0.3)
    tampered(lasting_url)
    with opened() as desk, pytest.raises(LedgerError):
        desk.claim("ana", case=case.id)


def test_what_a_caller_changes_afterwards_changes_no_case(opened):
    args = {"amount": 10.0, "lines": [1, 2]}
    with opened() as desk:
        case = pay_loop(desk).propose(action="pay", args=args, input=args, confidence=0.3)
        args["amount"], args["lines"][0] = 99999.0, 7
        case.input["amount"] = 5.0
        claim = desk.claim("ana", loop="pay")
        claim.view["input"]["amount"] = 6.0
        decided = claim.approve()
        assert decided.resolved_value()["args"] == {"amount": 10.0, "lines": [1, 2]}
        assert decided.input == desk.case(case.id).input == {"amount": 10.0, "lines": [1, 2]}


def test_a_case_that_is_given_back_or_held_longer_keeps_its_content(opened):
    with opened() as desk:
        pay_loop(desk).propose(action="pay", args={"amount": 10.0}, input="mail", confidence=0.3)
        claim = desk.claim("ana", loop="pay")
        assert claim.extend("1h").input == "mail"
        assert claim.release().to_dict()["candidates"][0]["value"] == {"amount": 10.0}
