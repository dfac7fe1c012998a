"""A desk in use for a while: every mode, every way a case ends, and several that are still under way.

Written through the front doors alone, with a clock, ids and draws that repeat.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Iterator
from typing import Any

import dualcontrol as dc
from dualcontrol.errors import NotRun
from dualcontrol.testing import FakeClock, seeded_ids

SECRET = "5eed" * 16
GROUPS = {"seniors": ["ana", "ben"], "everybody": ["ana", "ben", "cleo"]}
PROMISE: dict[str, Any] = {
    "max_error": 0.2, "adjudicate": False, "miss_rate": 0.0, "blind": False, "pilot": 20, "launch": 0,
}  # fmt: skip


def desk(url: str, clock: FakeClock | None = None, seed: int = 1) -> dc.Desk:
    """The desk that wrote it, or one like it later."""
    return dc.open(
        url, clock=clock or FakeClock(), new_id=seeded_ids(seed), durability="process", secret=SECRET, groups=GROUPS
    )


def write(url: str) -> None:
    """Fill a database."""
    clock = FakeClock()
    with desk(url, clock) as here:
        refunds(here, clock)
        mail(here, clock)
        answers(here)
        pairs(here)


def refunds(here: dc.Desk, clock: FakeClock) -> None:
    """Approval: effects in each of their states, a quorum, an edit, the ends that no answer makes."""
    loop = here.loop(
        "refunds", mode="approval", threshold=0.9, context="minimal", audit=0.2, group="everybody",
        respond_within="1h", on_timeout="reject", effect_lease="5m", block_actions=["wipe"],
        rules=[{"name": "large", "when": "args.amount > 1000.0", "route": "human", "quorum": {"answers": 2}}],
    )  # fmt: skip

    @loop.gate(timeout=0, confidence=lambda order, amount: 0.95 if amount < 50 else 0.5, context=_context)
    def refund(order: str, amount: float = 10.0) -> dict[str, Any]:
        if order == "fails":
            raise ValueError("the bank says no")
        if order == "refused":
            raise NotRun("the bank is closed")
        if order == "lost":
            raise KeyboardInterrupt
        return {"paid": amount}

    def decided(order: str, amount: float, answer: str, *people: str) -> str:
        with contextlib.suppress(dc.Pending):
            refund(order, amount)
        page = here.store.queries.cases(loop="refunds", limit=1)
        for person in people:
            claim = here.claim(person, case=page.rows[0].id)
            assert claim is not None
            value = {"order": order, "amount": amount / 2} if answer == "edit" else None
            claim.answer(answer, value, rationale=f"{answer} of {order}")
        clock.tick(7)
        return str(page.rows[0].id)

    def run(case_id: str) -> None:
        with contextlib.suppress(Exception, KeyboardInterrupt):
            refund.resume(case_id)

    for amount in range(1, 9):
        refund(f"small-{amount}", float(amount))  # autopilot, some of them audited
    for order in ("done", "fails", "refused", "lost"):
        run(decided(order, 100.0, "approve", "ana"))
    run(decided("edited", 80.0, "edit", "ben"))
    decided("ready", 90.0, "approve", "cleo")
    decided("ready-edited", 2000.0, "edit", "ana", "ben")
    decided("rejected", 70.0, "reject", "ana")
    here.revoke(decided("revoked", 60.0, "approve", "ana"), "ben", "we were too fast")
    here.withdraw(decided("withdrawn", 65.0, "approve"), by="program")
    here.erase(decided("erased", 66.0, "approve", "ana"), by="operator")
    decided("half", 3000.0, "approve", "ana")
    with contextlib.suppress(dc.Rejected):
        loop.propose(action="wipe", args={}, input="everything", confidence=0.99)
    loop.propose(action="refund", args={"order": "keyed", "amount": 61.0}, input="x", confidence=0.4, key="order 61")
    late = decided("late", 62.0, "approve")
    clock.tick(3_700)
    here.sweep()
    assert here.case(late).state == "closed"
    decided("open", 63.0, "approve")
    with contextlib.suppress(dc.Pending):
        refund("claimed", 64.0)
    assert here.claim("cleo", case=here.store.queries.cases(loop="refunds", limit=1).rows[0].id) is not None


def _context(order: str, amount: float) -> dict[str, Any]:
    return {"input": {"ticket": order, "é": [1, 2.5, None, True]}, "risk": "medium" if amount < 1000 else "high"}


def mail(here: dc.Desk, clock: FakeClock) -> None:
    """Labels under a guarantee: a certified threshold, audits, an autopilot that somebody stopped and opened."""
    noise = random.Random(4)
    loop = here.loop("mail", mode="labels", labels=["spam", "ham"], context="minimal", guarantee=PROMISE, audit=0.1)
    left = 60  # cases after the threshold is certified
    for number in range(1_000):
        left -= bool(loop.control.thresholds)
        if not left:
            break
        score = noise.random()
        wrong = noise.random() < 0.25 * (1.0 - score)
        clock.tick(1.0)
        case = loop.propose(proposal="spam", input={"text": f"mail {number}"}, confidence=score)
        if case.route.to == "human" or case.route.audited:
            claim = here.claim("ana", case=case.id)
            assert claim is not None
            claim.label("ham" if wrong else "spam")


def answers(here: dc.Desk) -> None:
    """Fallback: nothing proposed, somebody responds, somebody passes."""
    quorum = {"answers": 2, "arbiter": "seniors"}
    loop = here.loop("answers", mode="fallback", context="minimal", threshold=0.8, quorum=quorum)
    for number, verdict in enumerate(("respond", "abstain", "")):
        loop.propose(proposal=f"draft {number}", input={"question": f"q{number}"}, confidence=0.3, rationale="a guess")
        claim = here.claim("cleo", "answers") if verdict else None
        if claim is not None:
            claim.answer(verdict, "Yes, by Friday" if verdict == "respond" else None, rationale="seen")


def pairs(here: dc.Desk) -> None:
    """Preference: sides drawn for each person, a preference, a pair that waits."""
    loop = here.loop("pairs", mode="preference", context="minimal")
    for number in range(3):
        loop.propose(
            input=f"prompt {number}", candidates=[{"id": "a", "value": f"one {number}"}, {"id": "b", "value": "two"}]
        )
    for person in ("ana", "ben"):
        claim = here.claim(person, "pairs")
        assert claim is not None
        claim.prefer(claim.view["candidates"][0]["id"])


def described(url: str) -> dict[str, Any]:
    """What the desk says of every case, with its events, and of every loop."""
    with desk(url, seed=2) as here:
        cases = {case.id: of_then(case.to_dict()) for case in every_case(here)}
        events = {case_id: [type(e).__name__ for e in here.events(case_id)] for case_id in cases}
        many = [case_id for case_id, case in cases.items() if case["loop"] == "mail"][5:]
        rest = [(cases.pop(case_id), events.pop(case_id)) for case_id in many]
        loops = {
            control.loop: {
                "version": control.version, "thresholds": control.thresholds, "closed": control.closed,
                "examples": len(list(here.store.queries.examples(control.loop_id))),
            }
            for control in here.loops()
        }  # fmt: skip
        heads = {s: here.store.queries.entries(s, values=False)[-1].hash for s in here.store.queries.streams()}
    return {"loops": loops, "cases": cases, "events": events, "rest": _digest(rest), "heads": _digest(heads)}


# What is said of an actor, a route and a review since that release; empty in what it wrote.
LATER = (
    "signed_in_at", "stepped_up_at", "cluster", "evidence", "asked_blind", "chance", "chance_by", "against",
)  # fmt: skip


def of_then(value: Any) -> Any:
    """A case as the release describes it: without what later ones say besides, as far as that is empty."""
    if isinstance(value, dict):
        return {name: of_then(inner) for name, inner in value.items() if name not in LATER or inner is not None}
    return [of_then(inner) for inner in value] if isinstance(value, list | tuple) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def every_case(here: dc.Desk) -> Iterator[dc.Case]:
    """All cases, oldest first."""
    for stream in sorted(here.store.queries.streams()):
        if stream.startswith("case/"):
            yield here.case(stream.removeprefix("case/"))
