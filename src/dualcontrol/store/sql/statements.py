"""The hot statements: SQLAlchemy Core constructs, compiled once per dialect, run through the driver's own cursor.

Core at run time costs two to four times the driver alone; compiled here it costs nothing.
Parameters are positional: each statement is declared with the order of its arguments, which is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Table,
    Text,
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
    sessions,
)

CASE_FIXED = (  # but for leader_id, which is taken away when a case and its leader part
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


def literal(text: str) -> ColumnElement[str]:
    """A constant in the SQL text itself, so that partial indexes on it can be used."""
    return literal_column(f"'{text}'")


def rendered(dialect: SqlDialect, construct: ClauseElement) -> tuple[str, tuple[str, ...]]:
    """The construct's text, and the names of its parameters in the order in which they come."""
    done = cast(SQLCompiler, construct.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))
    return str(done), tuple(done.positiontup or ())


def compiled(dialect: SqlDialect, construct: ClauseElement, *order: str) -> str:
    """The construct's text; raises when its parameters do not come in this order."""
    text, found = rendered(dialect, construct)
    if found != order:
        raise AssertionError(f"parameters {found} where {order} are given: {text}")
    return text


def given(table: Table, columns: Sequence[str]) -> dict[Any, Any]:
    """Columns and a parameter ``new_<column>`` for each."""
    return {table.c[name]: bindparam(f"new_{name}") for name in columns}


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
    return (
        select(reviews.c.order_at, reviews.c.id, reviews.c.case_id)
        .where(reviews.c.loop_id == bindparam("loop_id"), reviews.c.pool == bindparam("pool"))
        .where(queued > tuple_(bindparam("after_at", type_=BigInteger), bindparam("after_id", type_=Text)), takeable())
        .order_by(reviews.c.order_at, reviews.c.id)
        .limit(literal_column(str(limit)))
        .offset(literal_column("0"))
    )


def _locked(count: int) -> Select[Any]:
    ids = [bindparam(f"id{i}", type_=Text) for i in range(count)]
    # Written so that the index of open reviews cannot serve: the planner would scan all of it for these few ids.
    still_open = func.lower(reviews.c.state) == literal("open")
    return (
        select(reviews.c.id, reviews.c.case_id)
        .join(cases, cases.c.id == reviews.c.case_id)
        .where(reviews.c.id.in_(ids), still_open)
        .order_by(reviews.c.order_at, reviews.c.id)
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .with_for_update(of=(cases, reviews), skip_locked=True)
    )


class Statements:
    """Statements of one dialect, compiled when this is made."""

    def __init__(self, dialect: SqlDialect) -> None:
        self._dialect = dialect
        self._compile()

    def _compile(self) -> None:
        raise NotImplementedError

    def _add(self, construct: ClauseElement, *order: str) -> str:
        return compiled(self._dialect, construct, *order)

    def _insert(self, table: Table, columns: Sequence[str]) -> str:
        values = given(table, columns)
        return self._add(insert(table).values(values).inline(), *(f"new_{name}" for name in columns))

    def _insert_many(self, table: Table, columns: Sequence[str], count: int) -> str:
        """One statement for several rows, whose arguments follow each other."""
        names = [[f"new_{name}_{i}" for name in columns] for i in range(count)]
        values: list[dict[str, Any]] = [dict(zip(columns, map(bindparam, row), strict=True)) for row in names]
        return self._add(insert(table).values(values).inline(), *(name for row in names for name in row))


