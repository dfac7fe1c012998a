"""Stage 2, routing: autopilot, a human, or blocked; with the reason and the probability of an audit."""

from dualcontrol import commands
from dualcontrol.route.check import check_rules
from dualcontrol.route.route import propose, reroute

HANDLERS = {commands.Propose: propose}

__all__ = ["HANDLERS", "check_rules", "propose", "reroute"]
