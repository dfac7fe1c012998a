"""SQL statements: SQLAlchemy Core constructs, compiled once per dialect, run through the driver's own cursor.

Core at run time costs two to four times the driver alone; compiled here it costs nothing.
Parameters are positional: each statement is declared with the order of its arguments, which is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    Update,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    select,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.engine import Dialect as SqlDialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

from dualcontrol.store.sql.schema import (
    case_keys,
    cases,
    drafts,
    entries,
    examples,
    feed,
    loops,
    models,
    payloads,
    reviews,
)

CASE_FIXED = (  # but for leader_id, which is cleared when a case leaves its leader
    "id", "loop_id", "kind", "origin", "action", "segment", "score", "parent_id", "leader_id", "run", "opened_at",
)  # fmt: skip
CASE_MOVING = (
    "state", "seq", "head", "risk", "route", "control", "epoch", "bin", "inclusion", "audited", "verdict", "by",
    "wrong", "due_at", "effective_at", "closed_at", "effect", "fence", "effect_owner", "effect_until", "snapshot",
)  # fmt: skip
CASE_NOTED = ("seq", "head", "snapshot")
REVIEW_FIXED = ("id", "loop_id", "case_id", "kind", "opened_at", "excludes", "owner")
REVIEW_ENDING = ("state", "lease_until", "answered_at", "shown")
REVIEW_MOVING = (
    "pool", "round", "state", "order_at", "due_at", "person", "claim_id", "lease_until", "claimed_at", "answered_at",
    "presented", "shown",
)  # fmt: skip
EXAMPLE = (
    "loop_id", "epoch", "case_id", "kind", "verdict", "wrong", "bin", "score", "inclusion", "at", "cap", "used_by",
)  # fmt: skip
CANDIDATES = 20
SLOTS_AT_ONCE = 8
FIRST = (-1, "")  # before every review of a queue
ONE: ColumnElement[int] = literal_column("1")
NONE: ColumnElement[int] = literal_column("0")


def literal(text: str) -> ColumnElement[str]:
    """A constant in the SQL text itself, so that partial indexes on it can be used."""
    return literal_column(f"'{text}'")


def rendered(dialect: SqlDialect, construct: ClauseElement) -> tuple[str, tuple[str, ...]]:
    """The construct's text, and the names of its parameters in the order in which they come."""
    compiler = cast(SQLCompiler, construct.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
    return str(compiler), tuple(compiler.positiontup or ())


def params(table: FromClause, columns: Sequence[str]) -> dict[Any, Any]:
    """Columns and a parameter ``new_<column>`` for each."""
    return {table.c[name]: bindparam(f"new_{name}") for name in columns}


def limited(statement: Select[Any], count: ColumnElement[int] | None = None) -> Select[Any]:
    """The first rows of a statement, as many as the parameter :rows says or `count`."""
    return statement.limit(bindparam("rows", type_=Integer) if count is None else count).offset(NONE)


def takeable() -> ColumnElement[bool]:
    """An open review that :person may take: not excluded, not the owner, no other review of the case."""
    other, person = reviews.alias("other"), bindparam("person", type_=Text)
    without = func.replace(reviews.c.excludes, bindparam("line", type_=Text), literal(""))
    return (
        (reviews.c.state == literal("open"))
        & ((reviews.c.excludes == literal("")) | (without == reviews.c.excludes))
        & reviews.c.owner.is_distinct_from(person)
        & ~exists().where(other.c.case_id == reviews.c.case_id, other.c.person == person)
    )


def _candidates(limit: int) -> Select[Any]:
    queued = tuple_(reviews.c.order_at, reviews.c.id)
    statement = (
        select(reviews.c.order_at, reviews.c.id, reviews.c.case_id)
        .where(reviews.c.loop_id == bindparam("loop_id"), reviews.c.pool == bindparam("pool"))
        .where(queued > tuple_(bindparam("after_at", type_=BigInteger), bindparam("after_id", type_=Text)), takeable())
        .order_by(reviews.c.order_at, reviews.c.id)
    )
    return limited(statement, literal_column(str(limit)))


class Statements:
    """Statements of one dialect, compiled when a subclass is made."""

    def __init__(self, dialect: SqlDialect) -> None:
        self._dialect = dialect

    def _add(self, construct: ClauseElement, *order: str) -> str:
        """The construct's text; raises when its parameters do not come in this order."""
        text, parameters = rendered(self._dialect, construct)
        if parameters != order:
            raise AssertionError(f"parameters {parameters} where {order} are given: {text}")
        return text

    def _insert(self, table: Table, columns: Sequence[str]) -> str:
        values = params(table, columns)
        return self._add(insert(table).values(values).inline(), *(f"new_{name}" for name in columns))

    def _update(self, statement: Update, columns: Sequence[str], *where: str) -> str:
        """An update that sets these columns; the parameters of its where clause follow theirs."""
        values = params(statement.table, columns)
        return self._add(statement.ordered_values(*values.items()), *(f"new_{name}" for name in columns), *where)


class Hot(Statements):
    """What every step runs: load, save, take."""

    def __init__(self, dialect: SqlDialect) -> None:
        super().__init__(dialect)
        self._cases()
        self._content()
        self._reviews()
        self.new_entry = self._insert(entries, ("loop_id", "stream", "seq", "at", "actor", "body", "hash"))
        self.new_example = self._insert(examples, EXAMPLE)
        named = (loops.c.tenant == literal(""), loops.c.name == bindparam("loop"))
        self.loop_id = self._add(select(loops.c.id).where(*named), "loop")
        self.loop = self._add(select(loops.c.id, loops.c.version, loops.c.seq).where(*named), "loop")
        self.control = self._add(select(loops.c.control).where(loops.c.id == bindparam("loop_id")), "loop_id")

    def _cases(self) -> None:
        by_id = cases.c.id == bindparam("case_id")
        row = select(cases.c.seq, cases.c.head, cases.c.snapshot, loops.c.version, loops.c.seq).where(by_id)
        row = row.join(loops, loops.c.id == cases.c.loop_id)
        self.case = self._add(row, "case_id")
        self.case_locked = self._add(row.with_for_update(of=cases), "case_id")
        self.case_head = self._add(select(cases.c.seq, cases.c.head).where(by_id).with_for_update(), "case_id")
        self.new_case = self._insert(cases, (*CASE_FIXED, *CASE_MOVING, "likeness", "cluster"))
        guarded = update(cases).where(by_id, cases.c.seq == bindparam("expected"))
        self.move_case = self._update(guarded, CASE_MOVING, "case_id", "expected")
        self.note_case = self._update(guarded, CASE_NOTED, "case_id", "expected")
        self.new_key = self._insert(case_keys, ("loop_id", "digest", "case_id", "fingerprint"))
        key = select(case_keys.c.case_id, case_keys.c.fingerprint, case_keys.c.erased)
        key = key.where(case_keys.c.loop_id == bindparam("loop_id"), case_keys.c.digest == bindparam("digest"))
        self.key = self._add(key, "loop_id", "digest")
        # leaders and followers
        waiting = cases.c.state == literal("open")
        claimed = exists().where(reviews.c.case_id == cases.c.id, reviews.c.person.is_not(None))
        alike = select(cases.c.id).where(
            waiting, cases.c.leader_id.is_(None), cases.c.loop_id == bindparam("loop_id"),
            cases.c.likeness == bindparam("likeness"), cases.c.likeness.is_not(None), ~claimed,
        )  # fmt: skip
        self.alike = self._add(limited(alike.order_by(cases.c.opened_at, cases.c.id), ONE), "loop_id", "likeness")
        together = select(cases.c.id).where(
            cases.c.loop_id == bindparam("loop_id"), cases.c.cluster == bindparam("cluster"),
            cases.c.cluster.is_not(None),
        )  # fmt: skip
        newest = together.order_by(cases.c.opened_at.desc(), cases.c.id.desc())
        self.together = self._add(limited(newest, ONE), "loop_id", "cluster")
        with_it = (waiting, cases.c.leader_id == bindparam("leader"), cases.c.leader_id.is_not(None))
        self.followers = self._add(select(cases.c.id).where(*with_it).order_by(cases.c.id), "leader")
        one_case = update(cases).where(by_id)
        self.unlike = self._add(one_case.values(likeness=null(), cluster=null()), "case_id")
        self.part = self._add(one_case.values(leader_id=null()), "case_id")

    def _content(self) -> None:
        of_case = payloads.c.case_id == bindparam("case_id")
        slots = select(payloads.c.slot, payloads.c.commitment, payloads.c.body, payloads.c.salt).where(of_case)
        self.payloads = self._add(slots, "case_id")
        columns = ("case_id", "slot", "body", "size", "salt", "commitment")
        new = ("case_id", "slot", "n", *columns[2:])
        self.first_payloads = []  # one statement for each number of rows, whose arguments follow each other
        for count in range(1, SLOTS_AT_ONCE + 1):
            names = [[f"new_{name}_{i}" for name in new] for i in range(count)]
            rows: list[dict[str, Any]] = [dict(zip(new, map(bindparam, row), strict=True)) for row in names]
            statement = insert(payloads).values(rows).inline()
            self.first_payloads.append(self._add(statement, *(name for row in names for name in row)))
        number = select(func.coalesce(func.max(payloads.c.n), literal_column("-1")) + ONE)
        number = number.where(of_case, payloads.c.slot == bindparam("slot_of"))
        values = params(payloads, columns)
        statement = insert(payloads).values({**values, payloads.c.n: number.scalar_subquery()}).inline()
        order = ("new_case_id", "new_slot", "case_id", "slot_of", *(f"new_{n}" for n in columns[2:]))
        self.next_payload = self._add(statement, *order)
        self.erase = self._add(delete(payloads).where(of_case), "case_id")
        self.erase_drafts = self._add(delete(drafts).where(drafts.c.case_id == bindparam("case_id")), "case_id")
        key = (case_keys.c.loop_id == bindparam("of_loop"), case_keys.c.digest == bindparam("of_digest"))
        self.erase_key = self._add(update(case_keys).where(*key).values(erased=true()), "of_loop", "of_digest")

    def _reviews(self) -> None:
        self.new_review = self._insert(reviews, REVIEW_FIXED + REVIEW_MOVING)
        one_review = update(reviews).where(reviews.c.id == bindparam("review_id"))
        self.move_review = self._update(one_review, REVIEW_MOVING, "review_id")
        self.end_review = self._update(one_review, REVIEW_ENDING, "review_id")
        order = ("loop_id", "pool", "after_at", "after_id", "line", "person", "person")
        self.next_review = self._add(_candidates(1), *order)
        self.candidates = self._add(_candidates(CANDIDATES), *order)
        names = [f"id{i}" for i in range(CANDIDATES)]
        # Written so that the index of open reviews cannot serve: the planner would scan all of it for these few ids.
        still_open = func.lower(reviews.c.state) == literal("open")
        first = (
            select(reviews.c.id, reviews.c.case_id)
            .join(cases, cases.c.id == reviews.c.case_id)
            .where(reviews.c.id.in_([bindparam(name, type_=Text) for name in names]), still_open)
            .order_by(reviews.c.order_at, reviews.c.id)
        )
        locked = limited(first, ONE).with_for_update(of=(cases, reviews), skip_locked=True)
        self.lock_review = self._add(locked, *names)
        self.worked_closed = self._add(WORKED["closed"], "ended", "person", "since")
        self.worked_held = self._add(WORKED["held"], "person")
        self.worked_waiting = self._add(WORKED["waiting"], "person", "since")


# The constructs of the read side; what is not `live` is left out in one place, here


CASE_ROW = (
    "id", "loop", "mode", "state", "kind", "action", "route", "audited", "verdict", "by", "wrong", "effect",
    "confidence", "opened_at", "due_at", "closed_at",
)  # fmt: skip
BARE_REVIEW = (
    "id", "case_id", "kind", "pool", "round", "state", "due_at", "order_at", "opened_at", "person", "claim_id",
    "lease_until", "claimed_at", "answered_at",
)  # fmt: skip
ROUTE_ROW = ("id", "route", "audited", "inclusion", "wrong", "verdict", "by", "control", "score")
COUNTED = ("open", "decided", "closed", "human", "autopilot", "audited", "overdue")
EXAMPLE_ROW = (
    "id", "loop_id", "epoch", "pos", "case_id", "kind", "verdict", "wrong", "bin", "score", "inclusion", "at", "cap",
    "used_by",
)  # fmt: skip
CASE_COLUMNS = (*CASE_FIXED, *CASE_MOVING[:-1])  # all but the snapshot
REVIEW_COLUMNS = (*REVIEW_FIXED, *REVIEW_MOVING)
LOOP_COLUMNS = ("name", "mode", "version", "seq", "head")
MODEL = ("id", "loop_id", "version", "path", "sha256", "state", "examples", "metrics", "created_at")
LIVE = cases.c.kind == literal("live")
NOW: ColumnElement[int] = bindparam("now", type_=BigInteger)
AT = tuple_(bindparam("at", type_=BigInteger), bindparam("last", type_=Text))  # where the page before ended
OPENED_SINCE = (
    cases.c.loop_id == bindparam("loop_id"), LIVE, cases.c.opened_at >= bindparam("since", type_=BigInteger)
)  # fmt: skip


def _columns(table: Table, names: Sequence[str]) -> Select[Any]:
    return select(*(table.c[name] for name in names))


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, ONE), else_=NONE))


