"""What may be asked of a case: the frozen commands that the stages answer with events."""

from __future__ import annotations

from typing import Literal

from dualcontrol.case import JSON, Actor, Value


class Command(Value, frozen=True, kw_only=True):
    """The root of all commands; `by` is who asks."""


class Propose(Command, frozen=True, kw_only=True):
    """Open a case for a proposal and route it."""

    loop: str
    input: JSON = None
    candidates: tuple[dict[str, JSON], ...] = ()
    proposed: int | None = None
    given: tuple[str, ...] = ()
    confidence: float | None = None
    risk: str | float | None = None
    requires_approval: bool = False
    scores: JSON = None
    segment: str | None = None
    rationale: str | None = None
    history: JSON = None
    meta: JSON = None
    key: str | None = None
    run: str | None = None
    kind: Literal["live", "probe", "practice"] = "live"
    origin: Literal["live", "import", "shadow"] = "live"
    parent: str | None = None
    owner: str | None = None
    effect: Literal["none", "ready"] = "none"


class Claim(Command, frozen=True, kw_only=True):
    """Take one open review for a time."""

    case_id: str
    review_id: str
    person: str
    claim_id: str
    until: int


class Release(Command, frozen=True, kw_only=True):
    """Give a claimed review back."""

    case_id: str
    claim_id: str


class Extend(Command, frozen=True, kw_only=True):
    """Ask for more time on a claim."""

    case_id: str
    claim_id: str
    time: int


class Expire(Command, frozen=True, kw_only=True):
    """Open a review again whose lease ran out."""

    case_id: str
    review_id: str


class Answer(Command, frozen=True, kw_only=True):
    """Answer the review that a claim was given for."""

    case_id: str
    claim_id: str
    verdict: str
    actor: Actor
    value: JSON = None
    rationale: str | None = None
    reasons: tuple[str, ...] = ()
    confidence: float | None = None
    first: JSON = None
    expected_seq: int | None = None


class Retract(Command, frozen=True, kw_only=True):
    """Take a decision back before it is effective."""

    case_id: str
    review_id: str
    person: str


class Settle(Command, frozen=True, kw_only=True):
    """Conclude a case whose decision has become effective."""

    case_id: str


class Timeout(Command, frozen=True, kw_only=True):
    """The response time has passed: do what the loop declared."""

    case_id: str


class Withdraw(Command, frozen=True, kw_only=True):
    """The program no longer wants an answer."""

    case_id: str
    by: str


class StartEffect(Command, frozen=True, kw_only=True):
    """Take the effect: the one conditional step from decided to started."""

    case_id: str
    owner: str
    lease: int


class FinishEffect(Command, frozen=True, kw_only=True):
    """Say how the started effect ended; refused unless `fence` is the one in force."""

    case_id: str
    fence: int
    succeeded: bool
    result: JSON = None
    kept: bool = True
    error: str | None = None


class LoseEffect(Command, frozen=True, kw_only=True):
    """The effect's lease ran out without a result."""

    case_id: str


class ResolveEffect(Command, frozen=True, kw_only=True):
    """Somebody looked whether a lost effect happened."""

    case_id: str
    happened: bool
    by: str
    result: JSON = None


class Erase(Command, frozen=True, kw_only=True):
    """Erase the content of a case; the evidence stays."""

    case_id: str
    by: str
