"""Certification: what people answered is counted as evidence, in the order of decisions, and moves the threshold.

The loop's own stream is the record: `EvidenceCounted` holds every label that a certificate took, so that folding the
stream gives the same certificate again, bit for bit, on any replica and after any restart.
"""

from dualcontrol.certify.certifier import Certifier
from dualcontrol.certify.history import History, Point
from dualcontrol.certify.moves import Move, gathered, moves
from dualcontrol.certify.reliability import Rate
from dualcontrol.certify.riskiness import Riskiness, learn_risk
from dualcontrol.certify.segment import evidence
from dualcontrol.certify.standing import Standing, standing
from dualcontrol.certify.trying import Asked, WhatIf, what_if
from dualcontrol.certify.words import Words, words

__all__ = [
    "Asked", "Certifier", "History", "Move", "Point", "Rate", "Riskiness", "Standing", "WhatIf", "Words", "evidence",
    "gathered", "learn_risk", "moves", "standing", "what_if", "words",
]  # fmt: skip