# Cases


_waits = exists().where(reviews.c.case_id == cases.c.id, reviews.c.state.in_([literal("open"), literal("claimed")]))


@cache
def list_cases(loop: bool, state: bool, decided: bool, kind: str | None, cursor: bool) -> Select[Any]:
    """Cases, newest first; each flag says whether that filter is on.

    What is decided is all that people have decided: most of it is closed by then.
    """
    statement = select(
        cases.c.id, loops.c.name, loops.c.mode, cases.c.state, cases.c.kind, cases.c.action, cases.c.route,
        cases.c.audited, cases.c.verdict, cases.c.by, cases.c.wrong, cases.c.effect, cases.c.score,
        cases.c.opened_at, cases.c.due_at, cases.c.closed_at,
    ).join(loops, loops.c.id == cases.c.loop_id)  # fmt: skip
    if loop:
        named = select(loops.c.id).where(loops.c.tenant == literal(""), loops.c.name == bindparam("loop"))
        statement = statement.where(cases.c.loop_id == named.scalar_subquery())
    if decided:
        statement = statement.where((cases.c.state == literal("decided")) | (cases.c.by == literal("human")))
    elif state:
        statement = statement.where(cases.c.state == bindparam("state"))
    if kind == "listed":
        statement = statement.where(LIVE | ((cases.c.kind == literal("probe")) & _waits))
    elif kind is not None:
        statement = statement.where(cases.c.kind == bindparam("kind"))
    if cursor:
        statement = statement.where(tuple_(cases.c.opened_at, cases.c.id) < AT)
    return limited(statement.order_by(cases.c.opened_at.desc(), cases.c.id.desc()))


