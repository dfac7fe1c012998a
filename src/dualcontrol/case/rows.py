"""Rows that outlive their case: an example to learn and certify from, and a model that was learned."""

from __future__ import annotations

from dualcontrol.case.value import JSON, Value


class Example(Value, frozen=True, kw_only=True):
    """A row for learning and certificate, made when a review settles; content stays with the case."""

    case_id: str
    loop_id: int
    epoch: int
    kind: str
    verdict: str
    wrong: int | None
    bin: int | None
    score: float | None
    inclusion: float
    at: int
    cap: float | None = None
    id: int | None = None
    pos: int | None = None
    used_by: str | None = None


class ModelRow(Value, frozen=True, kw_only=True):
    """A trained model: where its file lies, what its bytes hash to, and how it did on held-out decisions."""

    id: str
    loop_id: int
    version: str
    path: str
    sha256: str
    state: str
    examples: int
    metrics: dict[str, JSON]
    created_at: int
