"""Event sourcing: `evolve` is the only way a case changes; folding its entries gives the same case again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from dualcontrol import events as ev
from dualcontrol.case import (
    Answer,
    Case,
    Content,
    Decision,
    Effect,
    Outcome,
    Review,
    ReviewState,
    Route,
    Scored,
    decoder,
)
from dualcontrol.control import (
    MODEL,
    RISK,
    RISK_MODEL,
    Audits,
    Cause,
    Control,
    LoopSettings,
    Override,
    Rung,
    Stop,
    Untrained,
)
from dualcontrol.events import Event, unreal
from dualcontrol.names import identity


def evolve(case: Case | None, event: Event) -> Case:
    """The case after the event; the first event of a case must be `Opened`."""
    if isinstance(event, ev.Opened):
        return Case(
            id=event.case_id, loop=event.loop, mode=event.mode, kind=event.case_kind, origin=event.origin,
            state="open", proposed=event.proposed, effect=Effect(state="none", fence=0), opened_at=event.at,
            key=event.key, run=event.run, parent=event.parent, leader=event.leader, owner=event.owner,
            submitter=event.submitter, action=event.action, confidence=_number(event.confidence),
            risk=unreal(event.risk), requires_approval=event.requires_approval, segment=event.segment,
            content=event.content, wants_effect=event.effect == "ready",
        )  # fmt: skip
    if case is None:
        raise ValueError(f"{type(event).__name__} before Opened")
    if isinstance(event, ev.Unknown):
        return replace(case, read_only=event.name)
    return _EVOLVE[type(event)](case, event)


def fold(case: Case | None, events: Iterable[Event], *, seq: int | None = None) -> Case:
    """The case after all events of one entry; `seq` is that entry's number."""
    for event in events:
        case = evolve(case, event)
    if case is None:
        raise ValueError("no events to fold")
    return case if seq is None else replace(case, seq=seq)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _routed(case: Case, e: ev.Routed | ev.Rerouted | ev.Parted | ev.Recalled) -> Case:
    """The case with its first route, or with what an edit, a parting or a recall made of it."""
    if isinstance(e, ev.Routed):
        route = Route(
            to=e.to, by=e.by, reason=e.reason, control=e.control, inclusion=float(e.inclusion), audited=e.audited,
            epoch=e.epoch, bin=e.bin, group=e.group, quorum=e.quorum, risk=unreal(e.risk), due_at=e.due_at,
            on_timeout=e.on_timeout, score=_number(e.score), scorer=e.scorer, model=e.model, relief=e.relief,
            cluster=e.cluster, evidence=_number(e.evidence), asked_blind=e.asked_blind,
            chance=_number(e.chance), chance_by=e.chance_by,
        )  # fmt: skip
        return replace(case, route=route, due_at=e.due_at)
    if case.route is None:
        raise ValueError(f"{type(e).__name__} before Routed")
    if isinstance(e, ev.Parted):
        return replace(case, leader=None, route=replace(case.route, reason=e.reason))
    route = replace(case.route, by=e.by, reason=e.reason, group=e.group, quorum=e.quorum, risk=unreal(e.risk))
    if isinstance(e, ev.Rerouted):
        return replace(case, route=route)
    for review_id in case.settled.answers if e.lapsed and case.settled is not None else ():
        case = _without_answer(case, review_id, "cancelled")
    route = replace(
        route, to="human", control=e.control, inclusion=1.0, due_at=e.due_at, on_timeout=e.on_timeout, relief=None
    )
    return replace(
        case, state="open", settled=None, concluded=None, leader=None, route=route, due_at=e.due_at,
        effect=Effect(state="none", fence=case.effect.fence), recalled_after=len(case.reviews),
    )  # fmt: skip


_UNCLAIMED: dict[str, Any] = {
    "person": None, "claim_id": None, "claimed_at": None, "seen": None, "followers": 0, "meta": (),
}  # fmt: skip


def _unclaimed(case: Case, review_id: str) -> dict[str, Any]:
    """What a review is that nobody holds; what was blind for its holder alone is shown to the next."""
    review = case.review(review_id)
    return _UNCLAIMED | ({"blind": False, "by_step": False} if review is not None and review.by_step else {})


