"""Reply shapes: one declaration for what is sent and for the OpenAPI description, made of the core's own values.

A case and a claim are sent as plain values, which show the fields that are at their defaults; their shapes only
describe them.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, Literal

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dualcontrol import __version__
from dualcontrol.case import (
    JSON,
    Actor,
    Answer,
    Candidate,
    Case,
    CaseState,
    Decision,
    Effect,
    Example,
    Outcome,
    Review,
    Route,
    Scored,
    Signal,
)
from dualcontrol.control import Override
from dualcontrol.guarantee.breakdown import Breakdown
from dualcontrol.guarantee.history import Move, Point, Rate
from dualcontrol.guarantee.standing import Standing, Words
from dualcontrol.people import Grant
from dualcontrol.replay.whatif import WhatIf
from dualcontrol.store import CaseRow, InboxRow
from dualcontrol.store.accounts import AccountKind, AccountState
from dualcontrol.verdicts import Mode
from dualcontrol.vigilance.ladder import LadderPlace
from dualcontrol.vigilance.pace import Drift
from dualcontrol.vigilance.standing import Certified, Flagged, Watched

REF = "#/components/schemas/{name}"


class Shape(msgspec.Struct, kw_only=True):
    """The root of reply shapes."""


class CaseReply(Shape):
    """One case: one JSON for four modes.

    Of a test case (kind "probe") `scored` says after the answer how it ended, and `debriefing` says it in words.
    """

    id: str
    loop: str
    mode: Mode
    kind: Literal["live", "probe", "practice"]
    state: CaseState
    effect: Effect
    opened_at: int
    input: JSON
    candidates: list[Candidate]
    proposed: int | None
    signal: Signal
    rationale: JSON
    history: JSON
    meta: dict[str, JSON]
    route: Route | None
    reviews: list[Review]
    answers: list[Answer]
    answers_hidden: int
    decision: Decision | None
    outcome: Outcome | None
    scored: Scored | None
    debriefing: str | None
    seq: int


class ClaimReply(Shape):
    """A review held by one person for a time; `id` is the fencing token."""

    id: str
    person: str
    case_id: str
    review: Review
    view: dict[str, JSON]
    lease_until: int | None
    etag: str


class FingerprintReply(Shape):
    """What tells a proposal from others by its content."""

    fingerprint: str


class KnownCases(Shape):
    """The ids of cases that a program opened before."""

    case_ids: list[str]


class EntryReply(Shape):
    """One transaction's worth of events in a case's ledger, chained by hash."""

    seq: int
    at: int
    actor: str
    proof: Actor | None
    hash: str
    prev: str
    pos: int | None
    events: list[dict[str, JSON]]


class EntryPage(Shape):
    """The entries of a case in order."""

    case_id: str
    entries: list[EntryReply]


class FeedRow(Shape):
    """One sequenced entry: ids and kinds, no content."""

    pos: int
    stream: str
    case_id: str | None
    seq: int
    at: int
    kinds: list[str]


class FeedPage(Shape):
    """Sequenced entries after a position, and the position to go on from."""

    entries: list[FeedRow]
    next: int


class CasePage(Shape):
    """Cases, newest first."""

    rows: list[CaseRow]
    next: str | None


class InboxPage(Shape):
    """Open reviews in queue order."""

    rows: list[InboxRow]
    next: str | None


class ExamplePage(Shape):
    """Learning rows in the order they were made."""

    rows: list[Example]
    next: int | None


class LoopReply(Shape):
    """A loop: what governs it, how much of each there is, and answers not yet used for learning."""

    loop: str
    mode: Mode
    control: dict[str, JSON]
    counts: dict[str, int]
    unfed: int
    model: str | None


class LoopPage(Shape):
    """Every loop."""

    loops: list[LoopReply]


class SettingsReply(Shape):
    """The settings of a loop: in force, as the file says, and what people have laid over it, by key.

    Where a second person has to approve a change first, `case_id` is the case of it.
    """

    loop: str
    version: int
    effective: dict[str, JSON]
    base: dict[str, JSON]
    overrides: dict[str, Override]
    case_id: str | None


class GuaranteeReply(Shape):
    """What a loop's guarantee stands at: every segment in figures, one of them in words, in full and over time."""

    loop: str
    segment: str
    promise: Words
    segments: list[Standing]
    points: list[Point]
    reliability: list[Rate]
    breakdowns: list[Breakdown]
    moves: list[Move]
    what_if: WhatIf | None


class OversightReply(Shape):
    """What test cases say of a loop's people; not `whole` where it is the visitor's own figures alone."""

    loop: str
    share: float
    statement: str
    whole: bool
    certificate: Certified | None
    team: Watched | None
    people: list[Watched]
    levels: list[Watched]
    flags: list[Flagged]
    steps: list[LadderPlace]
    drift: Drift


