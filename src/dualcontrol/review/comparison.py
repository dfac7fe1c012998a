"""Comparison: a proposal and a person's answer side by side, unnamed and in random order, each acceptable or not.

A free text that somebody wrote without seeing the proposal never equals it, and so says nothing of it.  A second person
judges both texts without being told which is whose, since people approve what they are told is the machine's, or a
colleague's, too often.  The proposal is wrong where it is found not acceptable; decision and outcome stay as they are.
"""

from __future__ import annotations

from dualcontrol.case import JSON, Answer, Case, Review
from dualcontrol.control import Env
from dualcontrol.errors import AnswerValueError
from dualcontrol.names import identity

PURPOSE = "compare"  # of the draw
PROPOSAL, ANSWER = "proposal", "answer"  # the two sides, as a review records their order in `presented`
NAMES = ("a", "b")  # as they are shown
ACCEPTABLE, NOT = "acceptable", "not acceptable"
SHORT = {"a": (ACCEPTABLE, NOT), "b": (NOT, ACCEPTABLE), "both": (ACCEPTABLE,) * 2, "neither": (NOT,) * 2}


def order(case: Case, person: str, env: Env) -> tuple[str, ...]:
    """The sides in the order in which a person is shown them: a draw by case and person, so that nobody draws twice."""
    first_half = env.draw(f"{PURPOSE}/{identity(person)}", case.id) < 0.5
    return (PROPOSAL, ANSWER) if first_half else (ANSWER, PROPOSAL)


def texts(case: Case, review: Review) -> list[JSON]:
    """The two sides as ``{id, value}`` in the order that was drawn; empty before it was."""
    answer = (case.content.get(f"answer/{review.against}") or {}).get("value")
    proposal = case.proposal.value if case.proposal is not None else None
    sides = dict(zip((PROPOSAL, ANSWER), in_one_form(proposal, answer), strict=True))
    return [{"id": name, "value": sides[side]} for name, side in zip(NAMES, review.presented, strict=False)]


def in_one_form(proposal: JSON, answer: JSON) -> tuple[JSON, JSON]:
    """Both in the same form, so that it tells nothing: of objects the fields that both have, of a text the text alone.

    A text stands for an object with that text, as in an answer.
    """
    one, other = (side if isinstance(side, dict) else {"text": side} for side in (proposal, answer))
    shared = sorted(one.keys() & other.keys())
    if not shared:
        return proposal, answer
    if shared == ["text"]:
        one, other = one["text"], other["text"]
        return (one.strip() if isinstance(one, str) else one), (other.strip() if isinstance(other, str) else other)
    return {name: one[name] for name in shared}, {name: other[name] for name in shared}


def judgement(value: JSON) -> JSON:
    """What was said of both, in full; raises AnswerValueError where one is left out.

    ``"a"``, ``"b"``, ``"both"`` and ``"neither"`` say which are acceptable.
    """
    if isinstance(value, str) and value.strip().casefold() in SHORT:
        return dict(zip(NAMES, SHORT[value.strip().casefold()], strict=True))
    known = (ACCEPTABLE, NOT)
    if isinstance(value, dict) and value.keys() == set(NAMES) and all(value[name] in known for name in NAMES):
        return {name: value[name] for name in NAMES}
    each = '{"a": "acceptable", "b": "not acceptable"}'
    raise AnswerValueError(f'say of both texts whether they are acceptable: "a", "b", "both", "neither", or {each}')


def wrong(answer: Answer) -> int | None:
    """Whether the proposal was wrong by a judgement, 0 or 1; None where that was erased."""
    said = answer.by_side.get(PROPOSAL)
    return None if said is None else int(said != ACCEPTABLE)
