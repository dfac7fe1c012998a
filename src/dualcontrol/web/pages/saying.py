"""From the fields of a decision form to a verdict and its value, with nothing guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from dualcontrol.case import JSON, Candidate
from dualcontrol.desk import Claim
from dualcontrol.errors import AnswerValueError, DualcontrolError
from dualcontrol.review.view import as_seen, proposal_for
from dualcontrol.web.show.fields import Field, collect, fields
from dualcontrol.web.strict import parse

Given = Mapping[str, Any]
PATTERN = " does not match "


def value(claim: Claim, verdict: str, form: Given, schema: dict[str, JSON] | None) -> JSON:
    """The value of an answer, as the form says it."""
    read = _READ.get(verdict)
    return read(claim, form, schema) if read else None


def editable(candidate: Candidate | None, schema: dict[str, JSON] | None) -> tuple[Field, ...]:
    """The inputs that edit a candidate; none when its value is edited as text or JSON."""
    if candidate is None:
        return ()
    return fields(candidate.schema or (None if candidate.action else schema), candidate.value)


def misfit(error: DualcontrolError | None, known: tuple[Field, ...]) -> Field | None:
    """The field whose value was refused."""
    path = error.details.get("path") if isinstance(error, AnswerValueError) else None
    return next((f for f in known if path and f.name == path[0]), None)


def plainly(error: DualcontrolError | None, field: Field | None) -> tuple[str, str] | None:
    """What is wrong and what to do; where a pattern was not met, in the words of the schema: nobody reads patterns."""
    if error is None:
        return None
    if field is not None and field.help and PATTERN in error.message:
        return f"{field.title} does not fit.", field.help
    return error.message, error.hint


def _edit(claim: Claim, form: Given, schema: dict[str, JSON] | None) -> JSON:
    if form.get("how") == "alternative":
        return _alternative(claim, str(form.get("candidate", "")))
    proposal = proposal_for(*as_seen(claim.case, claim.review))
    if form.get("how") == "json" or proposal is None:
        edited = as_json(str(form.get("json", "")), "the edit")
    elif isinstance(proposal.value, str):
        edited = _text(str(form.get("text", "")), proposal.value)
    else:
        edited = collect(editable(proposal, schema), form)
    return {"action": proposal.action, "args": edited} if proposal and proposal.action else edited


def _alternative(claim: Claim, candidate_id: str) -> JSON:
    case, _ = as_seen(claim.case, claim.review)
    chosen = next((c for c in case.candidates if c.id == candidate_id), None)
    if chosen is None:
        raise AnswerValueError(f"there is no alternative {candidate_id!r}")
    return {"action": chosen.action, "args": chosen.value} if chosen.action else chosen.value


def _text(text: str, before: str) -> str:
    unix = text.replace("\r\n", "\n")
    return before if unix == before.replace("\r\n", "\n") else unix


def _respond(claim: Claim, form: Given, schema: dict[str, JSON] | None) -> JSON:
    if "json" in form:
        return as_json(str(form["json"]), "the response")
    if schema is not None and claim.case.mode == "fallback" and form.get("how") == "form":
        return collect(fields(schema, {}), form)
    return str(form.get("text", "")).replace("\r\n", "\n")


def _label(claim: Claim, form: Given, schema: dict[str, JSON] | None) -> JSON:
    return as_json(str(form.get("value", "")), "the label")


def _prefer(claim: Claim, form: Given, schema: dict[str, JSON] | None) -> JSON:
    ids = [str(c["id"]) for c in claim.view["candidates"]]
    choice = str(form.get("prefer", ""))
    if choice == "tie":
        return {"ranking": [ids], "rejected": []}
    if choice == "none":
        return {"ranking": [], "rejected": ids}
    if choice == "ranked":
        return _ranked(ids, form)
    if choice not in ids:
        raise AnswerValueError("say which candidate is best, or that they are equal or all bad")
    return {"ranking": [[choice], [i for i in ids if i != choice]], "rejected": []}


def _ranked(ids: list[str], form: Given) -> JSON:
    """Ranks by candidate: equal ranks are ties, "bad" is rejected."""
    places: dict[int, list[str]] = {}
    rejected = []
    for candidate_id in ids:
        rank = str(form.get(f"rank:{candidate_id}", ""))
        if rank == "bad":
            rejected.append(candidate_id)
        elif rank.isascii() and rank.isdigit():
            places.setdefault(int(rank), []).append(candidate_id)
        else:
            raise AnswerValueError("give each candidate a place, or say that it is bad")
    return {"ranking": [places[place] for place in sorted(places)], "rejected": rejected}


def _escalate(claim: Claim, form: Given, schema: dict[str, JSON] | None) -> JSON:
    to = str(form.get("to", ""))
    return {"to": to} if to else None


def as_json(text: str, what: str) -> JSON:
    """A text field that holds JSON."""
    try:
        return parse(text.encode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise AnswerValueError(f"{what} is not JSON: {error.msg}") from error


_READ: dict[str, Callable[[Claim, Given, dict[str, JSON] | None], JSON]] = {
    "edit": _edit,
    "respond": _respond,
    "label": _label,
    "prefer": _prefer,
    "escalate": _escalate,
}
