"""What a guarantee stands at, in numbers and in words: what is promised, on what evidence, and why where nothing is."""

from __future__ import annotations

from typing import Any

from dualcontrol.case import Value
from dualcontrol.certify.segment import DRIFT, Segment
from dualcontrol.control import Control, Guarantee
from dualcontrol.route import binomial


class Standing(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One segment of a loop under a guarantee; `state` is off, waiting, pilot, collecting, certified or closed."""

    loop: str
    segment: str
    epoch: int
    model: str | None
    scorer: str | None
    max_error: float | None
    confidence: float | None
    threshold: float | None
    certified_coverage: float
    labels_used: int
    labels_needed: int | None
    error_upper: float | None
    error_estimate: float | None
    autopilot_cases: int
    audited_cases: int
    missing: int
    suspicion: float
    state: str
    reason: str


def standing(control: Control, segments: dict[str, Segment]) -> list[Standing]:
    """Every segment that the loop's guarantee names, or the one that is the whole loop."""
    guarantee = control.settings.guarantee
    names = guarantee.segments if guarantee is not None and guarantee.segments else ("",)
    return [_of(control, name, segments.get(name)) for name in names]


def _of(control: Control, name: str, segment: Segment | None) -> Standing:
    guarantee = control.settings.guarantee
    current = segment if segment is not None and control.epochs.get(name) == segment.epoch else None
    certificate = current.certificate if current is not None else None
    bound = segment.bound if segment is not None else None
    state, reason = _said(control, name, current)
    return Standing(
        loop=control.loop, segment=name, epoch=current.epoch if current else control.epoch,
        model=current.model if current else control.model, scorer=control.scores_by,
        max_error=guarantee.max_error if guarantee else None, confidence=guarantee.confidence if guarantee else None,
        threshold=control.threshold_for(name) if guarantee else None,
        certified_coverage=round(certificate.coverage, 6) if certificate else 0.0,
        labels_used=certificate.labels if certificate else 0, labels_needed=_needed(control, certificate),
        error_upper=round(bound.upper, 6) if bound and bound.cases else None,
        error_estimate=round(bound.estimate, 6) if bound and bound.estimate is not None else None,
        autopilot_cases=bound.cases if bound else 0, audited_cases=bound.labels if bound else 0,
        missing=current.missing if current else 0, suspicion=round(current.monitor.share, 4) if current else 0.0,
        state=state, reason=reason,
    )  # fmt: skip


def _needed(control: Control, certificate: Any) -> int | None:
    guarantee = control.settings.guarantee
    if guarantee is None:
        return None
    if certificate is not None:
        needed: int | None = certificate.labels_needed()
        return needed
    return guarantee.pilot + _least(control)


def _least(control: Control) -> int:
    """The fewest labels without an error that open anything at all."""
    guarantee = control.settings.guarantee
    if guarantee is None:
        return 0
    delta = (1.0 - guarantee.confidence) / max(1, len(guarantee.segments)) / (2 if guarantee.launch else 1)
    return binomial.needed(guarantee.max_error * (1.0 - guarantee.missed), 1.0 - delta)


def _said(control: Control, name: str, segment: Segment | None) -> tuple[str, str]:
    guarantee = control.settings.guarantee
    if guarantee is None:
        return "off", "this loop has no guarantee"
    closed = control.closed_for(name)
    if segment is None:
        first = (
            f"{guarantee.pilot} cases choose the score bins, then at least {_least(control)} without error are needed"
        )
        first = f"{_unlearned(guarantee)}; {first}" if control.learned and control.scorer is None else first
        return "waiting", f"no decision was counted yet: everything goes to humans; {first}"
    evidence = segment.certificate.evidence()
    errors = _whose_errors(control) + _by_what(control)
    if evidence["state"] == "pilot":
        return (
            "pilot",
            f"{evidence['pilot_left']} more answers are needed to choose the score bins; everything goes to humans",
        )
    if evidence["state"] == "certified":
        promise = _promise(control, segment, errors)
        if closed is None:
            return "certified", promise
        return "closed", f"autopilot is closed: {closed}; what is certified stands by for when it opens: {promise}"
    why = _not_yet(segment, evidence, errors)
    return ("closed", f"autopilot is closed: {closed}; {why}") if closed is not None else ("collecting", why)


def _unlearned(guarantee: Guarantee) -> str:
    return f"the score is learned from the first {guarantee.learn_from} decided cases, which are no evidence"


def _by_what(control: Control) -> str:
    """Which score it is, where it is not the confidence that proposals come with."""
    scorer = control.scores_by
    return "" if scorer is None else f"; the score is the chance of being right, learned by {scorer}"


def _whose_errors(control: Control) -> str:
    guarantee = control.settings.guarantee
    if guarantee is not None and guarantee.adjudicate:
        return "disagreements count once a second reviewer has agreed"
    missed = guarantee.missed if guarantee is not None else 0.0
    unseen = f", and {missed:.0%} of errors are taken to be missed" if missed else ""
    return f"errors of reviewers count as errors of the model{unseen}"


def _promise(control: Control, segment: Segment, errors: str) -> str:
    certificate = segment.certificate
    chance = f"{1 - certificate.confidence:.2g}".rstrip("0").rstrip(".")
    return (
        f"with at most {chance} chance of this being false, at most {certificate.max_error:.1%} of what autopilot does "
        f"from {certificate.threshold:.4g} up is wrong, while model and cases stay as they are; {errors}"
    )


def _not_yet(segment: Segment, evidence: dict[str, Any], errors: str) -> str:
    certificate, needed = segment.certificate, evidence["labels_needed"]
    seen = sum(certificate.weights[certificate._next :]) if certificate._next >= 0 else 0.0
    wrong = sum(certificate.wrongs[certificate._next :]) if certificate._next >= 0 else 0.0
    begun = "after the alarm, " if segment.reason == DRIFT else ""
    found = f"{begun}{wrong:.0f} of {seen:.0f} surest cases were found wrong, and {certificate.max_error:.1%} may be"
    more = f"about {needed} more labels are needed" if needed is not None else "more labels would not certify this"
    return f"nothing is certified: {found}; {more}; {errors}"
