"""The events of a case's stream, in past tense."""

from __future__ import annotations

from typing import Literal

from dualcontrol.case import Actor, By, Content, Mode, Quorum, Relief, ReviewKind, RouteTo, Verdict
from dualcontrol.events.event import Event


class Opened(Event, frozen=True, kw_only=True):
    """A proposal came in; its content is sealed in slots."""

    case_id: str
    loop: str
    mode: Mode
    at: int
    case_kind: Literal["live", "probe", "practice"] = "live"
    origin: Literal["live", "import", "shadow"] = "live"
    key: str | None = None
    run: str | None = None
    parent: str | None = None
    leader: str | None = None
    owner: str | None = None
    proposed: int | None = None
    action: str | None = None
    confidence: str | None = None
    risk: str | None = None
    requires_approval: bool = False
    segment: str | None = None
    effect: Literal["none", "ready"] = "none"
    content: Content = Content()


class Routed(Event, frozen=True, kw_only=True):
    """The case was sent to autopilot, to a human, or blocked; the audit's probability stands beside its draw."""

    to: RouteTo
    by: str
    reason: str
    control: int
    inclusion: str
    audited: bool = False
    epoch: int = 0
    bin: int | None = None
    group: str | None = None
    quorum: Quorum = Quorum()
    risk: str | None = None
    due_at: int | None = None
    on_timeout: str = "hold"
    score: str | None = None
    scorer: str | None = None
    model: str | None = None
    relief: Relief | None = None


class Rerouted(Event, frozen=True, kw_only=True):
    """An edit met rules that ask for more than the original did; the route was tightened."""

    by: str
    reason: str
    group: str | None = None
    quorum: Quorum = Quorum()
    risk: str | None = None
    about: str | None = None


class Joined(Event, frozen=True, kw_only=True):
    """Another case asks the same; it is settled with this one."""

    follower: str
    at: int


class Parted(Event, frozen=True, kw_only=True):
    """The case that this one was joined to decides nothing for it; people are asked about this one by itself."""

    leader: str
    at: int
    reason: str


class ReviewOpened(Event, frozen=True, kw_only=True):
    """A row for one reviewer came into the queue."""

    review_id: str
    review: ReviewKind
    group: str
    round: int
    opened_at: int
    order_at: int
    due_at: int | None = None
    excludes: tuple[str, ...] = ()
    about: str | None = None
    after: str | None = None
    blind: bool = False


class AlarmRaised(Event, frozen=True, kw_only=True):
    """Something is wrong with how a case is handled, and somebody should look; the reason holds no content."""

    code: str
    reason: str
    at: int
    review_id: str | None = None


class Claimed(Event, frozen=True, kw_only=True):
    """A reviewer took a review for a time; `claim_id` is the fencing token."""

    review_id: str
    person: str
    claim_id: str
    at: int
    until: int
    presented: tuple[str, ...] = ()
    seen: tuple[str, ...] | None = None
    followers: int = 0
    meta: tuple[str, ...] = ()


class Released(Event, frozen=True, kw_only=True):
    """A reviewer gave a review back."""

    review_id: str
    claim_id: str


class Extended(Event, frozen=True, kw_only=True):
    """A reviewer asked for more time on a claim."""

    review_id: str
    claim_id: str
    until: int


class LeaseExpired(Event, frozen=True, kw_only=True):
    """A reviewer's time ran out; the review is open again."""

    review_id: str
    claim_id: str
    person: str


class Committed(Event, frozen=True, kw_only=True):
    """A reviewer said what should happen before seeing the proposal; it is sealed in the slot ``first/<review>``."""

    review_id: str
    person: str
    at: int
    shown: str = ""
    content: Content = Content()


class Answered(Event, frozen=True, kw_only=True):
    """A reviewer answered; what was said is sealed in the slot ``answer/<review>``."""

    review_id: str
    actor: Actor
    verdict: Verdict
    at: int
    reasons: tuple[str, ...] = ()
    confidence: str | None = None
    shown: str = ""
    presented: tuple[str, ...] = ()
    seconds: str | None = None
    until: int | None = None
    content: Content = Content()


