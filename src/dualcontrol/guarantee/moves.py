"""Moves: the events by which evidence changes the control that routes: epochs, thresholds, audit shares, alarms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dualcontrol.control import ALARM, CONFIDENCE, RISK, Control, Guarantee
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
from dualcontrol.guarantee import alike, monitor, orders
from dualcontrol.guarantee.certificate import START, Certificate, Step, promising
from dualcontrol.guarantee.evidence import DRIFT, Segment
from dualcontrol.guarantee.monitor import WINDOW, Scale
from dualcontrol.guarantee.offline import share
from dualcontrol.guarantee.warm_start import Start
from dualcontrol.oversight.allowance import KEPT, Allowance, Lost
from dualcontrol.oversight.rates import at_least
from dualcontrol.route import audit

SUSPICIOUS = "the monitor suspects that errors have become more frequent: reviewed five times as often"
REFRESH = 500  # labels after which audit shares are computed again


def began(
    control: Control, name: str, model: str | None, before: Segment | None, after: int, now: int, reason: str,
    warm: Start | None = None, cut: str | None = None, first: int | None = None,
) -> EpochBegan:  # fmt: skip
    """A new epoch; after an alarm its certificate keeps the bins of the one before.

    A restart has the same bins with another `first` region: what was counted chose it, and is no evidence for it.
    Where a second order counts, the restart is one of the first within the epoch.
    """
    promise, old = promised(control, before), None if before is None else before.certificate
    if old is not None and first is not None:  # what it spends was kept by the one before
        promise |= {"edges": old.edges, "first": first, "again": old.again + 1, "spent": old.spent}
    elif cut == DRIFT and old is not None and old.begun:
        promise |= {"edges": old.edges} | ({"first": old.first} if old.again else {})
    if warm is not None:
        promise |= warm.promise(promise["max_error"])
    epoch, order = control.epoch if before is None else max(control.epoch, before.epoch + 1), ""
    _, measured, by_second = allowance(control, before)
    if before is not None and before.second is not None and first is not None:
        epoch, order, measured, by_second = before.epoch, CONFIDENCE, before.measured, before.by_second
        promise = _allowing(promise, before)
    return EpochBegan(
        version=control.version + 1, at=now, segment=name, epoch=epoch, reason=reason, model=model,
        scorer=control.scores_by, after=after, promise=json.dumps(promise, sort_keys=True), cut=cut, order=order,
        measured=measured, by_second=by_second,
    )  # fmt: skip


def began_second(control: Control, name: str, segment: Segment, now: int, first: int | None = None) -> EpochBegan:
    """The learned order begins in an epoch of confidence, or begins again with another `first` region.

    It spends of its own half, and never an earlier part of it than confidence does, so that what was spent before there
    were two is counted once.  For what people miss it allows as much as confidence does in this epoch.
    """
    promise, old = promised(control, segment), None if segment.second is None else segment.second.certificate
    reason = f"cases are ordered by risk model {control.scorer} as well, beside confidence"
    promise = _allowing(promise, segment)
    promise |= {"launch": 0, "start": None, "spent": max(segment.learned_spent, segment.certificate.spent or 0)}
    if old is not None and first is not None:
        reason = f"the chance of being right: {restart_reason(old, first)}"
        promise |= {"edges": old.edges, "first": first, "again": old.again + 1, "spent": old.spent}
    return EpochBegan(
        version=control.version + 1, at=now, segment=name, epoch=segment.epoch, reason=reason, model=segment.model,
        scorer=control.scorer, after=segment.upto, promise=json.dumps(promise, sort_keys=True), order=RISK,
        measured=segment.measured, by_second=segment.by_second,
    )  # fmt: skip


ALLOWS = ("miss_rate", "kept")  # of a promise what people miss, and the share of delta that measuring it has


def _allowing(promise: dict[str, Any], segment: Segment) -> dict[str, Any]:
    """A promise within an epoch: it allows for what people miss as the epoch does, whose evidence it shares."""
    own: dict[str, Any] = json.loads(segment.promise)
    others = {name: value for name, value in promise.items() if name not in ALLOWS}
    return others | {name: own[name] for name in ALLOWS if name in own}


def promised(control: Control, before: Segment | None) -> dict[str, Any]:
    """The parameters of a certificate of this loop; only the first of a segment has a full-audit phase."""
    guarantee = control.settings.guarantee
    if guarantee is None:
        raise ValueError("no guarantee, no certificate")
    promise: dict[str, Any] = {
        "max_error": guarantee.max_error, "confidence": guarantee.confidence,
        "segments": orders.sharing(guarantee), "floor": audit.floor_for(control),
        "miss_rate": allowance(control, before).rate, "pilot": guarantee.pilot,
        "start": None if control.learned else START,
        "launch": guarantee.launch if before is None else 0, "spent": 0 if before is None else before.spent,
    }  # fmt: skip
    if before is not None and promise["segments"] == max(1, len(guarantee.segments)):  # the half of both is one's again
        promise["spent"] = max(before.spent, before.learned_spent)
    if measures(control):
        promise |= {"kept": KEPT}
    if guarantee.largest > 1:  # the exact test of a launch takes labels to be independent
        promise |= {"largest": guarantee.largest, "launch": 0}
    return promise if guarantee.pilot else promise | {"edges": [i / 100 for i in range(1, 100)]}


def moved(control: Control, name: str, segment: Segment, steps: Sequence[Step], now: int) -> list[Event]:
    """The threshold after what was certified, step by step, and audit shares that fit it.

    What an alarm has closed and this certificate speaks for opens again, also where the segments were others then.
    Of two orders the one that is wider by now acts.
    """
    events: list[Event] = []
    certificate, order, instead = segment.certificate, CONFIDENCE, ""
    if segment.second is not None:
        acting = control.acting(name)
        chosen = orders.wider(segment.certificate, segment.second, acting)
        certificate, order, live = segment.of(chosen.order), chosen.order, control.thresholds.get(name)
        instead = _instead(chosen) if order != acting else ""
        steps = [one for one in certificate.steps if live is None or one.threshold < live]
        if instead or live is None:
            steps = certificate.steps[-1:]
    for closed in control.closed if steps else ():
        mine = not closed or control.certificate_for(closed) == name
        if mine and closed in control.causes and control.causes[closed].by == ALARM:
            reason, version = "autopilot is certified again after the alarm", control.version + len(events) + 1
            events.append(AutopilotOpened(version=version, at=now, segment=closed, reason=reason))
    for step in steps:
        coverage = certificate.share_from(step.bin)
        answers = "the first answers, tested all at once," if step.by == "launch" else "the answers"
        by = "" if segment.second is None or instead else f" by {NAMES[order]}"
        reason = (
            f"{instead}{answers} carry it{by}: from {step.threshold:.4g} on at most {share(certificate.max_error)} are "
            f"wrong, with {share(certificate.confidence)} confidence; that is {share(coverage)} of decisions, after "
            f"{certificate.labels:,} answers"
        )
        threshold = ThresholdMoved(
            version=control.version + len(events) + 1, at=now, segment=name, threshold=real(step.threshold),
            reason=reason, epoch=segment.epoch, pos=step.seq, bin=step.bin, coverage=real(round(coverage, 6)),
            order=RISK if order == RISK else "",
        )  # fmt: skip
        events.append(threshold)
    audits = _audits(control.version + len(events) + 1, control, name, segment, certificate, bool(steps), now)
    return events if audits is None else [*events, audits]


NAMES = {CONFIDENCE: "confidence", RISK: "the learned chance of being right"}


def _instead(chosen: orders.Wider) -> str:
    """Why another order acts from here on, in words."""
    one, other = (share(chosen.chance), share(chosen.confidence))
    if chosen.order == CONFIDENCE:
        one, other = other, one
    was = RISK if chosen.order == CONFIDENCE else CONFIDENCE
    return (
        f"{NAMES[chosen.order]} acts from here on, since it lets {one} of the latest cases through, and "
        f"{NAMES[was]} {other}; "
    )


def _audits(
    version: int, control: Control, name: str, segment: Segment, certificate: Certificate, stepped: bool, now: int
) -> AuditsChanged | None:  # fmt: skip
    """Audit shares by what is counted now, where they are due; None where those in force will do.

    `certificate` is the one that acts; until the full-audit phase of the first is over, everything is reviewed.
    """
    table, boosted, launching = control.audits.get(name), segment.monitor.suspicious, segment.certificate.launching
    if certificate.bin is None:
        return None
    if not stepped and table is not None and segment.boosted == boosted:
        everything = table.shares.count(1.0) == len(table.shares)
        if launching and everything:
            return None
        if not launching and not everything and segment.certificate.labels - segment.shared_at < REFRESH:
            return None
    blind = None  # all of what people decide: one exact test takes nothing that was not labelled for sure
    shares, reason = (1.0,) * (len(certificate.edges) + 1), "every case is reviewed until the first answers are in"
    if not launching:
        blind = audit.blind_share(control, certificate.floor)
        shares = audit.shares(
            certificate.wrongs, certificate.weights, certificate.bin, share=audit.declared(control),
            max_error=certificate.max_error, floor=certificate.floor, boosted=boosted,
        )  # fmt: skip
        reason = SUSPICIOUS if boosted else "reviewed more often where errors are likelier"
    return AuditsChanged(
        version=version, at=now, segment=name, edges=tuple(map(repr, certificate.edges)),
        shares=tuple(map(repr, shares)), reason=reason, floor=repr(certificate.floor),
        blind=real(blind),
    )  # fmt: skip


def drifted(segment: Segment) -> str:
    """What the monitor has detected, in words."""
    drift = f"that more than {share(segment.certificate.max_error)} of what autopilot does is wrong by now"
    count = segment.missing
    unanswered = f"{count} case{'s' if count != 1 else ''} that nobody answered in time"
    return f"{drift}; {unanswered} counted as wrong" if count else drift


def rescaled(certificate: Certificate, scale: Scale, group: int) -> str:
    """How the scores have drifted, in words."""
    first, last = scale.bins(group)
    score = certificate.score_of
    upto = f"{score(last + 1):.4g}" if last < len(certificate.edges) else "1"
    return (
        f"that the scores are not what they were: {share(scale.risen)} of the last {WINDOW} lie from "
        f"{score(first):.4g} to {upto}, where {share(scale.shares[group])} did"
    )


def bursty(name: str, segment: Segment, size: float, now: int) -> list[Event]:
    """An alarm where labels that were counted as independent are alike; nothing closes by it."""
    labels = segment.certificate.labels
    reason = monitor.bursty(labels, size) or alike.alarming(labels, segment.alike.worst(), monitor.FROM, monitor.FAR)
    if reason is None:
        return []
    return [AlarmRaised(code=monitor.BURSTS, reason=f"segment {name!r}: {reason}" if name else reason, at=now)]


def named(name: str, reason: str) -> bool:
    """Whether the reason of an alarm is about this segment."""
    return reason.startswith(f"segment {name!r}: ") if name else not reason.startswith("segment ")


def alarmed(
    control: Control, name: str, segment: Segment, after: int, now: int, what: str, code: str = DRIFT
) -> list[Event]:  # fmt: skip
    """After an alarm autopilot is closed, and a new certificate begins with what comes from here on."""
    reason = f"the monitor found {what}"
    alarm = AlarmRaised(code=code, reason=f"segment {name!r}: {reason}" if name else reason, at=now)
    if name in control.closed:  # whoever closed it opens it again
        return [alarm, began(control, name, segment.model, segment, after, now, code, cut=code)]
    closed = AutopilotClosed(version=control.version + 1, at=now, segment=name, cause=ALARM, reason=reason)
    epoch = began(governed_by(control, closed), name, segment.model, segment, after, now, code, cut=code)
    return [closed, alarm, epoch]


# Allowance: what is allowed for people who miss errors, assumed or declared until blind probes have measured it.
#
# Another allowance counts the same evidence again.  Whatever made somebody choose it, that costs no part of delta: by a
# higher one every bet of the certificate wins less and loses more, so that what an allowance above the true rate
# certifies the true rate would have certified too (decision 0040).


MISSES = "people_miss"  # the code of the alarm that people miss more than is declared or assumed


def measures(control: Control) -> bool:
    """Whether what people miss is to be measured: where answers given blind are evidence, and nothing is declared."""
    guarantee = control.settings.guarantee
    return (
        guarantee is not None and guarantee.blind and guarantee.miss_rate is None and control.settings.probe_share > 0.0
    )


def allowance(control: Control, before: Segment | None) -> Allowance:
    """The allowance that a new epoch begins with: what was measured goes on, else what is declared or assumed."""
    guarantee = control.settings.guarantee
    if guarantee is None:
        raise ValueError("no guarantee, no allowance")
    if before is not None and before.measured is not None and measures(control):
        return Allowance(before.certificate.miss_rate, before.measured, before.by_second)
    return Allowance(guarantee.missed)


def assumed(control: Control) -> float:
    """The share of lost errors that is declared, or assumed."""
    guarantee = control.settings.guarantee
    return 0.0 if guarantee is None else guarantee.missed


def recounted(control: Control, name: str, segment: Segment, allowed: Allowance, now: int) -> EpochBegan:
    """An epoch that counts the evidence of the one before again, by another allowance; of two orders that of both."""
    before = segment.certificate.miss_rate
    more = "more" if allowed.rate > before else "less"
    by = "answers to known-wrong cases"
    if allowed.by_second:
        by = 'second answers, of which each that took a first "wrong" back counts as a miss'
    reason = (
        f"people miss {more} than was allowed for: {share(allowed.rate)} of errors are taken to be missed instead of "
        f"{share(before)}, by {allowed.measured} {by}; what is counted is counted again"
    )
    if allowed.measured is None:
        reason = (
            f"answers no longer say that people miss more than is assumed: {share(allowed.rate)} of errors are "
            f"taken to be missed again instead of {share(before)}"
        )
    promise = json.loads(segment.promise) | {"miss_rate": allowed.rate}
    return EpochBegan(
        version=control.version + 1, at=now, segment=name, epoch=max(control.epoch, segment.epoch + 1), reason=reason,
        model=segment.model, scorer=segment.scorer, after=segment.after, promise=json.dumps(promise, sort_keys=True),
        cut=segment.cut, carried=True, measured=allowed.measured,
        by_second=allowed.by_second,
    )  # fmt: skip


def missing_more(guarantee: Guarantee, lost: Lost, now: int) -> AlarmRaised | None:
    """The alarm where people certainly miss more errors than is declared or assumed."""
    if lost.lower <= guarantee.missed:
        return None
    known = "assumed" if guarantee.miss_rate is None else "declared (miss_rate)"
    reason = (
        f"people miss more than is {known}: at least {at_least(lost.lower)} of errors do not count, where "
        f"{share(guarantee.missed)} are allowed for, by {lost.answers} answers to known-wrong cases"
    )
    return AlarmRaised(code=MISSES, reason=reason, at=now)


# Restart: where the first region turns out to be wrong too often, another one is tried on new decisions.
#
# A certificate widens from its first region, so that a first region beyond the bound would keep it closed for ever.
# What was counted so far says where else to begin; it is no evidence for what is begun then, and each further try
# spends a part of delta that was kept for it.


LABELS = 2_000  # before a first region is given up, and twice as many each time


def due(certificate: Certificate) -> int:
    """After how many labels a first region that loses is given up."""
    return int(LABELS * 2**certificate.again)


def elsewhere(certificate: Certificate) -> int | None:
    """The bin that a restart begins with; None while this one may succeed, or where no other is more promising."""
    if not certificate.begun or certificate.launching or certificate.threshold is not None:
        return None
    if certificate.labels < due(certificate) or certificate.labels_needed() is not None:
        return None
    max_error = certificate.max_error * (1.0 - certificate.miss_rate)
    place = promising(certificate.weights, certificate.wrongs, max_error)
    return None if place == certificate.first else place


def restart_reason(certificate: Certificate, place: int) -> str:
    """Why a certificate begins again with another first region, in words."""
    first = certificate.first
    seen, wrong = sum(certificate.weights[first:]), sum(certificate.wrongs[first:])
    return (
        f"{share(wrong / seen)} of the surest {certificate.share_from(first) * 100:.0f} % of decisions were found "
        f"wrong, where {share(certificate.max_error)} may be: answers are counted anew, for the surest "
        f"{certificate.share_from(place) * 100:.0f} % first"
    )