class Hot(Statements):
    """What every step runs: load, save, take."""

    def _compile(self) -> None:
        self._cases()
        self._content()
        self._reviews()
        self._streams()

    def _cases(self) -> None:
        by_id = cases.c.id == bindparam("case_id")
        row = select(cases.c.seq, cases.c.head, cases.c.snapshot, loops.c.version, loops.c.seq).where(by_id)
        row = row.join(loops, loops.c.id == cases.c.loop_id)
        self.case = self._add(row, "case_id")
        self.case_locked = self._add(row.with_for_update(of=cases), "case_id")
        self.case_head = self._add(select(cases.c.seq, cases.c.head).where(by_id).with_for_update(), "case_id")
        self.new_case = self._insert(cases, (*CASE_FIXED, *CASE_MOVING, "likeness"))
        guarded = update(cases).where(by_id, cases.c.seq == bindparam("expected"))
        moved = guarded.ordered_values(*given(cases, CASE_MOVING).items())
        self.move_case = self._add(moved, *(f"new_{n}" for n in CASE_MOVING), "case_id", "expected")
        noted = guarded.ordered_values(*given(cases, CASE_NOTED).items())
        self.note_case = self._add(noted, *(f"new_{n}" for n in CASE_NOTED), "case_id", "expected")
        self.new_key = self._insert(case_keys, ("loop_id", "digest", "case_id", "fingerprint"))
        found = select(case_keys.c.case_id, case_keys.c.fingerprint, case_keys.c.erased)
        found = found.where(case_keys.c.loop_id == bindparam("loop_id"), case_keys.c.digest == bindparam("digest"))
        self.key = self._add(found, "loop_id", "digest")
        self._joining()

    def _joining(self) -> None:
        waiting = cases.c.state == literal("open")
        taken = exists().where(reviews.c.case_id == cases.c.id, reviews.c.person.is_not(None))
        alike = select(cases.c.id).where(
            waiting, cases.c.leader_id.is_(None), cases.c.loop_id == bindparam("loop_id"),
            cases.c.likeness == bindparam("likeness"), cases.c.likeness.is_not(None), ~taken,
        )  # fmt: skip
        first = alike.order_by(cases.c.opened_at, cases.c.id).limit(literal_column("1")).offset(literal_column("0"))
        self.alike = self._add(first, "loop_id", "likeness")
        with_it = (waiting, cases.c.leader_id == bindparam("leader"), cases.c.leader_id.is_not(None))
        self.followers = self._add(select(cases.c.id).where(*with_it).order_by(cases.c.id), "leader")
        by_id = update(cases).where(cases.c.id == bindparam("case_id"))
        self.unlike = self._add(by_id.values(likeness=null()), "case_id")
        self.part = self._add(by_id.values(leader_id=null()), "case_id")

    def _content(self) -> None:
        of_case = payloads.c.case_id == bindparam("case_id")
        kept = select(payloads.c.slot, payloads.c.commitment, payloads.c.body, payloads.c.salt).where(of_case)
        self.payloads = self._add(kept, "case_id")
        columns = ("case_id", "slot", "body", "size", "salt", "commitment")
        new = ("case_id", "slot", "n", *columns[2:])
        self.first_payloads = [self._insert_many(payloads, new, count) for count in range(1, SLOTS_AT_ONCE + 1)]
        again = select(func.coalesce(func.max(payloads.c.n), literal_column("-1")) + literal_column("1"))
        again = again.where(of_case, payloads.c.slot == bindparam("slot_of"))
        values = given(payloads, columns)
        statement = insert(payloads).values({**values, payloads.c.n: again.scalar_subquery()}).inline()
        order = ("new_case_id", "new_slot", "case_id", "slot_of", *(f"new_{n}" for n in columns[2:]))
        self.next_payload = self._add(statement, *order)
        self.erase = self._add(delete(payloads).where(of_case), "case_id")
        self.erase_drafts = self._add(delete(drafts).where(drafts.c.case_id == bindparam("case_id")), "case_id")
        key = (case_keys.c.loop_id == bindparam("of_loop"), case_keys.c.digest == bindparam("of_digest"))
        self.erase_key = self._add(update(case_keys).where(*key).values(erased=true()), "of_loop", "of_digest")

    def _reviews(self) -> None:
        self.new_review = self._insert(reviews, REVIEW_FIXED + REVIEW_MOVING)
        moved = update(reviews).where(reviews.c.id == bindparam("review_id"))
        moved = moved.ordered_values(*given(reviews, REVIEW_MOVING).items())
        self.move_review = self._add(moved, *(f"new_{n}" for n in REVIEW_MOVING), "review_id")
        ended = update(reviews).where(reviews.c.id == bindparam("review_id"))
        ended = ended.ordered_values(*given(reviews, REVIEW_ENDING).items())
        self.end_review = self._add(ended, *(f"new_{n}" for n in REVIEW_ENDING), "review_id")
        order = ("loop_id", "pool", "after_at", "after_id", "line", "person", "person")
        self.next_review = self._add(_candidates(1), *order)
        self.candidates = self._add(_candidates(CANDIDATES), *order)
        self.lock_review = self._add(_locked(CANDIDATES), *(f"id{i}" for i in range(CANDIDATES)))

    def _streams(self) -> None:
        self.new_entry = self._insert(entries, ("loop_id", "stream", "seq", "at", "actor", "body", "hash"))
        self.new_example = self._insert(examples, EXAMPLE)
        named = (loops.c.tenant == literal(""), loops.c.name == bindparam("loop"))
        self.loop_id = self._add(select(loops.c.id).where(*named), "loop")
        self.loop = self._add(select(loops.c.id, loops.c.version, loops.c.seq).where(*named), "loop")
        self.control = self._add(select(loops.c.control).where(loops.c.id == bindparam("loop_id")), "loop_id")


