"""The case: structure in fields, what people wrote in content, and the properties that join both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

import msgspec

from dualcontrol.verdicts import Mode, Verdict

# Values and content


JSON: TypeAlias = Any


class Content:
    """Content by slot: ``values`` in memory, ``seals`` (one commitment a slot) in the ledger.

    Encoding a Content writes its seals only; the values are rows in ``payloads``.
    """

    __slots__ = ("seals", "values")

    def __init__(self, values: Mapping[str, JSON] | None = None, seals: Mapping[str, str] | None = None) -> None:
        self.values: dict[str, JSON] = dict(values or {})
        self.seals: dict[str, str] = dict(seals or {})

    def __or__(self, other: Content) -> Content:
        return Content({**self.values, **other.values}, {**self.seals, **other.seals})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self.values == other.values and self.seals == other.seals

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.seals.items())))

    def __bool__(self) -> bool:
        return bool(self.values or self.seals)

    def __repr__(self) -> str:
        return f"Content({sorted(self.values | self.seals)})"

    def get(self, slot: str, default: JSON = None) -> JSON:
        """The value in a slot, or the default when there is none or it was erased."""
        return self.values.get(slot, default)


DEPTH = 200  # levels of a value that anything looks at
OWN: tuple[type, ...] = (str, bool, int, float, type(None))
NUMPY: dict[str, Callable[[Any], Any]] = {"b": bool, "i": int, "u": int, "f": float}  # by the kind of a NumPy type


def encode_content(value: Any) -> Any:
    """msgspec's hook for what is not plain JSON: content by its seals, a library's text or number as Python's own."""
    if isinstance(value, Content):
        return value.seals
    native = scalar(value)
    if type(native) in OWN:
        return native
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def scalar(value: Any) -> Any:
    """A text, number or flag of a library, NumPy's among them, as Python's own; whatever else it is comes back."""
    if type(value) in OWN:
        return value
    for kind in (str, float, int):
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(value)
    numpy = sys.modules.get("numpy")  # not imported here: without it nobody can hold one of its numbers
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in NUMPY:
        return NUMPY[value.dtype.kind](value)
    return value


_NATIVE = msgspec.json.Encoder()


def plain(value: JSON) -> JSON:
    """A value with the texts, numbers and flags of libraries in it as Python's own, however deep.

    What is not JSON stays in it as it is, for whoever checks it to name.  A value that is plain is given back itself;
    the check is one pass in C.  Where it fails each part is checked, so that one number costs no walk through the rest.
    """
    if type(value) not in (dict, list, tuple):
        return scalar(value)
    if _is_native(value):
        return value
    if type(value) is dict:
        return {scalar(k): v if _is_native(v) else _as_native(v, DEPTH - 1) for k, v in value.items()}
    return type(value)([item if _is_native(item) else _as_native(item, DEPTH - 1) for item in value])


def _is_native(value: JSON) -> bool:
    try:
        _NATIVE.encode(value)
    except (TypeError, ValueError, RecursionError):  # also keys that are not texts, and cycles
        return False
    return True


def _as_native(value: JSON, depth: int) -> JSON:
    """`plain` in Python; what lies deeper is left alone, since nothing that deep is accepted."""
    if depth == 0:
        return value
    if type(value) is dict:
        return {scalar(key): _as_native(item, depth - 1) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)([_as_native(item, depth - 1) for item in value])
    return scalar(value)


