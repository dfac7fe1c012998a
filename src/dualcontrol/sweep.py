"""What time does: leases run out, response times pass, decisions take effect, effects are lost, relief moves.

What was joined to a case that is over is done as well, where it was not done with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from dualcontrol.commands import Command, Expire, Follow, LoseEffect, Settle, Timeout
from dualcontrol.errors import DualcontrolError, LedgerError, ReadOnlyError, StoreError
from dualcontrol.queue import Due
from dualcontrol.relief import relieve_all
from dualcontrol.step import Steps

log = logging.getLogger("dualcontrol")
Maker = Callable[[str, str | None], Command]
DUE: dict[str, Maker] = {
    "lease": lambda case, review: Expire(case_id=case, review_id=review or ""),
    "settle": lambda case, _: Settle(case_id=case),
    "case": lambda case, _: Timeout(case_id=case),
    "effect": lambda case, _: LoseEffect(case_id=case),
    "follow": lambda case, leader: Follow(case_id=case, leader=leader or ""),
}
# A transaction of the sweep: claims and answers wait for it on SQLite, answers to the very cases on PostgreSQL.
# A hundred small cases are 15 ms; the time counts where content is large or the machine is busy with something else.
AT_ONCE, LONGEST = 100, 0.1
REST = 0.004  # seconds between two, in which others get their turn
TELL_AGAIN = 3_600_000_000  # microseconds; a case that fails is due each second


def sweep(steps: Steps, kinds: tuple[str, ...] = tuple(DUE), *, seconds: float | None = None) -> int:
    """Carry out all that is due, or what can be done in about so many seconds; the pure stage checks each again.

    One case that fails stops no other.  Returns how many were carried out.
    """
    end = None if seconds is None else time.monotonic() + seconds
    done = sum(count for kind in kinds for count in _swept(steps, kind, end))
    relieve_all(steps)
    return done


def _swept(steps: Steps, kind: str, end: float | None) -> Iterator[int]:
    """How many were carried out, transaction by transaction, one at least; what comes to nothing is looked at once."""
    seen: set[Due] = set()
    while True:
        found = steps.carry_out(kind, DUE[kind], seen, AT_ONCE, LONGEST)
        if found is None:
            return
        yield found[0]
        for due in found[1]:
            yield _alone(steps, kind, due, seen)
            if _over(end):
                return
        if _over(end):
            return
        time.sleep(REST)


def _over(end: float | None) -> bool:
    return end is not None and time.monotonic() >= end


def _alone(steps: Steps, kind: str, due: Due, seen: set[Due]) -> int:
    """The same for one case in a transaction of its own."""
    try:
        if steps.carry_out_alone(DUE[kind](*due)):
            return 1
    except ReadOnlyError:
        steps.queue.pass_over(due[0], steps.now())
    except LedgerError as error:
        _tell(steps, due[0], error, trace=False)
    except StoreError:
        raise
    except DualcontrolError:
        pass  # it came to its end meanwhile
    except Exception as error:
        _tell(steps, due[0], error, trace=True)
    seen.add(due)
    return 0


def _tell(steps: Steps, case_id: str, error: Exception, *, trace: bool) -> None:
    """Log it, once in a while."""
    now = steps.now()
    if now >= steps.told.get(case_id, now):
        steps.told[case_id] = now + TELL_AGAIN
        log.warning("what is due in case %s is left undone: %s", case_id, error, exc_info=error if trace else None)