def _with_review(case: Case, review_id: str, **changes: Any) -> Case:
    reviews = tuple(replace(r, **changes) if r.id == review_id else r for r in case.reviews)
    return replace(case, reviews=reviews)


def _review_changed(
    case: Case, e: ev.ReviewOpened | ev.Claimed | ev.Extended | ev.Released | ev.LeaseExpired | ev.ReviewCancelled
) -> Case:  # fmt: skip
    """The case with a new row, or with one that is held by other terms than before."""
    if isinstance(e, ev.ReviewOpened):
        review = Review(
            id=e.review_id, case_id=case.id, kind=e.review, group=e.group, round=e.round, state="open",
            due_at=e.due_at, order_at=e.order_at, opened_at=e.opened_at, excludes=e.excludes,
            about=e.about, after=e.after, blind=e.blind, addressee=e.addressee, against=e.against,
        )  # fmt: skip
        return replace(case, reviews=(*case.reviews, review))
    if isinstance(e, ev.Claimed):
        return _with_review(
            case, e.review_id, state="claimed", person=e.person, claim_id=e.claim_id, claimed_at=e.at,
            lease_until=e.until, presented=e.presented, seen=e.seen, followers=e.followers, meta=e.meta,
            **({"blind": True, "by_step": True} if e.by_step else {}),
        )  # fmt: skip
    if isinstance(e, ev.Extended):
        return _with_review(case, e.review_id, lease_until=e.until)
    if isinstance(e, ev.ReviewCancelled):
        return _with_review(case, e.review_id, state="cancelled", lease_until=None)
    return _with_review(
        case, e.review_id, state="open", lease_until=None, presented=(), **_unclaimed(case, e.review_id)
    )


def _answered(case: Case, e: ev.Committed | ev.Answered | ev.Passed) -> Case:
    """The case with what the holder of a review wrote."""
    content, answered = case.content | e.content, case.answered
    if isinstance(e, ev.Committed):
        return replace(_with_review(case, e.review_id, committed=e.person), content=content)
    if isinstance(e, ev.Answered):
        answer = Answer(
            review_id=e.review_id, actor=e.actor, verdict=e.verdict, reasons=e.reasons, at=e.at,
            confidence=_number(e.confidence), shown=e.shown, presented=e.presented, seconds=_number(e.seconds),
            until=e.until,
        )  # fmt: skip
        answered = (*answered, answer)
    case = _with_review(
        case, e.review_id, state="answered" if isinstance(e, ev.Answered) else "passed", person=e.actor.person,
        answered_at=e.at, lease_until=None,
    )  # fmt: skip
    return replace(case, answered=answered, content=content)


def _without_answer(case: Case, review_id: str, state: ReviewState) -> Case:
    """The case without the answer to a review, as if nobody had worked on it."""
    slot = f"answer/{review_id}"
    content = Content(
        {s: v for s, v in case.content.values.items() if s != slot},
        {s: v for s, v in case.content.seals.items() if s != slot},
    )
    answered = tuple(a for a in case.answered if a.review_id != review_id)
    case = _with_review(case, review_id, state=state, answered_at=None, **_unclaimed(case, review_id))
    return replace(case, answered=answered, content=content)


def _decision_changed(case: Case, e: ev.Decided | ev.Retracted) -> Case:
    if isinstance(e, ev.Retracted):
        return replace(_without_answer(case, e.review_id, "open"), settled=None, state="open")
    decision = Decision(
        verdict=e.verdict, value=None, answers=e.answers, settled_by=e.settled_by, wrong=e.wrong,
        effective_at=e.effective_at, source=e.source, risk=unreal(e.risk), until=e.until,
    )  # fmt: skip
    return replace(case, settled=decision, state="decided")


def _noted(case: Case, e: ev.Joined | ev.AlarmRaised | ev.Audited | ev.TimedOut | ev.Withdrawn) -> Case:
    """The events that are only counted or noted on the case; timeout and withdrawal end the response time."""
    if isinstance(e, ev.Joined):
        return replace(case, followers=case.followers + 1)
    if isinstance(e, ev.AlarmRaised):
        alarm = {"code": e.code, "reason": e.reason, "at": e.at, "review_id": e.review_id}
        return replace(case, alarms=(*case.alarms, alarm))
    if isinstance(e, ev.Audited):
        audit = {"review_id": e.review_id, "kind": e.review, "verdict": e.verdict, "wrong": e.wrong}
        return replace(case, audits=(*case.audits, audit))
    return replace(case, due_at=None)


