"""Settings and control of a loop: what is declared, the versioned Control folded from its events, the Env of a step."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from dualcontrol.case import (
    ENCODER,
    JSON,
    Bounds,
    Candidate,
    Case,
    People,
    Quorum,
    Route,
    Value,
    decoder,
    microseconds,
    risk_number,
)  # fmt: skip
from dualcontrol.names import identity

V = TypeVar("V", bound=Value)

# The declaration of every setting of a loop.  Its type says what may be given: a word, a number within bounds, or what
# the check of this name in `settings.schema` takes.  What keys say together is checked in `settings.checks`.
OnTimeout = Literal["reject", "hold", "escalate", "autopilot"]
ContextLevel = Literal["minimal", "standard", "full"]
Duration = Annotated[str | int | float, "duration"]
Risk = Annotated[str | float, "risk"]
Share = Annotated[float, Bounds(0, 1)]
ProperShare = Annotated[float, Bounds(0, 1, "()")]  # neither nothing nor all
Cases = Annotated[int, Bounds(0, 1_000_000)]


class Rule(Value, frozen=True, kw_only=True):
    """One routing rule: a CEL expression and the route it names, with what it asks of the review."""

    name: str
    when: str
    route: Literal["human", "autopilot", "block"]
    risk: Risk | None = None
    group: str | None = None
    quorum: Quorum | None = None
    respond_within: Duration | None = None


CONFIDENCE, RISK = "confidence", "risk"  # what cases are ordered by
UNCHECKED = 0.75  # of errors are taken to be missed by reviewers whom nobody checks
OVERLOOKED = 0.1  # of errors are taken to be missed by one person, until that is measured


def missed_by_pairs(rate: float) -> float:
    """The share of errors that do not count where one person has to see an error and another to confirm it.

    For misses that are independent; of misses that are alike fewer are lost, since both see an error with probability
    (1 - rate)^2 + correlation rate (1 - rate).
    """
    return round(1.0 - (1.0 - rate) ** 2, 6)


class Guarantee(Value, frozen=True, kw_only=True):
    """The bound on autopilot error: at most `max_error`, with probability `confidence`, and how evidence is had.

    `launch` is the length of the full-audit phase, before audits become rare; `pilot` that of the burn-in, whose cases
    choose the bins and are no evidence; `evidence` is the share of human answers that never trains a model.  With
    `blind` only answers given without the proposal are evidence: all until autopilot opens, then the share
    `blind_share` of what people decide, and audits.  Where
    `score` is "risk", the chance of being right that is learned from `learn_from` decided cases stands in the place
    of confidence; where it is "both", each orders the cases for a certificate on half of the chance of being wrong,
    and the wider one acts.  Cases with the same `independent_by` are one piece of evidence: the first `largest` of
    them `within` that time; the rest go to people and are no evidence.  With `per` the segment of a case is the class
    that is proposed, or a field of its meta, as far as `segments` names it; `breakdown` are fields by whose values the
    error of autopilot is shown, beside that of each class.
    """

    max_error: Annotated[float, "promise"]
    confidence: Annotated[float, "promise"] = 0.95
    segments: Annotated[tuple[str, ...], "segments"] = ()
    per: Annotated[str, "per"] | None = None
    breakdown: Annotated[tuple[str, ...], "meta_fields"] = ()
    score: Literal["both", "confidence", "risk"] = "both"
    learn_from: Annotated[int, Bounds(20, 1_000_000)] = 500
    pilot: Cases = 200
    launch: Cases = 2000
    evidence: ProperShare = 0.2
    adjudicate: bool = True
    blind: bool = True
    blind_share: Annotated[float, Bounds(0, 1, "(]")] = 0.2
    miss_rate: Annotated[float, Bounds(0, 1, "[)")] | None = None
    answer_within: Duration = "7d"
    independent_by: Annotated[str, "independent_by"] | None = None
    largest: Annotated[int, Bounds(1, 1000)] = 1
    within: Duration = "1d"

    @property
    def promise(self) -> Guarantee:
        """What is promised of which cases, whatever is shown of it."""
        return replace(self, breakdown=())

    @property
    def missed(self) -> float:
        """The share of errors that reviewers may let pass: as declared, else as assumed of people nobody measured."""
        if self.miss_rate is not None:
            return self.miss_rate
        return missed_by_pairs(OVERLOOKED) if self.adjudicate else UNCHECKED


class Feedback(Value, frozen=True, kw_only=True):
    """How decisions go back into the model: every N answers or every period, by which trainer."""

    retrain_every: Annotated[int, Bounds(1, 1_000_000_000)] | None = None
    or_every: Duration | None = None
    trainer: Annotated[str, "trainer"] = "export"
    holdout: ProperShare = 0.2


PAGE = "web"  # the door of an answer that was given on a page of the console
UNDO_ON_PAGES = 10_000_000  # microseconds: a hand slips on a page, not in a program


CLASS = "class"  # what has a certificate of its own, or an error of its own on the page: what is proposed
QUESTION, RUN = "question", "run"  # of cases that are one piece of evidence: what is asked, and the run


class Capacity(Value, frozen=True, kw_only=True):
    """Who reviews: how many people, for what share of their time, and what share of cases may wait too long."""

    reviewers: People | None = None
    availability: Annotated[float, Bounds(0, 1, "(]")] = 0.85
    late: ProperShare = 0.05


class Corruption(Value, frozen=True, kw_only=True):
    """A way to make a right action wrong, for probes: one field of its arguments, and what is done to it.

    Exactly one of `times` and `plus` (numbers), `to` (any value), and `swap` (the value of another case's field);
    `cue` is what a reviewer is told who missed it.
    """

    field: str
    cue: str
    times: Annotated[float, Bounds(-1e9, 1e9)] | None = None
    plus: Annotated[float, Bounds(-1e9, 1e9)] | None = None
    to: Annotated[JSON, "constant"] = None
    swap: bool = False


PROBE_SHARE = 0.05  # of the answers of a loop's people, at most

# The steps of the ladder: what follows for somebody whom the rubber-stamp test flags.
NOTICE, TRAINING, COMMIT_FIRST, SECOND_REVIEW, SUSPENDED = 1, 2, 3, 4, 5
LadderEnd = Literal["off", "notice", "training", "commit_first", "second_review", "suspension"]
STEP_NAMES: tuple[LadderEnd, ...] = (
    "off", "notice", "training", "commit_first", "second_review", "suspension",
)  # fmt: skip


class Probes(Value, frozen=True, kw_only=True):
    """Cases whose right answer is known, put among the others to measure what people let pass.

    At most the `share` of answers goes to them; 0 asks none.  `ladder` is the last step that is taken by itself where
    the rubber-stamp test flags somebody; "suspension" asks the leads for it.  Of what people decide with the proposal
    before them the share `again` is asked once more, of somebody else and without it, under a guarantee.
    """

    share: Annotated[float, Bounds(0, 0.5)] = PROBE_SHARE
    again: Annotated[float, Bounds(0, 0.5)] = PROBE_SHARE
    corruptions: tuple[Corruption, ...] = ()
    ladder: LadderEnd = "commit_first"


A_DAY = 86_400_000_000  # microseconds: the time that a cap counts
CapCount = Annotated[int, Bounds(0, 100_000)]


class Cap(Value, frozen=True, kw_only=True):
    """How many cases one person answers at most in 24 hours, by the level of their risk and in `total`.

    All loops count together; None bounds nothing.
    """

    low: CapCount | None = None
    medium: CapCount | None = None
    high: CapCount | None = None
    critical: CapCount | None = None
    total: CapCount | None = None

    def reached(self, risk: str | float | None, answered: Mapping[str, int]) -> tuple[str, int] | None:
        """What bounds one more case of this risk, and the number; `answered` counts by `level_of`."""
        level = level_of(risk)
        count, bound = answered.get(level, 0), getattr(self, level, None)
        if bound is not None and count >= bound:
            return f"of {level} risk", bound
        if self.total is not None and sum(answered.values()) >= self.total:
            return "in all", self.total
        return None


def level_of(risk: str | float | None) -> str:
    """The level that a risk belongs to, a number by the highest level that it reaches; "none" where nobody stated it.

    What is stated below "low" counts as low.
    """
    if risk is None:
        return "none"
    number = risk_number(risk)
    return "critical" if number >= 1.0 else "high" if number >= 0.75 else "medium" if number >= 0.5 else "low"


class LoopSettings(Value, frozen=True, kw_only=True):
    """The settings of one loop; `docs/settings.md` says what each means."""

    name: str
    mode: Literal["approval", "labels", "preference", "fallback"] = "approval"
    threshold: Share | None = None
    guarantee: Guarantee | None = None
    risk_ceiling: Risk = "medium"
    audit: Share = 0.0
    human_actions: tuple[str, ...] = ()
    autopilot_actions: tuple[str, ...] = ()
    block_actions: tuple[str, ...] = ()
    respond_within: Duration | None = None
    capacity: Capacity | None = None
    on_timeout: OnTimeout = "hold"
    context: Annotated[ContextLevel | tuple[str, ...], "context"] = "standard"
    meta: tuple[str, ...] = ()
    rationale: Literal["required", "optional"] = "optional"
    markdown: Annotated[tuple[str, ...], "markdown"] = ()
    group: str = "reviewers"
    quorum: Quorum = Quorum()
    labels: Annotated[tuple[JSON, ...], "labels"] | None = None
    schema: Annotated[dict[str, JSON], "schema"] | None = None
    start: Literal["shadow", "suggest", "gate"] = "gate"
    feedback: Feedback | None = None
    lease: Duration = "10m"
    undo: Annotated[str | int | float, "pause"] | None = None
    dead_time: Duration = "400ms"
    approval_lasts: Duration | None = None
    on_unknown: Literal["ask", "retry"] = "ask"
    effect_lease: Duration = "5m"
    changes: Literal["one", "two"] = "one"
    probes: Probes | None = None
    cap: Cap | None = None
    rules: tuple[Rule, ...] = ()
    groups: dict[str, tuple[str, ...]] = {}

    @property
    def digest(self) -> str:
        """SHA-256 of the settings as canonical JSON."""
        return _digest_of(ENCODER.encode(self))

    @property
    def response_time(self) -> int | None:
        """`respond_within` in microseconds."""
        return microseconds(self.respond_within)

    @property
    def dead(self) -> int:
        """`dead_time` in microseconds."""
        return microseconds(self.dead_time) or 0

    @property
    def probe_share(self) -> float:
        """The share of answers that may go to probes: as declared, else a twentieth where answers can be compared.

        Labels, numbers and choices need no declaration of what is wrong; actions and texts do.
        """
        if self.probes is not None:
            return self.probes.share
        compared = self.mode == "labels" or (self.mode == "fallback" and not self.free_text)
        return PROBE_SHARE if compared else 0.0

    @property
    def ladder(self) -> int:
        """The last step that follows by itself from a flag: as declared, none where no probes are asked."""
        probes = self.probes or Probes()
        return STEP_NAMES.index(probes.ladder) if self.probe_share > 0.0 else 0

    @property
    def again_share(self) -> float:
        """The share of what people decide with the proposal shown that is asked again; none where nothing is probed."""
        if self.probe_share == 0.0:
            return 0.0
        return PROBE_SHARE if self.probes is None else self.probes.again

    def undo_for(self, via: str) -> int:
        """For how many microseconds an answer by this door may be taken back: as declared, else on pages alone."""
        if self.undo is None:
            return UNDO_ON_PAGES if via == PAGE else 0
        return microseconds(self.undo) or 0

    @property
    def together(self) -> str | None:
        """What makes cases one piece of evidence: "question", "run" or a path; None where each stands by itself.

        Where load shedding may settle equal questions with one answer, and nothing is declared, it is the question.
        """
        if self.guarantee is None or self.guarantee.independent_by is not None:
            return None if self.guarantee is None else self.guarantee.independent_by
        return QUESTION if self.capacity is not None else None

    @property
    def free_text(self) -> bool:
        """Whether answers hardly ever equal a proposal: responses that are no number, truth value or choice."""
        if self.mode != "fallback":
            return False
        schema: dict[str, JSON] = self.schema or {}
        kinds = schema.get("type")
        typed = kinds if isinstance(kinds, list) else [kinds]
        return not ("enum" in schema or "const" in schema or all(kind in COMPARED for kind in typed))

    @property
    def side_by_side(self) -> bool:
        """Whether a second person judges proposal and answer, since an answer alone says nothing of the proposal."""
        return self.free_text and self.guarantee is not None and self.guarantee.blind

    @property
    def shown_meta(self) -> tuple[str, ...]:
        """The fields of `meta` that reviewers see: those named, and those that the context contract names."""
        required = () if isinstance(self.context, str) else self.context
        named = (field.removeprefix("meta.") for field in required if field.startswith("meta."))
        return tuple(dict.fromkeys((*self.meta, *named)))

    def setting(self, key: str) -> JSON:
        """One setting by its key as plain JSON in full; of ``groups.NAME`` the members, None where it is not declared.

        Raises AttributeError for a key that there is not.
        """
        if key.startswith(GROUPS):
            members = self.groups.get(key.removeprefix(GROUPS))
            return None if members is None else list(members)
        return _in_full(getattr(self, key))


COMPARED = ("number", "integer", "boolean")  # types of responses that equal a proposal or do not
BY_TWO = "changes"  # the program's own loop, in which a second person approves changes
SUSPEND, READMIT = "suspend_reviewer", "readmit_reviewer"  # changes that leads decide on, not policy owners
LEADS = "leads"  # the group of the loop of changes that is asked about people
GROUPS = "groups."  # begins the key of a group: ``groups.NAME``


def _in_full(value: Any) -> JSON:
    """A value of settings as JSON with every field, so that a later default cannot change what it says."""
    if isinstance(value, Value):
        return {field: _in_full(getattr(value, field)) for field in value.__struct_fields__}
    return [_in_full(item) for item in value] if isinstance(value, tuple) else value


_SETTINGS = decoder(LoopSettings)


@lru_cache(maxsize=256)
def _digest_of(body: bytes) -> str:
    return hashlib.sha256(ENCODER.encode(_with_own_defaults(_SETTINGS.decode(body)))).hexdigest()


def _with_own_defaults(value: V) -> V:
    """The value with its defaults as the very objects that they are: msgspec leaves a default out by identity."""
    plain: dict[str, Any] = {}
    for field in msgspec.structs.fields(type(value)):
        part, default = getattr(value, field.name), field.default
        if isinstance(part, tuple):
            plain[field.name] = tuple(_with_own_defaults(item) if isinstance(item, Value) else item for item in part)
        elif isinstance(part, Value):
            part = plain[field.name] = _with_own_defaults(part)
        if type(part) is type(default) and part == default:
            plain[field.name] = default
    return replace(value, **plain)


class Audits(Value, frozen=True, kw_only=True):
    """How likely an autopilot case is reviewed too, by score bin; `edges` are the lower scores of bin 1 and up.

    `floor` is the minimum inclusion probability that the certificate was promised; load shedding leaves it alone.
    `blind` is how likely people who decide are asked without the proposal; all are where an older version says nothing.
    """

    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    floor: float | None = None
    blind: float | None = None

    def share(self, score: float) -> float:
        """The probability at a score."""
        return self.shares[bisect_right(self.edges, score)]


ALARM, MODEL_FILE, RISK_FILE, PERSON = "alarm", "model_file", "risk_file", "person"  # what closes autopilot


class Cause(Value, frozen=True, kw_only=True):
    """What closed autopilot: the monitor's alarm, the file of a model, that of a risk model, or a person.

    It says what may open it again; the reason beside it is for people, and may be worded in any way.
    """

    by: str
    model: str | None = None

    @classmethod
    def of_words(cls, reason: str) -> Cause:
        """The cause in the reason of an older version, which wrote none beside it."""
        if reason.startswith("the monitor found "):
            return cls(by=ALARM)
        for by, words in ((MODEL_FILE, "the model file of "), (RISK_FILE, "the risk model file of ")):
            match = re.match(rf"{words}(.+?) (?:is missing|is not the one|cannot be (?:read|checked))", reason)
            if match is not None:
                return cls(by=by, model=match[1])
        return cls(by=PERSON)


class Stop(Value, frozen=True, kw_only=True):
    """The emergency stop: who stopped a loop, why and when; `everywhere` where it came with a stop of all loops."""

    by: str
    because: str
    at: int
    everywhere: bool = False

    @property
    def words(self) -> str:
        """Who stopped what, and why, as routes, refusals and pages say it."""
        return f"{self.by} stopped {'every loop' if self.everywhere else 'the loop'}: {self.because}"


MODEL, RISK_MODEL = "model", "risk model"  # what is trained from people's decisions


Role = Literal["submitter", "reviewer", "lead", "policy", "auditor", "admin"]


class Member(Value, frozen=True, kw_only=True):
    """What a loop knows of an account: its name, its roles here, its groups, and the human behind it.

    Accounts with the same `human` are one person, and a service is its owner; "" stands for the name itself.  Whoever
    was removed keeps the entry, without roles.
    """

    name: str
    roles: tuple[Role, ...] = ()
    human: str = ""


class Untrained(Value, frozen=True, kw_only=True):
    """Why the last training came to nothing, how often in a row it did, and when it is tried again.

    `waiting` is how many answers no model had learned from by then.
    """

    at: int
    trainer: str
    code: str
    reason: str
    attempt: int
    retry_at: int
    waiting: int = 0


class Override(Value, frozen=True, kw_only=True):
    """What a person laid over the file's value, which is `before`; both are JSON text in full."""

    value: str
    before: str
    by: str
    at: int
    approved_by: str | None = None
    case_id: str | None = None


class Rung(Value, frozen=True, kw_only=True):
    """Where somebody stands on the ladder of a loop: the step, since when, why, and by whom.

    `training` says that the burst of training cases of step 2 is not done; `verdicts` is how many of the rubber-stamp
    test had been heeded by then.
    """

    name: str
    step: int
    at: int
    because: str
    by: str = "system"
    training: bool = False
    verdicts: int = 0


class Control(Value, frozen=True, kw_only=True):
    """What governs a loop at a moment, as one versioned value folded from the loop's own events.

    Under a guarantee `thresholds`, `audits`, `epochs` and `models` belong to the certificates by segment: from which
    score on, audited how often, since which epoch, for which model.  `scorer` is the risk model learned last.
    `closed` holds the reason by segment, and `causes` what closed it; while the loop is `stopped`, nothing runs at all.
    `people` are the accounts that have to do with the loop, by `names.identity`, None before the first account;
    `groups` are those that accounts were put into, over those of the settings.  `rungs` says who stands where on the
    ladder, by `names.identity`.  `untrained` says of a model or a risk
    model why its last training failed: it governs nothing, and makes no version.

    `settings` are those in force: what file and program declare, with the `overrides` by key laid over them.
    """

    loop: str
    loop_id: int
    version: int
    settings: LoopSettings
    base: LoopSettings | None = None
    overrides: dict[str, Override] = {}
    epoch: int = 0
    model: str | None = None
    thresholds: dict[str, float] = {}
    closed: dict[str, str] = {}
    causes: dict[str, Cause] = {}
    audits: dict[str, Audits] = {}
    epochs: dict[str, int] = {}
    models: dict[str, str] = {}
    orders: dict[str, str] = {}
    relief: int = 0
    scorer: str | None = None
    untrained: dict[str, Untrained] = {}
    people: dict[str, Member] | None = None
    groups: dict[str, tuple[str, ...]] = {}
    stopped: Stop | None = None
    rungs: dict[str, Rung] = {}
    seq: int = 0

    def step_of(self, person: str | None) -> int:
        """The step that somebody is on, as far as the settings let it act; a suspension is a person's word and acts."""
        rung = self.rungs.get(identity(person)) if self.rungs and person else None
        if rung is None:
            return 0
        return rung.step if rung.step == SUSPENDED else min(rung.step, self.settings.ladder)

    def in_training(self, person: str | None) -> bool:
        """Whether somebody gets training cases, and no others, until their burst is done."""
        return self.step_of(person) == TRAINING and self.rungs[identity(person or "")].training

    def members(self, group: str) -> tuple[str, ...] | None:
        """Who belongs to a group; None when the group is open to everybody."""
        return self.groups.get(group, self.settings.groups.get(group))

    def asked(self) -> tuple[str, ...]:
        """Every group that the settings or a rule name to ask."""
        settings = self.settings
        named = [settings.group, settings.quorum.arbiter]
        for rule in settings.rules:
            named += [rule.group, rule.quorum.arbiter if rule.quorum else None]
        return tuple(dict.fromkeys(group for group in named if group))

    def pools(self) -> tuple[str, ...]:
        """Every group that reviews of this loop can be meant for."""
        return tuple(dict.fromkeys((*self.asked(), *self.settings.groups, *self.groups)))

    @property
    def declared(self) -> LoopSettings:
        """The settings that file and program declare, without the overrides."""
        return self.settings if self.base is None else self.base

    @property
    def learned(self) -> bool:
        """Whether a learned chance of being right is compared with the threshold, in the place of confidence."""
        return self.settings.guarantee is not None and self.settings.guarantee.score == "risk"

    @property
    def beside(self) -> bool:
        """Whether a learned chance of being right orders the cases beside confidence."""
        return self.settings.guarantee is not None and self.settings.guarantee.score == "both"

    @property
    def chances_by(self) -> str | None:
        """The risk model that scores each proposal, in the place of confidence or beside it; None where none does."""
        return self.scorer if self.learned or self.beside else None

    def acting(self, segment: str | None) -> str:
        """What orders the cases of a segment for autopilot: the confidence, or the learned chance of being right."""
        if self.learned:
            return RISK
        return self.orders.get(self.certificate_for(segment) or "", CONFIDENCE) if self.beside else CONFIDENCE

    @property
    def scores_by(self) -> str | None:
        """The risk model whose scores are compared with the threshold; None where confidence is, or none is there."""
        return self.scorer if self.learned else None

    def certificate_for(self, segment: str | None) -> str | None:
        """The segment whose certificate speaks for a case; "" speaks for all, None says that none does."""
        guarantee = self.settings.guarantee
        if guarantee is None or not guarantee.segments:
            return ""
        return segment if segment in guarantee.segments else None

    def threshold_for(self, segment: str | None) -> float | None:
        """The confidence from which autopilot may act in a segment; None while nothing is certified."""
        if self.settings.guarantee is not None:
            key = self.certificate_for(segment)
            return None if key is None else self.thresholds.get(key)
        moved = self.thresholds.get(segment or "", self.thresholds.get(""))
        return self.settings.threshold if moved is None else moved

    def closed_for(self, segment: str | None) -> str | None:
        """Why autopilot is closed for a segment, or None when it is open; a stop comes before all else."""
        if self.stopped is not None:
            return self.stopped.words
        whole = self.closed.get("")
        return whole if whole is not None or not segment else self.closed.get(segment)

    def closed_by(self, segment: str | None, by: str, model: str | None = None) -> bool:
        """Whether this is what closed autopilot for a segment; with `model`, whether its file is."""
        key = "" if "" in self.closed or not segment else segment
        cause = self.causes.get(key)
        return cause is not None and cause.by == by and (model is None or cause.model == model)


class Router(Protocol):
    """Routes an action of a case without opening anything; how an edit is routed again, and an effect that begins."""

    def __call__(
        self, case: Case, candidate: Candidate, control: Control, asks: Mapping[str, JSON] | None = None
    ) -> Route:
        """The route of this candidate in the case's place; `asks` stands for parts of signal, input and meta."""
        ...


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has read from the store or computed ahead of a stage.

    `leader` is the locked case that this one may join, or has joined; `score` the learned chance that the proposal is
    right; `followers` how many cases an answer will count for as well; `draw` the probability with which this row of a
    batch is audited, and whether it is, drawn together with all others.  `before` is the newest case that this one
    would be one piece of evidence with, and `placed` whether what these have in common is known.  `worked` counts what
    the person who claims has answered in the last 24 hours and holds, by `level_of` its risk.
    """

    worked: Mapping[str, int] | None = None
    leader: Case | None = None
    score: float | None = None
    followers: int = 0
    draw: tuple[float, bool] | None = None
    before: Case | None = None
    placed: bool = False


class Env(msgspec.Struct, frozen=True, kw_only=True):
    """What a pure stage may know of the world: the time (microseconds), new ids, and draws."""

    now: int
    new_id: Callable[[], str]
    secret: bytes
    reroute: Router | None = None
    outstanding: Callable[[Case, Route, Control], bool] | None = None  # whether people lack whom a route asks for
    facts: Facts = Facts()

    def draw(self, purpose: str, case_id: str) -> float:
        """A number in [0, 1), fixed by secret, purpose and case: reproducible, not gameable, independent by purpose."""
        return draw(self.secret, purpose, case_id)


def draw(secret: bytes, purpose: str, case_id: str) -> float:
    """HMAC-SHA256(secret, purpose || case id) as a number in [0, 1) with 53 bits."""
    digest = hmac.digest(secret, f"{purpose}\x00{case_id}".encode(), "sha256")
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def uuid7() -> str:
    """A UUID of version 7 (RFC 9562, method 3): milliseconds, 12 bits of their fraction, 62 random bits."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    noise = int.from_bytes(os.urandom(8), "big") >> 2
    text = f"{milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | noise:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
