"""dualcontrol puts a human in the loop of an AI: propose, route, review, apply, learn, on one record.

The names below are the public face; everything else is private.  They are loaded on first use, so that
importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualcontrol.case import Answer, Candidate, Case, Decision, Outcome, Quorum, Review, Route, Signal
    from dualcontrol.compose import open
    from dualcontrol.control import Control, LoopSettings, Rule
    from dualcontrol.desk import Claim, Desk, Loop
    from dualcontrol.errors import DualcontrolError, Paused, Pending, Rejected, TimedOut

__version__ = "0.1.0"
_NAMES = {
    "case": ("Answer", "Candidate", "Case", "Decision", "Outcome", "Quorum", "Review", "Route", "Signal"),
    "compose": ("open",),
    "control": ("Control", "LoopSettings", "Rule"),
    "desk": ("Claim", "Desk", "Loop"),
    "errors": ("DualcontrolError", "Paused", "Pending", "Rejected", "TimedOut"),
}
_PLACES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = [
    "Answer",
    "Candidate",
    "Case",
    "Claim",
    "Control",
    "Decision",
    "Desk",
    "DualcontrolError",
    "Loop",
    "LoopSettings",
    "Outcome",
    "Paused",
    "Pending",
    "Quorum",
    "Rejected",
    "Review",
    "Route",
    "Rule",
    "Signal",
    "TimedOut",
    "open",
]


def __getattr__(name: str) -> Any:
    if name in ("errors", "testing"):
        return import_module(f"dualcontrol.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'dualcontrol' has no attribute {name!r}")
    value = getattr(import_module(f"dualcontrol.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
