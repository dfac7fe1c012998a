"""What hangs on a case, from candidate and signal to decision and outcome, and the words that they may hold."""

from __future__ import annotations

from typing import Literal

from dualcontrol.case.value import JSON, Shown, Value

Mode = Literal["approval", "labels", "preference", "fallback"]
Verdict = Literal["approve", "edit", "reject", "respond", "label", "prefer", "abstain", "escalate"]
RouteTo = Literal["autopilot", "human", "block"]
ReviewKind = Literal["decide", "second", "arbiter", "audit", "probe"]
ReviewState = Literal["open", "claimed", "answered", "passed", "cancelled"]
CaseState = Literal["open", "decided", "closed"]
EffectState = Literal["none", "ready", "started", "succeeded", "failed", "unknown"]
By = Literal["autopilot", "human", "timeout", "withdrawn"]
Relief = Literal["joined", "later", "hold", "reject"]

MODES: tuple[str, ...] = ("approval", "labels", "preference", "fallback")
VERDICTS: dict[str, tuple[str, ...]] = {
    "approval": ("approve", "edit", "reject", "respond"),
    "labels": ("label", "approve"),
    "preference": ("prefer",),
    "fallback": ("respond", "edit"),
}
PASSING: tuple[str, ...] = ("abstain", "escalate")
# How many times the response time a case has, by what relief did to it; what is rejected has none.
RELIEF_TIMES: dict[str | None, int] = {None: 1, "later": 4, "hold": 16}


class Candidate(Value, frozen=True, kw_only=True):
    """One thing the AI could do or say; `value` holds the args where there is an action."""

    id: str
    value: JSON
    action: str | None = None
    schema: dict[str, JSON] | None = None
    source: dict[str, JSON] | None = None
    rationale: str | None = None
    score: float | None = None

    def to_dict(self) -> dict[str, JSON]:
        """This candidate as plain JSON values; what it holds is JSON already and not copied."""
        return {n: v for n in self.__struct_fields__ if (v := getattr(self, n)) is not None or n == "value"}


class Signal(Value, frozen=True, kw_only=True):
    """The decision signal: confidence and scores in [0, 1], risk as a level or a number in [0, 1]."""

    confidence: float | None = None
    risk: str | float | None = None
    requires_approval: bool = False
    scores: JSON = None
    segment: str | None = None


class Quorum(Value, frozen=True, kw_only=True):
    """How many answers settle a case, from whom, and who arbitrates."""

    answers: int = 1
    of: int | None = None
    settle: str | int = "unanimous"
    veto: bool = False
    ordered: bool = False
    arbiter: str | None = None
    blind: bool = True

    @property
    def asked(self) -> int:
        """How many reviewers are asked."""
        return max(self.answers, self.of or 0)


class Route(Shown, frozen=True, kw_only=True):
    """Autopilot or human, by what, why, and with what probability a human sees the case."""

    to: RouteTo
    by: str
    reason: str
    control: int
    inclusion: float
    audited: bool
    epoch: int
    bin: int | None = None
    group: str | None = None
    quorum: Quorum = Quorum()
    risk: str | float | None = None
    due_at: int | None = None
    on_timeout: str = "hold"
    score: float | None = None
    scorer: str | None = None
    model: str | None = None
    relief: Relief | None = None


class Review(Shown, frozen=True, kw_only=True):
    """One reviewer's work on one case; the row in the queue.

    `about` is the review whose edit it asks about, `after` the passed review whose place it takes, `seen` the
    other reviews that its holder has been told of, `followers` how many cases were to be settled with it then, `meta`
    the fields of the case's meta that its holder is shown; `blind` hides the proposal from its holder, in approval mode
    until that person is the one who has `committed`.
    """

    id: str
    case_id: str
    kind: ReviewKind
    group: str
    round: int
    state: ReviewState
    due_at: int | None = None
    order_at: int = 0
    opened_at: int = 0
    person: str | None = None
    claim_id: str | None = None
    lease_until: int | None = None
    claimed_at: int | None = None
    answered_at: int | None = None
    presented: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    about: str | None = None
    after: str | None = None
    seen: tuple[str, ...] | None = None
    blind: bool = False
    committed: str | None = None
    followers: int = 0
    meta: tuple[str, ...] = ()

    @property
    def adjudicates(self) -> bool:
        """Whether it is a second answer about the proposal itself, after a first one said that it was wrong."""
        return self.kind == "second" and self.about is None

    @property
    def beside(self) -> bool:
        """Whether it is asked beside the outcome, which stands whatever the answer."""
        return self.kind in ("audit", "probe") or self.adjudicates


class Actor(Shown, frozen=True, kw_only=True):
    """Who acted: the person, by which door, and how we know."""

    person: str
    via: str = "python"
    authenticated: str = "none"


class Rendering(Value, frozen=True, kw_only=True):
    """How a page showed a case: by which version of the pages, with which fields as markdown."""

    version: int
    markdown: tuple[str, ...] = ()


class Answer(Shown, frozen=True, kw_only=True):
    """What one reviewer said; value, rationale and first commitment are content.

    An approval holds until the moment `until`, where the reviewer named one: what has not begun by then is asked again.
    """

    review_id: str
    actor: Actor
    verdict: Verdict
    value: JSON = None
    rationale: str | None = None
    reasons: tuple[str, ...] = ()
    confidence: float | None = None
    first: JSON = None
    shown: str = ""
    presented: tuple[str, ...] = ()
    seconds: float | None = None
    at: int = 0
    until: int | None = None


class Decision(Shown, frozen=True, kw_only=True):
    """The settled result of one or more answers, decided at `risk`; an effect of it may begin before `until`."""

    verdict: Verdict
    value: JSON
    answers: tuple[str, ...]
    settled_by: str
    wrong: int | None
    effective_at: int
    distribution: JSON = None
    source: str | None = None
    risk: str | float | None = None
    until: int | None = None


class Effect(Value, frozen=True, kw_only=True):
    """Where running the decided action stands; `fence` is the token of who may finish it.

    `kept` is False where its result could not be kept, `ran` where it failed before anything had run.
    """

    state: EffectState
    fence: int
    owner: str | None = None
    until: int | None = None
    kept: bool = True
    ran: bool = True


class Outcome(Shown, frozen=True, kw_only=True):
    """What became of a case: the value the program continues with and how it came about."""

    case_id: str
    value: JSON
    verdict: Verdict | None
    by: By
    reviewers: tuple[str, ...] = ()
    rationale: str | None = None
    effect: dict[str, JSON] = {}
