"""Loops that ask probes, worked on by three people until one of them has a probe that waits."""

from __future__ import annotations

from typing import Any

import dualcontrol as dc
from dualcontrol.testing import FakeClock

LABELS = ["a", "b", "c"]
CUE = "the amount is ten times that of the order"
TENFOLD = {"field": "amount", "times": 10, "cue": CUE}
TWO = {"answers": 2}
ALL_ALONE = {"name": "all", "when": "true", "route": "autopilot"}
LOOPS: dict[str, dict[str, Any]] = {
    "labels shown": {"mode": "labels", "labels": LABELS, "quorum": TWO},
    "labels blind": {"mode": "labels", "labels": LABELS, "guarantee": {"max_error": 0.1}},
    "approval": {"mode": "approval", "quorum": TWO, "probes": {"share": 0.5, "corruptions": [TENFOLD]}},
    "audit": {
        "mode": "labels", "labels": LABELS, "guarantee": {"max_error": 0.1}, "rules": [ALL_ALONE], "audit": 1.0,
    },
}  # fmt: skip


def loop_of(desk: dc.Desk, kind: str) -> dc.Loop:
    """The loop "mail" of a kind; half of the answers draw a probe."""
    return desk.loop("mail", context="minimal", **{"probes": {"share": 0.5}, **LOOPS[kind]})


def content(kind: str, number: int) -> dict[str, Any]:
    """What the program proposes; what it proposes is right."""
    common = {"input": f"mail {number}", "rationale": "it looks so", "key": f"key-{number}"}
    if kind != "approval":
        likely = 0.6 if number % 2 else 0.8
        return {**common, "proposal": "a", "scores": {"a": likely, "b": 0.9 - likely, "c": 0.1}}
    args = {"order": f"A-{number}", "amount": 20.0 + number}
    return {
        **common, "action": "refund", "args": args, "alternatives": [], "confidence": 0.6, "risk": "low",
        "meta": {"agent": "bot"}, "history": ["asked once"],
    }  # fmt: skip


def answer(claim: dc.Claim, label: str = "a") -> dc.Case:
    """Say that what the program proposes is right, without looking."""
    if claim.view["mode"] == "approval":
        return claim.approve()
    return claim.label(label)


def work(
    desk: dc.Desk, kind: str, person: str = "ana", *, wrong: bool | None = None, clock: FakeClock | None = None
) -> dc.Case:  # fmt: skip
    """Let ben and cleo answer some cases, then ana too, until a probe waits for this person; it is given back.

    With `wrong`, one whose proposal is wrong, or right.
    """
    loop = loop_of(desk, kind)
    for number in range(80):
        if clock is not None:
            clock.tick(61)  # after which answers are counted again
        loop.propose(**content(kind, number))
        for name in ("ben", "cleo") if number < 10 else ("ana", "ben", "cleo"):
            while (claim := desk.claim(name, "mail")) is not None:
                key = desk.case(claim.case.id).content.get("answer_key")
                if key is not None and name == person and wrong in (None, key["wrong"]):
                    desk.release(claim.id)
                    return desk.case(claim.case.id)
                answer(claim)
    raise AssertionError(f"no probe was drawn for {person}")


def twin(desk: dc.Desk, probe: dc.Case, kind: str) -> dc.Case:
    """A live case of the very content of a probe, held and given back by ana as that was."""
    rows = probe.content.get("candidates")
    common = {"input": probe.input, "rationale": probe.rationale, "key": "key-999"}
    if kind == "approval":
        fields = {**content(kind, 0), **common, "args": rows[probe.proposed]["value"]}
    else:
        scores = {row["value"]: row["score"] for row in rows}
        fields = {**common, "proposal": rows[probe.proposed]["value"], "scores": scores}
    live = desk.loop("mail").propose(**fields)
    claim = desk.claim("ana", case=live.id)
    assert claim is not None
    desk.release(claim.id)
    return desk.case(live.id)