@cache
def settled(count: int) -> Select[Any]:
    """Ids and how each of these cases was concluded."""
    return select(cases.c.id, cases.c.by).where(cases.c.id.in_([bindparam(f"id{i}") for i in range(count)]))


ROUTE_ROWS = (
    _columns(cases, ROUTE_ROW).where(cases.c.loop_id == bindparam("loop_id"), LIVE)
    .order_by(cases.c.opened_at, cases.c.id)
)  # fmt: skip

# Cases somebody should have looked at by now: one that is held after its time has only its reviews to say so.
# A select for each state, because the partial indexes are by state.
_late = select(reviews.c.case_id).where(reviews.c.loop_id == bindparam("loop_id"), reviews.c.due_at < NOW)
_late_cases = union_all(*(_late.where(reviews.c.state == literal(state)) for state in ("open", "claimed")))
CASE_COUNTS = select(  # what `COUNTED` names, of one loop
    _how_many(cases.c.state == literal("open")), _how_many(cases.c.state == literal("decided")),
    _how_many(cases.c.state == literal("closed")), _how_many(cases.c.route == literal("human")),
    _how_many(cases.c.route == literal("autopilot")), _how_many(cases.c.audited),
    _how_many((cases.c.state == literal("open")) & (cases.c.due_at < NOW) | cases.c.id.in_(_late_cases)),
).where(cases.c.loop_id == bindparam("loop_id"), LIVE)  # fmt: skip

