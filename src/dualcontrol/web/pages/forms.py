"""Decision forms: from their fields to a verdict's value, with nothing guessed; and back, what did not fit."""

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

Form = Mapping[str, Any]
PATTERN = " does not match "


def value(claim: Claim, verdict: str, form: Form, schema: dict[str, JSON] | None) -> JSON:
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


def _edit(claim: Claim, form: Form, schema: dict[str, JSON] | None) -> JSON:
    case, review = as_seen(claim.case, claim.review)
    if form.get("how") == "alternative":
        candidate_id = str(form.get("candidate", ""))
        chosen = next((c for c in case.candidates if c.id == candidate_id), None)
        if chosen is None:
            raise AnswerValueError(f"there is no alternative {candidate_id!r}")
        return {"action": chosen.action, "args": chosen.value} if chosen.action else chosen.value
    proposal = proposal_for(case, review)
    if form.get("how") == "json" or proposal is None:
        edited = as_json(form, "json", "the edit")
    elif isinstance(proposal.value, str):
        edited = _text(form)
        if edited == proposal.value.replace("\r\n", "\n"):
            edited = proposal.value
    else:
        edited = collect(editable(proposal, schema), form)
    return {"action": proposal.action, "args": edited} if proposal and proposal.action else edited


def _respond(claim: Claim, form: Form, schema: dict[str, JSON] | None) -> JSON:
    if "json" in form:
        return as_json(form, "json", "the response")
    if schema is not None and claim.case.mode == "fallback" and form.get("how") == "form":
        return collect(fields(schema, {}), form)
    return _text(form)


def _prefer(claim: Claim, form: Form, schema: dict[str, JSON] | None) -> JSON:
    """The order of the candidates; where all have ranks, equal ranks are ties and "bad" is rejected."""
    ids = [str(c["id"]) for c in claim.view["candidates"]]
    choice = str(form.get("prefer", ""))
    if choice == "tie":
        return {"ranking": [ids], "rejected": []}
    if choice == "none":
        return {"ranking": [], "rejected": ids}
    if choice in ids and choice != "ranked":
        return {"ranking": [[choice], [i for i in ids if i != choice]], "rejected": []}
    if choice != "ranked":
        raise AnswerValueError("say which candidate is best, or that they are equal or all bad")
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


def _text(form: Form) -> str:
    return str(form.get("text", "")).replace("\r\n", "\n")


def as_json(form: Form, name: str, what: str) -> JSON:
    """A text field that holds JSON."""
    try:
        return parse(str(form.get(name, "")).encode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise AnswerValueError(f"{what} is not JSON: {error.msg}") from error


_READ: dict[str, Callable[[Claim, Form, dict[str, JSON] | None], JSON]] = {
    "edit": _edit,
    "respond": _respond,
    "label": lambda claim, form, schema: as_json(form, "value", "the label"),
    "prefer": _prefer,
    "escalate": lambda claim, form, schema: {"to": str(form["to"])} if form.get("to") else None,
}
