"""Validation of answer values by verdict: before anything is written, types kept, never converted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from dualcontrol.case import ENCODER, JSON, Candidate, Case, Review
from dualcontrol.commands import GiveAnswer, action_name
from dualcontrol.control import Control
from dualcontrol.errors import (
    AnswerError,
    AnswerValueError,
    CommitError,
    EscalationError,
    LabelError,
    PayloadError,
    ProposalError,
    RationaleError,
    SignalError,
    VerdictError,
)
from dualcontrol.labels import Labels
from dualcontrol.people import arbiter_of, may, refuse
from dualcontrol.review import comparison
from dualcontrol.review.view import hidden, proposal_for
from dualcontrol.schema import bound, flaw, violation
from dualcontrol.verdicts import BY_MODE, PASSING, VERDICTS


def legal_in(case: Case, review: Review) -> tuple[str, ...]:
    """The verdicts that this review may be answered with."""
    if review.against is not None:
        return ("label", *PASSING)
    if not hidden(review):
        return (*BY_MODE[case.mode], *PASSING)
    blind = [v for v in BY_MODE[case.mode] if not VERDICTS[v].needs_proposal and case.mode != "approval"]
    return (*blind, *PASSING)


def canonical(value: JSON) -> str:
    """A value as JSON text with sorted keys: equal text is equal content, and 1 is not 1.0 nor true."""
    try:
        return ENCODER.encode(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise AnswerValueError(f"the answer's value is not JSON: {error}") from error


def checked(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    """The value of an answer in its full form, or an `AnswerError` that says what to do."""
    legal = legal_in(case, review)
    if command.verdict in BY_MODE[case.mode] and command.verdict not in legal:  # too early in a blind review
        if case.mode == "approval":
            raise CommitError("this review shows the action only after a commitment, and is answered after that")
        if review.against is not None:
            raise VerdictError(
                "this review compares two texts: label each of them", verdict=command.verdict, legal=list(legal)
            )
        how = "give the label" if case.mode == "labels" else "respond without the proposal"
        raise VerdictError(f"this review is blind: {how}", verdict=command.verdict, legal=list(legal))
    if command.verdict not in legal:
        raise VerdictError(
            f"verdict {command.verdict!r} is not legal in {case.mode} mode; use {', '.join(legal)}",
            verdict=command.verdict, legal=list(legal),
        )  # fmt: skip
    canonical(command.value)  # so that what is made of it below is JSON as well
    if command.first is not None and review.blind:
        raise AnswerError("this review is blind: what is said in it is what was said first; leave first out")
    check_confidence(command.confidence)
    if command.first is not None:
        _check_first(case, review, command, control)
    needs_reason = control.settings.rationale == "required" and VERDICTS[command.verdict].needs_reason
    if needs_reason and not (command.rationale or "").strip():
        raise RationaleError(f"loop {case.loop!r} requires a rationale for {command.verdict}")
    if review.against is not None and command.verdict == "label":
        return comparison.judgement(command.value)
    return _CHECKS[command.verdict](case, review, command, control)


def check_confidence(confidence: float | None) -> None:
    """Refuse how sure a reviewer is where that is no number from 0 to 1."""
    if confidence is not None and not 0 <= confidence <= 1:
        raise SignalError(f"an answer's confidence must be from 0 to 1, not {confidence!r}")


def _check_first(case: Case, review: Review, command: GiveAnswer, control: Control) -> None:
    """A first commitment is ``{verdict, value}``, as legal as an answer."""
    first = command.first
    if not isinstance(first, dict) or not {"verdict"} <= set(first) <= {"verdict", "value"}:
        raise AnswerError("first is what was answered before the proposal was shown: an object {verdict, value}")
    verdict, legal = first["verdict"], BY_MODE[case.mode]
    if verdict not in legal:
        raise VerdictError(
            f"the verdict of first, {verdict!r:.80}, is not legal in {case.mode} mode; use {', '.join(legal)}",
            verdict=f"{verdict!r:.80}", legal=list(legal),
        )  # fmt: skip
    try:
        canonical(first.get("value"))
        _CHECKS[verdict](case, review, replace(command, verdict=verdict, value=first.get("value")), control)
    except AnswerError as error:
        raise AnswerValueError(f"the value of first does not fit: {error.message}") from error


def _no_value(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    if command.value is not None:
        raise AnswerValueError(f"{command.verdict} takes no value; to change the action use edit")
    return None


def _approve(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    _no_value(case, review, command, control)
    proposal = proposal_for(case, review)
    if proposal is None:
        raise VerdictError("there is no proposal to approve; answer with a value", verdict="approve")
    return _in_the_set(proposal.value, control) if case.mode == "labels" else None


def _edit(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    proposal = proposal_for(case, review)
    if proposal is not None and proposal.action is not None:
        action, args = str(proposal.action), command.value
        if not isinstance(args, dict):
            raise AnswerValueError(f"edit takes the arguments as an object, not {_kind(args)}")
        if set(args) == {"action", "args"} and isinstance(args["action"], str):
            action, args = action_name(args["action"], AnswerValueError), args["args"]
        target = proposal
        if action != proposal.action:
            target = next((c for c in case.candidates if c.action == action), Candidate(id="", value={}))
        what = f"the edited {action}"
        if target.schema is not None:
            args = _fitting(args, target.schema, what)
        else:
            _keeps_types(args, target.value, what)
        return {"action": action, "args": args}
    if command.value is None:
        raise AnswerValueError("edit needs a value")
    if control.settings.schema is not None:
        return _fitting(command.value, control.settings.schema, "the edited value")
    if proposal is not None:
        _keeps_types(command.value, proposal.value, "the edited value")
    return command.value


def _respond(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    value = {"text": command.value} if isinstance(command.value, str) else command.value
    if value is None or value == {} or (isinstance(value, dict) and not str(value.get("text", "x")).strip()):
        raise AnswerValueError("respond needs the response: a text, or JSON that fits the loop's schema")
    if control.settings.schema is None or case.mode == "approval":
        return value
    return _fitting(value, control.settings.schema, "the response")


def _label(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    if command.value is None:
        raise AnswerValueError("label needs a value")
    value = _in_the_set(command.value, control)
    return value if control.settings.schema is None else _fitting(value, control.settings.schema, "the label")


def _in_the_set(value: JSON, control: Control) -> JSON:
    """The label as the loop's set has it, where there is a set: 3.0 is the label 3."""
    labels = Labels.of(control.settings)
    if labels is None:
        return value
    if value not in labels:
        shown = ", ".join(canonical(label) for label in (control.settings.labels or ())[:20])
        raise LabelError(f"label {canonical(value)[:80]} is not in the set: {shown}")
    return labels.own(value)