# Live cases since a time, counted by route and risk.
ARRIVALS = (
    select(cases.c.route, cases.c.risk, func.count(), _how_many(cases.c.audited))
    .where(*OPENED_SINCE, cases.c.origin == literal("live"))
    .group_by(cases.c.route, cases.c.risk)
)

# Cases since a time that have a duplicate: likeness, risk, opened when, taken when.
_comparable = (cases.c.origin == literal("live"), cases.c.likeness.is_not(None))
_several = select(cases.c.likeness).where(*OPENED_SINCE, *_comparable).group_by(cases.c.likeness)
_taken = select(func.min(reviews.c.claimed_at)).where(reviews.c.case_id == cases.c.id, reviews.c.person.is_not(None))
REPEATS = (
    select(cases.c.likeness, cases.c.risk, cases.c.opened_at, _taken.scalar_subquery())
    .where(*OPENED_SINCE, *_comparable, cases.c.likeness.in_(_several.having(func.count() > ONE)))
    .order_by(cases.c.opened_at, cases.c.id)
)

# How many cases people were to see since a time, the newest so many, and the sum of their clusters' squared sizes.
NEWEST_SEEN = 2_000


@cache
def sizes(by_segment: bool) -> Select[Any]:
    """Of a loop, or of one segment of it."""
    seen = select(cases.c.cluster).where(
        *OPENED_SINCE, cases.c.cluster.is_not(None), (cases.c.route == literal("human")) | cases.c.audited
    )  # fmt: skip
    if by_segment:
        seen = seen.where(cases.c.segment == bindparam("segment"))
    newest = limited(seen.order_by(cases.c.opened_at.desc()), literal_column(str(NEWEST_SEEN))).subquery()
    size = select(func.count().label("size")).select_from(newest).group_by(newest.c.cluster).subquery()
    return select(func.sum(size.c.size), func.sum(size.c.size * size.c.size))