def _concluded(case: Case, e: ev.Concluded | ev.Revoked) -> Case:
    """The case with its outcome; a revocation makes it a rejection by whoever revoked."""
    if isinstance(e, ev.Revoked):
        outcome = Outcome(case_id=case.id, value=None, verdict="reject", by="human", reviewers=(e.actor.person,))
        effect = Effect(state="none", fence=case.effect.fence)
        return replace(
            case, concluded=outcome, effect=effect, state="closed", closed_at=e.at, content=case.content | e.content
        )
    outcome = Outcome(case_id=case.id, value=None, verdict=e.verdict, by=e.by, reviewers=e.reviewers)
    closed = e.effect == "none"
    return replace(
        case, concluded=outcome, effect=Effect(state=e.effect, fence=case.effect.fence), due_at=None,
        state="closed" if closed else "decided", closed_at=e.at if closed else None,
    )  # fmt: skip


def _scored(case: Case, e: ev.ProbeScored) -> Case:
    """The probe as it ended: nothing follows from it."""
    scored = Scored(
        review_id=e.review_id, at=e.at, wrong=e.wrong, how=e.how, rejected=e.rejected, blind=e.blind,
        weight=float(e.weight),
    )  # fmt: skip
    return replace(case, scored=scored, state="closed", closed_at=e.at, due_at=None)


def _effect_changed(
    case: Case, e: ev.EffectStarted | ev.EffectLost | ev.EffectSucceeded | ev.EffectFailed | ev.EffectResolved
) -> Case:  # fmt: skip
    if isinstance(e, ev.EffectStarted):
        return replace(case, effect=Effect(state="started", fence=e.fence, owner=e.owner, until=e.until))
    if isinstance(e, ev.EffectLost):
        return replace(case, effect=Effect(state="unknown", fence=e.fence))
    if isinstance(e, ev.EffectResolved) and not e.happened:
        return replace(case, effect=Effect(state="ready", fence=e.fence), state="decided", closed_at=None)
    if isinstance(e, ev.EffectFailed):
        effect = Effect(state="failed", fence=e.fence, ran=e.ran)
    else:
        effect = Effect(state="succeeded", fence=e.fence, kept=e.kept if isinstance(e, ev.EffectSucceeded) else True)
    return replace(case, effect=effect, state="closed", closed_at=e.at, content=case.content | e.content)


_EVOLVE: dict[type[Event], Callable[[Case, Any], Case]] = {
    **dict.fromkeys((ev.Routed, ev.Rerouted, ev.Parted, ev.Recalled), _routed),
    **dict.fromkeys(
        (ev.ReviewOpened, ev.Claimed, ev.Extended, ev.Released, ev.LeaseExpired, ev.ReviewCancelled), _review_changed
    ),
    **dict.fromkeys((ev.Committed, ev.Answered, ev.Passed), _answered),
    **dict.fromkeys((ev.Decided, ev.Retracted), _decision_changed),
    **dict.fromkeys((ev.Joined, ev.AlarmRaised, ev.Audited, ev.TimedOut, ev.Withdrawn), _noted),
    **dict.fromkeys((ev.Concluded, ev.Revoked), _concluded),
    ev.ProbeScored: _scored,
    **dict.fromkeys(
        (ev.EffectStarted, ev.EffectLost, ev.EffectSucceeded, ev.EffectFailed, ev.EffectResolved), _effect_changed
    ),
    ev.Erased: lambda case, e: replace(case, erased=True, content=Content(seals=case.content.seals)),
}


# Control: the only way a loop's control changes is `governed_by`; folding its events gives the same control again.


_SETTINGS = decoder(LoopSettings)
_T = TypeVar("_T")


