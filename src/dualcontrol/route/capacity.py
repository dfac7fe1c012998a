"""Capacity: what people can answer in time, what is asked of them, and which load shedding (relief) follows.

Relief only ever asks people for less: it knows no threshold and cannot send anything to autopilot.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, floor

from dualcontrol.case import RELIEF_TIMES, Value

# The order of relief.
NONE, JOINED, AUDITS, LATER, SHED, ALARM = range(6)
LEVELS: dict[int, str] = {
    NONE: "none", JOINED: "joined", AUDITS: "fewer audits", LATER: "later", SHED: "shed", ALARM: "understaffed",
}  # fmt: skip
ORDER: tuple[int, ...] = tuple(LEVELS)
FEWER = 5.0  # relief divides the audit share by this
LONGER = RELIEF_TIMES["later"]
CALM = 0.8  # relief ends below this share of what people can answer, lest it comes and goes
PRIOR_SECONDS, PRIOR_ANSWERS, LEAST_SECONDS = 240.0, 10, 1.0


class Handling(Value, frozen=True, kw_only=True):
    """How long a review takes: the mean in seconds, and how uneven (variance over squared mean)."""

    mean: float = PRIOR_SECONDS
    scv: float = 1.0

    @classmethod
    def measured(cls, seconds: Sequence[float]) -> Handling:
        """From measured times; ten imagined exponential ones of four minutes keep a few real ones from saying all."""
        times = [max(float(s), LEAST_SECONDS) for s in seconds]
        count = len(times) + PRIOR_ANSWERS
        mean = (sum(times) + PRIOR_ANSWERS * PRIOR_SECONDS) / count
        squares = (sum(s * s for s in times) + PRIOR_ANSWERS * 2.0 * PRIOR_SECONDS**2) / count
        return cls(mean=mean, scv=max(squares / mean**2 - 1.0, 0.0))


class Demand(Value, frozen=True, kw_only=True):
    """Reviews a second that people are asked for while there is no relief: of low risk, audits, and all other.

    `low_again` and `other_again` of them ask what a case asks that nobody has taken yet, which relief joins them to.
    Relief divides the audits by `fewer`.
    """

    low: float = 0.0
    audits: float = 0.0
    other: float = 0.0
    fewer: float = FEWER
    low_again: float = 0.0
    other_again: float = 0.0

    @property
    def whole(self) -> float:
        """Reviews a second in all."""
        return self.low + self.audits + self.other

    def at(self, level: int) -> tuple[float, float]:
        """What is still asked for at a level of relief: within the promise, and within the longer one."""
        audits = self.audits if level < AUDITS else self.audits / self.fewer
        low, other = self.low, self.other
        if level >= JOINED:
            low, other = max(low - self.low_again, 0.0), max(other - self.other_again, 0.0)
        prompt = other + audits + (low if level < LATER else 0.0)
        return prompt, low if level == LATER else 0.0


class Crew(Value, frozen=True, kw_only=True):
    """Who answers: people, the share of their time, how long a review takes them, and the promise in seconds."""

    people: int
    promise: float
    availability: float = 0.85
    late: float = 0.05
    handling: Handling = Handling()

    @property
    def servers(self) -> int:
        """How many are there at a time; one at least, who then is there for a part of the time only."""
        return max(floor(self.people * self.availability + 1e-9), 1)

    def capacity(self, times: int = 1) -> float:
        """The greatest rate of reviews a second that keeps the promise, or several times that long a one."""
        handling = self.handling
        return greatest_rate(self.servers, handling.mean, times * self.promise, self.late, handling.scv)

    def lacking(self, rate: float) -> int:
        """How many more people would keep the promise at this rate."""
        needed = staff_needed(rate, self.handling.mean, self.promise, self.late, self.handling.scv)
        return 0 if needed <= self.servers else max(ceil(needed / self.availability - 1e-9) - self.people, 0)


def fits(level: int, demand: Demand, crew: Crew, share: float = 1.0) -> bool:
    """Whether what is still asked for at a level can be answered in time, with `share` of the capacity."""
    prompt, patient = demand.at(level)
    if prompt > share * crew.capacity():
        return False
    return not patient or prompt + patient <= share * crew.capacity(LONGER)


def repeated(rows: Sequence[tuple[str, int, int | None]]) -> list[int]:
    """Which of these cases, in the order of opening, could join a duplicate before them that nobody had taken by then.

    A row is (likeness, opened at, taken at).
    """
    leaders: dict[str, int | None] = {}
    followers = []
    for place, (likeness, opened_at, taken_at) in enumerate(rows):
        if likeness in leaders and ((until := leaders[likeness]) is None or until > opened_at):
            followers.append(place)
        else:
            leaders[likeness] = taken_at
    return followers


def relief(now: int, demand: Demand, crew: Crew) -> int:
    """The level that follows: one step up where people cannot keep up, one down where the level below is enough."""
    place = ORDER.index(now)
    if now < ALARM and not fits(now, demand, crew):
        return ORDER[place + 1]
    if now > NONE and fits(ORDER[place - 1], demand, crew, CALM):
        return ORDER[place - 1]
    return now


# How long people wait for people: Erlang's delay formula (1917), with a correction for uneven handling times.
#
# Times are in any one unit; a rate is in cases for each such unit.


HALVINGS = 60  # more than a float can tell apart


def erlang_c(servers: int, load: float) -> float:
    """The chance that all servers are busy (Erlang 1917); `load` is rate times handling time.

    By Erlang B, whose recursion has neither factorials nor large powers.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0
    for busy in range(1, servers + 1):
        blocked = load * blocked / (busy + load * blocked)
    return blocked / (1.0 - load / servers * (1.0 - blocked))


def wait_exceeds(servers: int, rate: float, handling: float, promise: float, scv: float = 1.0) -> float:
    """The chance that a case waits longer than the promise before somebody takes it.

    Exact where handling times are exponential.  Others are as if the promise were 2 / (1 + scv) of itself: the
    mean wait grows by the inverse (Lee and Longton 1959), and so, nearly, does the tail.
    """
    load = rate * handling
    if load >= servers:
        return 1.0
    felt = 2.0 * promise / (1.0 + scv)
    return erlang_c(servers, load) * exp(-(servers - load) * felt / handling)


def greatest_rate(servers: int, handling: float, promise: float, late: float = 0.05, scv: float = 1.0) -> float:
    """The greatest rate of cases of which at most the share `late` waits longer than the promise; by bisection."""
    low, high = 0.0, servers / handling
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if wait_exceeds(servers, middle, handling, promise, scv) <= late:
            low = middle
        else:
            high = middle
    return low


def staff_needed(rate: float, handling: float, promise: float, late: float = 0.05, scv: float = 1.0) -> int:
    """The fewest servers that keep the promise at this rate; more than the load, by about its square root."""
    servers = floor(rate * handling) + 1
    while wait_exceeds(servers, rate, handling, promise, scv) > late:
        servers += 1
    return servers
