"""Labels that come late, errors later than the rest: counted in the order of decisions, and of arrival.

All decisions are one region, and its error is above the bound: whatever is certified is a violation, and ends the run.
"""

from __future__ import annotations

import numpy as np
from product import REFRESH, Promise, Run
from streams import Stream

from dualcontrol.guarantee.certificate import Certificate

LIMIT = 5_000


def delayed(stream: Stream, promise: Promise, order: str, means: tuple[float, float], seed: int) -> Run:
    """One stream whose wrong and right answers take `means` decisions; `order` is "decisions" or "arrival"."""
    rng = np.random.default_rng([seed, 6])
    waits = rng.exponential(1.0, len(stream)) * np.where(stream.seen, *means)
    certificate = Certificate(promise.max_error, 1.0 - promise.delta, edges=[], launch=promise.launch)
    count = _in_arrival_order if order == "arrival" else _in_decision_order
    certified = count(certificate, stream, np.arange(len(stream)) + waits)
    return Run(violated=certified, reviews=1.0)


def _in_arrival_order(certificate: Certificate, stream: Stream, arrivals: np.ndarray) -> bool:
    """Each label counts when it comes: what most programs do."""
    for seq, place in enumerate(np.argsort(arrivals, kind="stable")[: len(stream)]):
        if arrivals[place] > len(stream):
            break
        _tell(certificate, stream, int(place), seq)
        if seq % REFRESH == 0 and certificate.tick():
            return True
    return bool(certificate.tick())


def _in_decision_order(certificate: Certificate, stream: Stream, arrivals: np.ndarray) -> bool:
    """Labels count up to the first that is outstanding; after LIMIT decisions a missing one counts as an error."""
    told = np.zeros(len(stream), bool)
    for now in range(REFRESH, len(stream) + 1, REFRESH):
        come = ~told[:now] & (arrivals[:now] <= now)
        late = ~told[:now] & ~come & (np.arange(now) < now - LIMIT)
        for place in np.flatnonzero(come | late).tolist():
            _tell(certificate, stream, place, place, missing=bool(late[place]))
        told[:now] |= come | late
        outstanding = np.flatnonzero(~told[:now])
        if certificate.tick(int(outstanding[0]) - 1 if len(outstanding) else now - 1):
            return True
    return False


def _tell(certificate: Certificate, stream: Stream, place: int, seq: int, missing: bool = False) -> None:
    wrong, score = 1 if missing else int(stream.seen[place]), float(stream.scores[place])
    certificate.observe(score=score, wrong=wrong, inclusion=1.0, seq=seq)