def governed_by(control: Control, event: Event) -> Control:
    """The control after an event of its loop: the next version, or the same where the event governs nothing."""
    if isinstance(event, ev.TrainingFailed):
        failure = Untrained(**{name: getattr(event, name) for name in Untrained.__struct_fields__})
        return replace(control, untrained={**control.untrained, event.what: failure})
    change = CHANGES.get(type(event))
    return control if change is None else replace(control, version=control.version + 1, **change(control, event))


def caused(control: Control) -> Control:
    """A control as stored, with the causes of closures that older versions did not store."""
    missing = {segment: Cause.of_words(why) for segment, why in control.closed.items() if segment not in control.causes}
    return replace(control, causes={**control.causes, **missing}) if missing else control


def _without(by_segment: dict[str, _T], segment: str) -> dict[str, _T]:
    return {name: value for name, value in by_segment.items() if name != segment}


def _nothing_certified(control: Control) -> dict[str, Any]:
    return {"thresholds": {}, "audits": {}, "epochs": {}, "models": {}, "orders": {}, "epoch": control.epoch + 1}


def _settings(control: Control, event: ev.SettingsEvent) -> dict[str, Any]:
    """Other settings in force; another promise, or another question that it is about, is certified by nothing yet."""
    settings = _SETTINGS.decode(event.settings)
    old, new = control.settings.guarantee, settings.guarantee
    promised = old is not None and new is not None and old.promise == new.promise if old != new else True
    same = control.version == 0 or (promised and not event.relabelled and event.asks is None)
    changed: dict[str, Any] = {"settings": settings} | ({} if same else _nothing_certified(control))
    changed |= _overrides(control, event)
    # another trainer, or other labels, may do what the last training could not
    return changed | ({"untrained": {}} if control.untrained else {})


def _overrides(control: Control, event: ev.SettingsEvent) -> dict[str, Any]:
    """What is laid over which settings; a version that knew no overrides declares settings without any."""
    if isinstance(event, ev.SettingOverridden):
        override = Override(
            value=event.value, before=event.before, by=event.by, at=event.at, approved_by=event.approved_by,
            case_id=event.case_id,
        )  # fmt: skip
        return {"base": control.declared, "overrides": {**control.overrides, event.key: override}}
    if isinstance(event, ev.OverrideDropped):
        left = _without(control.overrides, event.key)
        return {"base": control.declared if left else None, "overrides": left}
    if isinstance(event, ev.PolicyChanged) and event.base is not None:
        return {"base": _SETTINGS.decode(event.base)}
    return {"base": None, "overrides": {}}


def _certificate(control: Control, event: ev.EpochBegan | ev.ThresholdMoved | ev.AuditsChanged) -> dict[str, Any]:
    """What a segment's certificate allows from here on; nothing is certified in a new epoch."""
    if isinstance(event, ev.AuditsChanged):
        floor = None if event.floor is None else float(event.floor)
        audits = Audits(
            edges=tuple(map(float, event.edges)), shares=tuple(map(float, event.shares)), floor=floor,
            blind=_number(event.blind),
        )  # fmt: skip
        return {"audits": {**control.audits, event.segment: audits}}
    thresholds, orders = _without(control.thresholds, event.segment), _without(control.orders, event.segment)
    if isinstance(event, ev.ThresholdMoved):
        moved = {} if event.threshold is None else {event.segment: float(event.threshold)}
        return {"thresholds": thresholds | moved, "orders": orders | ({event.segment: RISK} if event.order else {})}
    if event.order:  # one of two orders begins again: nothing is certified by it, and if it acted, nothing acts
        acted = event.segment in control.thresholds and control.acting(event.segment) == event.order
        return _nothing_acts(control, [event.segment]) if acted else {}
    models = _without(control.models, event.segment)
    return {
        "epoch": max(control.epoch, event.epoch),
        "epochs": {**control.epochs, event.segment: event.epoch},
        "models": models if event.model is None else {**models, event.segment: event.model},
        "thresholds": thresholds,
        "audits": _without(control.audits, event.segment),
        "orders": orders,
    }


def _nothing_acts(control: Control, segments: Iterable[str]) -> dict[str, Any]:
    """Without what acts in these segments, whose epochs go on; everything goes to people and counts."""
    names = frozenset(segments)
    return {
        what: {name: value for name, value in getattr(control, what).items() if name not in names}
        for what in ("thresholds", "audits", "orders")
    }


