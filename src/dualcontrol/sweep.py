"""The sweep: expire leases, time cases out, make decisions effective, lose effects, and adjust load shedding.

It also settles followers of a concluded leader that were not settled with it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from dualcontrol.case import is_low
from dualcontrol.commands import Command, Expire, Follow, LoseEffect, Settle, Timeout
from dualcontrol.control import Control
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
# A transaction of the sweep: claims and answers wait for it on SQLite, answers to the same cases on PostgreSQL.
# A hundred small cases are 15 ms; the time counts where content is large or the machine is busy with something else.
AT_ONCE, LONGEST = 100, 0.1
REST = 0.004  # seconds between two, in which others get their turn
LOG_AGAIN = 3_600_000_000  # microseconds; a case that fails is due each second


def sweep(steps: Steps, kinds: tuple[str, ...] = tuple(DUE), *, seconds: float | None = None) -> int:
    """Carry out all that is due, or what fits into about `seconds`; the pure stage checks each command again.

    A case that fails does not stop the others.  Returns how many were carried out.
    """
    end = math.inf if seconds is None else time.monotonic() + seconds
    done = sum(_sweep_kind(steps, kind, end) for kind in kinds)
    relieve_all(steps)
    done += sum(
        steps.reseat(control) for control in steps.store.queries.loops() if control.people is not None or control.rungs
    )
    return done


def _sweep_kind(steps: Steps, kind: str, end: float) -> int:
    """Carry out one kind until `end`, in at least one transaction; what has no effect is tried only once."""
    seen: set[Due] = set()
    done = 0
    while True:
        batch = steps.carry_out(kind, DUE[kind], seen, AT_ONCE, LONGEST)
        if batch is None:
            return done
        done += batch[0]
        for due in batch[1]:
            done += _sweep_alone(steps, kind, due, seen)
            if time.monotonic() >= end:
                return done
        if time.monotonic() >= end:
            return done
        time.sleep(REST)


def _sweep_alone(steps: Steps, kind: str, due: Due, seen: set[Due]) -> int:
    """Carry out one case in a transaction of its own; logs what it fails of."""
    try:
        if steps.carry_out_alone(DUE[kind](*due)):
            return 1
    except ReadOnlyError:
        steps.queue.pass_over(due[0], steps.now())
    except LedgerError as error:
        _log_failure(steps, due[0], error, trace=False)
    except StoreError:
        raise
    except DualcontrolError:
        pass  # it ended meanwhile
    except Exception as error:
        _log_failure(steps, due[0], error, trace=True)
    seen.add(due)
    return 0


def _log_failure(steps: Steps, case_id: str, error: Exception, *, trace: bool) -> None:
    """Log a case that cannot be carried out, at most once an hour."""
    now = steps.now()
    if now >= steps.log_again_at.get(case_id, now):
        steps.log_again_at[case_id] = now + LOG_AGAIN
        log.warning("what is due in case %s is left undone: %s", case_id, error, exc_info=error if trace else None)


# Load shedding: when demand exceeds what people can answer in time, they are asked for less, in a declared order.
#
# `sweep` checks each loop that declares its capacity.  Demand and handling times are measured here; `route.capacity`
# decides the level; each change of level is a new version of the loop's control.


SECOND = 1_000_000
HOUR = 3600.0
PROMISES = 2  # the window in which demand is counted, in response times; long enough that chance is no burst
SHORTEST_WINDOW, LONGEST_WINDOW = 600 * SECOND, 86_400 * SECOND
LOOKS = 20  # how often a loop is looked at within one response time
SOONEST, SELDOM = SECOND, 60 * SECOND
PAST, ANSWERS = 7 * 86_400 * SECOND, 500  # handling times: of the last week, at most so many cases


class LoopLoad(NamedTuple):
    """The demand on a loop's reviewers, and their capacity."""

    demand: Demand
    crew: Crew


