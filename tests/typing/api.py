"""How a program may use the public face: mypy reads it with `make check`, and nothing runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import dualcontrol as dc
from dualcontrol.gate import Gate

desk: dc.Desk = dc.open("sqlite:///:memory:", durability="process")
loop: dc.Loop = desk.loop("refunds", threshold=0.9, risk_ceiling="medium", quorum={"answers": 2}, respond_within="15m")
case: dc.Case = loop.propose(action="refund", args={"order": "A"}, input={"q": 1}, confidence=0.62, risk="low")
outcome: dc.Outcome = loop.ask(proposal="spam", scores={"spam": 0.6, "ham": 0.4}, input="x", timeout=0, again=True)


@loop.gate
def bare(order: str, amount: float = 1.0) -> str:
    return order


@loop.gate(risk=lambda order, amount: "high", confidence=0.5, timeout=0, formerly="old", run="required")
def refund(order: str, amount: float) -> str:
    return order


def plain(order: str) -> int:
    return 1


async def later(order: str) -> int:
    return 1


result: str = refund("A", 1.0)
gated: Gate[[str], int] = loop.gate(plain, confidence=0.9)
number: int = gated("A")
resumed: object = refund.resume(case)
decorate: Callable[[Callable[[int], int]], Gate[[int], int]] = loop.gate(risk="low")


async def program() -> int:
    return await loop.gate(later, risk=0.2)("A")


asyncio.run(program())
claim: dc.Claim | None = desk.claim("ana", loop="refunds", lease="10m")
if claim is not None:
    after: dc.Case = claim.edit({"order": "A"}, rationale="half", reasons=["partial"], lasts="2h", confidence=0.9)
    after = claim.approve(lasts=3600)
    after = claim.reject("no", reasons=("fraud",))
    after = claim.escalate("leads", rationale="above my limit")
    after = desk.answer(claim.id, "label", "spam", person="ana")
with desk.run("order-17") as run, loop.context(input={"mail": "x"}, rationale="lost", meta={"a": 1}):
    bound: Callable[[str], int] = run.bind(plain)
    number = bound("A")

# What mypy must refuse; an ignore that is not needed is an error as well.
refund(5, 1.0)  # type: ignore[arg-type]
refund("A")  # type: ignore[call-arg]
loop.propose(action="refund", confidense=0.5)  # type: ignore[call-arg]
loop.propose(action=5)  # type: ignore[arg-type]
desk.loop("refunds", thresold=0.5)  # type: ignore[call-arg]
desk.loop("refunds", mode="labelz")  # type: ignore[arg-type]
if claim is not None:
    claim.reject("no", lasts="2h")  # type: ignore[call-arg]
    claim.approve(rational="x")  # type: ignore[call-arg]
