"""How a certificate spends its delta: on the exact test of a launch, on evidence, and on beginning again.

The parts add up to delta, so that the promise holds for all of them together, however often a certificate begins
again with another first region (a union bound; alpha spending, Lan and DeMets 1983).
"""

from __future__ import annotations

from dualcontrol.errors import GuaranteeError

LAUNCH = 0.25  # of delta is for the one exact test of a launch; the first try has it for evidence where there is none
AGAIN = 0.2  # of delta is kept for beginning again: half of it for the first time, and half of what is left then


def on_launch(delta: float, launch: int) -> float:
    """What the exact test of a launch may spend."""
    return delta * LAUNCH if launch else 0.0


def on_evidence(delta: float, launch: int, again: int) -> float:
    """What the test martingales may spend, of a certificate that has begun again so often."""
    if again < 0 or (again and launch):
        raise GuaranteeError(f"again is {again}; it must be at least 0, and 0 where there is a launch")
    return delta * AGAIN / 2.0**again if again else delta * (1.0 - AGAIN) - on_launch(delta, launch)


def on_one_test(delta: float, launch: int, again: int = 0) -> float:
    """What the test that can open first may spend: that of the launch, where there is one."""
    return on_launch(delta, launch) or on_evidence(delta, launch, again)
