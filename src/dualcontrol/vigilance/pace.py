"""How people fare over time: catch rate within a shift and by week, pace against their own baseline, and breaks.

Plain counts of times and of answers to probes, for people to read; nothing is decided by them, and nobody is ranked.
Screeners who hurry under load miss more (Buser 2023), while 20 or 60 minutes of work alone do not tire (Buser 2020):
so a quick pace is an alarm only together with misses or a long queue, and a break is suggested, never imposed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import NamedTuple

from dualcontrol.case import Shown
from dualcontrol.names import identity
from dualcontrol.oversight.scorecard import wilson
from dualcontrol.vigilance.record import DAY, FASTEST, Answered

MINUTE, HOUR = 60_000_000, 3_600_000_000  # microseconds
SHIFT = 2 * HOUR  # a pause after which a new shift begins
PAUSE = 10 * MINUTE  # a pause after which work is not continuous
SOFT_BREAK = 40 * MINUTE
LAST_HOUR = 8  # hours of a shift are told apart up to here
RECENT = 20  # answers whose median is the pace now
BASELINE = 50  # answers before these, at least, without which there is no baseline
MONTH = 30 * DAY
QUICK = 0.67  # of the baseline; below it somebody answers in two thirds of their usual time
PROBES = 8  # wrong probes answered, recent ones and those before, without which misses say nothing


class Timed(NamedTuple):
    """One answer: whose, by `identity`, and when it was claimed and given, in microseconds."""

    person: str
    claimed_at: int
    at: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.at - self.claimed_at) / 1_000_000


class Caught(Shown, frozen=True, kw_only=True):
    """Wrong proposals caught among those asked in one hour of shifts or one week, with the interval (Wilson, 95 %)."""

    of: str
    caught: int
    wrong: int
    low: float
    high: float


class Pace(Shown, frozen=True, kw_only=True):
    """Somebody's pace: the median of their last answers over that of the 30 days before, in seconds.

    `ratio` is None without a baseline; `alarm` says in words why it should be looked at.
    """

    person: str
    seconds: float
    baseline: float | None = None
    ratio: float | None = None
    alarm: str | None = None


class Drift(Shown, frozen=True, kw_only=True):
    """How the people of a loop fare over time: by hour of a shift, by week, each one's pace, and what to look at."""

    hours: tuple[Caught, ...] = ()
    weeks: tuple[Caught, ...] = ()
    paces: tuple[Pace, ...] = ()
    alarms: tuple[str, ...] = ()


def drift(
    answers: Sequence[Timed], probes: Sequence[Answered], *, names: Mapping[str, str], long_queue: bool = False
) -> Drift:  # fmt: skip
    """Everything of a loop; `answers` in order of time, `probes` those that people saw, `names` as people spell them.

    `long_queue` says that more waits than is answered in a day.
    """
    of_person: defaultdict[str, list[Timed]] = defaultdict(list)
    for answer in answers:
        of_person[answer.person].append(answer)
    shown = [probe for probe in probes if probe.counts and (not probe.blind or probe.mode == "approval")]
    missed: defaultdict[str, list[bool]] = defaultdict(list)
    for probe in sorted(shown, key=lambda one: one.at):
        missed[identity(probe.person)].append(not probe.rejected)
    paces = [
        pace(names.get(person, person), timed, missed[person], long_queue=long_queue)
        for person, timed in sorted(of_person.items())
    ]
    known = [one for one in paces if one is not None]
    return Drift(
        hours=by_hour(of_person, shown), weeks=by_week(shown),
        paces=tuple(known), alarms=tuple(one.alarm for one in known if one.alarm is not None),
    )  # fmt: skip


# Over a shift, and over weeks


def shift_began(times: Sequence[int], at: int, pause: int = SHIFT) -> int:
    """When the work began that goes on at a moment: at the first answer after the last pause; `times` are sorted."""
    began = at
    for time in reversed([time for time in times if time <= at]):
        if began - time >= pause:
            break
        began = time
    return began


def by_hour(answers: Mapping[str, Sequence[Timed]], probes: Iterable[Answered]) -> tuple[Caught, ...]:
    """The catch rate by hour of the shift; from the eighth hour on they count together."""
    times = {person: [answer.at for answer in timed] for person, timed in answers.items()}
    hours: defaultdict[int, list[bool]] = defaultdict(list)
    for probe in probes:
        began = shift_began(times.get(identity(probe.person), []), probe.at)
        hours[min((probe.at - began) // HOUR + 1, LAST_HOUR)].append(probe.rejected)
    return tuple(
        _caught(f"hour {hour}{' and later' if hour == LAST_HOUR else ''}", hours[hour]) for hour in sorted(hours)
    )


def by_week(probes: Iterable[Answered]) -> tuple[Caught, ...]:
    """The catch rate by ISO week (UTC)."""
    weeks: defaultdict[str, list[bool]] = defaultdict(list)
    for probe in probes:
        year, week, _ = datetime.fromtimestamp(probe.at / 1_000_000, UTC).isocalendar()
        weeks[f"{year}-W{week:02}"].append(probe.rejected)
    return tuple(_caught(week, weeks[week]) for week in sorted(weeks))


def _caught(of: str, rejected: Sequence[bool]) -> Caught:
    low, high = wilson(sum(rejected), len(rejected))
    return Caught(of=of, caught=sum(rejected), wrong=len(rejected), low=round(low, 4), high=round(high, 4))


# Pace


def pace(
    person: str, answers: Sequence[Timed], missed: Sequence[bool] = (), *, long_queue: bool = False
) -> Pace | None:  # fmt: skip
    """The pace of one person, whose answers are in order of time; None where nobody timed any.

    `missed` says of each wrong probe that they saw, in order, whether it came through.
    """
    timed = [answer for answer in answers if answer.seconds >= FASTEST]
    if not timed:
        return None
    recent = timed[-RECENT:]
    before = [answer.seconds for answer in timed[:-RECENT] if answer.at >= recent[-1].at - MONTH]
    now = median(answer.seconds for answer in recent)
    if len(before) < BASELINE:
        return Pace(person=person, seconds=round(now, 3))
    usual = median(before)
    ratio = now / usual
    alarm = None
    if ratio < QUICK and (why := _besides(missed, long_queue=long_queue)) is not None:
        alarm = f"{person} answers in {ratio:.0%} of their usual time, while {why}"
    return Pace(person=person, seconds=round(now, 3), baseline=round(usual, 3), ratio=round(ratio, 4), alarm=alarm)


def _besides(missed: Sequence[bool], *, long_queue: bool) -> str | None:
    """What makes a quick pace worth a look: more misses than before, or a long queue."""
    late, early = missed[-PROBES:], missed[:-PROBES]
    if len(early) >= PROBES and sum(late) / len(late) > sum(early) / len(early):
        return "letting more wrong proposals pass than before"
    return "the queue is long" if long_queue else None


# Breaks


def break_due(times: Sequence[int], now: int) -> bool:
    """Whether to suggest a pause: after the first answer past 40 minutes without one of 10, until the next answer.

    `times` are when somebody answered, sorted, in microseconds.
    """
    if not times or now - times[-1] >= PAUSE:
        return False
    due = shift_began(times, times[-1], PAUSE) + SOFT_BREAK
    return sum(time >= due for time in times) == 1