# The constructs of the read side; what is not `live` is left out in one place, here.


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
ONE: ColumnElement[int] = literal_column("1")
NONE: ColumnElement[int] = literal_column("0")
LIVE = cases.c.kind == literal("live")


def _rows(statement: Select[Any]) -> Select[Any]:
    return statement.limit(bindparam("rows", type_=Integer)).offset(NONE)


def _at() -> ColumnElement[Any]:
    return tuple_(bindparam("at", type_=BigInteger), bindparam("last", type_=Text))


def list_cases(loop: bool, state: bool, decided: bool, kind: bool, cursor: bool) -> Select[Any]:
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
    if kind:
        statement = statement.where(cases.c.kind == bindparam("kind"))
    if cursor:
        statement = statement.where(tuple_(cases.c.opened_at, cases.c.id) < _at())
    return _rows(statement.order_by(cases.c.opened_at.desc(), cases.c.id.desc()))


def settled(count: int) -> Select[Any]:
    """Ids and how each of these cases was concluded."""
    return select(cases.c.id, cases.c.by).where(cases.c.id.in_([bindparam(f"id{i}") for i in range(count)]))


def route_rows() -> Select[Any]:
    """One small row a case, in opening order."""
    columns = [cases.c[name] for name in ROUTE_ROW]
    statement = select(*columns).where(cases.c.loop_id == bindparam("loop_id"), LIVE)
    return statement.order_by(cases.c.opened_at, cases.c.id)


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((condition, ONE), else_=NONE))


def case_counts() -> Select[Any]:
    """What `COUNTED` names, of one loop."""
    overdue = (cases.c.state == literal("open")) & (cases.c.due_at < _now()) | cases.c.id.in_(_late())
    return select(
        _how_many(cases.c.state == literal("open")), _how_many(cases.c.state == literal("decided")),
        _how_many(cases.c.state == literal("closed")), _how_many(cases.c.route == literal("human")),
        _how_many(cases.c.route == literal("autopilot")), _how_many(cases.c.audited), _how_many(overdue),
    ).where(cases.c.loop_id == bindparam("loop_id"), LIVE)  # fmt: skip


def arrivals() -> Select[Any]:
    """Live cases since a time, counted by route and risk."""
    counted = (func.count(), _how_many(cases.c.audited))
    statement = select(cases.c.route, cases.c.risk, *counted).where(*_opened_since(), cases.c.origin == literal("live"))
    return statement.group_by(cases.c.route, cases.c.risk)


def repeats() -> Select[Any]:
    """Cases since a time that ask what another of them asks: what, which risk, opened when, taken when."""
    alike = (cases.c.origin == literal("live"), cases.c.likeness.is_not(None))
    several = select(cases.c.likeness).where(*_opened_since(), *alike).group_by(cases.c.likeness)
    several = several.having(func.count() > ONE)
    taken = select(func.min(reviews.c.claimed_at)).where(reviews.c.case_id == cases.c.id, reviews.c.person.is_not(None))
    statement = select(cases.c.likeness, cases.c.risk, cases.c.opened_at, taken.scalar_subquery())
    statement = statement.where(*_opened_since(), *alike, cases.c.likeness.in_(several))
    return statement.order_by(cases.c.opened_at, cases.c.id)


def session() -> Select[Any]:
    """A browser's session while it has time left."""
    left = sessions.c.expires_at > bindparam("now", type_=BigInteger)
    return select(ONE).select_from(sessions).where(sessions.c.digest == bindparam("digest"), left)


def following() -> Select[Any]:
    """How many open cases wait with one."""
    waiting = (cases.c.state == literal("open"), cases.c.leader_id.is_not(None))
    return select(func.count()).select_from(cases).where(cases.c.leader_id == bindparam("case_id"), *waiting)


def cases_named() -> Select[Any]:
    """Cases by the beginning of their id."""
    return _rows(select(cases.c.id).where(cases.c.id.like(bindparam("like", type_=Text))).order_by(cases.c.id))


def reviews_named() -> Select[Any]:
    """Reviews by the beginning of their id, with their case."""
    alike = reviews.c.id.like(bindparam("like", type_=Text))
    return _rows(select(reviews.c.id, reviews.c.case_id).where(alike).order_by(reviews.c.id))


