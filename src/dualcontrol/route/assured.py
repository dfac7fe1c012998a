"""A batch under a guarantee: rows of a model that no certificate is for go to people, and audits follow its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dualcontrol.case import JSON
from dualcontrol.control import draw
from dualcontrol.route import audit
from dualcontrol.route.batch import AUTOPILOT, HUMAN, BatchRoutes
from dualcontrol.route.columns import Array
from dualcontrol.route.propose import model_of

BY, MODEL = "threshold", "model"


def assured(routes: BatchRoutes, source_of: Callable[[int], JSON], secret: bytes, batch_id: str) -> BatchRoutes:
    """The routes as one by one they would be: by the certificate's model, each row with its own audit share."""
    if routes.control.settings.guarantee is None or routes.control.settings.start == "shadow":
        return routes
    rows, segments = _certified(routes)
    names = (*routes.names, MODEL)
    to, by = routes.to.copy(), routes.by.astype(np.uint16)
    shares = np.full(len(to), routes.share)
    unseen: Counter[str] = Counter()
    audited = routes.audited.copy()
    for row, segment in zip(rows, segments, strict=True):
        key = routes.control.certificate_for(segment) or ""
        if model_of(source_of(row), routes.control) != routes.control.models.get(key):
            to[row], by[row], audited[row] = HUMAN, len(names) - 1, False
            continue
        score = float(routes.columns.row(row).signal.confidence or 0.0)
        shares[row] = audit.share_of(routes.control, segment, score)
        audited[row] = draw(secret, audit.PURPOSE, f"batch/{batch_id}/{row}") < shares[row]
        unseen[key] += not audited[row]
    return replace(routes, to=to, by=by, names=names, audited=audited, shares=shares, unseen=dict(+unseen))


def _certified(routes: BatchRoutes) -> tuple[Sequence[int], Sequence[str | None]]:
    """The rows that a certificate lets run, and their segments."""
    place = routes.names.index(BY) if BY in routes.names else -1
    found: Array = np.flatnonzero((routes.to == AUTOPILOT) & (routes.by == place))
    rows: list[int] = found.tolist()
    return rows, [routes.columns.row(row).signal.segment for row in rows]
