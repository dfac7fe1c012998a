"""The handler of Propose: a case is opened and routed; an edit is routed again in the case's place."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from dualcontrol.case import (
    JSON,
    RELIEF_TIMES,
    Candidate,
    Case,
    Content,
    Quorum,
    Route,
    Signal,
    is_high,
    is_low,
    microseconds,
)
from dualcontrol.commands import Propose
from dualcontrol.control import Control, Env, Facts, LoopSettings
from dualcontrol.errors import ProposalError
from dualcontrol.events import Event, Opened, Routed, real
from dualcontrol.route import audit, clusters, precedence
from dualcontrol.route.capacity import JOINED, LATER, SHED
from dualcontrol.route.precedence import Ruling, rule_on
from dualcontrol.route.rules import Failure, Findings, Subject, compiled

MODEL = 200  # characters of a model's name that are kept
NO_FACTS = Facts()
SLOTS = ("input", "candidates", "scores", "rationale", "history", "meta", "answer_key")


def propose(case: None, command: Propose, control: Control, env: Env) -> list[Event]:
    """Open a case for the proposal and route it; its signal was checked at the door, only an index may be wrong.

    In the shadow no human sees a case, so that nothing is drawn.
    """
    candidate, settings = proposed(command), control.settings
    shadow = settings.start == "shadow" and command.origin == "live"
    content: dict[str, JSON] = {}
    for slot in SLOTS:
        value = getattr(command, slot)
        if value is not None:
            content[slot] = list(value) if slot == "candidates" else value
    opened = Opened(
        case_id=env.new_id(), loop=control.loop, mode=settings.mode, at=env.now, case_kind=command.kind,
        origin="shadow" if shadow else command.origin, key=command.key, run=command.run, owner=command.owner,
        submitter=command.submitter,
        parent=command.parent, proposed=command.proposed, action=(candidate or {}).get("action"),
        confidence=real(command.confidence), risk=real(command.risk), requires_approval=command.requires_approval,
        segment=command.segment, effect=command.effect, content=Content(content),
    )  # fmt: skip
    leader = env.facts.leader
    routed = _routed(opened, command, control, env, leader)
    if routed.relief == "joined" and leader is not None and leader.route is not None:
        chance, there = routed.evidence, leader.route.evidence
        if chance is None:
            opened = replace(opened, leader=leader.id)
        elif there is not None and there >= float(chance):
            opened = replace(opened, leader=leader.id)
            routed = replace(routed, evidence=repr(there), asked_blind=leader.route.asked_blind)
        else:  # people are asked less often there than they have to be here
            routed = _routed(opened, command, control, env, None)
    return [opened, routed]


def _routed(opened: Opened, command: Propose, control: Control, env: Env, leader: Case | None) -> Routed:
    """The route of a new case with its draws: whether an audit looks at it, and whether people are asked blind."""
    subject = subject_in(command)._replace(score=env.facts.score)
    live = opened.origin == "live" and opened.case_kind == "live"
    asked = opened.case_kind != "live"  # a probe is for people, as an audit where autopilot would have acted
    usual = route(subject, control, env.now, ease=live, facts=replace(env.facts, leader=leader))
    chosen = by_its_model(usual, proposed(command), subject, control)
    if opened.case_kind == "practice":  # for people, at once and whatever it is of
        chosen = Route(
            to="human", by="training", reason="a training case: what is right is known", control=control.version,
            inclusion=1.0, audited=False, epoch=control.epoch, group=control.settings.group, risk=chosen.risk,
        )  # fmt: skip
    cluster = chosen.cluster
    if cluster is not None and not cluster.first:
        cluster = replace(cluster, first=opened.case_id)
    inclusion = 0.0 if opened.origin == "shadow" else chosen.inclusion
    if chosen.to == "autopilot" and env.facts.draw is not None:  # a row of a batch
        inclusion, audited = env.facts.draw
    else:
        may_be_audited = chosen.to == "autopilot" and inclusion > 0.0
        audited = may_be_audited and (asked or env.draw(audit.PURPOSE, opened.case_id) < inclusion)
    routed = Routed(
        to=chosen.to, by=chosen.by, reason=chosen.reason, control=chosen.control, inclusion=repr(inclusion),
        audited=audited, epoch=chosen.epoch, bin=chosen.bin, group=chosen.group, quorum=chosen.quorum,
        risk=real(chosen.risk), due_at=chosen.due_at if audited or chosen.to == "human" else None,
        on_timeout=chosen.on_timeout, score=real(chosen.score), scorer=chosen.scorer, model=chosen.model,
        relief=chosen.relief, cluster=cluster, chance=real(chosen.chance), chance_by=chosen.chance_by,
    )  # fmt: skip
    return with_blind(opened, routed, control, env)


# Blind answers: which of the cases that a score sends to people are asked without the proposal.
#
# The probability is fixed by control, segment and model before the draw, and stands beside it.  Under load shedding a
# case that joins another is answered with it, so that probability and draw of the one that waits are those of both; a
# probability that is too low for the case that comes lets it be asked by itself.


def with_blind(opened: Opened, routed: Routed, control: Control, env: Env) -> Routed:
    """The route with the probability with which its people are asked blind, and whether they are."""
    score = None if routed.score is None else float(routed.score)
    chance = audit.blind(control, opened.segment, score, routed.model, opened.mode)
    live = opened.origin == "live" and opened.case_kind != "practice" and opened.proposed is not None
    if routed.to != "human" or not live or chance is None:
        return replace(routed, evidence=None, asked_blind=None)
    key = opened.content.get("answer_key")  # of a probe it was drawn before, since not every probe can be asked blind
    drawn = env.draw(audit.BLIND, opened.case_id) < chance if key is None else bool(key.get("blind"))
    return replace(routed, evidence=repr(chance), asked_blind=drawn)


def proposed(command: Propose) -> dict[str, JSON] | None:
    """The proposed candidate, or None; raises ProposalError for an index without a candidate."""
    if command.proposed is None:
        return None
    if not 0 <= command.proposed < len(command.candidates):
        count = len(command.candidates)
        raise ProposalError(f"candidate {command.proposed} is proposed, but there are {count}")
    return command.candidates[command.proposed]


def subject_in(command: Propose) -> Subject:
    """What rules may look at in a proposal."""
    candidate = proposed(command)
    signal = Signal(
        confidence=command.confidence, risk=command.risk, requires_approval=command.requires_approval,
        scores=command.scores, segment=command.segment,
    )  # fmt: skip
    action, value = (candidate.get("action"), candidate.get("value")) if candidate else (None, None)
    return subject_of(action, value, command.input, signal, command.meta, candidate is not None)


def by_its_model(usual: Route, candidate: dict[str, JSON] | None, subject: Subject, control: Control) -> Route:
    """What is certified for one model says nothing of another: its proposals go to a human until they have a record."""
    if usual.score is None:
        return usual
    model = model_of((candidate or {}).get("source"), control)
    known = control.models.get(control.certificate_for(subject.signal.segment) or "")
    if usual.to != "autopilot" or model == known:
        return replace(usual, model=model)
    reason = f"the certificate is for {known or 'proposals that name no model'}, not for {model or 'those'}"
    return replace(usual, model=model, to="human", by="model", reason=reason, inclusion=1.0)


def model_of(source: JSON, control: Control) -> str | None:
    """What a certificate is for: model and version as the proposal names them, or the loop's own model."""
    names = source if isinstance(source, dict) else {}
    if control.model is not None and names.get("version") == control.model:
        return control.model
    name = "/".join(str(names[key]) for key in ("model", "version") if names.get(key) not in (None, ""))
    if len(name) > MODEL:
        name = f"{name[: MODEL - 33]}/{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}"
    return name or None


