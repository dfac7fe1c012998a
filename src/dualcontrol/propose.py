"""Stage 1, propose: what a caller gives in any of the four modes becomes one frozen command, or a clear error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dualcontrol.case import JSON
from dualcontrol.commands import Propose
from dualcontrol.control import LoopSettings
from dualcontrol.errors import ProposalError, SignalError

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
    rows, proposed = _candidates(settings, action, args, proposal, alternatives, candidates, schema, source, scores)
    confidence = _confidence(confidence, rows, proposed)
    _check_risk(risk)
    if settings.mode == "approval" and (proposed is None or not rows[proposed].get("action")):
        raise ProposalError(f"loop {settings.name!r} is in approval mode: a proposal names an action and its args")
    if settings.mode == "preference" and len(rows) < 2:
        raise ProposalError(f"loop {settings.name!r} is in preference mode: give two or more candidates")
    given = tuple(n for n, v in (("alternatives", alternatives), ("alternatives", candidates), ("alternatives", scores))
                  if v is not None)  # fmt: skip
    return Propose(
        loop=settings.name, input=input, candidates=tuple(rows), proposed=proposed, given=given,
        confidence=confidence, risk=risk, requires_approval=bool(requires_approval),
        scores=[r.get("score") for r in rows] if scores is not None else None, segment=segment,
        rationale=rationale, history=history, meta=meta, key=key, run=run, owner=owner, parent=parent,
        origin=origin, effect=effect or ("ready" if settings.mode == "approval" else "none"),
    )  # fmt: skip


def _candidates(
    settings: LoopSettings, action: str | None, args: JSON, proposal: JSON, alternatives: Sequence[JSON] | None,
    candidates: Sequence[JSON] | None, schema: dict[str, JSON] | None, source: dict[str, JSON] | None,
    scores: Sequence[float] | Mapping[Any, float] | None,
) -> tuple[list[dict[str, JSON]], int | None]:  # fmt: skip
    if action is not None and not str(action).strip():
        raise ProposalError("an action is named by a non-empty text")
    rows: list[dict[str, JSON]] = []
    proposed: int | None = None
    if action is not None:
        rows.append({"action": action, "value": {} if args is UNSET else args, "schema": schema, "source": source})
    elif proposal is not UNSET and proposal is not None:
        rows.append({**_row(proposal), "source": source} if source else _row(proposal))
    if rows and settings.mode != "preference":
        proposed = 0
    rows += [_row(value) for value in (*(alternatives or ()), *(candidates or ()))]
    rows, proposed = _with_scores(settings, rows, proposed, scores)
    return [_identified(row, index) for index, row in enumerate(rows)], proposed


def _row(value: JSON) -> dict[str, JSON]:
    """A candidate from a plain value, or from an object that says which part is what."""
    if not isinstance(value, dict) or not ({"action", "value"} & set(value)) or not set(value) <= CANDIDATE_KEYS:
        return {"value": value}
    row = dict(value)
    if "args" in row:
        row["value"] = row.pop("args")
    row.setdefault("value", {})
    return row


def _identified(row: dict[str, JSON], index: int) -> dict[str, JSON]:
    if not isinstance(row.get("id", ""), str):
        raise ProposalError("a candidate's id is a text")
    return {"id": f"c{index + 1}"} | {k: v for k, v in row.items() if v is not None or k == "value"}


def _with_scores(
    settings: LoopSettings, rows: list[dict[str, JSON]], proposed: int | None,
    scores: Sequence[float] | Mapping[Any, float] | None,
) -> tuple[list[dict[str, JSON]], int | None]:  # fmt: skip
    if scores is None:
        return rows, proposed
    if isinstance(scores, Mapping):
        return _from_classes(settings, rows, scores)
    if len(scores) != len(rows):
        raise SignalError(f"there are {len(scores)} scores for {len(rows)} candidates; give one each")
    for row, score in zip(rows, scores, strict=True):
        row["score"] = _unit(score, "a score")
    if proposed is None and settings.mode == "labels" and rows:
        proposed = max(range(len(rows)), key=lambda i: rows[i]["score"])
    return rows, proposed


def _from_classes(
    settings: LoopSettings, rows: list[dict[str, JSON]], scores: Mapping[Any, float]
) -> tuple[list[dict[str, JSON]], int | None]:
    """One candidate a class, likeliest first; what was proposed keeps its details."""
    if not scores:
        raise SignalError("scores name no class")
    by_text = {str(label): label for label in settings.labels or ()}
    labels = {by_text.get(str(name), name): _unit(p, "a score") for name, p in scores.items()}
    details = {repr(row["value"]): row for row in rows}
    for row in rows:
        labels.setdefault(row["value"] if isinstance(row["value"], str | int | float) else str(row["value"]), 0.0)
    ranked = sorted(labels.items(), key=lambda item: -item[1])
    full = [{**details.get(repr(label), {}), "value": label, "score": p} for label, p in ranked]
    wanted = repr(rows[0]["value"]) if rows else repr(ranked[0][0])
    return full, next((i for i, row in enumerate(full) if repr(row["value"]) == wanted), 0)


def _confidence(confidence: float | None, rows: list[dict[str, JSON]], proposed: int | None) -> float | None:
    if confidence is None:
        score = rows[proposed].get("score") if proposed is not None else None
        return None if score is None else float(score)
    return _unit(confidence, "confidence")


def _unit(number: Any, what: str) -> float:
    """A number from 0 to 1; NumPy numbers are taken, booleans and texts are not."""
    try:
        value = math.nan if isinstance(number, bool | str) else float(number)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise SignalError(f"{what} must be a number from 0 to 1, not {number!r}", value=repr(number))
    return value


def _check_risk(risk: str | float | None) -> None:
    if risk is None:
        return
    if isinstance(risk, str):
        if not risk.strip():
            raise SignalError("risk is low, medium, high, critical or a number from 0 to 1, not an empty text")
        return
    _unit(risk, "risk")
