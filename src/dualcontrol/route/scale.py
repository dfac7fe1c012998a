"""The scale of a score: whether a model's scores have become others under the same name.

Score bins are put into ten groups of about equal mass.  Window by window the decisions of each group are counted; an
alarm needs a share three times as high as an upper bound on what it was (Clopper and Pearson 1934), by an exact
binomial test.  Levels are divided over groups and windows, so that a scale that stays raises an alarm with a
probability of at most `FALSE`, however long it is watched; milder changes are for the monitor to find.
"""

from __future__ import annotations

from collections.abc import Sequence

from dualcontrol.route import binomial

GROUPS = 10
WINDOW = 250
TIMES = 3.0
FALSE = 1e-4


class Scale:
    """`weights` are the decisions by bin that stand for the scale as it was, lowest score first; `labels` how many.

    `shares` are the groups' then, `found` what an alarm found.
    """

    def __init__(self, weights: Sequence[float], labels: int) -> None:
        self._group_of = grouped(weights)
        self.groups = self._group_of[-1] + 1
        masses = [0.0] * self.groups
        for group, weight in zip(self._group_of, weights, strict=True):
            masses[group] += weight
        level = 1.0 - FALSE / 2 / self.groups
        self.shares = [mass / (sum(masses) or 1.0) for mass in masses]
        self.limits = [min(1.0, TIMES * binomial.upper(round(s * labels), labels, level)) for s in self.shares]
        self._counts, self._seen, self._windows = [0] * self.groups, 0, 0
        self.found = 0.0

    def observe(self, place: int) -> int | None:
        """Count a decision by its bin; the group that has become too frequent, once a window is full."""
        self._counts[self._group_of[place]] += 1
        self._seen += 1
        if self._seen < WINDOW:
            return None
        self._windows += 1
        level = FALSE / 2 / self.groups / self._windows / (self._windows + 1)
        found = [group for group in range(self.groups) if self._rare(group, level)]
        self.found = max((self._counts[group] / WINDOW for group in found), default=0.0)
        self._counts, self._seen = [0] * self.groups, 0
        return max(found, key=lambda group: self.shares[group], default=None)

    def bins(self, group: int) -> tuple[int, int]:
        """The first and the last bin of a group."""
        mine = [place for place, one in enumerate(self._group_of) if one == group]
        return mine[0], mine[-1]

    def _rare(self, group: int, level: float) -> bool:
        """Whether so many would be rare at the limit: as many misses or fewer."""
        limit = self.limits[group]
        return limit < 1.0 and binomial.cdf(WINDOW - self._counts[group], WINDOW, 1.0 - limit) <= level


def grouped(weights: Sequence[float]) -> list[int]:
    """The group of each bin: neighbours together, up to a tenth of the mass each."""
    whole, held = sum(weights) or 1.0, 0.0
    places = []
    for weight in weights:
        places.append(min(GROUPS - 1, int(GROUPS * held / whole)))
        held += weight
    known = sorted(set(places))
    return [known.index(place) for place in places]