def reroute(case: Case, candidate: Candidate, control: Control, asks: Mapping[str, JSON] | None = None) -> Route:
    """The route of an action in the case's place, as if proposed when it opened; nothing is drawn.

    `asks` has what the program says of these very arguments, in the place of what it said of the proposed ones.  What
    a certificate says of the proposal's own model holds for the proposal alone.
    """
    signal = dict(asks or {})
    content, meta = signal.pop("input", case.input), signal.pop("meta", case.meta)
    subject = subject_of(candidate.action, candidate.value, content, replace(case.signal, **signal), meta, True)
    unchanged = case.route is not None and case.route.scorer == control.scores_by and candidate == case.proposal
    if unchanged and case.route is not None:
        subject = subject._replace(score=learned_of(case.route, control))
    usual = route(subject, control, case.opened_at)
    return by_its_model(usual, candidate.to_dict(), subject, control) if unchanged else usual


def learned_of(of: Route, control: Control) -> float | None:
    """The learned chance of being right that a case was routed by, or could have been, where this control asks for it.

    None where another risk model gave it.
    """
    if control.beside:
        return of.chance if of.chance_by == control.scorer else None
    return of.score if of.scorer == control.scores_by else None


def subject_of(
    action: str | None, value: JSON, content: JSON, signal: Signal, meta: JSON, is_proposed: bool
) -> Subject:  # fmt: skip
    """What rules may look at; `content` is the input, and a proposal without an action has no args."""
    args = value if action else {}
    return Subject(action or "", args, content, signal, {} if meta is None else meta, is_proposed)