def decode_content(kind: type, value: Any) -> Any:
    """How msgspec reads content: its seals; the values come from ``payloads``."""
    if kind is Content:
        return Content(seals=value)
    raise TypeError(f"cannot decode {kind}")


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The root of all values: immutable, keyword-only, equal by content, JSON both ways.

    Values are trees of JSON, without cycles, so the garbage collector need not look at them (``gc=False``).
    """

    def to_dict(self) -> dict[str, JSON]:
        """This value as plain JSON values."""
        built: dict[str, JSON] = msgspec.to_builtins(self, enc_hook=encode_content)
        return built

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """The value that `to_dict` described; raises msgspec.ValidationError when it does not fit."""
        return msgspec.convert(dict(data), cls, dec_hook=decode_content)


ENCODER = msgspec.json.Encoder(enc_hook=encode_content, order="sorted")
SNAPSHOT = msgspec.json.Encoder(enc_hook=encode_content)  # for rows that are decoded, never hashed or compared


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """A JSON decoder for a value type that knows how content is written."""
    return msgspec.json.Decoder(kind, dec_hook=decode_content)


def once(pairs: Sequence[tuple[str, JSON]]) -> dict[str, JSON]:
    """The object of these members, for `json.loads`; a duplicate key is ambiguous and raises ValueError."""
    members = dict(pairs)
    if len(members) != len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise ValueError(f"the key {name[:80]!r} stands twice in one object")
            names.add(name)
    return members


class Shown(Value, frozen=True, kw_only=True):
    """A value that shows every field to people and programs; stored, it leaves out what is at its default."""

    def to_dict(self) -> dict[str, JSON]:
        """This value as plain JSON values, with every field."""
        return {name: _shown(getattr(self, name)) for name in self.__struct_fields__}


def _shown(value: Any) -> JSON:
    if isinstance(value, Value):
        return value.to_dict()
    return [_shown(item) for item in value] if isinstance(value, tuple) else value


class Case(Value, frozen=True, kw_only=True):
    """One proposal's life from opening to outcome.

    Structure is in the fields; what people wrote is in `content` and comes back through the properties.
    Times are integer microseconds, UTC.  `leader` is the case that this duplicate is settled with, `followers` how
    many duplicates have joined this case; `recalled_after` how many reviews it had when its outcome was last recalled.
    """

    id: str
    loop: str
    mode: Mode
    kind: Literal["live", "probe", "practice"]
    origin: Literal["live", "import", "shadow"]
    state: CaseState
    proposed: int | None
    effect: Effect
    opened_at: int
    wants_effect: bool = False
    seq: int = 0
    key: str | None = None
    run: str | None = None
    parent: str | None = None
    leader: str | None = None
    followers: int = 0
    owner: str | None = None
    submitter: str | None = None
    action: str | None = None
    confidence: float | None = None
    risk: str | float | None = None
    requires_approval: bool = False
    segment: str | None = None
    route: Route | None = None
    reviews: tuple[Review, ...] = ()
    answered: tuple[Answer, ...] = ()
    settled: Decision | None = None
    concluded: Outcome | None = None
    audits: tuple[dict[str, JSON], ...] = ()
    alarms: tuple[dict[str, JSON], ...] = ()
    due_at: int | None = None
    recalled_after: int | None = None
    closed_at: int | None = None
    erased: bool = False
    read_only: str | None = None
    scored: Scored | None = None
    content: Content = Content()

    # Content of the caller

    @property
    def input(self) -> JSON:
        """What the AI was given."""
        return self.content.get("input")

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the AI could do or say, in the caller's order."""
        return tuple(Candidate.from_dict(c) for c in self.content.get("candidates", ()))

    @property
    def proposal(self) -> Candidate | None:
        """The proposed candidate, or None."""
        candidates = self.content.get("candidates", ())
        if self.proposed is None or not candidates:
            return None
        return Candidate.from_dict(candidates[self.proposed])

    @property
    def signal(self) -> Signal:
        """The decision signal as it was given."""
        return Signal(
            confidence=self.confidence,
            risk=self.risk,
            requires_approval=self.requires_approval,
            scores=self.content.get("scores"),
            segment=self.segment,
        )

    @property
    def rationale(self) -> str | None:
        """Why the AI proposes this."""
        text: str | None = self.content.get("rationale")
        return text

    @property
    def history(self) -> JSON:
        """What happened before in the run."""
        return self.content.get("history")

    @property
    def meta(self) -> dict[str, JSON]:
        """The caller's own data."""
        return dict(self.content.get("meta") or {})

    # Content of people

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The answers with what they say."""
        return tuple(self.answer(a.review_id) for a in self.answered)

    def answer(self, review_id: str) -> Answer:
        """One answer with what it says, by the review it was given to."""
        answer = next(a for a in self.answered if a.review_id == review_id)
        content = self.content.get(f"answer/{review_id}") or {}
        return msgspec.structs.replace(
            answer, value=content.get("value"), rationale=content.get("rationale"), first=content.get("first")
        )

    @property
    def decision(self) -> Decision | None:
        """The settled result, with its value."""
        if self.settled is None:
            return None
        distribution = None if len(self.settled.answers) < 2 else self._distribution()
        return msgspec.structs.replace(
            self.settled, value=self._decisive_content().get("value"), distribution=distribution
        )

    def _decisive_content(self) -> dict[str, JSON]:
        """The content of the answer that the decision comes from; empty where there is none."""
        source = self.settled.source if self.settled is not None else None
        return (self.content.get(f"answer/{source}") if source is not None else None) or {}

    def _distribution(self) -> list[dict[str, JSON]]:
        counts: dict[bytes, dict[str, JSON]] = {}
        for answer in self.answers:
            if self.settled is not None and answer.review_id in self.settled.answers:
                shape = {"verdict": answer.verdict, "value": answer.value}
                counts.setdefault(ENCODER.encode(shape), {**shape, "answers": 0})["answers"] += 1
        return sorted(counts.values(), key=lambda c: -c["answers"])

    @property
    def outcome(self) -> Outcome | None:
        """What became of the case, with its value; None while it is undecided."""
        if self.concluded is None:
            return None
        effect: dict[str, JSON] = {"state": self.effect.state}
        if self.effect.state == "succeeded":
            effect["result"] = self.content.get("result")
        elif self.effect.state == "failed":
            effect["error"] = self.content.get("error")
        revoked = self.content.get("revoked")
        rationale = (self._decisive_content() if revoked is None else revoked).get("rationale")
        return msgspec.structs.replace(self.concluded, value=self.resolved_value(), rationale=rationale, effect=effect)

    @property
    def debriefing(self) -> str | None:
        """What the reviewer of a test or training case is told right after the answer; None of every other."""
        scored = self.scored
        if scored is None or not scored.review_id:
            return None
        what = f"That was a {'test' if self.kind == 'probe' else 'training'} case."
        if scored.rejected is None:
            return f"{what} Nobody answered it, so it says nothing of anybody."
        if scored.blind:
            came = "your answer is another one" if scored.rejected else "your answer is the same"
            sides = {
                True: "What the AI proposed, unseen by you, was wrong;",
                False: "The AI, unseen by you, was right;",
            }
        else:
            came = {(True, True): "you noticed", (True, False): "you let it pass", (False, True): "you turned it down",
                    (False, False): "you let it through"}[scored.wrong, scored.rejected]  # fmt: skip
            sides = {True: "The proposal was wrong;", False: "The proposal was right;"}
        key: dict[str, JSON] = self.content.get("answer_key") or {}
        shows = f" What shows it: {key['cue'].rstrip('.')}." if key.get("cue") else ""
        return f"{what} {sides[scored.wrong]} {came}.{shows}"

    def resolved_value(self) -> JSON:
        """The value the program continues with: proposed on autopilot or approval, else what was answered."""
        outcome = self.concluded
        if outcome is None or outcome.verdict == "reject" or outcome.by == "withdrawn":
            return None
        if outcome.verdict in (None, "approve") and (self.settled is None or self.settled.source is None):
            return self.proposed_value()
        if outcome.verdict == "approve":
            return self.approved_value(self.settled.source if self.settled else None)
        if self.settled is not None and self.settled.source is None:
            return self._distribution()
        return self._decisive_content().get("value")

    def proposed_value(self) -> JSON:
        """The proposal as a value: ``{action, args}`` where there is an action, else the value itself."""
        rows = self.content.get("candidates", ())
        if self.proposed is None or not rows:
            return None
        row = rows[self.proposed]
        return {"action": row["action"], "args": row["value"]} if row.get("action") else row.get("value")

    def decided_action(self) -> str | None:
        """The name of the action that was decided on, which an edit may have changed; None when there is none."""
        value = self.resolved_value()
        return value["action"] if self.action is not None and isinstance(value, dict) else None

    def approved_value(self, review_id: str | None) -> JSON:
        """What an approval approved: the proposal, or the edit that a second reviewer was asked about."""
        content = self.content.get(f"answer/{review_id}") or {} if review_id else {}
        return content["approved"] if "approved" in content else self.proposed_value()

    # Access

    def review(self, review_id: str) -> Review | None:
        """One review of this case."""
        return next((r for r in self.reviews if r.id == review_id), None)

    def review_of_claim(self, claim_id: str) -> Review | None:
        """The review that a claim was given for."""
        return next((r for r in self.reviews if r.claim_id == claim_id), None)

    def to_dict(self) -> dict[str, JSON]:
        """The case in the shape of one JSON for four modes, content included."""
        bare = msgspec.structs.replace(self, content=Content(), answered=(), settled=None, concluded=None)
        built: dict[str, JSON] = msgspec.to_builtins(bare, enc_hook=encode_content)
        for flat in ("confidence", "risk", "requires_approval", "segment"):
            built.pop(flat, None)
        built |= {
            "input": self.input,
            "candidates": [c.to_dict() for c in self.candidates],
            "signal": self.signal.to_dict(),
            "rationale": self.rationale,
            "history": self.history,
            "meta": self.meta,
            "route": self.route.to_dict() if self.route else None,
            "reviews": [r.to_dict() for r in self.reviews],
            "answers": [a.to_dict() for a in self.answers],
            "decision": self.decision.to_dict() if self.decision else None,
            "outcome": self.outcome.to_dict() if self.outcome else None,
            "seq": self.seq,
            "content": self.content.values,
            "seals": self.content.seals,
        }
        return built

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> Self:
        """The case that `to_dict` described."""
        plain = dict(data)
        signal = plain.pop("signal", {})
        seals, values = plain.pop("seals", {}), plain.pop("content", {})
        answers = [
            {k: v for k, v in a.items() if k not in ("value", "rationale", "first")} for a in plain.pop("answers", [])
        ]
        settled, concluded = plain.pop("decision", None), plain.pop("outcome", None)
        for joined in ("input", "candidates", "rationale", "history", "meta"):
            plain.pop(joined, None)
        plain |= {k: v for k, v in signal.items() if k != "scores"}
        plain |= {"answered": answers}
        if settled is not None:
            plain["settled"] = {**settled, "value": None} | {"distribution": None}
        if concluded is not None:
            plain["concluded"] = {**concluded, "value": None, "rationale": None, "effect": {}}
        case = msgspec.convert(plain, cls, dec_hook=decode_content)
        return msgspec.structs.replace(case, content=Content(values, seals))


# The parts of a case, and the words that they may hold


RouteTo = Literal["autopilot", "human", "block"]
ReviewKind = Literal["decide", "second", "arbiter", "audit", "probe"]
ReviewState = Literal["open", "claimed", "answered", "passed", "cancelled"]
ProbeKind = Literal["replayed", "mutated", "authored"]
CaseState = Literal["open", "decided", "closed"]
EffectState = Literal["none", "ready", "started", "succeeded", "failed", "unknown"]
By = Literal["autopilot", "human", "timeout", "withdrawn"]
Relief = Literal["joined", "later", "hold", "reject"]

# The response time of a case as a multiple of the loop's, by what load shedding did to it; a rejected one has none.
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


class Bounds(NamedTuple):
    """The numbers that a setting may take; `ends` says as in mathematics which ends are among them.

    They bind settings when these are given, never records when these are read: a later release may be stricter.
    """

    low: float
    high: float
    ends: Literal["[]", "[)", "(]", "()"] = "[]"


People = Annotated[int, Bounds(1, 1_000)]


class Quorum(Value, frozen=True, kw_only=True):
    """How many answers settle a case, from whom, and who arbitrates."""

    answers: People = 1
    of: People | None = None
    settle: Annotated[str | int, "settle"] = "unanimous"
    veto: bool = False
    ordered: bool = False
    arbiter: str | None = None
    blind: bool = True

    @property
    def asked(self) -> int:
        """How many reviewers are asked."""
        return max(self.answers, self.of or 0)


class Cluster(Shown, frozen=True, kw_only=True):
    """The cases that one belongs to: the id of the first, when that was opened, and this one's place, from 1 on."""

    first: str
    at: int
    place: int = 1


