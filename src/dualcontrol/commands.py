"""Commands: what may be asked of a case, frozen; the stages answer them with events."""

from __future__ import annotations

from numbers import Real
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec.structs import asdict

from dualcontrol.case import JSON, RISK_LEVELS, Actor, Rendering, Value, plain, scalar
from dualcontrol.errors import (
    AnswerError,
    DualcontrolError,
    EligibilityError,
    KeyFormatError,
    ProposalError,
    RequestError,
    SignalError,
    VerdictError,
)
from dualcontrol.names import written

LONGEST = 200
Word = Annotated[str, msgspec.Meta(max_length=LONGEST, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*$")]
Person = Annotated[Word, msgspec.Meta(min_length=1)]
Unit = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Command(Value, frozen=True, kw_only=True):
    """The root of all commands; `by` is who asks."""


class Propose(Command, frozen=True, kw_only=True):
    """Open a case for a proposal and route it."""

    loop: Word
    input: JSON = None
    candidates: tuple[dict[str, JSON], ...] = ()
    proposed: int | None = None
    given: tuple[str, ...] = ()
    confidence: Unit | None = None
    risk: str | float | None = None
    requires_approval: bool = False
    scores: JSON = None
    segment: Word | None = None
    rationale: str | None = None
    history: JSON = None
    meta: dict[str, JSON] | None = None
    key: str | None = None
    run: Word | None = None
    kind: Literal["live", "probe", "practice"] = "live"
    origin: Literal["live", "import", "shadow"] = "live"
    parent: Word | None = None
    owner: Person | None = None
    submitter: Person | None = None
    effect: Literal["none", "ready"] = "none"
    answer_key: dict[str, JSON] | None = None


class CaseCommand(Command, frozen=True, kw_only=True):
    """The root of commands on an existing case."""

    case_id: Word


class ClaimCommand(CaseCommand, frozen=True, kw_only=True):
    """The root of commands by the holder of a claim."""

    claim_id: Word


class TakeClaim(CaseCommand, frozen=True, kw_only=True):
    """Take one open review for a time."""

    review_id: Word
    person: Person
    claim_id: Word
    until: int


class Release(ClaimCommand, frozen=True, kw_only=True):
    """Give a claimed review back."""


class Extend(ClaimCommand, frozen=True, kw_only=True):
    """Ask for more time on a claim."""

    time: int


class Expire(CaseCommand, frozen=True, kw_only=True):
    """Open a review again whose lease ran out."""

    review_id: Word


class Commit(ClaimCommand, frozen=True, kw_only=True):
    """Say whether a hidden action should happen, and to whom, before it is seen."""

    should: str
    to: JSON = None
    rendered: Rendering | None = None


class GiveAnswer(ClaimCommand, frozen=True, kw_only=True):
    """Answer the review that a claim was given for."""

    verdict: str
    actor: Actor
    value: JSON = None
    rationale: str | None = None
    reasons: tuple[str, ...] = ()
    confidence: float | None = None
    first: JSON = None
    expected_seq: int | None = None
    rendered: Rendering | None = None
    lasts: int | None = None


class Reseat(CaseCommand, frozen=True, kw_only=True):
    """Nobody is left who may take a review: the arbiter gets it, or an alarm says so."""


class JoinCase(CaseCommand, frozen=True, kw_only=True):
    """Settle a duplicate with this case."""

    follower: Word


class Follow(CaseCommand, frozen=True, kw_only=True):
    """Apply the outcome of a leader to one of its followers."""

    leader: Word


class Retract(CaseCommand, frozen=True, kw_only=True):
    """Take a decision back before it is effective."""

    review_id: Word
    person: Person


class Settle(CaseCommand, frozen=True, kw_only=True):
    """Conclude a case whose decision has become effective."""


class Timeout(CaseCommand, frozen=True, kw_only=True):
    """The response time has passed: do what the loop declared."""


class Withdraw(CaseCommand, frozen=True, kw_only=True):
    """The program no longer wants an answer."""

    by: Person


class StartEffect(CaseCommand, frozen=True, kw_only=True):
    """Take the effect: the one conditional step from decided to started; with `action`, of that action only.

    `runs` is what the program is about to run, ``{action, args}``, where it knows it by itself; `asks` what its own
    functions say of that, where people changed it: confidence, risk, requires_approval, segment, input and meta.
    """

    owner: Word
    lease: int
    action: str | None = None
    runs: JSON = None
    asks: dict[str, JSON] | None = None


class Recall(CaseCommand, frozen=True, kw_only=True):
    """The program cannot run what people decided: they are asked again, and told why."""

    reason: Word


class Revoke(CaseCommand, frozen=True, kw_only=True):
    """Take an approval back whose effect has not begun."""

    actor: Actor
    rationale: str | None = None


class FinishEffect(CaseCommand, frozen=True, kw_only=True):
    """Say how the started effect ended; refused unless `fence` is the one in force."""

    fence: int
    succeeded: bool
    result: JSON = None
    kept: bool = True
    error: str | None = None
    ran: bool = True


class LoseEffect(CaseCommand, frozen=True, kw_only=True):
    """The effect's lease ran out without a result."""


class ResolveEffect(CaseCommand, frozen=True, kw_only=True):
    """Somebody looked whether a lost effect happened."""

    happened: bool
    by: Person
    result: JSON = None


class Erase(CaseCommand, frozen=True, kw_only=True):
    """Erase the content of a case; the evidence stays."""

    by: Person


AnyCommand = TypeVar("AnyCommand", bound=Command)
PERSONS = frozenset({"person", "owner", "by", "submitter"})
SCALARS = frozenset({type(None), str, int, float, bool})
# What msgspec raises for what does not fit; beside its own, for objects and texts that it cannot look at.
UNFIT = (msgspec.ValidationError, UnicodeError, AttributeError)
BLAME: dict[str, type[DualcontrolError]] = {
    "key": KeyFormatError, "confidence": SignalError, "risk": SignalError, "requires_approval": SignalError,
    "segment": SignalError, "verdict": VerdictError, "person": EligibilityError,
}  # fmt: skip


def checked(command: AnyCommand) -> AnyCommand:
    """The command with every field of its declared type, texts and numbers as plain ones; an error names the field."""
    fields = asdict(command)
    composed = {n: asdict(v) if isinstance(v, Value) else v for n, v in fields.items() if type(v) not in SCALARS}
    fields |= plain(composed) if composed else {}
    for name, value in fields.items():
        if name in PERSONS and type(value) is str:
            fields[name] = written(value)
        elif name == "actor" and type(value) is dict and type(value.get("person")) is str:
            fields[name] = {**value, "person": written(value["person"])}
    try:
        return msgspec.convert(fields, type(command))
    except UNFIT as error:
        what, _, where = str(error).partition(" - at `$.")
        where = where.rstrip("`")
        if "regex" in what or "length" in what:
            what = f"1 to {LONGEST} signs of text, without control signs and lone surrogates"
        kinds: dict[type, type[DualcontrolError]] = {
            Propose: ProposalError, GiveAnswer: AnswerError, Commit: AnswerError,
        }  # fmt: skip
        kind = BLAME.get(where.split(".")[-1], kinds.get(type(command), RequestError))
        raise kind(f"{where or 'the request'}: {what[:1].lower()}{what[1:]}", field=where) from None


def person(name: Any) -> str:
    """The name of a person as it is kept; `EligibilityError` when it cannot be one."""
    text = scalar(name)
    try:
        return msgspec.convert(written(text) if type(text) is str else text, Person)
    except UNFIT as error:
        raise EligibilityError(f"a person is named by 1 to {LONGEST} signs of text, not {name!r:.80}") from error


def known_as(name: Any, unknown: type[DualcontrolError], what: str) -> str:
    """A name or id to look up, validated; raises `unknown` for what cannot be one."""
    if type(name) is str and len(name) <= LONGEST and name.isascii() and name.isprintable() and name:
        return name
    try:
        return msgspec.convert(scalar(name), Word)
    except UNFIT as error:
        raise unknown(f"{what} is named by a text of at most {LONGEST} signs, not {name!r:.80}") from error


def action_name(name: Any, unfit: type[DualcontrolError] = ProposalError) -> str:
    """The name of an action as it is kept; the error when it cannot be one."""
    text = written(known_as(name, unfit, "an action"))
    if not text:
        raise unfit(f"an action is named by a text that can be seen, not {name!r:.80}")
    return text


def risk_level(text: str) -> str:
    """A risk given as text; what reads as a number is refused, for events would give it back as that number."""
    if type(text) is str and text in RISK_LEVELS:
        return text
    level = known_as(text, SignalError, "a risk")
    try:
        float(level)
    except ValueError:
        if level.strip():
            return level
    raise SignalError(f"a risk is not the text {level!r:.80}: give a number or one of {', '.join(RISK_LEVELS)}")


def missing(number: Any) -> bool:
    """Whether a number is missing, as programs and tables write that: None, NaN, and what pandas has for it."""
    if isinstance(number, Real):
        return number != number
    return number is None or type(number).__name__ in ("NAType", "NaTType")
