"""Every event, in past tense, by stream (cases, loops, accounts, all loops), and the ledger entries that keep them.

A catalogue in one file, long as it is: a kind is looked up by name, and read with its neighbours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from dualcontrol.case import (
    ENCODER,
    JSON,
    Actor,
    By,
    Cluster,
    Content,
    ProbeKind,
    Quorum,
    Relief,
    ReviewKind,
    RouteTo,
    Value,
    decoder,
)
from dualcontrol.control import Cause, Member, Role
from dualcontrol.verdicts import Mode, Verdict

# What every event is, and how real numbers are written in one.


def real(number: float | int | str | None) -> str | None:
    """A real number as its shortest round-trip text; levels such as "high" and None pass through."""
    if number is None or isinstance(number, str):
        return number
    return repr(float(number))


def unreal(text: str | None) -> str | float | None:
    """The inverse of `real`."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text


class Event(Value, tag_field="kind", tag=True, frozen=True, kw_only=True):
    """One thing that happened."""


class Unknown(Event, frozen=True, kw_only=True):
    """An event of a version that this program does not know."""

    name: str = ""


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
    submitter: str | None = None
    proposed: int | None = None
    action: str | None = None
    confidence: str | None = None
    risk: str | None = None
    requires_approval: bool = False
    segment: str | None = None
    effect: Literal["none", "ready"] = "none"
    content: Content = Content()


class Routed(Event, frozen=True, kw_only=True):
    """The case was sent to autopilot, to a human, or blocked; the audit's probability stands beside its draw.

    So does `evidence`, the probability of being `asked_blind`; without it people's answers count however they were
    asked.  `chance` is the learned chance of being right by `chance_by`, where it orders cases beside `score`.
    """

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
    cluster: Cluster | None = None
    evidence: str | None = None
    asked_blind: bool | None = None
    chance: str | None = None
    chance_by: str | None = None


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


class ReviewEvent(Event, frozen=True, kw_only=True):
    """The root of what happens to one review."""

    review_id: str


class ReviewOpened(ReviewEvent, frozen=True, kw_only=True):
    """A row for one reviewer came into the queue.

    `again` is the probability with which a decision of people is asked about once more, where this row was drawn so.
    """

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
    addressee: str | None = None
    again: str | None = None
    against: str | None = None


class AlarmRaised(Event, frozen=True, kw_only=True):
    """Something is wrong with how a case is handled, and somebody should look; the reason holds no content."""

    code: str
    reason: str
    at: int
    review_id: str | None = None


