"""A certificate from many stored labels at once: bit by bit what counting them one after the other gives.

Labels take few distinct weights, so each increment of log wealth is computed once, by the certificate itself, and
gathered; NumPy's `bincount` and `cumsum` add in the order of the labels, as the certificate does.  A block of labels
is searched for the first one that certifies a region; the certificate takes that step, and the search goes on.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from dualcontrol.errors import GuaranteeError
from dualcontrol.guarantee.certificate import FRACTIONS, Certificate, Label, Step, _label, wealth_of

Array = np.ndarray[Any, np.dtype[Any]]
SMALL, LARGE = 1_024, 65_536
MARGIN = 1e-9  # how far NumPy's logarithm and the library's may differ


class Columns(NamedTuple):
    """Labels in columns, in the order of decisions; a floor of NaN is one that nobody said."""

    seqs: Array
    scores: Array
    wrongs: Array
    inclusions: Array
    floors: Array

    def part(self, start: int, end: int) -> Self:
        """These rows."""
        return type(self)(*(column[start:end] for column in self))

    def label(self, row: int) -> Label:
        """One row as the certificate takes it."""
        floor = float(self.floors[row])
        said = None if np.isnan(floor) else floor
        score, inclusion = float(self.scores[row]), float(self.inclusions[row])
        return Label(int(self.seqs[row]), score, int(self.wrongs[row]), inclusion, said)


def count_all(
    certificate: Certificate, *, seqs: ArrayLike, scores: ArrayLike, wrongs: ArrayLike, inclusions: ArrayLike,
    floors: ArrayLike | None = None,
) -> list[Step]:  # fmt: skip
    """Observe and count labels that are complete and in the order of decisions; the steps they made.

    `GuaranteeError` for labels that are none or come too late; then nothing is counted.
    """
    columns = _checked(certificate, seqs, scores, wrongs, inclusions, floors)
    before, at, size = len(certificate.steps), 0, SMALL
    while at < len(columns.seqs) and (not certificate.begun or certificate.launching):
        certificate._count(columns.label(at))
        at += 1
    while at < len(columns.seqs):
        steps = len(certificate.steps)
        at += _block(certificate, columns.part(at, at + size))
        size = SMALL if len(certificate.steps) > steps else min(2 * size, LARGE)
    return certificate.steps[before:]


def _checked(
    certificate: Certificate, seqs: ArrayLike, scores: ArrayLike, wrongs: ArrayLike, inclusions: ArrayLike,
    floors: ArrayLike | None,
) -> Columns:  # fmt: skip
    """The columns, where each row is a label; the certificate's own words for the first that is none."""
    if certificate.evidence()["waiting"]:
        raise GuaranteeError("labels are waiting already", hint="Count them first, or observe these singly.")
    score, wrong = np.asarray(scores, float), np.asarray(wrongs)
    inclusion = np.asarray(inclusions, float)
    floor = np.full(len(score), np.nan) if floors is None else np.asarray(floors, float)
    columns = Columns(np.asarray(seqs), score, wrong, inclusion, floor)
    if len({len(column) for column in columns}) != 1:
        raise GuaranteeError("the columns of labels are of different lengths")
    fine = np.isfinite(score) & np.isin(wrong, (0, 1)) & (inclusion > 0.0) & (inclusion <= 1.0)
    fine &= np.isnan(floor) | ((floor > 0.0) & (floor <= inclusion))
    if not fine.all():
        row = int(np.argmin(fine))
        said = None if np.isnan(floor[row]) else floor[row]
        _label(int(columns.seqs[row]), score[row], wrong[row], inclusion[row], said)
    if len(score) and (columns.seqs[0] <= certificate.seq or (np.diff(columns.seqs) <= 0).any()):
        raise GuaranteeError(f"the labels are not in the order of decisions, all after {certificate.seq}")
    return columns._replace(wrongs=wrong.astype(np.int64))


def _block(certificate: Certificate, columns: Columns) -> int:
    """Count these labels up to and with the first that certifies a region; how many that were."""
    places = np.searchsorted(certificate.edges, columns.scores, side="right")
    floors, least = _floors(certificate, columns)
    moves = _moves(certificate, columns, floors)
    inside = np.flatnonzero(places >= certificate._next) if certificate._next >= 0 else np.empty(0, int)
    sums = np.array(certificate._sums)[:, None]
    path = np.cumsum(np.concatenate([sums, moves[:, inside]], axis=1), axis=1)
    hit = _first(path[:, 1:], certificate._target)
    end = len(places) if hit is None else int(inside[hit]) + 1
    _add(certificate, columns.part(0, end), places[:end], moves[:, :end])
    certificate._least = float(least[end - 1])
    certificate._sums = path[:, -1 if hit is None else hit + 1].tolist()
    certificate._advance()
    return end


def _floors(certificate: Certificate, columns: Columns) -> tuple[Array, Array]:
    """The least inclusion in force at each label, as the certificate finds it, and the least so far."""
    unsaid = np.isnan(columns.floors)
    seen = np.where(unsaid, columns.inclusions, np.inf)
    least = np.minimum.accumulate(np.minimum(seen, certificate._least))
    own = np.minimum(certificate.floor, least)
    if not certificate.steps:
        own = np.where(least == 1.0, 1.0, own)
    return np.where(unsaid, own, columns.floors), least


def _moves(certificate: Certificate, columns: Columns, floors: Array) -> Array:
    """What each label adds to each log wealth, a column a label; computed once for each kind of label."""
    inclusions, of_inclusion = np.unique(columns.inclusions, return_inverse=True)
    bounds, of_bound = _unique(floors)
    kinds, of_kind = np.unique((of_inclusion * len(bounds) + of_bound) * 2 + columns.wrongs, return_inverse=True)
    table = [
        certificate._move(kind % 2, float(inclusions[kind // 2 // len(bounds)]), float(bounds[kind // 2 % len(bounds)]))
        for kind in kinds.tolist()
    ]
    return np.take(np.array(table).T, of_kind, axis=1)


def _unique(values: Array) -> tuple[Array, Array]:
    """Distinct values and where each is; one value is found without sorting."""
    if (values == values[0]).all():
        return values[:1], np.zeros(len(values), int)
    return np.unique(values, return_inverse=True)


def _first(path: Array, target: float) -> int | None:
    """The first label after which the mixed wealth reaches the target; the certificate's own sum decides."""
    top = path.max(axis=0, initial=-np.inf)
    near = np.flatnonzero(top >= target - np.log(FRACTIONS) - MARGIN)
    wealth = top[near] + np.log(np.exp(path[:, near] - top[near]).sum(axis=0))
    for place in near[wealth >= target - MARGIN].tolist():
        if wealth_of(path[:, place].tolist()) >= target:
            return int(place)
    return None


def _add(certificate: Certificate, columns: Columns, places: Array, moves: Array) -> None:
    """Add labels to the counts and to the wealth of their bins."""
    one, bins = 1.0 / columns.inclusions, np.arange(len(certificate.weights))
    keys = np.concatenate([bins, places])

    def added(to: list[float], what: Array) -> list[float]:
        return [float(value) for value in np.bincount(keys, np.concatenate([to, what])).tolist()]

    certificate.weights = added(certificate.weights, one)
    certificate.wrongs = added(certificate.wrongs, columns.wrongs / columns.inclusions)
    logs = [added([own[j] for own in certificate._logs], moves[j]) for j in range(FRACTIONS)]
    certificate._logs = [list(row) for row in zip(*logs, strict=True)]
    certificate.labels += len(places)
    certificate.errors += int(columns.wrongs.sum())
    certificate.seq = int(columns.seqs[-1])
