"""The values that travel: a case and what hangs on it, frozen and keyword-only, JSON both ways.

A case is structure plus ``content``.
Everything that callers or humans wrote (input, candidates, rationale, answers' values, results) lives in
`Content` slots, so that it can be erased without touching the evidence; the properties of `Case` join both.
"""

from __future__ import annotations

from dualcontrol.case.measures import RISK_LEVELS, is_high, is_low, microseconds, risk_number
from dualcontrol.case.parts import (
    MODES,
    PASSING,
    RELIEF_TIMES,
    VERDICTS,
    Actor,
    Answer,
    By,
    Candidate,
    CaseState,
    Decision,
    Effect,
    EffectState,
    Mode,
    Outcome,
    Quorum,
    Relief,
    Rendering,
    Review,
    ReviewKind,
    ReviewState,
    Route,
    RouteTo,
    Signal,
    Verdict,
)
from dualcontrol.case.rows import Example, ModelRow
from dualcontrol.case.value import (
    ENCODER,
    JSON,
    SNAPSHOT,
    Content,
    Shown,
    Value,
    decoder,
    encode_content,
    once,
    plain,
    scalar,
)
from dualcontrol.case.whole import Case

__all__ = [
    "ENCODER",
    "JSON",
    "MODES",
    "PASSING",
    "RELIEF_TIMES",
    "RISK_LEVELS",
    "SNAPSHOT",
    "VERDICTS",
    "Actor",
    "Answer",
    "By",
    "Candidate",
    "Case",
    "CaseState",
    "Content",
    "Decision",
    "Effect",
    "EffectState",
    "Example",
    "Mode",
    "ModelRow",
    "Outcome",
    "Quorum",
    "Relief",
    "Rendering",
    "Review",
    "ReviewKind",
    "ReviewState",
    "Route",
    "RouteTo",
    "Shown",
    "Signal",
    "Value",
    "Verdict",
    "decoder",
    "encode_content",
    "is_high",
    "is_low",
    "microseconds",
    "once",
    "plain",
    "risk_number",
    "scalar",
]