def _autopilot(control: Control, event: ev.AutopilotClosed | ev.AutopilotOpened) -> dict[str, Any]:
    if isinstance(event, ev.AutopilotOpened):
        return {"closed": _without(control.closed, event.segment), "causes": _without(control.causes, event.segment)}
    return {
        "closed": {**control.closed, event.segment: event.reason},
        "causes": {**control.causes, event.segment: Cause(by=event.cause, model=event.model)},
    }


def _stop(control: Control, event: ev.LoopStopped | ev.LoopResumed) -> dict[str, Any]:
    """Whether the loop is stopped; what closed its autopilot besides stays as it is."""
    if isinstance(event, ev.LoopResumed):
        return {"stopped": None}
    return {"stopped": stop_of(event)}


def stop_of(event: ev.LoopStopped | ev.AllStopped) -> Stop:
    """What a loop keeps of a stop."""
    everywhere = isinstance(event, ev.AllStopped) or event.everywhere
    return Stop(by=event.actor.person, because=event.because, at=event.at, everywhere=everywhere)


def all_stopped(last: ev.Entry | None) -> ev.AllStopped | None:
    """The stop of all loops that is in force, by the last entry of the stream `stop`."""
    event = last.events[-1] if last is not None else None
    return event if isinstance(event, ev.AllStopped) else None


def _model(control: Control, event: ev.ModelPromoted | ev.ModelKept | ev.ScoreChanged) -> dict[str, Any]:
    """A new model begins an epoch, and so does a new risk model: what was certified was the old one."""
    if isinstance(event, ev.ScoreChanged):
        trained = {"scorer": event.model, "untrained": _without(control.untrained, RISK_MODEL)}
        if event.beside:  # the learned order begins again; confidence goes on
            return trained | _nothing_acts(control, control.orders)
        return trained | _nothing_certified(control)
    untrained = {"untrained": _without(control.untrained, MODEL)}
    if isinstance(event, ev.ModelKept):
        return untrained
    epoch = {"model": event.model, "epoch": control.epoch + 1, **untrained}
    return epoch if control.settings.guarantee is None else {**_nothing_certified(control), **epoch}


def _people(control: Control, event: ev.PeopleChanged | ev.GroupChanged) -> dict[str, Any]:
    """Who may do what from here on; it certifies nothing and takes nothing away that is certified."""
    if isinstance(event, ev.PeopleChanged):
        return {"people": {**(control.people or {}), **{identity(member.name): member for member in event.members}}}
    groups = _without(control.groups, event.group)
    return {"groups": groups if event.people is None else {**groups, event.group: event.people}}


def _stepped(control: Control, event: ev.ReviewerStepped) -> dict[str, Any]:
    """Where somebody stands on the ladder from here on."""
    rung = Rung(
        name=event.person, step=event.step, at=event.at, because=event.because, by=event.approved_by or event.by,
        training=event.training, verdicts=event.verdicts,
    )  # fmt: skip
    return {"rungs": {**control.rungs, identity(event.person): rung}}


# A batch is routed under a version, evidence is counted under one, and a training that failed changes nothing that
# governs; every other event of a loop makes a new version.
CHANGES: dict[type[Event], Callable[[Control, Any], dict[str, Any]]] = {
    **dict.fromkeys((ev.PolicyChanged, ev.SettingOverridden, ev.OverrideDropped), _settings),
    **dict.fromkeys((ev.EpochBegan, ev.ThresholdMoved, ev.AuditsChanged), _certificate),
    **dict.fromkeys((ev.AutopilotClosed, ev.AutopilotOpened), _autopilot),
    **dict.fromkeys((ev.LoopStopped, ev.LoopResumed), _stop),
    ev.ReliefChanged: lambda control, event: {"relief": event.level},
    **dict.fromkeys((ev.ModelPromoted, ev.ModelKept, ev.ScoreChanged), _model),
    **dict.fromkeys((ev.PeopleChanged, ev.GroupChanged), _people),
    ev.ReviewerStepped: _stepped,
}