def of_run() -> Select[Any]:
    """The cases of a named run of a loop."""
    asked = (cases.c.run == bindparam("run", type_=Text), cases.c.loop_id == bindparam("loop_id"))
    return select(cases.c.id).where(cases.c.run.is_not(None), *asked).order_by(cases.c.id)


def handling() -> Select[Any]:
    """Microseconds from claim to answer in the newest cases that people saw; the partial index needs a person."""
    seen = (cases.c.route == literal("human")) | cases.c.audited
    newest = _rows(select(cases.c.id).where(*_opened_since(), seen).order_by(cases.c.opened_at.desc())).subquery()
    over = reviews.c.person.is_not(None) & (reviews.c.state.in_([literal("answered"), literal("passed")]))
    statement = select(reviews.c.answered_at - reviews.c.claimed_at)
    return statement.select_from(newest.join(reviews, reviews.c.case_id == newest.c.id)).where(over)


def _opened_since() -> tuple[ColumnElement[bool], ...]:
    since = cases.c.opened_at >= bindparam("since", type_=BigInteger)
    return (cases.c.loop_id == bindparam("loop_id"), LIVE, since)


def _now() -> ColumnElement[Any]:
    return bindparam("now", type_=BigInteger)


def _late() -> CompoundSelect[Any]:
    """Cases somebody should have looked at by now: one that is held after its time has only its reviews to say so.

    A select for each state, because the partial indexes are by state.
    """
    late = select(reviews.c.case_id).where(reviews.c.loop_id == bindparam("loop_id"), reviews.c.due_at < _now())
    return union_all(*(late.where(reviews.c.state == literal(state)) for state in ("open", "claimed")))


def claimed_count() -> Select[Any]:
    """Reviews somebody holds."""
    held = (reviews.c.state == literal("claimed"), reviews.c.loop_id == bindparam("loop_id"))
    return select(func.count()).select_from(reviews).where(*held)


def unfed_count() -> Select[Any]:
    """Examples of a loop that no model learned from."""
    unused = (examples.c.used_by.is_(None), examples.c.loop_id == bindparam("loop_id"))
    return select(func.count()).select_from(examples).where(*unused)


def unfed() -> Select[Any]:
    """Loop names and how many of their examples no model learned from."""
    statement = select(loops.c.name, func.count()).join(examples, examples.c.loop_id == loops.c.id)
    return statement.where(examples.c.used_by.is_(None)).group_by(loops.c.name).order_by(loops.c.name)


def _queued() -> Select[Any]:
    statement = select(reviews.c.order_at, reviews.c.id, cases.c.snapshot)
    statement = statement.join(cases, cases.c.id == reviews.c.case_id)
    statement = statement.where(tuple_(reviews.c.order_at, reviews.c.id) > _at())
    return _rows(statement.order_by(reviews.c.order_at, reviews.c.id))


def inbox(person: bool) -> Select[Any]:
    """Open reviews of one pool in queue order; with a person, those the person may take."""
    of_pool = (reviews.c.loop_id == bindparam("loop_id"), reviews.c.pool == bindparam("pool"))
    allowed = takeable() if person else reviews.c.state == literal("open")
    return _queued().where(*of_pool, allowed)


def bare_review() -> Select[Any]:
    """One review and what a list needs of its case by their columns alone, for a case that cannot be read."""
    columns = [reviews.c[name] for name in BARE_REVIEW]
    statement = select(loops.c.name, loops.c.mode, cases.c.action, cases.c.risk, cases.c.score, *columns)
    statement = statement.select_from(reviews).join(cases, cases.c.id == reviews.c.case_id)
    statement = statement.join(loops, loops.c.id == cases.c.loop_id)
    return statement.where(reviews.c.id == bindparam("review_id"))


def held() -> Select[Any]:
    """Reviews a person holds."""
    return _queued().where(reviews.c.state == literal("claimed"), reviews.c.person == bindparam("person"))


def read_entries() -> Select[Any]:
    """The entries of a stream, with the one before the first as well."""
    statement = select(entries.c.seq, entries.c.body, entries.c.hash, feed.c.pos)
    statement = statement.outerjoin(feed, feed.c.entry_id == entries.c.id)
    statement = statement.where(entries.c.stream == bindparam("stream"), entries.c.seq >= bindparam("after"))
    return _rows(statement.order_by(entries.c.seq))


def streams() -> Select[Any]:
    """Stream names after a name; every stream has an entry 1."""
    statement = select(entries.c.stream).where(entries.c.seq == ONE, entries.c.stream > bindparam("after"))
    return _rows(statement.order_by(entries.c.stream))


