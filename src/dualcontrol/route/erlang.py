"""How long people wait for people: Erlang's delay formula (1917), with a correction for uneven handling times.

Times are in any one unit; a rate is in cases for each such unit.
"""

from __future__ import annotations

from math import exp, floor

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
