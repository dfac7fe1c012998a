"""What time does: leases run out, response times pass, decisions take effect, effects are lost, relief moves.

What was joined to a case that is over is done as well, where it was not done with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dualcontrol.case import is_low
from dualcontrol.commands import Command, Expire, Follow, LoseEffect, Settle, Timeout
from dualcontrol.control import Control, LoopSettings
from dualcontrol.errors import DualcontrolError, LedgerError, ReadOnlyError, StoreError
from dualcontrol.events import ReliefChanged
from dualcontrol.route.audit import fewer
from dualcontrol.route.capacity import AUDITS, LEVELS, NONE, Crew, Demand, Handling, relief, repeated
from dualcontrol.step import Due, Steps
from dualcontrol.store import Queries

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


# Relief: when more is asked of people than they can answer in time, they are asked for less, in a declared order.
#
# `sweep` looks at each loop that declares its capacity.  What is asked and how long answers take is measured; what
# follows is decided by `route.capacity`; each change is a new version of the loop's control.


SECOND = 1_000_000
HOUR = 3600.0
PROMISES = 2  # the window in which demand is counted, in response times; long enough that chance is no burst
SHORTEST_WINDOW, LONGEST_WINDOW = 600 * SECOND, 86_400 * SECOND
LOOKS = 20  # how often a loop is looked at within one response time
SOONEST, SELDOM = SECOND, 60 * SECOND
PAST, ANSWERS = 7 * 86_400 * SECOND, 500  # handling times: of the last week, at most so many cases


class LoopLoad(NamedTuple):
    """What is asked of a loop's people, and who they are."""

    demand: Demand
    crew: Crew


def relieve_all(steps: Steps) -> int:
    """Look at every loop that declares its capacity, and at those whose relief has to end; returns how many moved."""
    moved = 0
    for control in steps.store.queries.loops():
        if (control.settings.capacity is None and not control.relief) or not _due(steps, control):
            continue
        try:
            moved += relieve(steps, control).version != control.version
        except StoreError:
            raise
        except DualcontrolError:
            continue
    return moved


def _due(steps: Steps, control: Control) -> bool:
    """Whether this process looks again; how often depends on the promise."""
    now, promise = steps.now(), control.settings.response_time or 0
    if now < steps.looked.get(control.loop, 0) + min(max(promise // LOOKS, SOONEST), SELDOM):
        return False
    steps.looked[control.loop] = now
    return True


def relieve(steps: Steps, control: Control) -> Control:
    """Move a loop's relief by one step where what is measured asks for it; returns the control in force."""
    found = seen(steps.store.queries, control, steps.now())
    if _following(control, found) == control.relief:
        return control
    return steps.move(control.loop, lambda fresh, now: _changed(fresh, found, now))


def seen(queries: Queries, control: Control, now: int) -> LoopLoad | None:
    """What is measured now; None where the loop declares no capacity."""
    settings = control.settings
    if settings.capacity is None or settings.response_time is None:
        return None
    window = min(max(PROMISES * settings.response_time, SHORTEST_WINDOW), LONGEST_WINDOW)
    again = _again(queries, control, now - window)
    demand = _demand(queries.arrivals(control.loop_id, now - window), control, window / SECOND, again)
    handling = Handling.measured(queries.handling(control.loop_id, now - PAST, ANSWERS))
    return LoopLoad(demand, _crew(settings, handling))


def _again(queries: Queries, control: Control, since: int) -> tuple[int, int]:
    """How many cases, of low risk and other, ask what an older one asks; without relief nothing depends on it."""
    rows = queries.repeats(control.loop_id, since) if control.relief else []
    risks = [rows[place][1] for place in repeated([(asked, opened, taken) for asked, _, opened, taken in rows])]
    low = sum(map(is_low, risks))
    return low, len(risks) - low


def _demand(
    arrivals: list[tuple[str, str | float | None, int, int]], control: Control, seconds: float, again: tuple[int, int]
) -> Demand:  # fmt: skip
    """Reviews a second by what came in; the audits, and what has joined others, as they would be without relief."""
    asked = control.settings.quorum.asked
    divided = fewer(control)
    human = [(risk, cases) for route, risk, cases, _ in arrivals if route == "human"]
    low = sum(cases for risk, cases in human if is_low(risk))
    audits = sum(audited for _, _, _, audited in arrivals) * (divided if control.relief >= AUDITS else 1.0)
    other = sum(cases for _, cases in human) - low
    return Demand(
        low=low * asked / seconds, audits=audits / seconds, other=other * asked / seconds, fewer=divided,
        low_again=again[0] * asked / seconds, other_again=again[1] * asked / seconds,
    )  # fmt: skip


def _crew(settings: LoopSettings, handling: Handling) -> Crew:
    said = settings.capacity
    people = said.reviewers if said and said.reviewers else len(settings.members(settings.group) or ())
    return Crew(
        people=max(people, 1), promise=(settings.response_time or 0) / SECOND, handling=handling,
        availability=said.availability if said else 1.0, late=said.late if said else 0.05,
    )  # fmt: skip


def _following(control: Control, found: LoopLoad | None) -> int:
    """The level that follows: none where capacity is no longer declared."""
    return NONE if found is None else relief(control.relief, found.demand, found.crew)


def _changed(control: Control, found: LoopLoad | None, now: int) -> list[ReliefChanged]:
    level = _following(control, found)
    if level == control.relief:
        return []
    version, name = control.version + 1, LEVELS[level]
    if found is None:
        event = ReliefChanged(
            version=version, at=now, level=level, name=name, demand="0.0", capacity="0.0", understaffed=0,
            reason="the loop no longer declares its capacity",
        )  # fmt: skip
        return [event]
    asked, able = (repr(round(rate * HOUR, 1)) for rate in (found.demand.whole, found.crew.capacity()))
    lacking = found.crew.lacking(found.demand.whole)
    event = ReliefChanged(
        version=version, at=now, level=level, name=name, demand=asked, capacity=able, understaffed=lacking,
        reason=_reason(level > control.relief, asked, able, lacking),
    )  # fmt: skip
    return [event]


def _reason(more: bool, asked: str, able: str, lacking: int) -> str:
    """Why, in one sentence."""
    if more:
        short = f"; without relief it would take {lacking} more" if lacking else ""
        return f"people are asked for {asked} reviews an hour and can answer {able} in time{short}"
    return f"people are asked for {asked} reviews an hour and can answer {able} in time, so less relief is enough"
