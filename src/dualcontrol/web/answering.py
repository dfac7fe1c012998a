"""One way to answer a claim, for API and pages: who was first is said when somebody was."""

from __future__ import annotations

from typing import Any

from dualcontrol.case import JSON, Actor, Case
from dualcontrol.commands import GiveAnswer, checked
from dualcontrol.desk import Claim
from dualcontrol.errors import ClaimError, ConflictError, DualcontrolError, SettledError
from dualcontrol.names import among
from dualcontrol.review import answer as answering
from dualcontrol.review import values
from dualcontrol.review.view import seen_by
from dualcontrol.web.shapes import blind


def answer(claim: Claim, verdict: str, value: JSON, *, via: str, **said: Any) -> Case:
    """Give the answer; a refusal because of others carries ``by``, ``seq`` and ``verdict``."""
    try:
        return claim.answer(verdict, value, via=via, authenticated="token", **said)
    except (SettledError, ConflictError, ClaimError) as error:
        raise first_come(claim, error) from error


def rehearse(claim: Claim, verdict: str, value: JSON, *, via: str, **said: Any) -> JSON:
    """Check an answer as if it were given, and write nothing; the value in its full form."""
    actor = Actor(person=claim.person, via=via, authenticated="token")
    command = checked(
        GiveAnswer(case_id=claim.case.id, claim_id=claim.id, verdict=verdict, value=value, actor=actor, **said)
    )
    desk = claim.desk
    control, env = desk.governing(claim.case.loop), desk.steps.env(desk.steps.now())
    answering.answer(claim.case, command, control, env)
    return values.checked(claim.case, claim.review, command, control.settings)


def first_come(claim: Claim, error: DualcontrolError) -> DualcontrolError:
    """The refusal with the names of those who answered first, and what they said to whom may know it."""
    case = claim.desk.case(claim.case.id)
    names = people(case)
    error.details |= {"case_id": case.id, "seq": case.seq, "by": ", ".join(names) or None}
    kept = seen_by(case, claim.person, claim.desk.governing(case.loop).settings).kept
    if names and not kept and not blind(case) and case.settled is not None:
        error.details["verdict"] = case.settled.verdict
        if not among(claim.person, names):
            error.message = f"{', '.join(names)} answered first: {case.settled.verdict}"
    return error


def people(case: Case) -> list[str]:
    """Who answered a case, first first."""
    return list(dict.fromkeys(a.actor.person for a in case.answered))
