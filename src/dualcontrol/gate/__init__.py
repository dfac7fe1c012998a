"""The gate: a function that runs once, with the decided arguments, after autopilot or a human has let it."""

from dualcontrol.gate.gate import OWNER, Gate
from dualcontrol.gate.result import described, paused_inside

__all__ = ["OWNER", "Gate", "described", "paused_inside"]
