"""What a guarantee stands at, in numbers and in words: what is promised, on what evidence, and why where nothing is."""

from __future__ import annotations

from dualcontrol.case import Value
from dualcontrol.certify import again
from dualcontrol.certify.moving import promised
from dualcontrol.certify.segment import LABELS, Segment
from dualcontrol.control import Control, Guarantee
from dualcontrol.route.guarantee import Certificate
from dualcontrol.route.promise import share

WATCHES = {"shadow": "The loop only watches, so nobody is asked and nothing will be counted"}
SUGGESTS = {"suggest": "The loop only suggests, so nothing goes to autopilot all the same"}


class Standing(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One segment of a loop under a guarantee; `state` is off, waiting, pilot, collecting, certified or closed.

    `reason` says all of it; of its parts `closed` is what closed autopilot, and `counted` what the evidence says.
    """

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
    closed: str | None
    counted: str


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
    closed = control.closed_for(name)
    state, counted = _said(control, segment, current, closed)
    return Standing(
        loop=control.loop, segment=name, epoch=current.epoch if current else control.epoch,
        model=current.model if current else control.model, scorer=control.scores_by,
        max_error=guarantee.max_error if guarantee else None, confidence=guarantee.confidence if guarantee else None,
        threshold=control.threshold_for(name) if guarantee else None,
        certified_coverage=round(certificate.coverage, 6) if certificate else 0.0,
        labels_used=certificate.labels if certificate else 0, labels_needed=_needed(control, segment, certificate),
        error_upper=round(bound.upper, 6) if bound and bound.cases else None,
        error_estimate=round(bound.estimate, 6) if bound and bound.estimate is not None else None,
        autopilot_cases=bound.cases if bound else 0, audited_cases=bound.labels if bound else 0,
        missing=current.missing if current else 0, suspicion=round(current.monitor.share, 4) if current else 0.0,
        state=state, reason=f"autopilot is closed: {closed}. {counted}" if state == "closed" else counted,
        closed=closed, counted=counted,
    )  # fmt: skip


def _needed(control: Control, before: Segment | None, certificate: Certificate | None) -> int | None:
    """Answers to the next step; where none is counted yet, as many as it takes without an error."""
    if control.settings.guarantee is None:
        return None
    return (certificate or _unbegun(control, before)).labels_needed()


def _unbegun(control: Control, before: Segment | None) -> Certificate:
    """The certificate that the next decision begins."""
    return Certificate(**promised(control, before))


def _said(control: Control, before: Segment | None, current: Segment | None, closed: str | None) -> tuple[str, str]:
    """The state, and what the evidence says; while autopilot is closed, as a sentence that comes after that."""
    guarantee = control.settings.guarantee
    if guarantee is None:
        return "off", "this loop has no guarantee"
    state, why = _counted(control, guarantee, before, current)
    if closed is None:
        return state, why
    if state == "certified":
        return "closed", f"What is certified stands by for when it opens: {why}"
    return "closed", why[:1].upper() + why[1:]


def _counted(
    control: Control, guarantee: Guarantee, before: Segment | None, current: Segment | None
) -> tuple[str, str]:  # fmt: skip
    """What the evidence says, whether or not autopilot is closed."""
    if current is None:
        return "waiting", _joined(_waiting(control, guarantee, before), WATCHES.get(control.settings.start))
    evidence, late = current.certificate.evidence(), _unanswered(guarantee, current)
    if evidence["state"] == "pilot":
        left = f"{_answers(evidence['pilot_left'], 'more ')} to see how the scores lie; everything goes to humans"
        return "pilot", _joined(left, late)
    errors = _joined(_whose_errors(guarantee), _by_what(control))
    if evidence["state"] == "certified":
        return "certified", _joined(_promise(current), errors, SUGGESTS.get(control.settings.start))
    return "collecting", _joined(_not_yet(current, evidence["labels_needed"]), late, errors)


def _joined(*sentences: str | None) -> str:
    return ". ".join(sentence for sentence in sentences if sentence)


def _answers(count: int, more: str = "") -> str:
    return f"1 {more}answer is needed" if count == 1 else f"{count:,} {more}answers are needed"


def _waiting(control: Control, guarantee: Guarantee, before: Segment | None) -> str:
    """Nothing is counted for this promise: how many answers it takes at the least."""
    fresh = _unbegun(control, before)
    nothing = "no decision was counted yet" + (" for this promise" if before is not None else "")
    learned = control.learned and control.scorer is None
    pilot = f"The first {_many(guarantee.pilot, 'answer')} show how the scores lie, and prove nothing"
    return _joined(
        f"{nothing}, so everything goes to humans", _unlearned(guarantee) if learned else None,
        pilot if guarantee.pilot else None,
        f"Then at least {_many(fresh.fewest, 'answer')} on the surest cases must find no error: "
        f"about {_many(fresh.labels_needed() or 0, 'answer')} in all",
    )  # fmt: skip


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def _unlearned(guarantee: Guarantee) -> str:
    return f"First the score is learned from the first {guarantee.learn_from:,} decided cases, which are not counted"


def _by_what(control: Control) -> str | None:
    """Which score it is, where it is not the confidence that proposals come with."""
    scorer = control.scores_by
    return None if scorer is None else f"Here the score is the chance of being right, learned by {scorer}"


def _whose_errors(guarantee: Guarantee) -> str:
    if guarantee.adjudicate:
        return "A proposal counts as wrong once a second reviewer says so too"
    unseen = f", and {share(guarantee.missed)} of errors are taken to be missed" if guarantee.missed else ""
    return f"Nobody is asked twice, so errors of reviewers count as errors of the model{unseen}"


def _unanswered(guarantee: Guarantee, segment: Segment) -> str | None:
    """Cases that nobody answered count as wrong; who does not know that takes them for errors of the model."""
    count = segment.missing
    if not count:
        return None
    span = guarantee.answer_within
    within = span if isinstance(span, str) else f"{span:g} s"
    counts = (
        "counts as wrong because nobody answered it" if count == 1 else "count as wrong because nobody answered them"
    )
    return f"{_many(count, 'case')} {counts} within {within}: answer in time, or set a longer answer_within"


def _promise(segment: Segment) -> str:
    certificate = segment.certificate
    return (
        f"at most {share(certificate.max_error)} of what autopilot does from {certificate.threshold:.4g} on is wrong, "
        f"with {share(certificate.confidence)} confidence, while model and cases stay as they are"
    )


def _hopeless(segment: Segment) -> str:
    never, tried = "More answers like these would not change that", again.due(segment.certificate)
    if segment.certificate.labels >= tried:
        return never
    return f"{never}. When {tried:,} are counted, another group of the surest cases is tried if one looks better"


def _not_yet(segment: Segment, needed: int | None) -> str:
    certificate = segment.certificate
    place = max(certificate._next, 0)
    seen, wrong = sum(certificate.weights[place:]), sum(certificate.wrongs[place:])
    since = {None: "", LABELS: "since the labels changed "}.get(segment.cut, "since the alarm ")
    found = (
        f"{since}{wrong:.0f} of the {seen:.0f} surest cases count as wrong, and {share(certificate.max_error)} may be"
    )
    if not seen:
        found = f"no answer on the surest cases was counted {since or 'yet'}".rstrip()
    more = _hopeless(segment) if needed is None else f"About {_answers(needed, 'more ')}"
    tied = "" if certificate.edges else ". Every score was the same so far, so it is all cases or none"
    return f"nothing is certified: {found}. {more}{tied}"
