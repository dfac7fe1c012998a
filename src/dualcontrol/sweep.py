"""What time does: leases run out, response times pass, decisions take effect, effects are lost, relief moves.

What was joined to a case that is over is done as well, where it was not done with it.
"""

from __future__ import annotations

from collections.abc import Callable

from dualcontrol.commands import Command, Expire, Follow, LoseEffect, Settle, Timeout
from dualcontrol.errors import DualcontrolError, ReadOnlyError, StoreError
from dualcontrol.relief import relieve_all
from dualcontrol.step import Steps

Maker = Callable[[str, str | None], Command]
DUE: dict[str, Maker] = {
    "lease": lambda case, review: Expire(case_id=case, review_id=review or ""),
    "settle": lambda case, _: Settle(case_id=case),
    "case": lambda case, _: Timeout(case_id=case),
    "effect": lambda case, _: LoseEffect(case_id=case),
    "follow": lambda case, leader: Follow(case_id=case, leader=leader or ""),
}


def sweep(steps: Steps, kinds: tuple[str, ...] = tuple(DUE), limit: int = 200) -> int:
    """Carry out what is due; the pure stage checks each again.  Returns how many were looked at."""
    done = 0
    for kind in kinds:
        for case_id, about in _due(steps, kind, limit):
            try:
                steps.run(DUE[kind](case_id, about))
                done += 1
            except StoreError:
                raise
            except ReadOnlyError:
                steps.queue.pass_over(case_id, steps.now())
            except DualcontrolError:
                continue
    relieve_all(steps)
    return done


def _due(steps: Steps, kind: str, limit: int) -> list[tuple[str, str | None]]:
    with steps.store.transaction(durable=False) as tx:
        return steps.queue.due(tx, kind, limit)