def route(
    subject: Subject, control: Control, now: int, *, ease: bool = False, facts: Facts = NO_FACTS
) -> Route:  # fmt: skip
    """The route of a subject with nothing drawn; whatever fails on the way sends it to a human.

    `ease` lets clusters and the relief in force do their part, which an edit of a case already open knows nothing of.
    """
    settings, segment = control.settings, subject.signal.segment
    try:
        findings = Findings(compiled(settings.rules), subject)
        ruling = rule_on(subject, control, findings)
        need = demands(ruling, settings, findings)
        by = None if ruling.score is None else ruling.by_score
        table = None if by is None else control.audits.get(control.certificate_for(segment) or "")
        chance = subject.score if control.beside and ruling.score is not None else None
        usual = Route(
            to=ruling.to, by=ruling.by, reason=ruling.reason, control=control.version,
            inclusion=audit.inclusion(ruling.to, control, segment, by),
            audited=False, epoch=control.epoch, score=ruling.score,
            bin=None if table is None or by is None else bisect_right(table.edges, by),
            scorer=None if ruling.score is None else control.scores_by, group=need.group, quorum=need.quorum,
            risk=need.risk, due_at=None if need.within is None or ruling.to == "block" else now + need.within,
            on_timeout=timeout(settings, ruling, need.risk),
            chance=chance, chance_by=None if chance is None else control.scorer,
        )  # fmt: skip
        if not ease or ruling.failed:
            return usual
        return clusters.apart(eased(clusters.placed(usual, control, now, facts), control, now, facts.leader),
                              facts.leader)  # fmt: skip
    except Exception as error:  # rule 1 of the product: an error is never an approval
        return Route(
            to="human", by="error", reason=f"routing failed ({type(error).__name__})", control=control.version,
            inclusion=1.0, audited=False, epoch=control.epoch, group=settings.group, quorum=settings.quorum,
            on_timeout="reject" if settings.on_timeout == "autopilot" else settings.on_timeout,
        )  # fmt: skip


# What a review of this case asks for: group, quorum, risk, due time, and what a timeout may do.


class Demands(NamedTuple):
    """Group, quorum, risk and response time (microseconds) of one case."""

    group: str
    quorum: Quorum
    risk: precedence.Risk
    within: int | None


