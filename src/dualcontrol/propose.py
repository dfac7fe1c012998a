"""Stage 1, propose: what a caller gives in any of the four modes becomes one frozen command, or a clear error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from numbers import Real
from typing import Any, Literal

import msgspec

from dualcontrol.case import JSON, Candidate, plain
from dualcontrol.commands import UNFIT, Propose, action_name, known_as, missing, risk_level
from dualcontrol.control import LoopSettings
from dualcontrol.errors import ContextError, ProposalError, SignalError
from dualcontrol.labels import Labels, mark, named
from dualcontrol.segments import segment_of

UNSET: Any = type("Unset", (), {"__repr__": lambda self: "UNSET", "__bool__": lambda self: False})()
CANDIDATE_KEYS = {"id", "action", "args", "value", "schema", "source", "rationale", "score"}


def command(
    settings: LoopSettings,
    *,
    action: str | None = None,
    args: JSON = UNSET,
    proposal: JSON = UNSET,
    input: JSON = None,
    alternatives: Sequence[JSON] | None = None,
    candidates: Sequence[JSON] | None = None,
    schema: dict[str, JSON] | None = None,
    source: dict[str, JSON] | None = None,
    confidence: float | None = None,
    risk: str | float | None = None,
    requires_approval: bool = False,
    scores: Sequence[float] | Mapping[Any, float] | None = None,
    segment: str | None = None,
    rationale: str | None = None,
    history: JSON = None,
    meta: dict[str, JSON] | None = None,
    key: str | None = None,
    run: str | None = None,
    owner: str | None = None,
    parent: str | None = None,
    origin: Literal["live", "import", "shadow"] = "live",
    effect: Literal["none", "ready"] | None = None,
) -> Propose:
    """The command for a proposal; raises `ProposalError` or `SignalError` before anything is written.

    `action` and `args`, or `proposal`, is what the AI wants; `alternatives` is what else it considered;
    `candidates` stands for both where nothing is proposed (preference).
    """
    input, history, meta, requires_approval = plain([input, history, meta, requires_approval])
    rows, proposed = _candidates(settings, action, args, proposal, alternatives, candidates, schema, source, scores)
    if not missing(confidence):
        confidence = _unit(confidence, "confidence")
    else:  # a missing number is none, and a case without one goes to a human
        score = rows[proposed].get("score") if proposed is not None else None
        confidence = None if score is None else float(score)
    if risk is not None:
        risk = risk_level(risk) if isinstance(risk, str) else _unit(risk, "risk")
    if not isinstance(requires_approval, bool):
        raise SignalError(f"requires_approval is true or false, not {requires_approval!r:.80}")
    if settings.mode == "approval" and (proposed is None or not rows[proposed].get("action")):
        raise ProposalError(f"loop {settings.name!r} is in approval mode: a proposal names an action and its args")
    if settings.mode == "preference" and len(rows) < 2:
        raise ProposalError(f"loop {settings.name!r} is in preference mode: give two or more candidates")
    action, value = (rows[proposed].get("action"), rows[proposed]["value"]) if proposed is not None else (None, None)
    segment = segment_of(settings, segment, action, value, meta)
    listed = any(part is not None for part in (alternatives, candidates, scores))
    return Propose(
        loop=settings.name, input=input, candidates=tuple(rows), proposed=proposed,
        given=("alternatives",) if listed else (), confidence=confidence, risk=risk,
        requires_approval=requires_approval, segment=segment, rationale=rationale, history=history, meta=meta, key=key,
        scores=[r.get("score") for r in rows] if scores is not None else None, run=run, owner=owner, parent=parent,
        origin=origin, effect=("ready" if settings.mode == "approval" else "none") if effect is None else effect,
    )  # fmt: skip


def _candidates(
    settings: LoopSettings, action: str | None, args: JSON, proposal: JSON, alternatives: Sequence[JSON] | None,
    candidates: Sequence[JSON] | None, schema: dict[str, JSON] | None, source: dict[str, JSON] | None,
    scores: Sequence[float] | Mapping[Any, float] | None,
) -> tuple[list[dict[str, JSON]], int | None]:  # fmt: skip
    name: Any = action
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise ProposalError(f"an action is named by a non-empty text, not {action!r:.80}")
    rows: list[dict[str, JSON]] = []
    proposed: int | None = None
    if action is not None:
        rows.append({"action": action, "value": {} if args is UNSET else args, "schema": schema, "source": source})
    elif proposal is not UNSET and proposal is not None:
        details = {"schema": schema, "source": source}
        rows.append({**as_row(proposal), **{k: v for k, v in details.items() if v is not None}})
    if rows and settings.mode != "preference":
        proposed = 0
    others: tuple[tuple[str, Any], ...] = (("alternatives", alternatives), ("candidates", candidates))
    for what, values in others:
        if values is None:
            continue
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence):
            raise ProposalError(f"{what} is a list, not {values!r:.80}")
        rows += [as_row(value) for value in values]
    labels = None if settings.labels is None else Labels.of(settings)
    rows = [plain(row if labels is None else {**row, "value": labels.own(row["value"])}) for row in rows]
    rows, proposed = _with_scores(settings, rows, proposed, scores)
    rows = [_checked(row, index) for index, row in enumerate(rows)]
    ids = [row["id"] for row in rows]
    if len(set(ids)) != len(ids):
        raise ProposalError(f"two candidates have the same id: {', '.join(ids):.80}")
    for row in rows if labels is not None else ():
        if labels is not None and row["value"] not in labels:
            raise labels.refusal(row["value"])
    return rows, proposed


def as_row(value: JSON) -> dict[str, JSON]:
    """A candidate from a plain value, or from an object that says which part is what."""
    if not isinstance(value, dict) or not ({"action", "value"} & set(value)) or not set(value) <= CANDIDATE_KEYS:
        return {"value": value}
    row = dict(value)
    if "args" in row:
        row["value"] = row.pop("args")
    row.setdefault("value", {})
    return row


def _checked(row: dict[str, JSON], index: int) -> dict[str, JSON]:
    """A candidate's JSON with every part of its type."""
    row = {"id": f"c{index + 1}"} | {k: v for k, v in row.items() if v is not None or k == "value"}
    if "score" in row:
        row["score"] = _unit(row["score"], "a score")
    if row["id"] != f"c{index + 1}":
        known_as(row["id"], ProposalError, "a candidate")
    if "action" in row:
        row["action"] = action_name(row["action"])
    try:
        msgspec.convert(row, Candidate)
    except UNFIT as error:
        raise ProposalError(f"a candidate is not one: {error}") from None
    return row


