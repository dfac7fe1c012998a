"""Quorum: when answers settle a case, with what value, and when an arbiter is needed (DATA section 2)."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from dualcontrol.case import JSON, Answer, Case, Quorum
from dualcontrol.names import identity
from dualcontrol.review import comparison
from dualcontrol.review.values import canonical
from dualcontrol.schema import meaning, plain_text
from dualcontrol.verdicts import VERDICTS

VOTING = ("decide", "second")
COUNTING = (*VOTING, "arbiter")


class Votes(NamedTuple):
    """The state of a vote: settled by which rule and answers, in dispute, or undecided."""

    settled_by: str | None = None
    source: Answer | None = None
    answers: tuple[str, ...] = ()
    dispute: bool = False


class AskedAgain(NamedTuple):
    """People are asked about an edit: the review it came from, and the rows that were opened since."""

    about: str
    rows: tuple[str, ...]


def asked_again(case: Case) -> AskedAgain | None:
    """The edit that people were asked about last; None where there is none, or it was taken back."""
    about = next((r.about for r in reversed(case.reviews) if r.about), None)
    if about is None or not any(a.review_id == about for a in case.answered):
        return None
    first = next(place for place, r in enumerate(case.reviews) if r.about == about)
    return AskedAgain(about, tuple(r.id for r in case.reviews[first:]))


def votes(case: Case) -> Votes:
    """The state of the vote under the quorum of the case.

    Once people are asked about an edit, what was said before counts only where it is that very edit.
    """
    quorum = case.route.quorum if case.route else Quorum()
    kinds = {r.id: r.kind for r in case.reviews}
    answers = [case.answer(a.review_id) for a in case.answered if kinds.get(a.review_id) in COUNTING]
    again = asked_again(case)
    arbitrating = {i for i, kind in kinds.items() if kind == "arbiter"}
    if again is not None:
        edit = shape(case, case.answer(again.about))
        answers = [a for a in answers if a.review_id in again.rows or shape(case, a) == edit]
        arbitrating &= set(again.rows)
    arbiter = next((a for a in answers if a.review_id in arbitrating), None)
    ids = tuple(a.review_id for a in answers)
    if arbiter is not None:
        return Votes("arbiter", arbiter, ids)
    veto = next((a for a in answers if a.verdict == "reject"), None) if quorum.veto else None
    if veto is not None:
        return Votes("veto", veto, ids)
    return _count(case, quorum, answers)


def _count(case: Case, quorum: Quorum, answers: list[Answer]) -> Votes:
    """The state of a vote that neither an arbiter nor a veto settles."""
    ids = tuple(a.review_id for a in answers)
    if not answers:
        return Votes()
    if quorum.settle == "collect":
        full = len(answers) >= quorum.answers
        return Votes("collect", answers[0] if len(answers) == 1 else None, ids) if full else Votes()
    shapes = [shape(case, a) for a in answers] if len(answers) > 1 else [""]
    most, count = Counter(shapes).most_common(1)[0]
    leader = answers[shapes.index(most)]  # the first answer that says what most say
    if quorum.settle == "unanimous":
        if count < len(answers):
            return Votes(dispute=True)
        return Votes("unanimous", leader, ids) if len(ids) >= quorum.answers else Votes()
    if quorum.settle == "majority":
        if len(ids) < quorum.answers:
            return Votes()
        return Votes("majority", leader, ids) if 2 * count > len(ids) else Votes(dispute=len(ids) >= quorum.asked)
    need = quorum.settle if isinstance(quorum.settle, int) else quorum.answers
    if count >= need:
        return Votes("k", leader, ids)
    return Votes(dispute=count + quorum.asked - len(answers) < need)


def shape(case: Case, answer: Answer) -> str:
    """What an answer says, as text: answers are equal when their shapes are.

    Approving says "do what was proposed", so it equals an edit to the very same action.
    """
    if answer.verdict == "approve" and case.mode != "labels":
        return canonical(["do", _meant(case, case.approved_value(answer.review_id))])
    if answer.verdict == "edit":
        return canonical(["do", _meant(case, answer.value)])
    if answer.verdict in ("label", "approve"):
        return canonical(["label", plain_text(answer.value)])
    return canonical([answer.verdict, plain_text(answer.value)])


def _meant(case: Case, value: JSON) -> list[str]:
    """A value in canonical form: an action by its name, its arguments by the schema that they were proposed with."""
    if not isinstance(value, dict) or set(value) != {"action", "args"}:
        return [plain_text(value)]
    candidates = case.content.get("candidates", ())
    schema = next((c.get("schema") for c in candidates if c.get("action") == value["action"]), None)
    return [identity(str(value["action"])), meaning(value["args"], schema)]


def said_first(case: Case, answer: Answer) -> str | None:
    """The verdict to which a blind review of an action was committed before it was seen; None for any other answer."""
    review = case.review(answer.review_id)
    committed = review is not None and review.blind and case.mode == "approval" and isinstance(answer.first, dict)
    return str(answer.first["verdict"]) if committed else None


def label(case: Case, source: Answer | None, *, free: bool = False) -> int | None:
    """Whether the proposal was wrong by the answer that settled a case.

    In a case that is asked blind only blind answers say so: where the one that settled it was not, any that was.
    """
    if source is None:
        return None
    blind = {review.id for review in case.reviews if review.blind and not review.beside}
    if case.route is None or not case.route.asked_blind or source.review_id in blind:
        return wrong(case, source, free=free)
    words = [wrong(case, case.answer(a.review_id), free=free) for a in case.answered if a.review_id in blind]
    return max((word for word in words if word is not None), default=None)


def wrong(case: Case, answer: Answer, *, free: bool = False) -> int | None:
    """Whether the proposal was wrong by this answer, 0 or 1; None where it says nothing of that.  The one definition.

    approve 0; edit 1 unless it equals the proposal; reject 1; respond 1, also where the AI had nothing to propose,
    but in a blind review 0 if it says the very same, and where responses are `free` none if it does not; label 1 if
    unequal, and of two texts that are compared what is said of the proposal; else none.  Who said that an action should
    not happen before they saw it has said that it is wrong, whatever they let happen then.
    """
    spec, proposal, review = VERDICTS[answer.verdict], case.proposal, case.review(answer.review_id)
    if review is not None and review.against is not None:
        return comparison.wrong(answer)
    if said_first(case, answer) == "reject" and case.proposed is not None:
        return 1
    if spec.value == "response":
        if review is None or not review.blind or proposal is None:
            return 1
        same = plain_text(answer.value) in (plain_text(proposal.value), plain_text({"text": proposal.value}))
        return 0 if same else None if free else 1
    if spec.wrong is None or case.proposed is None:
        return None
    if spec.wrong != "compared":
        return int(spec.wrong == "always")
    if spec.value == "edited":
        return int(_meant(case, answer.value) != _meant(case, case.proposed_value()))
    return None if proposal is None else int(plain_text(answer.value) != plain_text(proposal.value))
