"""Routing a batch of rows in columns: the same routes as one by one, at the speed of array arithmetic."""

from __future__ import annotations

import dataclasses
import hmac
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dualcontrol.batch.columns import CHUNK, Array, Column, Columns, all_shares, any_nan, check_levels
from dualcontrol.batch.compile import AUTOPILOT, BLOCK, HUMAN, ROUTES, Plan
from dualcontrol.case import JSON, Route
from dualcontrol.control import Control, draw
from dualcontrol.errors import ProposalError, SignalError
from dualcontrol.route import audit
from dualcontrol.route.audit import PURPOSE
from dualcontrol.route.route import model_of, route
from dualcontrol.route.rules import Subject, compiled

__all__ = ["AUTOPILOT", "BLOCK", "HUMAN", "ROUTES", "BatchRoutes", "route_batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRoutes:
    """The routes of a batch: `to` is an index into ROUTES, `by` an index into `names`.

    Under a guarantee `shares` holds the audit share by row, and `unseen` counts the rows by certificate that it let
    run and that nobody reviews.
    """

    to: Array
    by: Array
    names: tuple[str, ...]
    audited: Array
    share: float
    rows_singly: int
    control: Control
    columns: Columns = field(repr=False)
    shares: Array | None = None
    unseen: dict[str, int] = field(default_factory=dict)

    @property
    def inclusion(self) -> Array:
        """With what probability a human sees each row."""
        chances: Array = np.array(self._chances)[self.to]
        return chances if self.shares is None else np.where(self.to == AUTOPILOT, self.shares, chances)

    def chance(self, row: int) -> float:
        """The same of one row."""
        if self.shares is not None and self.to[row] == AUTOPILOT:
            return float(self.shares[row])
        return self._chances[int(self.to[row])]

    @property
    def _chances(self) -> tuple[float, float, float]:
        """The probability by route: blocked, human, autopilot; in the shadow nobody sees anything."""
        return (0.0, 0.0 if self.control.settings.start == "shadow" else 1.0, self.share)

    @property
    def for_people(self) -> Array:
        """The rows that a human sees: routed to one, or audited."""
        return np.flatnonzero((self.to == HUMAN) | self.audited)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows went where."""
        blocked, human, autopilot = np.bincount(self.to, minlength=3).tolist()
        return {"autopilot": autopilot, "human": human, "blocked": blocked, "audited": int(self.audited.sum())}

    def subject(self, row: int) -> Subject:
        """What rules may look at in one row."""
        return self.columns.row(row, self.control.settings.mode != "preference")

    def route(self, row: int, now: int) -> Route:
        """The whole route of one row, with its reason and demands, and the draw made for it here."""
        single = route(self.subject(row), self.control, now, ease=self.control.settings.start != "shadow")
        audited = bool(self.audited[row])
        due_at = single.due_at if audited or single.to == "human" else None
        return replace(single, audited=audited, due_at=due_at, inclusion=self.chance(row))


def route_batch(
    columns: Mapping[str, Any] | Columns,
    control: Control,
    *,
    batch_id: str | None = None,
    secret: bytes | None = None,
    draws: Array | None = None,
) -> BatchRoutes:
    """Route every row; audits are drawn from `secret` and `batch_id`, or from `draws` (one number a row)."""
    table = columns if isinstance(columns, Columns) else Columns(columns)
    check_levels(table.get("signal.risk"))
    plan = Plan(table, control, compiled(control.settings.rules), careful=False)
    careful: Plan | None = None  # for chunks where a compared number is NaN or a risk unknown
    to, by = np.empty(table.rows, np.uint8), np.empty(table.rows, plan.code_type)
    codes, singly = np.empty(CHUNK, plan.code_type), 0
    for start in range(0, table.rows, CHUNK):
        stop = min(start + CHUNK, table.rows)
        if _has_gaps(table.get("signal.confidence"), start, stop):
            table.without_gaps()
            return route_batch(table, control, batch_id=batch_id, secret=secret, draws=draws)
        code, risk = codes[: stop - start], table.risk
        unknown = risk is not None and risk.kind == "number" and not all_shares(risk.data[start:stop])
        if unknown or any(any_nan(array[start:stop]) for array in plan.ordered):
            careful = careful or Plan(table, control, plan.ruleset, careful=True)
            singly += careful.run(start, stop, code)
        else:
            singly += plan.run(start, stop, code)
        np.bitwise_and(code, 3, out=to[start:stop], casting="unsafe")
        np.right_shift(code, 2, out=by[start:stop])
    share = 0.0 if control.settings.start == "shadow" else audit.relieved(control.settings.audit, control.relief)
    if 0.0 < share < 1.0 and draws is None and (batch_id is None or secret is None):
        raise ProposalError("audits of a batch are drawn from its id and a secret", hint="Give batch_id and secret.")
    if draws is not None:
        audited: Array = (to == AUTOPILOT) & (np.asarray(draws) < share)
    else:
        audited, rows = np.zeros(len(to), np.bool_), drawn_rows(secret or b"", batch_id or "", len(to), share)
        audited[rows] = to.take(rows) == AUTOPILOT
    return BatchRoutes(
        to=to, by=by, names=tuple(plan.names), audited=audited, share=share, rows_singly=singly,
        control=control, columns=table,
    )  # fmt: skip


def _has_gaps(confidence: Column | None, start: int, stop: int) -> bool:
    """Whether a confidence is NaN, which is none; `SignalError` names the first row whose confidence means nothing."""
    if confidence is None or all_shares(confidence.data[start:stop]):
        return False
    part = confidence.data[start:stop]
    present = np.ones(len(part), np.bool_) if confidence.absent is None else ~confidence.absent[start:stop]
    bad = present & ((part < 0) | (part > 1))
    if bad.any():
        row = start + int(np.argmax(bad))
        raise SignalError(f"row {row}: confidence is not a number from 0 to 1", row=row)
    return bool((present & np.isnan(part)).any())


# A batch under a guarantee: rows of a model that no certificate is for go to people, and audits follow its table.


BY, MODEL, CLUSTER = "threshold", "model", "cluster"


def assured(routes: BatchRoutes, source_of: Callable[[int], JSON], secret: bytes, batch_id: str) -> BatchRoutes:
    """The routes as one by one they would be: by the certificate's model, each row with its own audit share.

    What rows belong together is not looked up: where the guarantee declares it, no row runs because of its score.
    """
    if routes.control.settings.guarantee is None or routes.control.settings.start == "shadow":
        return routes
    control, names = routes.control, (*routes.names, CLUSTER, MODEL)
    to, by, audited = routes.to.copy(), routes.by.astype(np.uint16), routes.audited.copy()
    shares = np.full(len(to), routes.share)
    unseen: Counter[str] = Counter()
    certified = (to == AUTOPILOT) & (by == (names.index(BY) if BY in names else -1))
    if routes.control.settings.guarantee.independent_by is not None:
        to[certified], by[certified], audited[certified] = HUMAN, len(names) - 2, False
        certified[:] = False
    for row in np.flatnonzero(certified).tolist():
        signal = routes.columns.row(row).signal
        key = control.certificate_for(signal.segment) or ""
        if model_of(source_of(row), control) != control.models.get(key):
            to[row], by[row], audited[row] = HUMAN, len(names) - 1, False
            continue
        shares[row] = audit.share_of(control, signal.segment, float(signal.confidence or 0.0))
        audited[row] = draw(secret, audit.PURPOSE, f"batch/{batch_id}/{row}") < shares[row]
        unseen[key] += not audited[row]
    return dataclasses.replace(routes, to=to, by=by, names=names, audited=audited, shares=shares, unseen=dict(+unseen))


# Audit draws of a batch: rows drawn by geometric gaps, so that the cost goes with the rows drawn.
#
# The generator is Philox, keyed by HMAC(secret, "audit", batch id): reproducible by whoever holds the secret,
# and not to be steered by who writes the rows, for a row's draw depends on its place alone.


_BLOCK = 16_384
_FAR = 2.0**48


def drawn_rows(secret: bytes, batch_id: str, rows: int, probability: float) -> NDArray[np.int64]:
    """The rows drawn, in order, each by itself with this probability."""
    if probability <= 0.0 or rows == 0:
        return np.empty(0, np.int64)
    if probability >= 1.0:
        return np.arange(rows, dtype=np.int64)
    digest = hmac.digest(secret, f"{PURPOSE}\x00batch\x00{batch_id}".encode(), "sha256")
    bits = np.random.Philox(key=int.from_bytes(digest[:16], "big"))
    parts, last = [], -1
    while last < rows:
        raw = bits.random_raw(_BLOCK)  # 53 random bits of each give a distance to the next row, by inversion
        raw >>= np.uint64(11)
        uniform = 1.0 - raw * 2.0**-53
        np.log(uniform, out=uniform)
        uniform /= math.log1p(-probability)
        np.minimum(uniform, _FAR, out=uniform)
        gaps = uniform.astype(np.int64)
        gaps += 1
        gaps[0] += last
        parts.append(np.cumsum(gaps, out=gaps))
        last = int(gaps[-1])
    drawn = np.concatenate(parts)
    return drawn[: np.searchsorted(drawn, rows)]