def _with_scores(
    settings: LoopSettings, rows: list[dict[str, JSON]], proposed: int | None,
    scores: Sequence[float] | Mapping[Any, float] | None,
) -> tuple[list[dict[str, JSON]], int | None]:  # fmt: skip
    """The candidates with their scores, and which is proposed.

    Of scores by class each class is a candidate, likeliest first; what was proposed keeps its details.
    """
    if scores is None:
        return rows, proposed
    if not isinstance(scores, Mapping):
        if isinstance(scores, str | bytes) or not hasattr(scores, "__len__") or isinstance(scores, Set):
            raise SignalError(f"scores is a list of one number for each candidate, or an object, not {scores!r:.80}")
        if len(scores) != len(rows):
            raise SignalError(f"there are {len(scores)} scores for {len(rows)} candidates; give one each")
        for row, score in zip(rows, scores, strict=True):
            row["score"] = _unit(score, "a score")
        if proposed is None and settings.mode == "labels" and rows:
            proposed = max(range(len(rows)), key=lambda i: rows[i]["score"])
        return rows, proposed
    classes = named(settings, scores)
    if not classes:
        raise SignalError("scores name no class" if not scores else "the model knows none of the labels of the loop")
    scored: dict[bytes, tuple[JSON, float]] = {}
    for label, score in classes:
        text = mark(label)
        if text in scored:
            raise SignalError(f"scores name the class {label!r:.80} twice")
        scored[text] = (label, _unit(score, "a score"))
    details = {mark(row["value"]): row for row in reversed(rows)}
    for text, row in details.items():
        scored.setdefault(text, (row["value"], 0.0))
    ranked = sorted(scored.items(), key=lambda item: -item[1][1])
    full = [{**details.get(text, {}), "value": label, "score": p} for text, (label, p) in ranked]
    wanted = mark(rows[0]["value"]) if rows else ranked[0][0]
    return full, [text for text, _ in ranked].index(wanted)


def _unit(number: Any, what: str) -> float:
    """A number from 0 to 1; NumPy numbers are taken, booleans and texts are not."""
    try:
        value = math.nan if isinstance(number, bool) or not isinstance(number, Real) else float(number)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise SignalError(f"{what} must be a number from 0 to 1, not {number!r:.80}", value=f"{number!r:.80}")
    return value


# The context contract: a case that lacks what its loop requires is refused at the door, the fields named.


LEVELS: dict[str, tuple[str, ...]] = {
    "minimal": ("input", "proposal"),
    "standard": ("input", "proposal", "rationale", "alternatives"),
    "full": ("input", "proposal", "rationale", "alternatives", "history"),
}


def required(settings: LoopSettings) -> tuple[str, ...]:
    """The fields that a loop requires of every case."""
    fields = LEVELS[settings.context] if isinstance(settings.context, str) else settings.context
    if settings.mode == "fallback":
        return tuple(f for f in fields if f != "proposal")
    return fields


def admit(command: Propose, settings: LoopSettings) -> None:
    """Refuse a proposal that lacks required context: `ContextError` names the fields."""
    lacking = []
    for field in required(settings):
        head, _, path = field.partition(".")
        if head == "alternatives":
            present = "alternatives" in command.given
        elif head != "proposal":
            present = counts(dig(getattr(command, head, None), path))
        elif command.proposed is None:
            present = len(command.candidates) >= 2
        else:
            candidate = command.candidates[command.proposed]
            present = bool(candidate.get("action")) or counts(candidate.get("value"))
        if not present:
            lacking.append(field)
    if lacking:
        names = ", ".join(lacking)
        raise ContextError(
            f"loop {settings.name!r} requires context that is missing: {names}", fields=lacking, loop=settings.name
        )


def counts(value: JSON) -> bool:
    """Whether a value is context at all: an explicit empty list counts, an empty text or object does not."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and not (isinstance(value, dict) and not value)


def dig(value: JSON, path: str) -> JSON:
    """What lies at a path of names below a value; None where there is nothing."""
    for name in path.split(".") if path else ():
        value = value.get(name) if isinstance(value, dict) else None
    return value
