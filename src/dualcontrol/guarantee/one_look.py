"""One look: a single decision at a number of labels that was named beforehand, by learn then test.

The live certificate may be looked at after every label, and pays for it.  Who needs one decision may spend the whole
chance of being wrong on one exact test of so many labels (Angelopoulos et al. 2021; Clopper and Pearson 1934).  It
holds once: a second test of the same labels, at another bound or another number, would be another chance of being
wrong.  So a look is recorded, the same question gets the answer that was given, and any other look takes new labels.

Where two orders count, a look is at the order of confidence, whichever of them acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from msgspec.structs import replace

from dualcontrol.case import Value
from dualcontrol.control import RISK, Control
from dualcontrol.errors import GuaranteeError
from dualcontrol.events import Entry, EpochBegan, Event, LookTaken, real
from dualcontrol.guarantee.certificate import whole
from dualcontrol.guarantee.evidence import evidence
from dualcontrol.guarantee.offline import Offline, certify, check_promise, share
from dualcontrol.step import Steps

ONCE = "One look: it holds for these labels once. Do not look at them again, at another bound or another number."
LIVE = "`dualcontrol guarantee` may be looked at after every label."


class OneLook(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What one look certified: the threshold, None for nothing, and the error of the labels that reach it.

    `coverage` is the share of the labels that do, each end of `low` to `high` holds with `confidence`, and
    `labels_needed` says about how many would do where nothing is certified.  `look` counts the looks of this epoch, and
    `again` says that this one was taken before, at `at`, so that this is its answer and no second look.
    """

    loop: str
    segment: str
    epoch: int
    look: int
    labels: int
    max_error: float
    confidence: float
    miss_rate: float
    threshold: float | None
    coverage: float
    wrong: int
    error: float | None
    low: float
    high: float
    labels_needed: int | None
    reason: str
    at: int
    again: bool


def look_once(
    steps: Steps, control: Control, labels: int, max_error: float | None, confidence: float | None, segment: str
) -> OneLook:  # fmt: skip
    """Take one look at the first so many labels of an epoch that no look was taken at, and record it.

    Raises GuaranteeError where there are too few, where some were not certain to be seen, or for a second look at the
    same labels.
    """
    whole("labels", labels, 1)
    guarantee = control.settings.guarantee
    if guarantee is None:
        raise GuaranteeError(f"loop {control.loop!r} has no guarantee, so that nothing was counted", hint=LIVE)
    if guarantee.largest > 1:
        raise GuaranteeError(
            f"clusters of loop {control.loop!r} have up to {guarantee.largest} cases, and an exact test takes labels "
            "to be independent",
            hint=LIVE,
        )
    most = guarantee.max_error if max_error is None else max_error
    sure = guarantee.confidence if confidence is None else confidence
    check_promise(most, sure)
    entries = steps.store.queries.entries(f"loop/{control.loop_id}", values=False)
    epoch = control.epochs.get(segment)
    if segment not in (guarantee.segments or ("",)) or epoch is None:
        known = ", ".join(guarantee.segments) or "the loop has none"
        what = "no label was counted yet" if segment in (guarantee.segments or ("",)) else f"there is none; {known}"
        raise GuaranteeError(f"segment {segment!r}: {what}" if segment or guarantee.segments else what, hint=LIVE)
    rows, before = evidence(entries, segment), looks(entries, segment)
    began = next(e for n in reversed(entries) for e in reversed(n.events) if _begins(e, segment))
    for number, look in enumerate(before, 1):
        asked = (look.labels, float(look.max_error), float(look.confidence), float(look.missed))
        if asked == (labels, most, sure, guarantee.missed):
            return _told(control, look, _between(rows, look), number, again=True)
    after = before[-1].upto if before else began.after  # somebody may have looked at labels from before the epoch
    fresh = [row for row in rows if row["seq"] > after]
    _refuse(fresh, labels, len(before), control.loop)
    chosen = fresh[:labels]
    offline = _tested(chosen, most, sure, guarantee.missed)
    taken = LookTaken(
        at=0, segment=segment, epoch=epoch, labels=labels, after=after, upto=chosen[-1]["seq"], max_error=repr(most),
        confidence=repr(sure), missed=repr(guarantee.missed), wrong=sum(row["wrong"] for row in chosen),
        threshold=real(offline.threshold),
    )  # fmt: skip
    seq = entries[-1].seq

    def make(now: Control, at: int) -> list[LookTaken]:
        """The look, if nothing has happened since its labels were read."""
        if now.seq != seq:
            raise GuaranteeError(f"labels of loop {control.loop!r} were counted just now: no look was taken; try again")
        return [replace(taken, at=at)]

    steps.move(control.loop, make)
    recorded = looks(steps.store.queries.entries(f"loop/{control.loop_id}", values=False), segment)[-1]
    return _told(control, recorded, chosen, len(before) + 1)


