"""Audits: the share of autopilot cases that a human reviews too; its probability is fixed before the draw."""

from __future__ import annotations

from dualcontrol.case import RouteTo
from dualcontrol.control import Env

PURPOSE = "audit"


def inclusion(to: RouteTo, share: float) -> float:
    """With what probability a human sees a case of this route: always, by audit, or (blocked) never."""
    if to == "human":
        return 1.0
    return share if to == "autopilot" else 0.0


def drawn(env: Env, case_id: str, to: RouteTo, probability: float) -> bool:
    """Whether the audit draw of this case falls on it; only autopilot cases are drawn."""
    return to == "autopilot" and probability > 0.0 and env.draw(PURPOSE, case_id) < probability
