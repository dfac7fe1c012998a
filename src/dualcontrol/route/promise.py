"""A promise on the error of autopilot, what was found of it on rows whose truth is known, and both in words."""

from __future__ import annotations

from math import ceil, log, log1p
from typing import Any, NamedTuple

from dualcontrol.errors import CalibrationError

LEAST = 1e-9
LAPSES = "It lapses when the model is fitted again, when calibration is tried again on the same rows, or when what \
comes in is no longer drawn like the calibration rows."


class Offline(NamedTuple):
    """A threshold and what is known of the rows that reach it; None where nothing can be certified, with the reason.

    Each end of `error_interval` holds with the confidence that was asked for, so that the upper end of a certified
    threshold is at most the error that was asked for.  `method` names the test.
    """

    threshold: float | None
    coverage: float
    error: float | None
    error_interval: tuple[float, float] | None
    n: int
    accepted: int
    wrong: int
    labels_needed: int | None
    reason: str
    method: str = "clopper-pearson"


class Certificate(NamedTuple):
    """What is promised, on what evidence, and when it lapses; as text it says so in words."""

    found: Offline
    max_error: float
    confidence: float

    def __str__(self) -> str:
        found = self.found
        if found.threshold is None:
            return f"Nothing is certified, so every row is for a human: {found.reason}."
        low, high = found.error_interval or (0.0, 1.0)
        return (
            f"Of the rows accepted from a score of {found.threshold!r} on, at most {share(self.max_error)} are wrong.\n"
            f"The probability that calibration draws rows on which this is claimed and false is at most "
            f"{share(1.0 - self.confidence)}.\n"
            f"It rests on {found.n:,} labels, drawn like the rows to come: {found.accepted:,} accepted "
            f"({share(found.coverage)}), {found.wrong:,} of them wrong.\n"
            f"Their error lies between {share(low)} and {share(high)}, each with {share(self.confidence)} confidence.\n"
            f"{LAPSES}"
        )


def check_promise(max_error: float, confidence: float) -> None:
    """Refuse a promise that no data carry, or that says nothing."""
    for name, value in (("max_error", max_error), ("confidence", confidence)):
        if not _is_share(value):
            raise CalibrationError(
                f"{name} is a number between 0 and 1, both excluded, not {value!r:.80}", hint=HINTS[name], field=name
            )
        if (said := beyond(name, value)) is not None:
            raise CalibrationError(f"{name} is {value!r}: {said}", hint=HINTS[name], field=name)


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0.0 < value < 1.0


def beyond(name: str, value: float) -> str | None:
    """Why a promise this small is out of reach, or says nothing; None where it is not that small."""
    if value >= LEAST:
        return None
    if name != "max_error":
        return "that is as good as no confidence at all"
    labels = log(20.0) / -log1p(-value)
    count = f"{ceil(labels):,}" if labels < 1e15 else "more than a thousand million million"
    return f"even without a single error that takes {count} labels at 95 % confidence"


HINTS = {
    "max_error": "An error of 0 cannot be certified by any number of labels, and 1 promises nothing; try 0.02.",
    "confidence": "Certainty cannot be had from data, and 0 promises nothing; try 0.95.",
}


def share(value: float) -> str:
    """A share as per cent, with as many digits as it has, three at most."""
    return f"{100 * value:.3g} %"