# How many open followers a case has.
FOLLOWING = select(func.count()).select_from(cases).where(
    cases.c.leader_id == bindparam("case_id"), cases.c.state == literal("open"), cases.c.leader_id.is_not(None)
)  # fmt: skip

# Cases, and reviews with their case, by the beginning of their id.
_LIKE: ColumnElement[str] = bindparam("like", type_=Text)
CASES_NAMED = limited(select(cases.c.id).where(cases.c.id.like(_LIKE)).order_by(cases.c.id))
REVIEWS_NAMED = limited(select(reviews.c.id, reviews.c.case_id).where(reviews.c.id.like(_LIKE)).order_by(reviews.c.id))

OF_RUN = select(cases.c.id).where(
    cases.c.run.is_not(None), cases.c.run == bindparam("run", type_=Text), cases.c.loop_id == bindparam("loop_id")
).order_by(cases.c.id)  # fmt: skip

# Microseconds from claim to answer in the newest cases that people saw; the partial index needs a person.
_shown = (cases.c.route == literal("human")) | cases.c.audited
_newest = limited(select(cases.c.id).where(*OPENED_SINCE, _shown).order_by(cases.c.opened_at.desc())).subquery()
HANDLING = (
    select(reviews.c.person, reviews.c.answered_at - reviews.c.claimed_at)
    .select_from(_newest.join(reviews, reviews.c.case_id == _newest.c.id))
    .where(reviews.c.person.is_not(None) & (reviews.c.state.in_([literal("answered"), literal("passed")])))
)

# The same with the times themselves, probes included; and what one person has answered or holds by risk of the case.
_since = (cases.c.loop_id == bindparam("loop_id"), cases.c.opened_at >= bindparam("since", type_=BigInteger))
_latest = limited(select(cases.c.id).where(*_since, _shown).order_by(cases.c.opened_at.desc())).subquery()
TIMES = (
    select(reviews.c.person, reviews.c.claimed_at, reviews.c.answered_at)
    .select_from(_latest.join(reviews, reviews.c.case_id == _latest.c.id))
    .where(reviews.c.person.is_not(None) & (reviews.c.state == literal("answered")))
)


