"""Moves: what the evidence changes in the control that routes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dualcontrol.control import ALARM, Control
from dualcontrol.events import (
    AlarmRaised,
    AuditsChanged,
    AutopilotClosed,
    AutopilotOpened,
    EpochBegan,
    Event,
    ThresholdMoved,
    real,
)
from dualcontrol.evolve import governed_by
from dualcontrol.guarantee.certificate import START, Certificate, Step, first_of, promising
from dualcontrol.guarantee.evidence import DRIFT, Segment
from dualcontrol.guarantee.monitor import WINDOW, Scale
from dualcontrol.guarantee.offline import share
from dualcontrol.guarantee.warm_start import Start
from dualcontrol.route import audit

SUSPICIOUS = "the monitor suspects that errors have become more frequent: reviewed five times as often"
REFRESH = 500  # labels after which audit shares are computed again


def began(
    control: Control, name: str, model: str | None, before: Segment | None, after: int, now: int, reason: str,
    warm: Start | None = None, cut: str | None = None,
) -> EpochBegan:  # fmt: skip
    """A new certificate; after an alarm it keeps the bins of the one before, and only a first one has a launch."""
    promise = promised(control, before)
    if cut == DRIFT and before is not None and before.certificate.begun:
        promise |= {"edges": before.certificate.edges}
        promise |= {"first": before.certificate.first} if before.certificate.again else {}
    promise |= _warm(promise, warm)
    return _epoch(control, name, model, before, after, now, reason, promise, cut)


def begun_again(control: Control, name: str, before: Segment, place: int, now: int) -> EpochBegan:
    """The same promise, with another first region: what was counted chose it, and is no evidence for it."""
    made = before.certificate
    promise = promised(control, before) | {"edges": made.edges, "first": place, "again": made.again + 1}
    why = reason(made, place)
    return _epoch(control, name, before.model, before, before.upto, now, why, promise)


def _epoch(
    control: Control, name: str, model: str | None, before: Segment | None, after: int, now: int, reason: str,
    promise: dict[str, Any], cut: str | None = None,
) -> EpochBegan:  # fmt: skip
    epoch = control.epoch if before is None else max(control.epoch, before.epoch + 1)
    return EpochBegan(
        version=control.version + 1, at=now, segment=name, epoch=epoch, reason=reason, model=model,
        scorer=control.scores_by, after=after, promise=json.dumps(promise, sort_keys=True), cut=cut,
    )  # fmt: skip


def promised(control: Control, before: Segment | None) -> dict[str, Any]:
    """What a certificate of this loop is made with; only the first of a segment has a launch."""
    guarantee = control.settings.guarantee
    if guarantee is None:
        raise ValueError("no guarantee, no certificate")
    promise: dict[str, Any] = {
        "max_error": guarantee.max_error, "confidence": guarantee.confidence,
        "segments": max(1, len(guarantee.segments)), "floor": audit.floor_of(audit.declared(control)),
        "miss_rate": guarantee.missed, "pilot": guarantee.pilot, "start": None if control.learned else START,
        "launch": guarantee.launch if before is None else 0,
    }  # fmt: skip
    return promise if guarantee.pilot else promise | {"edges": [i / 100 for i in range(1, 100)]}


def _warm(promise: dict[str, Any], warm: Start | None) -> dict[str, Any]:
    """Bins and first region of a new model, by cases that were compared on and are no evidence."""
    given = warm.promise if warm is not None else {}
    if "piloted" in given:
        piloted = given.pop("piloted")
        given["first"] = first_of(given["edges"], piloted, promise["max_error"], None)
    return given


def moved(control: Control, name: str, segment: Segment, steps: Sequence[Step], now: int) -> list[Event]:
    """The threshold after what was certified, step by step, and audit shares that fit it."""
    made: list[Event] = []
    for closed in _closed_by_alarm(control, name) if steps else ():
        reason = "autopilot is certified again after the alarm"
        made.append(AutopilotOpened(version=control.version + len(made) + 1, at=now, segment=closed, reason=reason))
    for step in steps:
        version = control.version + len(made) + 1
        made.append(_threshold(version, name, segment, step, now))
    if _audits_due(control, name, segment, bool(steps)):
        made.append(_audits(control.version + len(made) + 1, control, name, segment, now))
    return made


def _closed_by_alarm(control: Control, name: str) -> list[str]:
    """What an alarm has closed and this certificate speaks for now, also where the segments were others then."""
    mine = [closed for closed in control.closed if not closed or control.certificate_for(closed) == name]
    return [closed for closed in mine if closed in control.causes and control.causes[closed].by == ALARM]


def _threshold(version: int, name: str, segment: Segment, step: Step, now: int) -> ThresholdMoved:
    certificate = segment.certificate
    coverage = certificate.share_from(step.bin)
    answers = "the first answers, tested all at once," if step.by == "launch" else "the answers"
    reason = (
        f"{answers} carry it: from {step.threshold:.4g} on at most {share(certificate.max_error)} are wrong, with "
        f"{share(certificate.confidence)} confidence; that is {share(coverage)} of decisions, after "
        f"{certificate.labels:,} answers"
    )
    return ThresholdMoved(
        version=version, at=now, segment=name, threshold=real(step.threshold), reason=reason, epoch=segment.epoch,
        pos=step.seq, bin=step.bin, coverage=real(round(coverage, 6)),
    )  # fmt: skip


def _audits_due(control: Control, name: str, segment: Segment, stepped: bool) -> bool:
    certificate, table = segment.certificate, control.audits.get(name)
    if certificate.bin is None:
        return False
    if stepped or table is None or segment.boosted != segment.monitor.suspicious:
        return True
    everything = all(share == 1.0 for share in table.shares)
    if certificate.launching:
        return not everything
    return everything or certificate.labels - segment.shared_at >= REFRESH


def _audits(version: int, control: Control, name: str, segment: Segment, now: int) -> AuditsChanged:
    certificate, boosted = segment.certificate, segment.monitor.suspicious
    live = certificate.bin or 0
    shares, reason = (1.0,) * (len(certificate.edges) + 1), "every case is reviewed until the first answers are in"
    if not certificate.launching:
        shares = audit.shares(
            certificate.wrongs, certificate.weights, live, share=audit.declared(control),
            max_error=certificate.max_error, floor=certificate.floor, boosted=boosted,
        )  # fmt: skip
        reason = SUSPICIOUS if boosted else "reviewed more often where errors are likelier"
    return AuditsChanged(
        version=version, at=now, segment=name, edges=tuple(map(repr, certificate.edges)),
        shares=tuple(map(repr, shares)), reason=reason, floor=repr(certificate.floor),
    )  # fmt: skip


def drifted(segment: Segment) -> str:
    """What the monitor found, in words."""
    found = f"that more than {share(segment.certificate.max_error)} of what autopilot does is wrong by now"
    count = segment.missing
    unanswered = f"{count} case{'s' if count != 1 else ''} that nobody answered in time"
    return f"{found}; {unanswered} counted as wrong" if count else found


def rescaled(segment: Segment, scale: Scale, group: int) -> str:
    """What has become of the scores, in words."""
    first, last = scale.bins(group)
    score = segment.certificate.score_of
    upto = f"{score(last + 1):.4g}" if last < len(segment.certificate.edges) else "1"
    return (
        f"that the scores are not what they were: {share(scale.found)} of the last {WINDOW} lie from "
        f"{score(first):.4g} to {upto}, where {share(scale.shares[group])} did"
    )


def alarmed(
    control: Control, name: str, segment: Segment, after: int, now: int, what: str, code: str = DRIFT
) -> list[Event]:  # fmt: skip
    """After an alarm autopilot is closed, and a new certificate begins with what comes from here on."""
    reason = f"the monitor found {what}"
    alarm = AlarmRaised(code=code, reason=f"segment {name!r}: {reason}" if name else reason, at=now)
    if name in control.closed:  # whoever closed it opens it again
        return [alarm, began(control, name, segment.model, segment, after, now, code, cut=code)]
    closed = AutopilotClosed(version=control.version + 1, at=now, segment=name, cause=ALARM, reason=reason)
    anew = began(governed_by(control, closed), name, segment.model, segment, after, now, code, cut=code)
    return [closed, alarm, anew]


# Beginning again: where the first region turns out to be wrong too often, another one is tried on new decisions.
#
# A certificate widens from its first region, so that a first region beyond the bound would keep it closed for ever.
# What was counted so far says where else to begin; it is no evidence for what is begun then, and each further try
# spends a part of delta that was kept for it.


LABELS = 2_000  # before a first region is given up, and twice as many each time


def due(made: Certificate) -> int:
    """After how many labels a first region that loses is given up."""
    return int(LABELS * 2**made.again)


def elsewhere(made: Certificate) -> int | None:
    """The bin that another try begins with; None while this one may succeed, or where no other is more promising."""
    if not made.begun or made.launching or made.threshold is not None:
        return None
    if made.labels < due(made) or made.labels_needed() is not None:
        return None
    found = promising(made.weights, made.wrongs, made.max_error * (1.0 - made.miss_rate))
    return None if found == made.first else found


def reason(made: Certificate, place: int) -> str:
    """Why, in words."""
    seen, wrong = sum(made.weights[made.first :]), sum(made.wrongs[made.first :])
    return (
        f"{share(wrong / seen)} of the surest {made.share_from(made.first) * 100:.0f} % of decisions were found "
        f"wrong, where {share(made.max_error)} may be: answers are counted anew, for the surest "
        f"{made.share_from(place) * 100:.0f} % first"
    )