def slots() -> Select[Any]:
    """The payload rows of a case or stream, as they are stored."""
    columns = (payloads.c.slot, payloads.c.n, payloads.c.body, payloads.c.salt, payloads.c.commitment)
    statement = select(*columns).where(payloads.c.case_id == bindparam("owner"))
    return statement.order_by(payloads.c.slot, payloads.c.n)


def glance() -> Select[Any]:
    """The slots that a list of cases goes by; of a large one only how it begins."""
    start = func.substr(payloads.c.body, literal_column("1"), bindparam("begins", type_=Integer))
    body = case((payloads.c.size <= bindparam("most", type_=BigInteger), payloads.c.body), else_=start)
    statement = select(payloads.c.slot, payloads.c.commitment, body, payloads.c.salt, payloads.c.size)
    listed = payloads.c.slot.in_([literal("input"), literal("candidates")])
    return statement.where(payloads.c.case_id == bindparam("owner"), listed)


def unplaced() -> Select[Any]:
    """How many entries have no position, and when the oldest of them was written."""
    without = entries.outerjoin(feed, feed.c.entry_id == entries.c.id)
    measured: Any = select(func.count(), func.min(entries.c.at)).select_from(without)
    found: Select[Any] = measured.where(feed.c.pos.is_(None))
    return found


def key_count() -> Select[Any]:
    """How many rows there are for keys."""
    return select(func.count()).select_from(case_keys)


def key_rows() -> Select[Any]:
    """Keys and their cases, after one of them."""
    place = tuple_(case_keys.c.loop_id, case_keys.c.digest)
    after = tuple_(bindparam("after_loop", type_=BigInteger), bindparam("after_digest", type_=Text))
    statement = select(case_keys.c.loop_id, case_keys.c.digest, case_keys.c.case_id).where(place > after)
    return _rows(statement.order_by(case_keys.c.loop_id, case_keys.c.digest))


def all_loops() -> Select[Any]:
    """Every loop's control with its id and sequence number."""
    return select(loops.c.id, loops.c.seq, loops.c.control).order_by(loops.c.name)


def loop_columns() -> Select[Any]:
    """What a loop's row says beside its control."""
    return select(*(loops.c[name] for name in LOOP_COLUMNS)).where(loops.c.id == bindparam("loop_id"))


def case_columns() -> Select[Any]:
    """Every column of a case but its snapshot."""
    return select(*(cases.c[name] for name in CASE_COLUMNS)).where(cases.c.id == bindparam("case_id"))


def review_columns() -> Select[Any]:
    """Every column of a review."""
    return select(*(reviews.c[name] for name in REVIEW_COLUMNS)).where(reviews.c.id == bindparam("review_id"))


def review_count() -> Select[Any]:
    """How many rows there are for reviews."""
    return select(func.count()).select_from(reviews)


def review_ids() -> Select[Any]:
    """Reviews and their cases, after an id."""
    statement = select(reviews.c.id, reviews.c.case_id).where(reviews.c.id > bindparam("after"))
    return _rows(statement.order_by(reviews.c.id))


def misplaced(*order: ColumnElement[Any]) -> Select[Any]:
    """Entries in commit order whose number is not their position, up to the last position given."""
    number = func.row_number().over(order_by=order).label("number")
    numbered = select(entries.c.stream, entries.c.seq, feed.c.pos, number)
    ranked = numbered.outerjoin(feed, feed.c.entry_id == entries.c.id).subquery()
    last = select(func.max(feed.c.pos)).scalar_subquery()
    wrong = ranked.c.pos.is_distinct_from(ranked.c.number) & (ranked.c.pos.is_not(None) | (ranked.c.number <= last))
    return _rows(select(ranked.c.stream, ranked.c.seq).where(wrong).order_by(ranked.c.number))


def list_examples(unused: bool) -> Select[Any]:
    """Examples of a loop by id."""
    statement = select(*(examples.c[name] for name in EXAMPLE_ROW))
    statement = statement.where(examples.c.loop_id == bindparam("loop_id"), examples.c.id > bindparam("after"))
    if unused:
        statement = statement.where(examples.c.used_by.is_(None))
    return _rows(statement.order_by(examples.c.id))


def list_models() -> Select[Any]:
    """Models of a loop, newest first."""
    statement = select(*(models.c[name] for name in MODEL)).where(models.c.loop_id == bindparam("loop_id"))
    return statement.order_by(models.c.created_at.desc(), models.c.id.desc())