class PersonReply(Shape):
    """Somebody with an account, or a service: roles (without a loop: in all), groups, who else is that human."""

    id: str
    name: str
    kind: AccountKind
    state: AccountState
    roles: list[Grant]
    groups: list[str]
    owner: str
    same_human: list[str]
    created_at: int
    signed_in_at: int | None
    removed_at: int | None


class PeoplePage(Shape):
    """Every account by name, removed ones too, and who belongs to each group."""

    people: list[PersonReply]
    groups: dict[str, list[str]]


class EffectReply(Shape):
    """The effect is yours: run `value` once, then finish with `fence`."""

    case_id: str
    fence: int
    value: JSON
    until: int | None


class Health(Shape):
    """The server answers and its database does."""

    status: Literal["ok"]
    version: str


class Problem(Shape):
    """A refusal (RFC 9457), with a code that is also a page, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str


SHAPES: tuple[type[Shape], ...] = (
    CaseReply, CasePage, ClaimReply, EffectReply, EntryPage, ExamplePage, FeedPage, FingerprintReply, GuaranteeReply,
    Health, InboxPage, KnownCases, LoopPage, LoopReply, OversightReply, PeoplePage, PersonReply, Problem, SettingsReply,
)  # fmt: skip
REASONS = {
    400: "The body cannot be read.",
    401: "No token, or not this server's.",
    403: "Not allowed: neither the roles nor the token of who asks permit it, or they may not review this case.",
    404: "Nothing is known by that name.",
    409: "Somebody or something was first; `by` says who.",
    410: "The content was erased.",
    413: "The body is larger than 2 MiB, or a content larger than 1 MiB.",
    415: "The body does not say that it is JSON in UTF-8.",
    421: "The Host header names another server.",
    422: "The request does not fit; `errors` says where.",
    429: "Too many wrong tokens were tried; Retry-After says in how many seconds the next is looked at.",
    503: "The database refused.",
}


def replies(
    shape: type[Shape] | None, *statuses: int, ok: int = 200, says: str = ""
) -> dict[int | str, dict[str, Any]]:
    """The documented replies of an address: one shape, and problems for the other statuses."""
    documented: dict[int | str, dict[str, Any]] = {
        ok: {"description": says or (shape.__doc__ or "Done.").splitlines()[0]}
    }
    if shape is not None:
        documented[ok]["content"] = {"application/json": {"schema": {"$ref": REF.format(name=shape.__name__)}}}
    refused = {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}}
    reads = (415,) if 413 in statuses else ()  # whoever reads a body can find it too large, and of another kind
    for status in sorted({401, 403, 421, 422, 429, 503, *statuses, *reads}):
        documented[status] = {"description": REASONS[status], "content": refused}
    return documented


def components() -> dict[str, Any]:
    """The schemas of all shapes, for ``#/components/schemas``."""
    schemas = msgspec.json.schema_components(SHAPES, ref_template=REF)[1]
    for schema in schemas.values():
        if "description" in schema:  # before 0.23, msgspec leaves a docstring's indentation in
            schema["description"] = cleandoc(schema["description"])
    return schemas


def case_reply(case: Case) -> dict[str, JSON]:
    """A case as its reply: what is still blind is left out, and counted."""
    fields = case.to_dict()
    del fields["content"]
    fields["answers_hidden"] = 0
    fields |= {"scored": case.scored and case.scored.to_dict(), "debriefing": case.debriefing}
    if blind(case):
        fields |= {"answers": [], "answers_hidden": len(case.answered)}
        if case.mode == "preference":
            fields["candidates"] = [
                {name: value for name, value in candidate.items() if name not in ("source", "score")}
                for candidate in fields["candidates"]
            ]
    return fields


def blind(case: Case) -> bool:
    """Whether a case still asks people who must not see each other's answers."""
    undecided = case.settled is None and case.concluded is None and case.scored is None
    return undecided and (case.route is None or case.route.quorum.blind)


# The OpenAPI 3.1 description, completed with the reply shapes of the core's own values.


ABOUT = """\
Propose, route, review, apply: the whole trip of a case over HTTP.

Errors are problem+json (RFC 9457) with a `code`, which is also a page, and a `hint`.
Times are integer microseconds, UTC.
Integers of any size survive in both directions.
"""


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of this server's API."""
    if app.openapi_schema is None:
        app.openapi_schema = get_openapi(
            title="dualcontrol", version=__version__, openapi_version="3.1.0", description=ABOUT, routes=app.routes,
        )  # fmt: skip
        parts = app.openapi_schema.setdefault("components", {})
        parts["schemas"] = {**components(), **parts.get("schemas", {})}
    return app.openapi_schema
