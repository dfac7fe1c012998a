"""``approve``, ``edit``, ``reject``, ``answer``: one person's answer to one very case, or to a claim they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import typer

from dualcontrol import changes
from dualcontrol.case import JSON, Actor, Case, Review
from dualcontrol.cli.command import Person, Rationale, State, Target, group, os_user, verb
from dualcontrol.cli.open import case_of, desk_of
from dualcontrol.cli.read import authenticated, json_of, text_of, usage
from dualcontrol.cli.screen import facts, report
from dualcontrol.cli.show import concluded, outcome_rows
from dualcontrol.commands import GiveAnswer
from dualcontrol.desk import Desk, lasting
from dualcontrol.names import same
from dualcontrol.review.view import as_seen
from dualcontrol.spelling import meant
from dualcontrol.verdicts import VERDICTS

app = group("answer", "Answer.")
Value: TypeAlias = Callable[[Case, Desk], JSON]

Reasons = Annotated[list[str] | None, typer.Option("--reason", metavar="CODE", help="A reason code; may be repeated.")]
Lasts = Annotated[
    str | None,
    typer.Option("--lasts", metavar="TIME", help='How long it holds, such as "2h"; asked again if not begun by then.'),
]
Sure = Annotated[float | None, typer.Option("--confidence", min=0, max=1, metavar="0..1", help="How sure you are.")]


@verb(app, "approve", "dualcontrol approve 01890a5d-ac96-774b-bcce-b302099a8057 --person ana")
def approve(
    state: State, case: Target, person: Person = None, rationale: Rationale = None, reason: Reasons = None,
    confidence: Sure = None, lasts: Lasts = None,
) -> None:  # fmt: skip
    """Answer that the proposal is right."""
    _give(state, case, "approve", None, person, rationale, reason, confidence, lasts)


@verb(
    app, "edit",
    "dualcontrol edit 01890a5d-ac96-774b-bcce-b302099a8057 --set amount=90 --rationale 'only the second parcel'",
    "dualcontrol edit 01890a5d-ac96-774b-bcce-b302099a8057 '{\"order\": \"A-17\", \"amount\": 90}'",
)  # fmt: skip
def edit(
    state: State,
    case: Target,
    value: Annotated[
        str | None, typer.Argument(metavar="JSON", help="The whole value: JSON, @FILE or - for stdin.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=JSON", help="Change one argument and keep the rest; may be repeated."),
    ] = None,
    person: Person = None,
    rationale: Rationale = None,
    reason: Reasons = None,
    confidence: Sure = None,
    lasts: Lasts = None,
) -> None:
    """Answer that the proposal is right when changed: the arguments, or the value where there is no action."""
    if (value is None) == (not change):
        raise usage("give either the whole value or --set NAME=JSON")
    whole = json_of(value, "the value") if value is not None else None
    changes: dict[str, JSON] = {}
    for text in change or ():
        name, equals, changed = text.partition("=")
        if not equals or not name:
            raise usage(f"--set takes NAME=JSON, not {text!r}")
        changes[name] = json_of(changed, f"--set {name}")

    def edited(shown: Case, desk: Desk) -> JSON:
        return _changed(shown, changes) if changes else whole

    _give(state, case, "edit", edited, person, rationale, reason, confidence, lasts)


def _changed(case: Case, changes: dict[str, JSON]) -> JSON:
    proposal = case.proposal
    if proposal is None or not isinstance(proposal.value, dict):
        raise usage("--set changes the arguments of a proposal, and this review shows none; give the whole value")
    unknown = [name for name in changes if name not in proposal.value]
    if unknown:
        known = ", ".join(proposal.value) or "none"
        raise usage(f"the proposal has no argument {unknown[0]!r}; it has: {known}")
    return {**proposal.value, **changes}


@verb(
    app, "reject",
    "dualcontrol reject 01890a5d-ac96-774b-bcce-b302099a8057 --rationale 'not our customer' --reason fraud",
)  # fmt: skip
def reject(
    state: State, case: Target, person: Person = None, rationale: Rationale = None, reason: Reasons = None,
    confidence: Sure = None,
) -> None:  # fmt: skip
    """Answer that the proposal is wrong and nothing is to happen."""
    _give(state, case, "reject", None, person, rationale, reason, confidence)


@verb(
    app, "answer",
    "dualcontrol answer 01890a5d-ac96-774b-bcce-b302099a8057 label --value ham",
    "dualcontrol answer 01890a5d-ac96-774b-bcce-b302099a8057 prefer --value c2",
    "dualcontrol answer 01890a5d-ac96-774b-bcce-b302099a8057 escalate --value leads --rationale 'above my limit'",
)  # fmt: skip
def answer(
    state: State,
    case: Target,
    verdict: Annotated[str, typer.Argument(metavar="VERDICT", help=", ".join(VERDICTS) + ".")],
    value: Annotated[
        str | None,
        typer.Option("--value", metavar="JSON", help="JSON, @FILE or -; labels, responses and ids may be plain text."),
    ] = None,
    person: Person = None,
    rationale: Rationale = None,
    reason: Reasons = None,
    confidence: Sure = None,
) -> None:
    """Answer with any verdict: label, prefer, respond, abstain, escalate …"""
    text = None if value is None else text_of(value).rstrip("\n")

    def value_in(shown: Case, desk: Desk) -> JSON:
        return None if text is None else meant(verdict, text, desk.control(shown.loop))

    _give(state, case, verdict, value_in, person, rationale, reason, confidence)


def _give(
    state: State, target: str, verdict: str, value: Value | None, person: str | None, rationale: str | None,
    reasons: list[str] | None, confidence: float | None, lasts: str | None = None,
) -> None:  # fmt: skip
    """Answer a claim that is held, or take a review of the case and answer it: both or neither."""
    who, name = person or os_user(), target.strip()
    with desk_of(state) as desk:

        def command(case: Case, review: Review | None, claim_id: str, who: str) -> GiveAnswer:
            shown = case if review is None else as_seen(case, review)[0]  # a mistake names nothing of what is hidden
            return GiveAnswer(
                case_id=case.id, claim_id=claim_id, verdict=verdict, confidence=confidence,
                actor=Actor(person=who, via="cli", authenticated=authenticated(who)),
                value=value(shown, desk) if value else None,
                rationale=rationale, reasons=tuple(reasons or ()), lasts=lasting(lasts),
            )  # fmt: skip

        claimed = desk.steps.case_of_claim(name) if "." in name else None
        if claimed is not None:
            case = desk.case(claimed)
            case = desk.steps.run(command(case, case.review_of_claim(name), name, person or ""))
            review = case.review_of_claim(name)
            who = (review.person if review else None) or who
        else:
            case_id = case_of(desk, target).id
            case = desk.steps.answer_case(case_id, who, lambda c, r: command(c, r, r.claim_id or "", who))
        desk.certifier.answered(case)
        desk.prober.answered(case)
        changes.answered(desk, case)
    rows = [("case", case.id), ("answered", f"{verdict} by {who}")]
    followers = max((review.followers for review in case.reviews if same(review.person, who)), default=0)
    if followers:
        rows.append(("counts for", f"{followers} more that {'asks' if followers == 1 else 'ask'} the same"))
    if case.debriefing is not None:
        rows.append(("debriefing", case.debriefing))
    elif case.outcome is not None:
        rows += outcome_rows(case.outcome)
    elif case.settled is not None:
        rows.append(("outcome", "decided: effective when the time to take it back has passed"))
    else:
        rows.append(("outcome", "open: more answers are needed"))
    scored = case.scored and case.scored.to_dict()
    ended = {"kind": case.kind, "scored": scored, "debriefing": case.debriefing}
    report(state.as_json, concluded(case, verdict=verdict, person=who, state=case.state, **ended), facts(rows))