def relieve_all(steps: Steps) -> int:
    """Adjust load shedding in every loop that declares its capacity or still sheds; returns how many moved.

    How often this process checks a loop depends on its response time.
    """
    moved = 0
    for control in steps.store.queries.loops():
        if control.settings.capacity is None and not control.relief:
            continue
        now, promise = steps.now(), control.settings.response_time or 0
        if now < steps.load_checked_at.get(control.loop, 0) + min(max(promise // LOOKS, SOONEST), SELDOM):
            continue
        steps.load_checked_at[control.loop] = now
        try:
            moved += relieve(steps, control).version != control.version
        except StoreError:
            raise
        except DualcontrolError:
            continue
    return moved


def relieve(steps: Steps, control: Control) -> Control:
    """Move a loop's load shedding by one level where the measured load calls for it; returns the control in force."""
    now = steps.now()
    load = measured_load(steps.store.queries, control, now)
    if not _changed(control, load, now):
        return control
    return steps.move(control.loop, lambda current, now: _changed(current, load, now))


def measured_load(queries: Queries, control: Control, now: int) -> LoopLoad | None:
    """The load of a loop now; None where it declares no capacity."""
    settings, capacity = control.settings, control.settings.capacity
    if capacity is None or settings.response_time is None:
        return None
    window = min(max(PROMISES * settings.response_time, SHORTEST_WINDOW), LONGEST_WINDOW)
    since = now - window
    # duplicates; without load shedding nothing depends on them
    rows = queries.repeats(control.loop_id, since) if control.relief else []
    places = repeated([(likeness, opened, claimed) for likeness, _, opened, claimed in rows])
    duplicates_low = sum(is_low(rows[place][1]) for place in places)
    arrivals = queries.arrivals(control.loop_id, since)
    human = [(risk, cases) for route, risk, cases, _ in arrivals if route == "human"]
    low = sum(cases for risk, cases in human if is_low(risk))
    other = sum(cases for _, cases in human) - low
    # reviews a second by arrivals; audits and duplicates as they would be without load shedding
    reviews, seconds, divided = settings.quorum.asked, window / SECOND, fewer(control)
    audits = sum(audited for _, _, _, audited in arrivals) * (divided if control.relief >= AUDITS else 1.0)
    demand = Demand(
        low=low * reviews / seconds, audits=audits / seconds, other=other * reviews / seconds, fewer=divided,
        low_again=duplicates_low * reviews / seconds,
        other_again=(len(places) - duplicates_low) * reviews / seconds,
    )  # fmt: skip
    people = capacity.reviewers or len(control.members(settings.group) or ())
    times = [seconds for _, seconds in queries.handling(control.loop_id, now - PAST, ANSWERS)]
    crew = Crew(
        people=max(people, 1), promise=settings.response_time / SECOND,
        handling=Handling.measured(times),
        availability=capacity.availability, late=capacity.late,
    )  # fmt: skip
    return LoopLoad(demand, crew)


def _changed(control: Control, load: LoopLoad | None, now: int) -> list[ReliefChanged]:
    """The change of level that the load calls for, if any; without a load the loop sheds nothing."""
    level = NONE if load is None else relief(control.relief, load.demand, load.crew)
    if level == control.relief:
        return []
    demand = capacity = "0.0"
    lacking, reason = 0, "the loop no longer declares its capacity"
    if load is not None:
        demand, capacity = (repr(round(rate * HOUR, 1)) for rate in (load.demand.whole, load.crew.capacity()))
        lacking = load.crew.lacking(load.demand.whole)
        reason = f"people are asked for {demand} reviews an hour and can answer {capacity} in time"
        if level <= control.relief:
            reason += ", so less relief is enough"
        elif lacking:
            reason += f"; without relief it would take {lacking} more"
    event = ReliefChanged(
        version=control.version + 1, at=now, level=level, name=LEVELS[level], demand=demand, capacity=capacity,
        understaffed=lacking, reason=reason,
    )  # fmt: skip
    return [event]
