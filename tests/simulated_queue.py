"""A queue in which people answer in the order of arrival: how long each case of it waits."""

from __future__ import annotations

import heapq

import numpy as np


def waits(servers: int, rate: float, handling: np.ndarray, seed: int) -> np.ndarray:
    """How long each case of a simulated queue waits, without the first tenth."""
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, len(handling)))
    free, waited = [0.0] * servers, np.empty(len(handling))
    for number, (arrival, taken) in enumerate(zip(arrivals.tolist(), handling.tolist(), strict=True)):
        start = max(heapq.heappop(free), arrival)
        waited[number] = start - arrival
        heapq.heappush(free, start + taken)
    return waited[len(handling) // 10 :]