class Route(Shown, frozen=True, kw_only=True):
    """Autopilot or human, by what, why, and with what probability a human sees the case.

    `cluster` says which cases it counts together with, where the loop's guarantee tells.
    Where cases have two orders, `score` is the confidence and `chance` the learned chance of being right, by the risk
    model `chance_by`, whichever acts.
    Where people decide under a guarantee, `evidence` is the probability with which they are asked blind, so that what
    they answer is evidence, and `asked_blind` says whether they are; None says that any answer counts.
    """

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
    cluster: Cluster | None = None
    evidence: float | None = None
    asked_blind: bool | None = None
    chance: float | None = None
    chance_by: str | None = None

    @property
    def labelled(self) -> float:
        """The probability with which a case of this route has a label that counts."""
        return self.inclusion if self.to != "human" or self.evidence is None else self.evidence

    @property
    def shown(self) -> bool:
        """Whether people decide with the proposal before them, so that their answers are work and no evidence."""
        return self.to == "human" and self.evidence is not None and not self.asked_blind


class Review(Shown, frozen=True, kw_only=True):
    """One reviewer's work on one case; the row in the queue.

    `about` is the review whose edit it asks about, `against` the one whose answer it compares with the proposal,
    `after` the passed review whose place it takes, `addressee` the one person whom it is meant for, `seen` the other
    reviews that its holder has been told of, `followers` how many cases were to be settled with it then, `meta` the
    fields of the case's meta that its holder is shown; `blind` hides the proposal from its holder, in approval mode
    until that person is the one who has `committed`; `by_step` says that it is blind for its holder alone, who commits
    first by their step of the ladder.
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
    against: str | None = None
    after: str | None = None
    seen: tuple[str, ...] | None = None
    blind: bool = False
    committed: str | None = None
    followers: int = 0
    meta: tuple[str, ...] = ()
    addressee: str | None = None
    by_step: bool = False

    def to_dict(self) -> dict[str, JSON]:
        """This review as plain JSON values; for whom alone it is, and its holder's step, only where there is any."""
        rare = {"addressee": None, "by_step": False}
        return {name: value for name, value in super().to_dict().items() if name not in rare or value != rare[name]}

    @property
    def adjudicates(self) -> bool:
        """Whether it is a second answer about the proposal itself, after a first one said that it was wrong."""
        return self.kind == "second" and self.about is None

    @property
    def beside(self) -> bool:
        """Whether it is asked beside the outcome, which stands whatever the answer."""
        return self.kind in ("audit", "probe") or self.adjudicates