# Each by an index of its own: cases by their end, held reviews by their lease, and what is answered in cases that still
# ask somebody by the queue.
_own = reviews.alias("own")
_mine = _own.c.person.is_not(None) & (_own.c.person == bindparam("person", type_=Text))
_done = (_own.c.state == literal("answered")) & (_own.c.answered_at >= bindparam("since", type_=BigInteger))
_everywhere = select(loops.c.id)
WORKED = {
    "closed": select(_own.c.id, cases.c.risk)
    .select_from(cases.join(_own, _own.c.case_id == cases.c.id))
    .where(cases.c.loop_id.in_(_everywhere), cases.c.closed_at >= bindparam("ended", type_=BigInteger), _mine, _done),
    "held": select(_own.c.id, cases.c.risk)
    .select_from(_own.join(cases, cases.c.id == _own.c.case_id))
    .where((_own.c.state == literal("claimed")) & (_own.c.lease_until > NONE), _mine),
    "waiting": select(_own.c.id, cases.c.risk)
    .select_from(reviews.join(_own, _own.c.case_id == reviews.c.case_id).join(cases, cases.c.id == reviews.c.case_id))
    .where(reviews.c.loop_id.in_(_everywhere), reviews.c.state == literal("open"), _mine, _done),
}


# Probes and training cases: those closed since a time, and how many probes were opened.
_of_loop, _probe = cases.c.loop_id == bindparam("loop_id"), cases.c.kind == literal("probe")
_made = cases.c.kind.in_([literal("probe"), literal("practice")])
PROBES = (
    select(cases.c.id, cases.c.seq)
    .where(_of_loop, cases.c.closed_at >= bindparam("since", type_=BigInteger), cases.c.closed_at.is_not(None), _made)
    .order_by(cases.c.closed_at, cases.c.id)
)
PROBES_OF = select(cases.c.id).where(
    _of_loop, _made, cases.c.parent_id == bindparam("case_id"),
    exists().where(payloads.c.case_id == cases.c.id),
)  # fmt: skip
_asked = select(reviews.c.case_id).where(reviews.c.loop_id == bindparam("loop_id"))
_waiting = union_all(*(_asked.where(reviews.c.state == literal(state)) for state in ("open", "claimed")))
PROBES_WAITING = (  # by what they look like in the counts
    select(cases.c.state, cases.c.route, func.count()).where(cases.c.id.in_(_waiting), _probe)
    .group_by(cases.c.state, cases.c.route)
)  # fmt: skip
PROBES_OPENED = select(func.count()).select_from(cases).where(
    _of_loop, cases.c.opened_at >= bindparam("since", type_=BigInteger), _probe
)  # fmt: skip

# The slots that a list of cases shows; of a large one only how it begins.
_start = func.substr(payloads.c.body, ONE, bindparam("begins", type_=Integer))
_body = case((payloads.c.size <= bindparam("most", type_=BigInteger), payloads.c.body), else_=_start)
GLANCE = select(payloads.c.slot, payloads.c.commitment, _body, payloads.c.salt, payloads.c.size).where(
    payloads.c.case_id == bindparam("owner"), payloads.c.slot.in_([literal("input"), literal("candidates")])
)

CASE = _columns(cases, CASE_COLUMNS).where(cases.c.id == bindparam("case_id"))
KEY_COUNT = select(func.count()).select_from(case_keys)
KEY_ROWS = limited(
    select(case_keys.c.loop_id, case_keys.c.digest, case_keys.c.case_id)
    .where(
        tuple_(case_keys.c.loop_id, case_keys.c.digest)
        > tuple_(bindparam("after_loop", type_=BigInteger), bindparam("after_digest", type_=Text))
    )
    .order_by(case_keys.c.loop_id, case_keys.c.digest)
)


# Reviews


_queue: Select[Any] = (
    select(reviews.c.order_at, reviews.c.id, cases.c.snapshot)
    .join(cases, cases.c.id == reviews.c.case_id)
    .where(tuple_(reviews.c.order_at, reviews.c.id) > AT)
)
_queue = limited(_queue.order_by(reviews.c.order_at, reviews.c.id))


@cache
def inbox(person: bool) -> Select[Any]:
    """Open reviews of one pool in queue order; with a person, those the person may take."""
    of_pool = (reviews.c.loop_id == bindparam("loop_id"), reviews.c.pool == bindparam("pool"))
    allowed = takeable() if person else reviews.c.state == literal("open")
    return _queue.where(*of_pool, allowed)


# Reviews a person holds.
HELD = _queue.where(reviews.c.state == literal("claimed"), reviews.c.person == bindparam("person"))

