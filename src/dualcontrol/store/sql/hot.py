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
    Select,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    null,
    select,
    true,
    tuple_,
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
    loops,
    payloads,
    reviews,
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
