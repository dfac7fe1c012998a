"""The ledger behind the writers: dense positions, the feed, and entries read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    update,
)

from dualcontrol.events import Entry, opened
from dualcontrol.store.sql.dialect import Dialect, Session, Write
from dualcontrol.store.sql.hot import Statements, literal
from dualcontrol.store.sql.schema import entries, examples, feed, loops

ONE: ColumnElement[int] = literal_column("1")
NONE: ColumnElement[int] = literal_column("0")


class LedgerStatements(Statements):
    """What the sequencer and the readers of the feed need."""

    def __init__(self, dialect: Dialect) -> None:
        self._rules = dialect
        super().__init__(dialect.sql)

    def _compile(self) -> None:
        last = select(feed.c.pos, entries.c.xid, entries.c.id).join(entries, entries.c.id == feed.c.entry_id)
        self.last = self._add(last.order_by(feed.c.pos.desc()).limit(ONE).offset(NONE))
        waiting = select(entries.c.id).where(self._rules.unsequenced()).limit(ONE).offset(NONE)
        self.waiting = self._add(waiting, *self._rules.position)
        self.place = self._place()
        self.place_examples = self._place_examples()
        self.feed = self._add(self._feed(), "after", "rows")
        of_loop = entries.c.loop_id == select(loops.c.id).where(
            loops.c.tenant == literal(""), loops.c.name == bindparam("loop")
        ).scalar_subquery()  # fmt: skip
        self.feed_of_loop = self._add(self._feed().where(of_loop), "after", "loop", "rows")

    def _place(self) -> str:
        """Number what is unsequenced, in commit order, after `base`."""
        number = func.row_number().over(order_by=self._rules.order) + bindparam("base", type_=BigInteger)
        found = select(number, entries.c.id).where(self._rules.unsequenced()).order_by(*self._rules.order)
        found = found.limit(bindparam("rows", type_=Integer)).offset(NONE)
        statement = insert(feed).from_select([feed.c.pos, feed.c.entry_id], found)
        return self._add(statement, "base", *self._rules.position, "rows")

    def _place_examples(self) -> str:
        """An example's position is that of its case's first entry, which holds `Routed`."""
        first = (
            select(feed.c.pos)
            .join(entries, entries.c.id == feed.c.entry_id)
            .where(entries.c.stream == literal("case/") + examples.c.case_id, entries.c.seq == ONE)
            .scalar_subquery()
        )
        # by loop, because the index of what is fresh begins with it
        unplaced = (examples.c.loop_id.in_(select(loops.c.id)), examples.c.pos.is_(None))
        return self._add(update(examples).where(*unplaced).values(pos=first))

    def _feed(self) -> Select[Any]:
        before = entries.alias("before")
        return (
            select(entries.c.body, before.c.hash, entries.c.hash, feed.c.pos)
            .select_from(feed)
            .join(entries, entries.c.id == feed.c.entry_id)
            .outerjoin(before, (before.c.stream == entries.c.stream) & (before.c.seq == entries.c.seq - ONE))
            .where(feed.c.pos > bindparam("after", type_=BigInteger))
            .order_by(feed.c.pos)
            .limit(bindparam("rows", type_=Integer))
            .offset(NONE)
        )


def last_position(session: Session, statements: LedgerStatements, names: Sequence[str]) -> tuple[int, list[Any]]:
    """The last position given, and where among the entries to go on from."""
    row = session.one(statements.last)
    if row is None:
        row = (0, "0", 0)
    known = {"last_xid": str(row[1]), "last_id": row[2]}
    return row[0], [known[name] for name in names]


def place(session: Session, statements: LedgerStatements, names: Sequence[str], limit: int) -> int:
    """Give the next entries their position, and the examples that waited for one."""
    base, position = last_position(session, statements, names)
    count = session.write(Write(statements.place, ((base, *position, limit),)))
    if count > 0:
        session.write(Write(statements.place_examples, ((),)))
    return max(count, 0)


def read_feed(session: Session, statements: LedgerStatements, after: int, limit: int, loop: str | None) -> list[Entry]:
    """Sequenced entries after a position."""
    if loop is None:
        found = session.all(statements.feed, (after, limit))
    else:
        found = session.all(statements.feed_of_loop, (after, loop, limit))
    return [opened(body, prev=prev or "", digest=digest, pos=pos) for body, prev, digest, pos in found]
