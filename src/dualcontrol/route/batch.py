"""Routing a batch of rows in columns: the same routes as one by one, at the speed of array arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec.structs import replace

from dualcontrol.case import Route
from dualcontrol.control import Control
from dualcontrol.errors import ProposalError, SignalError
from dualcontrol.route import audit
from dualcontrol.route.bounds import all_shares, any_nan
from dualcontrol.route.columns import CHUNK, Array, Column, Columns
from dualcontrol.route.gaps import drawn_rows
from dualcontrol.route.levels import check_levels
from dualcontrol.route.plan import AUTOPILOT, BLOCK, HUMAN, ROUTES, Plan
from dualcontrol.route.precedence import rule_on
from dualcontrol.route.propose import route
from dualcontrol.route.rules import Findings, compiled

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
        found: Array = np.array(self._chances)[self.to]
        return found if self.shares is None else np.where(self.to == AUTOPILOT, self.shares, found)

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
        audited = int(np.count_nonzero(self.audited))
        return {"autopilot": autopilot, "human": human, "blocked": blocked, "audited": audited}

    def route(self, row: int, now: int) -> Route:
        """The whole route of one row, with its reason and demands, and the draw made for it here."""
        subject = self.columns.row(row, self.control.settings.mode != "preference")
        found = route(subject, self.control, now, ease=self.control.settings.start != "shadow")
        audited = bool(self.audited[row])
        due_at = found.due_at if audited or found.to == "human" else None
        return replace(found, audited=audited, due_at=due_at, inclusion=self.chance(row))


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
    ruleset = compiled(control.settings.rules)
    plans = [Plan(table, control, ruleset, careful=careful) for careful in (False, True)]
    order = plans[0].order
    to, by = np.empty(table.rows, np.uint8), np.empty(table.rows, order.code_type)
    code, singly = np.empty(CHUNK, order.code_type), 0
    for start in range(0, table.rows, CHUNK):
        stop = min(start + CHUNK, table.rows)
        if _gaps(table.get("signal.confidence"), start, stop):
            table.without_gaps()
            return route_batch(table, control, batch_id=batch_id, secret=secret, draws=draws)
        singly += _route_chunk(table, plans, start, stop, code[: stop - start])
        np.bitwise_and(code[: stop - start], 3, out=to[start:stop], casting="unsafe")
        np.right_shift(code[: stop - start], 2, out=by[start:stop])
    share = 0.0 if control.settings.start == "shadow" else audit.relieved(control.settings.audit, control.relief)
    audited = _audits(to, share, batch_id, secret, draws)
    return BatchRoutes(
        to=to, by=by, names=tuple(order.names), audited=audited, share=share, rows_singly=singly,
        control=control, columns=table,
    )  # fmt: skip


def _route_chunk(table: Columns, plans: list[Plan], start: int, stop: int, code: Array) -> int:
    plan = plans[_needs_care(table, plans[0], start, stop)]
    plan.tape.run(start, stop, code)
    singly = _route_singly(table, plan, start, code) if plan.singly_below else 0
    plan.close(code)
    return singly


def _needs_care(table: Columns, plan: Plan, start: int, stop: int) -> bool:
    """Whether a compared number is NaN or a risk unknown."""
    risk = table.risk
    if risk is not None and risk.kind == "number" and not all_shares(risk.data[start:stop]):
        return True
    return any(any_nan(array[start:stop]) for array in plan.ordered)


def _route_singly(table: Columns, plan: Plan, start: int, code: Array) -> int:
    """Route one by one where nothing has spoken above the first rule that columns cannot do."""
    rows = np.flatnonzero(code < plan.singly_below).tolist()
    for row in rows:
        subject = table.row(start + row, plan.control.settings.mode != "preference")
        ruling = rule_on(subject, plan.control, Findings(plan.ruleset, subject))
        code[row] = plan.order.code(ruling.by, ROUTES.index(ruling.to))
    return len(rows)


def _audits(to: Array, share: float, batch_id: str | None, secret: bytes | None, draws: Array | None) -> Array:
    if draws is not None:
        drawn: Array = (to == AUTOPILOT) & (np.asarray(draws) < share)
        return drawn
    audited = np.zeros(len(to), np.bool_)
    if 0.0 < share < 1.0 and (batch_id is None or secret is None):
        raise ProposalError("audits of a batch are drawn from its id and a secret", hint="Give batch_id and secret.")
    rows = drawn_rows(secret or b"", batch_id or "", len(to), share)
    audited[rows] = to.take(rows) == AUTOPILOT
    return audited


def _gaps(found: Column | None, start: int, stop: int) -> bool:
    """Whether a confidence is NaN, which is none; `SignalError` names the first row whose confidence means nothing."""
    if found is None or all_shares(found.data[start:stop]):
        return False
    part = found.data[start:stop]
    given = np.ones(len(part), np.bool_) if found.absent is None else ~found.absent[start:stop]
    bad = given & ((part < 0) | (part > 1))
    if bad.any():
        row = start + int(np.argmax(bad))
        raise SignalError(f"row {row}: confidence is not a number from 0 to 1", row=row)
    return bool((given & np.isnan(part)).any())
