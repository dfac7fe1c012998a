"""Certification: what people answered is counted as evidence, in the order of decisions, and moves the threshold.

The loop's own stream is the record: `EvidenceCounted` holds every label that a certificate took, so that folding the
stream gives the same certificate again, bit for bit, on any replica and after any restart.
"""

from __future__ import annotations

from dualcontrol.guarantee.certifier import Certifier
from dualcontrol.guarantee.evidence import evidence
from dualcontrol.guarantee.history import History, Move, Point, Rate, gathered, moves
from dualcontrol.guarantee.relearn import Riskiness, learn_risk
from dualcontrol.guarantee.standing import Standing, Words, standing, words
from dualcontrol.guarantee.trying import Asked, WhatIf, what_if

__all__ = [
    "Asked", "Certifier", "History", "Move", "Point", "Rate", "Riskiness", "Standing", "WhatIf", "Words", "evidence",
    "gathered", "learn_risk", "moves", "standing", "what_if", "words",
]  # fmt: skip