class Passed(Event, frozen=True, kw_only=True):
    """A reviewer abstained or escalated; another review takes the place."""

    review_id: str
    actor: Actor
    verdict: Verdict
    at: int
    to: str | None = None
    reasons: tuple[str, ...] = ()
    confidence: str | None = None
    shown: str = ""
    presented: tuple[str, ...] = ()
    seconds: str | None = None
    content: Content = Content()


class ReviewCancelled(Event, frozen=True, kw_only=True):
    """A review is no longer needed."""

    review_id: str
    reason: str


class Decided(Event, frozen=True, kw_only=True):
    """Answers settled the case; until `effective_at` the answerer may retract.

    `risk` is the one that it was decided at; its effect may begin before `until`, where a reviewer named a time.
    """

    verdict: Verdict
    answers: tuple[str, ...]
    settled_by: str
    effective_at: int
    wrong: int | None = None
    source: str | None = None
    risk: str | None = None
    until: int | None = None


class Retracted(Event, frozen=True, kw_only=True):
    """The answerer took the decision back before it was effective; the review is open again."""

    review_id: str
    person: str


class Audited(Event, frozen=True, kw_only=True):
    """A review beside the outcome settled: was the proposal wrong?  The outcome stays."""

    review_id: str
    review: ReviewKind
    verdict: Verdict
    wrong: int | None = None


class TimedOut(Event, frozen=True, kw_only=True):
    """The response time passed without a decision; what the loop declared for that happens."""

    how: Literal["reject", "hold", "escalate", "autopilot"]
    at: int


class Withdrawn(Event, frozen=True, kw_only=True):
    """The program no longer wants an answer."""

    by: str
    at: int


class Concluded(Event, frozen=True, kw_only=True):
    """The outcome stands: autopilot, a human, the timeout or a withdrawal."""

    by: By
    at: int
    verdict: Verdict | None = None
    reviewers: tuple[str, ...] = ()
    effect: Literal["none", "ready"] = "none"


class Recalled(Event, frozen=True, kw_only=True):
    """An effect was about to begin, and what is in force now asks people: the outcome is taken back.

    Answers given so far count on, but for those that have `lapsed`; `about` is the one whose edit is asked about.
    """

    by: str
    reason: str
    at: int
    control: int
    lapsed: bool = False
    about: str | None = None
    group: str | None = None
    quorum: Quorum = Quorum()
    risk: str | None = None
    due_at: int | None = None
    on_timeout: str = "hold"


class Revoked(Event, frozen=True, kw_only=True):
    """A person took an approval back before its effect began; why is sealed in the slot ``revoked``."""

    actor: Actor
    at: int
    content: Content = Content()


class EffectStarted(Event, frozen=True, kw_only=True):
    """Somebody holding `fence` runs the decided action."""

    fence: int
    owner: str
    at: int
    until: int


class EffectSucceeded(Event, frozen=True, kw_only=True):
    """The action ran; its result is sealed in the slot ``result``."""

    fence: int
    at: int
    kept: bool = True
    content: Content = Content()


class EffectFailed(Event, frozen=True, kw_only=True):
    """The action raised, `ran` says whether it may have done something; the error's text is sealed in ``error``."""

    fence: int
    at: int
    ran: bool = True
    content: Content = Content()


class EffectLost(Event, frozen=True, kw_only=True):
    """The lease ran out without a result: nobody knows whether it happened."""

    fence: int
    at: int


class EffectResolved(Event, frozen=True, kw_only=True):
    """A person or a check said whether a lost effect happened."""

    fence: int
    at: int
    happened: bool
    by: str
    content: Content = Content()


class Erased(Event, frozen=True, kw_only=True):
    """The content was erased; the evidence stays."""

    at: int
    by: str


CASE_EVENTS: tuple[type[Event], ...] = (
    Opened, Routed, Rerouted, Joined, Parted, ReviewOpened, AlarmRaised, Claimed, Released, Extended, LeaseExpired,
    Committed, Answered, Passed, ReviewCancelled, Decided, Retracted, Audited, TimedOut, Withdrawn, Concluded,
    Recalled, Revoked, EffectStarted, EffectSucceeded, EffectFailed, EffectLost, EffectResolved, Erased,
)  # fmt: skip
