"""The gate: a function that runs once, with the decided arguments, after autopilot or a human has let it."""

from dualcontrol.gate.ends import described, paused_inside
from dualcontrol.gate.trip import OWNER, Gate

__all__ = ["OWNER", "Gate", "described", "paused_inside"]