class Actor(Shown, frozen=True, kw_only=True):
    """Who acted: the person, by which door, how we know, and when (microseconds) they last proved it."""

    person: str
    via: str = "python"
    authenticated: str = "none"
    signed_in_at: int | None = None
    stepped_up_at: int | None = None


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

    @property
    def by_side(self) -> dict[str, str]:
        """What was said of two texts, "a" and "b", by whose each was; empty where that was erased."""
        said: dict[str, str] = self.value if isinstance(self.value, dict) else {}
        names = dict(zip(self.presented, "ab", strict=False))
        return {side: said[names[side]] for side in ("proposal", "answer") if names.get(side) in said}


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


class Scored(Shown, frozen=True, kw_only=True):
    """How a probe ended: what its key says of the proposal, and what was answered; see the event `ProbeScored`."""

    review_id: str
    at: int
    wrong: bool
    how: ProbeKind
    rejected: bool | None = None
    blind: bool = False
    weight: float = 1.0

    @property
    def missed(self) -> bool | None:
        """Whether a wrong proposal came through; None where it was right, or nobody answered."""
        return None if self.rejected is None or not self.wrong else not self.rejected


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


# Risk and durations


RISK_LEVELS: dict[str, float] = {"low": 0.25, "medium": 0.5, "high": 0.75, "critical": 1.0}