def looks(entries: Sequence[Entry], segment: str) -> list[LookTaken]:
    """The looks that were taken at the labels of a segment's latest epoch, by the entries of the loop's stream."""
    taken: list[LookTaken] = []
    for event in (event for entry in entries for event in entry.events):
        if _begins(event, segment):
            taken = []
        elif isinstance(event, LookTaken) and event.segment == segment:
            taken.append(event)
    return taken


def _begins(event: Event, segment: str) -> TypeGuard[EpochBegan]:
    """Whether other labels count for confidence from here on; what is carried, or begins beside it, has the same."""
    if not isinstance(event, EpochBegan) or event.segment != segment:
        return False
    return event.order != RISK and not event.carried


def _refuse(fresh: Sequence[Mapping[str, Any]], labels: int, before: int, loop: str) -> None:
    """Refuse a look at labels that there are not, that were looked at, or that were seen by chance."""
    if len(fresh) < labels:
        if before:
            raise GuaranteeError(
                f"a look was taken at the labels of {loop!r} already, and {len(fresh):,} have come since: a second "
                "look at the same ones would be a second chance of being wrong",
                hint=f"Wait for {labels - len(fresh):,} more, ask what was asked, or use what need not wait: {LIVE}",
            )
        raise GuaranteeError(
            f"there are {len(fresh):,} labels of {loop!r}, and the look is to be at {labels:,}",
            hint=f"Wait for {labels - len(fresh):,} more: when to look must not hang on what the labels say. {LIVE}",
        )
    place = next(
        (n for n, row in enumerate(fresh[:labels]) if row["inclusion"] < 1.0 or row.get("floor", 1.0) < 1.0), None
    )
    if place is not None:
        raise GuaranteeError(
            f"label {place + 1:,} of {labels:,} was one that people saw with a probability of "
            f"{fresh[place]['inclusion']:g}, and an exact test takes labels that were certain to be seen",
            hint=f"`guarantee.launch` says how many decisions are all reviewed. {LIVE}",
        )


def _tested(rows: Sequence[Mapping[str, Any]], max_error: float, confidence: float, missed: float) -> Offline:
    """One exact fixed sequence of tests: people find at least the share 1 - missed of the errors, so it is of that."""
    bound = max_error * (1.0 - missed)
    return certify([row["score"] for row in rows], [row["wrong"] for row in rows], bound, confidence)


def _between(rows: Sequence[Mapping[str, Any]], look: LookTaken) -> list[Mapping[str, Any]]:
    return [row for row in rows if look.after < row["seq"] <= look.upto]


def _told(
    control: Control, look: LookTaken, rows: Sequence[Mapping[str, Any]], number: int, *, again: bool = False
) -> OneLook:  # fmt: skip
    """A look in figures, by its labels, which the record keeps."""
    most, sure, missed = float(look.max_error), float(look.confidence), float(look.missed)
    offline = _tested(rows, most, sure, missed)
    low, high = offline.error_interval or (0.0, 1.0)
    reason = offline.reason
    if missed:
        reason += f"; people are taken to miss {share(missed)} of errors, so {share(most * (1 - missed))} are tested"
    return OneLook(
        loop=control.loop, segment=look.segment, epoch=look.epoch, look=number, labels=look.labels, max_error=most,
        confidence=sure, miss_rate=missed, threshold=None if look.threshold is None else float(look.threshold),
        coverage=round(offline.coverage, 6), wrong=look.wrong, error=offline.error, low=low,
        high=min(1.0, high / (1.0 - missed)), labels_needed=offline.labels_needed, reason=reason, at=look.at,
        again=again,
    )  # fmt: skip