def _prefer(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    value, ids = command.value, [c.id for c in case.candidates]
    if isinstance(value, str):
        value = {"ranking": [[value], [i for i in ids if i != value]], "rejected": []}
    else:
        value = {"ranking": value} if isinstance(value, list) else value
        if not isinstance(value, dict) or not set(value) <= {"ranking", "rejected", "strength"}:
            raise AnswerValueError("prefer takes a candidate id, a list of ids, or {ranking, rejected, strength}")
        ranking, rejected = value.get("ranking", []), value.get("rejected", [])
        if not isinstance(ranking, list) or not isinstance(rejected, list):
            raise AnswerValueError("ranking and rejected are lists of candidate ids")
        ties = [tie if isinstance(tie, list) else [tie] for tie in ranking]
        if not all(isinstance(i, str) for tie in (*ties, rejected) for i in tie):
            raise AnswerValueError("ranking and rejected name candidates by their ids")
        value = {**value, "ranking": [tie for tie in ties if tie], "rejected": rejected}
    ranked = [i for tie in value["ranking"] for i in tie] + list(value["rejected"])
    if sorted(ranked) != sorted(ids):
        raise AnswerValueError(f"a preference names each candidate once, in ranking or rejected: {', '.join(ids)}")
    strength = value.get("strength")
    if strength is not None and (
        isinstance(strength, bool) or not isinstance(strength, int | float) or not math.isfinite(strength)
    ):
        raise AnswerValueError("strength is a number")
    return value


def _escalate(case: Case, review: Review, command: GiveAnswer, control: Control) -> JSON:
    value = command.value
    to = (value.get("to") if isinstance(value, dict) else value) or arbiter_of(case, control)
    if not isinstance(to, str) or not to:
        raise EscalationError(f"nobody is above group {review.group!r} in loop {case.loop!r}")
    if to not in control.pools():
        raise EscalationError(f"there is no group {to!r}; known are {', '.join(control.pools())}")
    if to == review.group:
        raise EscalationError(f"group {to!r} has this review already; abstain lets somebody else of it decide")
    refuse(may(command.actor.person, "escalate", control, case, review.id, group=to))
    return {"to": to}


_CHECKS: dict[str, Callable[[Case, Review, GiveAnswer, Control], JSON]] = {
    "approve": _approve,
    "edit": _edit,
    "reject": _no_value,
    "respond": _respond,
    "label": _label,
    "prefer": _prefer,
    "abstain": _no_value,
    "escalate": _escalate,
}


KINDS = {dict: "object", list: "array", tuple: "array", str: "string", bool: "boolean", int: "number", float: "number"}


def _kind(value: JSON) -> str:
    return KINDS.get(type(value), "null")


def _keeps_types(value: JSON, model: JSON, what: str) -> None:
    """Where nobody gave a schema, what is there keeps its JSON type; keys may come and go."""
    if model is None:
        return
    if _kind(value) != _kind(model):
        raise AnswerValueError(f"{what} is of the wrong type: {_kind(value)}, where {_kind(model)} was proposed")
    if isinstance(model, dict):
        for key in model.keys() & value.keys():
            _keeps_types(value[key], model[key], f"{what}[{key!r}]")


def _fitting(value: JSON, schema: dict[str, JSON], what: str) -> JSON:
    """The value completed by the defaults of its schema, once it is valid; that is what the program will run."""
    full = bound(value, schema)
    unfit = violation(full, schema)
    if unfit is not None:
        where = "".join(f"[{part!r}]" for part in unfit.path)
        raise AnswerValueError(f"{what}{where} {unfit.message}", path=list(unfit.path))
    return full


def look_ahead(case: Case, command: GiveAnswer, schema: dict[str, JSON] | None) -> None:
    """Warm the schema cache: validate an answer's value against every schema that it may have to fit."""
    schemas = [c.get("schema") for c in case.content.get("candidates", ())] if case.mode == "approval" else [schema]
    first = command.first.get("value") if isinstance(command.first, dict) else None
    for value in (command.value, first):
        args = value["args"] if isinstance(value, dict) and set(value) == {"action", "args"} else value
        for wanted in schemas:
            try:
                if isinstance(wanted, dict):
                    violation(bound(args, wanted), wanted)
            except (TypeError, ValueError, RecursionError):  # no JSON: the answer will be refused for that
                return


def with_defaults(candidates: Sequence[dict[str, JSON]]) -> tuple[dict[str, JSON], ...]:
    """Candidates completed by the defaults of the schemas that they bring, as the program will read them.

    Refuses a proposal whose JSON Schema cannot be used, before somebody's edit is held against it.
    """
    completed = []
    for candidate in candidates:
        schema = candidate.get("schema")
        if schema is not None:
            try:
                canonical(schema)
            except AnswerValueError as error:
                raise PayloadError("the schema of a candidate is not JSON") from error
            if (wrong := flaw(schema)) is not None:
                raise ProposalError(f"a candidate's schema is not a JSON Schema that can be used: {wrong.message:.200}")
            candidate = {**candidate, "value": bound(candidate.get("value"), schema)}
        completed.append(candidate)
    return tuple(completed)