def risk_number(risk: str | float | None) -> float:
    """A risk level or number as a number; no risk is 0, a level nobody knows is the highest."""
    return RISK_LEVELS.get(risk, 1.0) if isinstance(risk, str) else float(risk or 0.0)


def is_low(risk: str | float | None) -> bool:
    """Whether somebody said that the risk is low; a risk that nobody stated or knows is not."""
    return risk is not None and risk_number(risk) <= RISK_LEVELS["low"]


def is_high(risk: str | float | None) -> bool:
    """Whether the risk is high or more."""
    return risk_number(risk) >= RISK_LEVELS["high"]


@lru_cache(maxsize=256, typed=True)
def microseconds(text: str | int | float | None) -> int | None:
    """A duration such as ``"15m"``, ``"7d"`` or a number of seconds, in microseconds; None stays None."""
    if text is None:
        return None
    if isinstance(text, bool):
        raise ValueError('a duration is a number of seconds or text such as "15m"')
    if isinstance(text, int | float):
        return int(text * 1_000_000)
    units = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    number = text.strip().rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text.strip()[len(number) :] or "s"
    if unit not in units:
        raise ValueError(f"{text!r} is not a duration; write a number and one of ms, s, m, h, d, w")
    return int(float(number) * units[unit] * 1_000_000)


# Rows that outlive their case


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