# One review and what a list needs of its case by their columns alone, for a case that cannot be read.
REVIEW_WITHOUT_CASE = (
    select(
        loops.c.name, loops.c.mode, cases.c.action, cases.c.risk, cases.c.score,
        *(reviews.c[name] for name in BARE_REVIEW),
    )
    .select_from(reviews).join(cases, cases.c.id == reviews.c.case_id)
    .join(loops, loops.c.id == cases.c.loop_id)
    .where(reviews.c.id == bindparam("review_id"))
)  # fmt: skip

CLAIMED_COUNT = select(func.count()).select_from(reviews).where(
    reviews.c.state == literal("claimed"), reviews.c.loop_id == bindparam("loop_id")
)  # fmt: skip
REVIEW = _columns(reviews, REVIEW_COLUMNS).where(reviews.c.id == bindparam("review_id"))
REVIEW_COUNT = select(func.count()).select_from(reviews)
REVIEW_IDS = limited(
    select(reviews.c.id, reviews.c.case_id).where(reviews.c.id > bindparam("after")).order_by(reviews.c.id)
)


# Entries and content


# The entries of a stream, with the one before the first as well.
READ_ENTRIES = limited(
    select(entries.c.seq, entries.c.body, entries.c.hash, feed.c.pos)
    .outerjoin(feed, feed.c.entry_id == entries.c.id)
    .where(entries.c.stream == bindparam("stream"), entries.c.seq >= bindparam("after"))
    .order_by(entries.c.seq)
)

# Stream names after a name; every stream has an entry 1.
STREAMS = limited(
    select(entries.c.stream)
    .where(entries.c.seq == ONE, entries.c.stream > bindparam("after"))
    .order_by(entries.c.stream)
)

# The payload rows of a case or stream, as they are stored.
SLOTS = (
    select(payloads.c.slot, payloads.c.n, payloads.c.body, payloads.c.salt, payloads.c.commitment)
    .where(payloads.c.case_id == bindparam("owner"))
    .order_by(payloads.c.slot, payloads.c.n)
)

# How many entries have no position, and when the oldest of them was written.
UNPLACED: Any = (
    select(func.count(), func.min(entries.c.at))
    .select_from(entries.outerjoin(feed, feed.c.entry_id == entries.c.id))
    .where(feed.c.pos.is_(None))
)


@cache
def misplaced(*order: ColumnElement[Any]) -> Select[Any]:
    """Entries in commit order whose number is not their position, up to the last position given."""
    number = func.row_number().over(order_by=order).label("number")
    numbered = select(entries.c.stream, entries.c.seq, feed.c.pos, number)
    ranked = numbered.outerjoin(feed, feed.c.entry_id == entries.c.id).subquery()
    last = select(func.max(feed.c.pos)).scalar_subquery()
    wrong = ranked.c.pos.is_distinct_from(ranked.c.number) & (ranked.c.pos.is_not(None) | (ranked.c.number <= last))
    return limited(select(ranked.c.stream, ranked.c.seq).where(wrong).order_by(ranked.c.number))


# Loops and learning


ALL_LOOPS = select(loops.c.id, loops.c.seq, loops.c.control).order_by(loops.c.name)
LOOP = _columns(loops, LOOP_COLUMNS).where(loops.c.id == bindparam("loop_id"))


@cache
def list_examples(unused: bool) -> Select[Any]:
    """Examples of a loop by id."""
    statement = _columns(examples, EXAMPLE_ROW)
    statement = statement.where(examples.c.loop_id == bindparam("loop_id"), examples.c.id > bindparam("after"))
    if unused:
        statement = statement.where(examples.c.used_by.is_(None))
    return limited(statement.order_by(examples.c.id))


# Examples that no model learned from: how many a loop has, and loop names with how many of theirs.
UNFED_COUNT = select(func.count()).select_from(examples).where(
    examples.c.used_by.is_(None), examples.c.loop_id == bindparam("loop_id")
)  # fmt: skip
UNFED = (
    select(loops.c.name, func.count())
    .join(examples, examples.c.loop_id == loops.c.id)
    .where(examples.c.used_by.is_(None))
    .group_by(loops.c.name)
    .order_by(loops.c.name)
)

# Models of a loop, newest first.
MODELS = (
    _columns(models, MODEL).where(models.c.loop_id == bindparam("loop_id"))
    .order_by(models.c.created_at.desc(), models.c.id.desc())
)  # fmt: skip