class Claimed(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer took a review for a time; `claim_id` is the fencing token.

    `by_step` says that it is blind for this person, who commits first by their step of the ladder.
    """

    person: str
    claim_id: str
    at: int
    until: int
    presented: tuple[str, ...] = ()
    seen: tuple[str, ...] | None = None
    followers: int = 0
    meta: tuple[str, ...] = ()
    by_step: bool = False


class Released(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer gave a review back."""

    claim_id: str


class Extended(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer asked for more time on a claim."""

    claim_id: str
    until: int


class LeaseExpired(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer's time ran out; the review is open again."""

    claim_id: str
    person: str


class Committed(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer said what should happen before seeing the proposal; it is sealed in the slot ``first/<review>``."""

    person: str
    at: int
    shown: str = ""
    content: Content = Content()


class Answered(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer answered; what was said is sealed in the slot ``answer/<review>``."""

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


class Passed(ReviewEvent, frozen=True, kw_only=True):
    """A reviewer abstained or escalated; another review takes the place."""

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


class ReviewCancelled(ReviewEvent, frozen=True, kw_only=True):
    """A review is no longer needed."""

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


class Retracted(ReviewEvent, frozen=True, kw_only=True):
    """The answerer took the decision back before it was effective; the review is open again."""

    person: str


class Audited(ReviewEvent, frozen=True, kw_only=True):
    """A review beside the outcome settled: was the proposal wrong?  The outcome stays."""

    review: ReviewKind
    verdict: Verdict
    wrong: int | None = None


class ProbeScored(ReviewEvent, frozen=True, kw_only=True):
    """A probe is over, and its answer key, sealed when it was opened, is compared with the answer.

    `wrong` is what the key says of the proposal, `rejected` what the answer said, None where nobody answered: it was
    passed on, or its time ran out.  `weight` was fixed with the key: what the probe counts for in the loop's rate.
    """

    at: int
    wrong: bool
    how: ProbeKind
    rejected: bool | None = None
    blind: bool = False
    weight: str = "1.0"


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


class EffectEvent(Event, frozen=True, kw_only=True):
    """The root of what becomes of a started effect; `fence` is the token that it was started under."""

    fence: int
    at: int


class EffectSucceeded(EffectEvent, frozen=True, kw_only=True):
    """The action ran; its result is sealed in the slot ``result``."""

    kept: bool = True
    content: Content = Content()


class EffectFailed(EffectEvent, frozen=True, kw_only=True):
    """The action raised, `ran` says whether it may have done something; the error's text is sealed in ``error``."""

    ran: bool = True
    content: Content = Content()


class EffectLost(EffectEvent, frozen=True, kw_only=True):
    """The lease ran out without a result: nobody knows whether it happened."""


class EffectResolved(EffectEvent, frozen=True, kw_only=True):
    """A person or a check said whether a lost effect happened."""

    happened: bool
    by: str
    content: Content = Content()


class Erased(Event, frozen=True, kw_only=True):
    """The content was erased; the evidence stays."""

    at: int
    by: str


CASE_EVENTS: tuple[type[Event], ...] = (
    Opened, Routed, Rerouted, Joined, Parted, ReviewOpened, AlarmRaised, Claimed, Released, Extended, LeaseExpired,
    Committed, Answered, Passed, ReviewCancelled, Decided, Retracted, Audited, ProbeScored, TimedOut, Withdrawn,
    Concluded, Recalled, Revoked, EffectStarted, EffectSucceeded, EffectFailed, EffectLost, EffectResolved, Erased,
)  # fmt: skip


# The events of a loop's stream, in past tense.


class ControlEvent(Event, frozen=True, kw_only=True):
    """The root of what makes a new version of a loop's control."""

    version: int
    at: int


class SegmentEvent(ControlEvent, frozen=True, kw_only=True):
    """The root of what changes the control of one segment; "" is the whole loop."""

    segment: str


class SettingsEvent(ControlEvent, frozen=True, kw_only=True):
    """The root of what changes a loop's settings; `settings` are those in force then, as canonical JSON text.

    `asks` says in words what changed of the cases that reach the threshold, or of the promise, so that nothing
    certified before holds; `relabelled` that what is right is another (labels, schema or mode), so that answers of
    before are no evidence either.
    """

    digest: str
    settings: str
    relabelled: bool = False
    asks: str | None = None


class PolicyChanged(SettingsEvent, frozen=True, kw_only=True):
    """File or program declare other settings; `base` is what they declare, where overrides are laid over it."""

    base: str | None = None


class SettingOverridden(SettingsEvent, frozen=True, kw_only=True):
    """A person laid a value over the file's, which is `before`; both are JSON text in full."""

    key: str
    value: str
    before: str
    by: str
    approved_by: str | None = None
    case_id: str | None = None


class OverrideDropped(SettingsEvent, frozen=True, kw_only=True):
    """A setting is what the file says again; `reason` is there where no person dropped it."""

    key: str
    by: str
    approved_by: str | None = None
    case_id: str | None = None
    reason: str | None = None


class ThresholdMoved(SegmentEvent, frozen=True, kw_only=True):
    """The score from which autopilot may act moved, and why; `order` is "risk" where the learned one acts beside it."""

    threshold: str | None
    reason: str
    epoch: int | None = None
    pos: int | None = None
    bin: int | None = None
    coverage: str | None = None
    order: str = ""


class EpochBegan(SegmentEvent, frozen=True, kw_only=True):
    """A certificate began with nothing certified: for a new model, a new promise, or after an alarm.

    `promise` is what the certificate was made with, as JSON text; `after` the position that evidence comes after.
    `cut` says why what was decided until then is no evidence: the code of an alarm, or "labels" for another set.
    With `order` it is a certificate of one of two orders, "confidence" or "risk", within the epoch: the other goes on.
    One that is `carried` counts the evidence of the epoch before again, all of it and with the same part of delta, by
    another allowance for what people miss; `measured` are the known-wrong cases that an allowance rests on, or with
    `by_second` the second answers, of which each that took a first "wrong" back counts as a miss.
    """

    epoch: int
    reason: str
    promise: str
    model: str | None = None
    scorer: str | None = None
    after: int = 0
    cut: str | None = None
    order: str = ""
    carried: bool = False
    measured: int | None = None
    by_second: bool = False


class EvidenceCounted(Event, frozen=True, kw_only=True):
    """Labels were counted by a certificate, in the order of decisions, up to and with position `upto`.

    A label is (position, score, wrong, inclusion, autopilot, unseen before it): `unseen` autopilot cases that nobody
    reviewed came between it and the label before, and `unseen` of the event after the last.  `stale` labels are of an
    earlier epoch and count for the running bound alone; `missing` are the positions that nobody answered in time.
    Labels older than the epoch bring `floors`: the least inclusion that any decision could have had then.  Where cases
    count together, `clusters` names the first position of each label's cluster; `upto` is one of those.  Of `shown`
    decisions people saw the proposal before they answered, so that they are no evidence; `blind` says that of all the
    labels nobody had.  `chances` are the scores of the learned order beside it, "" for a label without one.  People
    held the reviews behind the labels for `took` microseconds.  `alike` has, by what cases may share (run, submitter,
    fields of meta), a keyed hash of each label's, "" where there is none.  Where a first answer said "wrong" and a
    second one, given blind, did not, the position is `unconfirmed`.
    """

    at: int
    segment: str
    epoch: int
    upto: int
    labels: tuple[tuple[int, str, int, str, int, int], ...]
    unseen: int = 0
    stale: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    floors: tuple[str, ...] = ()
    clusters: tuple[int, ...] = ()
    shown: int = 0
    blind: bool = False
    chances: tuple[str, ...] = ()
    took: int = 0
    alike: dict[str, tuple[str, ...]] = {}
    unconfirmed: tuple[int, ...] = ()


class LookTaken(Event, frozen=True, kw_only=True):
    """One look was taken at so many labels of a segment, up to position `upto`: they certify by it, once and no more.

    `threshold` is what it certified, None for nothing; `after` is the position that its labels come after, and
    `missed` the share of errors that people were taken to let pass.  Autopilot does not act by it.
    """

    at: int
    segment: str
    epoch: int
    labels: int
    after: int
    upto: int
    max_error: str
    confidence: str
    missed: str
    wrong: int
    threshold: str | None = None


class AuditsChanged(SegmentEvent, frozen=True, kw_only=True):
    """How often autopilot cases of each score bin are reviewed too; `edges` are the lower scores of bin 1 and up.

    `blind` is the probability with which people who decide are asked without the proposal; None stands for all.
    """

    edges: tuple[str, ...]
    shares: tuple[str, ...]
    reason: str
    floor: str | None = None
    blind: str | None = None


class AutopilotClosed(SegmentEvent, frozen=True, kw_only=True):
    """A segment ("" for the whole loop) goes to humans from here on.

    `cause` says what closed it, for programs, and `model` which model's file where it was one: see `control.Cause`.
    """

    cause: str
    reason: str
    model: str | None = None


class AutopilotOpened(SegmentEvent, frozen=True, kw_only=True):
    """A closed segment is open again."""

    reason: str


class LoopStopped(ControlEvent, frozen=True, kw_only=True):
    """A person stopped the loop: no effect starts and nothing goes to autopilot, until a person opens it again.

    `everywhere` where it came with a stop of all loops.
    """

    actor: Actor
    because: str
    everywhere: bool = False


class LoopResumed(ControlEvent, frozen=True, kw_only=True):
    """A person opened a stopped loop again: what stayed ready may start, if the checks of then let it.

    `everywhere` where it came with the end of a stop of all loops.
    """

    actor: Actor
    because: str
    everywhere: bool = False


class ReliefChanged(ControlEvent, frozen=True, kw_only=True):
    """People are asked for less, or for all again; demand and capacity are reviews an hour."""

    level: int
    name: str
    demand: str
    capacity: str
    understaffed: int
    reason: str


class ModelPromoted(ControlEvent, frozen=True, kw_only=True):
    """A trained model took over: it was better on held-out human decisions.

    `file` and `sha256` are its file's name in the folder of models and digest; older versions recorded neither.
    """

    model: str
    examples: int
    metric: str
    score: str
    incumbent: str | None = None
    file: str | None = None
    sha256: str | None = None


class ModelKept(Event, frozen=True, kw_only=True):
    """A trained model was not better; the incumbent stays."""

    at: int
    model: str
    examples: int
    metric: str
    score: str
    incumbent: str | None = None
    file: str | None = None
    sha256: str | None = None


class TrainingFailed(Event, frozen=True, kw_only=True):
    """A training that was due came to nothing; `reason` holds no content, whatever the trainer said.

    `what` is "model" or "risk model", `attempt` counts failures in a row, and `waiting` the answers that no model has
    learned from.
    """

    at: int
    what: str
    trainer: str
    code: str
    reason: str
    attempt: int
    retry_at: int
    waiting: int = 0


class ScoreChanged(ControlEvent, frozen=True, kw_only=True):
    """A risk model was learned from people's decisions: its score is compared from here on, and nothing is certified.

    Only decisions from here on are evidence for it.  `beside` says that it orders cases beside confidence, whose
    certificates go on.
    """

    model: str
    examples: int
    reason: str
    file: str | None = None
    sha256: str | None = None
    beside: bool = False


class BatchRouted(Event, frozen=True, kw_only=True):
    """A chunk of rows was routed in one go; rows for humans opened cases of their own.

    Under a guarantee `unseen` counts, by certificate, the rows that it let run and that nobody reviews.  Audits were
    drawn by the id `drawn`; where there is none, by batch and chunk.
    """

    at: int
    batch: str
    chunk: int
    rows: int
    autopilot: int
    human: int
    blocked: int
    audited: int
    control: int
    digest: str
    fingerprint: str = ""
    content: Content = Content()
    unseen: dict[str, int] = {}
    drawn: str = ""


class PeopleChanged(ControlEvent, frozen=True, kw_only=True):
    """Accounts got other roles in this loop, came, or were removed; with the first, names alone no longer do."""

    by: str
    members: tuple[Member, ...]


class GroupChanged(ControlEvent, frozen=True, kw_only=True):
    """An admin said who belongs to a group; None gives the group back to the settings."""

    by: str
    group: str
    people: tuple[str, ...] | None


class ReviewerStepped(ControlEvent, frozen=True, kw_only=True):
    """Somebody went up or down the ladder of the rubber-stamp test, or stays where they are for a reason that counts.

    `step` is from 0, none, to 5, suspended; see `control.Rung` for `training` and `verdicts`.  `case_id` is the probe
    that ended the test, or the case in which `approved_by` agreed.
    """

    person: str
    step: int
    because: str
    by: str = "system"
    training: bool = False
    verdicts: int = 0
    approved_by: str | None = None
    case_id: str | None = None


LOOP_EVENTS: tuple[type[Event], ...] = (
    PolicyChanged, SettingOverridden, OverrideDropped, EpochBegan, EvidenceCounted, LookTaken, ThresholdMoved,
    AuditsChanged, AutopilotClosed, AutopilotOpened, LoopStopped, LoopResumed, ReliefChanged, ModelPromoted, ModelKept,
    TrainingFailed, ScoreChanged, BatchRouted, PeopleChanged, GroupChanged, ReviewerStepped,
)  # fmt: skip


# Accounts: the stream `people`; what concerns a loop stands in the loop's own stream as well.


class AccountEvent(Event, frozen=True, kw_only=True):
    """The root of what happens to accounts: to whom, by whom, when."""

    at: int
    by: str
    person: str


class AccountAdded(AccountEvent, frozen=True, kw_only=True):
    """Somebody was invited, a service was registered, or the first admin set the desk up."""

    account: str
    account_kind: Literal["person", "service"] = "person"
    human: str = ""
    owner: str = ""


class AccountJoined(AccountEvent, frozen=True, kw_only=True):
    """An invited person signed in for the first time, or proved anew who they are after a recovery."""

    method: str


class RolesChanged(AccountEvent, frozen=True, kw_only=True):
    """The roles of an account, as they are from here on: role and loop, "" for all."""

    roles: tuple[tuple[Role, str], ...]
    approved_by: str | None = None
    case_id: str | None = None


class GroupNamed(AccountEvent, frozen=True, kw_only=True):
    """An admin said who belongs to a group; None gives it back to the settings."""

    group: str
    people: tuple[str, ...] | None
    approved_by: str | None = None
    case_id: str | None = None


class AccountsLinked(AccountEvent, frozen=True, kw_only=True):
    """An admin, or one subject at a provider, says that this account and another are of one human."""

    other: str
    human: str


class AccountRemoved(AccountEvent, frozen=True, kw_only=True):
    """An account was closed: its claims, tokens and sessions ended with it, and its name is never given again."""


class AccountRecovered(AccountEvent, frozen=True, kw_only=True):
    """Somebody on the machine made a link by which an account gets a new password."""


class TokenIssued(AccountEvent, frozen=True, kw_only=True):
    """A token was made for an account; its secret was shown once."""

    token: str
    scopes: tuple[str, ...]
    loops: tuple[str, ...] | None = None
    until: int | None = None


class TokenRevoked(AccountEvent, frozen=True, kw_only=True):
    """A token was ended before its time."""

    token: str


ACCOUNT_EVENTS: tuple[type[Event], ...] = (
    AccountAdded, AccountJoined, RolesChanged, GroupNamed, AccountsLinked, AccountRemoved, AccountRecovered,
    TokenIssued, TokenRevoked,
)  # fmt: skip


# The events of the stream `stop`, in past tense: what holds for all loops, also for those that are defined later.


STOP = "stop"


class AllStopped(Event, frozen=True, kw_only=True):
    """A person stopped all loops; one that is defined from here on begins stopped."""

    at: int
    actor: Actor
    because: str


class AllResumed(Event, frozen=True, kw_only=True):
    """The stop of all loops ended; one that is defined from here on begins open."""

    at: int
    actor: Actor
    because: str


STOP_EVENTS: tuple[type[Event], ...] = (AllStopped, AllResumed)


# Ledger entries: canonical bytes, the hash chain, and reading what older versions wrote.


EVENTS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (*CASE_EVENTS, *LOOP_EVENTS, *ACCOUNT_EVENTS, *STOP_EVENTS)
}
Raw = dict[str, Any]


def _with_cause(raw: Raw) -> Raw:
    """A closure that names its cause; an older version wrote it only in the words of its reason."""
    if "cause" in raw:
        return raw
    cause = Cause.of_words(raw["reason"])
    return raw | {"cause": cause.by} | ({} if cause.model is None else {"model": cause.model})


def _with_alarm(raw: Raw) -> Raw:
    """An epoch that names the alarm it begins after; one of an older version has the code for its reason."""
    return raw | {"cut": raw["reason"]} if raw["reason"] in ("drift", "scale") else raw


# What older versions wrote, by kind and version, and how it is read; a field that is there already is left alone.
UPCASTS: dict[tuple[str, int], Callable[[Raw], Raw]] = {
    ("AutopilotClosed", 1): _with_cause,
    ("EpochBegan", 1): _with_alarm,
}


class Entry(Value, frozen=True, kw_only=True):
    """One transaction's worth of events in one stream, chained by hash to the entry before it.

    `proof` is how the actor was known: by which door and sign-in; None for the system, and for Python with the
    database in its hands.
    """

    stream: str
    seq: int
    at: int
    actor: str
    events: tuple[Event, ...]
    proof: Actor | None = None
    body: str = ""
    prev: str = ""
    hash: str = ""
    pos: int | None = None


_Events = TypeVar("_Events")


class _Body(msgspec.Struct, Generic[_Events], frozen=True, kw_only=True):
    stream: str
    seq: int
    at: int
    actor: str
    events: list[_Events]
    proof: Actor | msgspec.UnsetType = msgspec.UNSET


_RAW = decoder(_Body[Raw])


def sealed(entry: Entry, prev: str) -> Entry:
    """The entry with its canonical body and its hash, chained to `prev` ("" for the first of a stream)."""
    proof = msgspec.UNSET if entry.proof is None else entry.proof
    body = ENCODER.encode(_Body(
        stream=entry.stream, seq=entry.seq, at=entry.at, actor=entry.actor, events=list(entry.events), proof=proof
    ))  # fmt: skip
    return replace(entry, body=body.decode(), prev=prev, hash=link(prev, body))


def link(prev: str, body: bytes) -> str:
    """The hash of an entry: SHA-256 over the previous hash in hex, a newline, and the body's bytes."""
    return hashlib.sha256(prev.encode() + b"\n" + body).hexdigest()


def opened(body: str, *, prev: str = "", digest: str = "", pos: int | None = None) -> Entry:
    """The entry that a stored body holds; kinds this program does not know come back as `Unknown`."""
    raw: _Body[Raw] = _RAW.decode(body)
    events: list[Event] = []
    for event in raw.events:
        name, version = event.get("kind", ""), event.get("v", 1)
        while (name, version) in UPCASTS:
            event = UPCASTS[name, version](event)
            version += 1
        kind = EVENTS.get(name)
        fields = {k: v for k, v in event.items() if k not in ("kind", "v")}
        events.append(Unknown(name=name) if kind is None else kind.from_dict(fields))
    return Entry(
        stream=raw.stream, seq=raw.seq, at=raw.at, actor=raw.actor, events=tuple(events),
        proof=raw.proof or None, body=body, prev=prev, hash=digest, pos=pos,
    )  # fmt: skip


def with_values(entry: Entry, values: Mapping[str, JSON]) -> Entry:
    """The entry with the content of its slots put back, as far as it was not erased."""
    events: list[Event] = []
    for event in entry.events:
        content: Content | None = getattr(event, "content", None)
        if content is not None and content.seals:
            content = Content({s: values[s] for s in content.seals if s in values}, content.seals)
            event = replace(event, content=content)
        events.append(event)
    return replace(entry, events=tuple(events))
