"""People on the ladder: probes that are opened for one person, and answers as a stamper or somebody careful gives."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

import dualcontrol as dc
from dualcontrol.events import Event, ReviewerStepped
from dualcontrol.probe import AnswerKey
from dualcontrol.propose import command

LABELS = ["a", "b", "c"]
FLAGGING = 3
CLEARING = 8  # catches in a row that end a run of the test healthily: 8 ln(2/3) < -2.94
MAIL: dict[str, Any] = {"mode": "labels", "labels": LABELS, "context": "minimal"}
PAY: dict[str, Any] = {"context": "minimal"}


def mail(desk: dc.Desk, ladder: str = "suspension", **settings: Any) -> dc.Loop:
    """A loop of labels whose probes are opened by the tests alone."""
    return desk.loop("mail", **{**MAIL, "probes": {"share": 1e-9, "ladder": ladder}, **settings})


def pay(desk: dc.Desk, ladder: str = "suspension", **settings: Any) -> dc.Loop:
    """A loop of actions."""
    return desk.loop("pay", **{**PAY, "probes": {"share": 1e-9, "ladder": ladder}, **settings})


def probe(desk: dc.Desk, loop: dc.Loop, person: str, *, wrong: bool = True, how: Any = "mutated") -> dc.Case:
    """A probe for one person: "b" is proposed where "a" is right, or a payment that should not be."""
    if loop.control.settings.mode == "labels":
        meant: dict[str, Any] = {"proposal": "b" if wrong else "a", "alternatives": ["c", "a" if wrong else "b"]}
        right: Any = "a"
    else:
        meant = {"action": "pay", "args": {"amount": 900 if wrong else 9}, "alternatives": []}
        right = {"action": "pay", "args": {"amount": 9}}
    key = AnswerKey(person=person, wrong=wrong, how=how, right=right)
    opened = command(loop.control.settings, input="q", confidence=0.5, **meant)
    return desk.steps.propose(replace(opened, kind="probe", answer_key=key.content()), own=True).case


def answer(desk: dc.Desk, case: dc.Case, person: str, *, careless: bool) -> dc.Case:
    """The answer to a case: a careless person agrees with what is proposed, a careful one says what is right."""
    claim = desk.claim(person, case=case)
    assert claim is not None
    if case.mode == "labels":
        shown = claim.view["proposal"]["value"] if claim.view["proposal"] else "c"
        return claim.label(shown if careless else "a")
    if claim.view.get("blind") and claim.view["committed"] is None:
        claim.commit("happen")
    right = claim.view["proposal"]["value"] == {"amount": 9}
    return claim.approve() if careless or right else claim.reject("too much")


def flag(desk: dc.Desk, loop: dc.Loop, person: str, times: int = 1) -> None:
    """Let somebody be flagged by the rubber-stamp test, from where it has just begun."""
    for _ in range(FLAGGING * times):
        answer(desk, probe(desk, loop, person), person, careless=True)


def clear(desk: dc.Desk, loop: dc.Loop, person: str, times: int = 2) -> None:
    """Let runs of somebody's test end healthily."""
    for _ in range(CLEARING * times):
        answer(desk, probe(desk, loop, person), person, careless=False)


def settled(desk: dc.Desk, loop: dc.Loop, count: int, people: tuple[str, str] = ("ben", "cleo")) -> None:
    """Settled cases, each answered alike by two people: what probes and training cases are made of."""
    for n in range(count):
        case = loop.propose(proposal="a", alternatives=["b", "c"], input=f"settled {n}", confidence=0.5)
        for person in people:
            claim = desk.claim(person, case=case)
            assert claim is not None
            claim.label("a")


def steps(desk: dc.Desk, loop: dc.Loop) -> list[tuple[str, int, str]]:
    """(person, step, because) of what happened on the ladder, by the loop's stream."""
    return [(e.person, e.step, e.because) for e in happened(desk, loop, ReviewerStepped)]


def happened(desk: dc.Desk, loop: dc.Loop, kind: type[Event]) -> list[Any]:
    """The events of a kind in the loop's stream."""
    entries = desk.store.queries.entries(loop.stream)
    return [event for entry in entries for event in entry.events if isinstance(event, kind)]
