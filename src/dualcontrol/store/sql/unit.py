"""What every transaction and the store share: statements, caches, and how a batch is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dualcontrol.control import Control
from dualcontrol.events import Entry
from dualcontrol.store.sql.dialect import Dialect, Session, Write, raise_ours
from dualcontrol.store.sql.hot import Hot
from dualcontrol.store.sql.recent import Recent
from dualcontrol.store.sql.rows import contents_of
from dualcontrol.store.sql.seal import Sealed, seal

if TYPE_CHECKING:
    from dualcontrol.store.sql.streams import StreamStatements
    from dualcontrol.store.sql.work import WorkStatements


class Shared:
    """What outlives a transaction: a dialect, its statements, and what is known of loops."""

    def __init__(
        self, dialect: Dialect, streams: StreamStatements, work: WorkStatements, salt: Callable[[int], bytes]
    ) -> None:
        self.dialect, self.streams, self.work, self.salt = dialect, streams, work, salt
        self.hot = Hot(dialect.sql)
        self.loop_ids: dict[str, int] = {}
        self.controls: dict[str, Control] = {}
        self.recent = Recent()


class Unit:
    """One transaction's session, and what it has read so far."""

    def __init__(self, shared: Shared, session: Session) -> None:
        self._shared, self._session, self._hot = shared, session, shared.hot
        self._heads: dict[str, tuple[int, str]] = {}
        self._sealed_slots: list[Sealed] = []
        self._wrote_loops = False
        self._controls: dict[str, Control | None] = {}
        self.settled: list[str] = []  # the cases that get their outcome here; who waits is woken after the commit
        self.failed = False

    def _seal(self, entry: Entry) -> list[Sealed]:
        return seal(contents_of(entry), self._shared.salt)

    def _write(self, *batch: Write) -> int:
        """Write a batch; after a failure, part of it may stand, so the transaction can no longer commit."""
        try:
            return self._session.write(*batch)
        except Exception as error:
            self.failed = True
            raise_ours(self._shared.dialect, error)
