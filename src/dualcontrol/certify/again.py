"""Beginning again: where the first region turns out to be wrong too often, another one is tried on new decisions.

A certificate widens from its first region, so that a first region beyond the bound would keep it closed for ever.
What was counted so far says where else to begin; it is no evidence for what is begun then, and each further try spends
a part of delta that was kept for it.
"""

from __future__ import annotations

from dualcontrol.certify.segment import Segment
from dualcontrol.route.promise import share
from dualcontrol.route.regions import promising

LABELS = 2_000  # before a first region is given up, and twice as many each time


def due(segment: Segment) -> int:
    """After how many labels a first region that loses is given up."""
    return int(LABELS * 2**segment.certificate.again)


def elsewhere(segment: Segment) -> int | None:
    """The bin that another try begins with; None while this one may succeed, or where no other is more promising."""
    made = segment.certificate
    if not made.begun or made.launching or made.threshold is not None:
        return None
    if made.labels < due(segment) or made.labels_needed() is not None:
        return None
    found = promising(made.weights, made.wrongs, made.max_error * (1.0 - made.miss_rate))
    return None if found == made.first else found


def reason(segment: Segment, place: int) -> str:
    """Why, in words."""
    made = segment.certificate
    seen, wrong = sum(made.weights[made.first :]), sum(made.wrongs[made.first :])
    return (
        f"{share(wrong / seen)} of the surest {made.share_from(made.first) * 100:.0f} % of decisions were found "
        f"wrong, where {share(made.max_error)} may be: answers are counted anew, for the surest "
        f"{made.share_from(place) * 100:.0f} % first"
    )
