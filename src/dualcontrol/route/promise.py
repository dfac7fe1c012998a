"""A promise on the error of autopilot, what was found of it on rows whose truth is known, and both in words."""

from __future__ import annotations

from collections.abc import Sequence
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


class ByClass(NamedTuple):
    """One class among the calibration rows: those accepted as it, and those that are it in truth.

    Of `accepted` rows that are taken for it `wrong` are something else; of the `truly` accepted rows that are it
    `missed` are taken for something else.  `threshold` is the score from which it is accepted, None where never; with
    a promise for each class `reason` says why.
    """

    label: Any
    threshold: float | None
    accepted: int
    wrong: int
    truly: int
    missed: int
    reason: str = ""

    def __str__(self) -> str:
        if self.threshold is None:
            return f"Class {self.label!r}: none is accepted" + (f", since {self.reason}." if self.reason else ".")
        start = f" from {self.threshold!r} on" if self.reason else ""
        taken = (
            f"{self.accepted:,} accepted as it{start}, {self.wrong:,} of them wrong"
            if self.accepted
            else "none accepted as it"
        )
        return f"Class {self.label!r}: {taken}; of {self.truly:,} accepted that are it, {self.missed:,} were missed."


class Certificate(NamedTuple):
    """What is promised, on what evidence, and when it lapses; as text it says so in words.

    `classes` holds the error of each class; with `per_class` the promise is made for every class by itself.
    """

    found: Offline
    max_error: float
    confidence: float
    classes: tuple[ByClass, ...] = ()
    per_class: bool = False

    def __str__(self) -> str:
        found = self.found
        if found.threshold is None:
            return f"Nothing is certified, so every row is for a human: {found.reason}."
        return "\n".join([*self._promise(), *map(str, self.classes), *self._warning(), LAPSES])

    def _promise(self) -> list[str]:
        found, (low, high) = self.found, self.found.error_interval or (0.0, 1.0)
        of = f"Of the rows accepted from a score of {found.threshold!r} on, at most {share(self.max_error)} are wrong."
        if self.per_class:
            most = share(self.max_error)
            of = f"Of the rows accepted as any one class, each from its own score, at most {most} are wrong."
        return [
            of,
            f"The probability that calibration draws rows on which this is claimed and false is at most "
            f"{share(1.0 - self.confidence)}{', for all classes together' if self.per_class else ''}.",
            f"It rests on {found.n:,} labels, drawn like the rows to come: {found.accepted:,} accepted "
            f"({share(found.coverage)}), {found.wrong:,} of them wrong.",
            f"Their error lies between {share(low)} and {share(high)}, each with {share(self.confidence)} confidence.",
        ]

    def _warning(self) -> list[str]:
        """Classes that err more often than the promise would make one think."""
        most, said = share(self.max_error), []
        worse = [one.label for one in self.classes if one.wrong > self.max_error * one.accepted]
        if worse and not self.per_class:
            said.append(
                f"This promise is for all classes together: of {_named(worse)} more than {most} of the accepted "
                "rows were wrong. With per_class=True it is made for each."
            )
        lost = [one.label for one in self.classes if one.missed > self.max_error * one.truly]
        if lost:
            said.append(
                f"It is no promise about the rows that are {_named(lost)} in truth: of those accepted more than {most} "
                "were taken for something else."
            )
        return said


def _named(labels: Sequence[Any]) -> str:
    return ("class " if len(labels) == 1 else "classes ") + ", ".join(map(repr, labels))


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