def demands(ruling: Ruling, settings: LoopSettings, findings: Findings) -> Demands:
    """The loop's demands, replaced by the rule that spoke, else tightened by those that matched or failed."""
    need = Demands(settings.group, settings.quorum, findings.subject.signal.risk, settings.response_time)
    rule = ruling.rule
    if rule is not None and ruling.by == f"rule:{rule.name}" and not ruling.failed:
        risk = precedence.higher(need.risk, rule.risk)
        within = need.within if rule.respond_within is None else microseconds(rule.respond_within)
        return Demands(rule.group or need.group, rule.quorum or need.quorum, risk, within)
    tightening = [] if rule is None else [rule]
    if ruling.to == "human":  # the first rule that sends to people, and before it all that failed and might have
        for place in (*findings.set.blocking, *findings.set.routing):
            also, finding = findings.set.rules[place], findings[place]
            sends = finding is True and also.route == "human"
            if sends or isinstance(finding, Failure):
                tightening.append(also)
            if sends:
                break
    for rule in tightening:
        quorum, within = need.quorum, microseconds(rule.respond_within)
        if rule.quorum is not None and (rule.quorum.answers, rule.quorum.asked) > (quorum.answers, quorum.asked):
            quorum = rule.quorum
        times = [time for time in (need.within, within) if time is not None]
        risk = precedence.higher(need.risk, rule.risk)
        need = Demands(rule.group or need.group, quorum, risk, min(times) if times else None)
    return need


def timeout(settings: LoopSettings, ruling: Ruling, risk: precedence.Risk) -> str:
    """What a timeout does: never autopilot where the risk is above the ceiling or something failed."""
    if settings.on_timeout != "autopilot":
        return settings.on_timeout
    closed = ruling.failed or ruling.by == "risk_ceiling" or not precedence.known(risk)
    return "reject" if closed or precedence.above(risk, settings.risk_ceiling) else "autopilot"


# What load shedding (relief) does to one route: a case joins a duplicate, may wait longer, is held back, or is answered
# safely.
#
# Only routes to people are touched, never those of a high risk, and none is shed or put off unless somebody said that
# the risk is low.  No route leads to autopilot from here, and what a case gets at the end is never more than its loop
# declared for a case that nobody answers.


BUSY = "people are asked for more than they can answer in time"


def eased(usual: Route, control: Control, now: int, leader: Case | None = None) -> Route:
    """The route under the relief in force; `leader` is an older case that asks the same, where there is one.

    A case is shed safely: the answer is no where the loop declares an end without people, else it waits for them.
    """
    if control.relief < JOINED or usual.to != "human":
        return usual
    low = control.relief >= LATER and is_low(usual.risk)
    joined = leader is not None and joins(usual, leader, now)
    if low and (joined or control.relief < SHED):
        times = RELIEF_TIMES["later"]
        due_at = None if usual.due_at is None else now + times * (usual.due_at - now)
        reason = f"{usual.reason}; {BUSY}, so it may wait {times} times as long"
        usual = replace(usual, due_at=due_at, reason=reason, relief="later")
    elif low:
        no = usual.on_timeout in ("reject", "autopilot")
        reason = f"{usual.reason}; {BUSY}, so {'the answer is no' if no else 'it is held until they have time'}"
        end = "reject" if no else "hold"
        return replace(usual, by="relief", reason=reason, due_at=None, on_timeout=end, relief=end)
    if leader is not None and joined:
        same = f"the same question as case {leader.id}, which waits already; its answer will count for both"
        return replace(usual, reason=f"{usual.reason}; {same}", relief="joined")
    return usual


def joins(usual: Route, leader: Case, now: int) -> bool:
    """Whether a case with this route may be settled with another that waits, unseen, for the same people.

    What they are asked was compared when the leader was looked for; a high risk is always asked about by itself.
    """
    waiting, due_at = leader.route, leader.due_at
    if waiting is None or is_high(usual.risk) or (due_at is not None and due_at <= now):
        return False
    waits = leader.state == "open" and leader.leader is None and not leader.erased and leader.read_only is None
    live = (leader.kind, leader.origin, waiting.to) == ("live", "live", "human")
    same = (waiting.group, waiting.quorum, waiting.risk) == (usual.group, usual.quorum, usual.risk)
    return waits and live and same and bool(leader.reviews) and all(r.state == "open" for r in leader.reviews)
