"""The handler of Propose: a case is opened and routed; an edit is routed again in the case's place."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
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
from dualcontrol.control import Control, Env, LoopSettings, Rule
from dualcontrol.errors import ProposalError
from dualcontrol.events import Event, Opened, Routed, real
from dualcontrol.route import audit, precedence
from dualcontrol.route.capacity import JOINED, LATER, SHED
from dualcontrol.route.precedence import Ruling, rule_on
from dualcontrol.route.rules import Failure, Findings, Subject, compiled

MODEL = 200  # characters of a model's name that are kept
SLOTS = ("input", "candidates", "scores", "rationale", "history", "meta")


def propose(case: None, command: Propose, control: Control, env: Env) -> list[Event]:
    """Open a case for the proposal and route it; its signal was checked at the door, only an index may be wrong."""
    candidate = proposed(command)
    case_id = env.new_id()
    action = (candidate or {}).get("action")
    opened = _opened(command, control, env, case_id, action)
    routed = _routed(command, candidate, control, env, opened)
    if routed.relief == "joined" and env.facts.leader is not None:
        opened = replace(opened, leader=env.facts.leader.id)
    return [opened, routed]


def proposed(command: Propose) -> dict[str, JSON] | None:
    """The proposed candidate, or None; raises ProposalError for an index without a candidate."""
    if command.proposed is None:
        return None
    if not 0 <= command.proposed < len(command.candidates):
        count = len(command.candidates)
        raise ProposalError(f"candidate {command.proposed} is proposed, but there are {count}")
    return command.candidates[command.proposed]


def _opened(command: Propose, control: Control, env: Env, case_id: str, action: str | None) -> Opened:
    shadow = control.settings.start == "shadow" and command.origin == "live"
    return Opened(
        case_id=case_id, loop=control.loop, mode=control.settings.mode, at=env.now, case_kind=command.kind,
        origin="shadow" if shadow else command.origin, key=command.key, run=command.run, owner=command.owner,
        parent=command.parent, proposed=command.proposed, action=action, confidence=real(command.confidence),
        risk=real(command.risk), requires_approval=command.requires_approval, segment=command.segment,
        effect=command.effect, content=_content(command),
    )  # fmt: skip


def _content(command: Propose) -> Content:
    values: dict[str, JSON] = {}
    for slot in SLOTS:
        value = getattr(command, slot)
        if value is not None:
            values[slot] = list(value) if slot == "candidates" else value
    return Content(values)


def _routed(
    command: Propose, candidate: dict[str, JSON] | None, control: Control, env: Env, opened: Opened
) -> Routed:  # fmt: skip
    """The route as recorded; in the shadow no human sees a case, so that nothing is drawn."""
    signal = Signal(
        confidence=command.confidence, risk=command.risk, requires_approval=command.requires_approval,
        scores=command.scores, segment=command.segment,
    )  # fmt: skip
    action, value = (candidate.get("action"), candidate.get("value")) if candidate else (None, None)
    subject = subject_of(action, value, command.input, signal, command.meta, candidate is not None)
    subject = subject._replace(score=env.facts.score)
    live = opened.origin == "live" and opened.case_kind == "live"
    spoken = route(subject, control, env.now, ease=live, leader=env.facts.leader)
    found = by_its_model(spoken, candidate, subject, control)
    inclusion = 0.0 if opened.origin == "shadow" else found.inclusion
    audited = audit.drawn(env, opened.case_id, found.to, inclusion)
    return Routed(
        to=found.to, by=found.by, reason=found.reason, control=found.control, inclusion=repr(inclusion),
        audited=audited, epoch=found.epoch, bin=found.bin, group=found.group, quorum=found.quorum,
        risk=real(found.risk), due_at=found.due_at if audited or found.to == "human" else None,
        on_timeout=found.on_timeout, score=real(found.score), scorer=found.scorer, model=found.model,
        relief=found.relief,
    )  # fmt: skip


def by_its_model(found: Route, candidate: dict[str, JSON] | None, subject: Subject, control: Control) -> Route:
    """What is certified for one model says nothing of another: its proposals go to a human until they have a record."""
    if found.score is None:
        return found
    model = model_of((candidate or {}).get("source"), control)
    known = control.models.get(control.certificate_for(subject.signal.segment) or "")
    found = replace(found, model=model)
    if found.to != "autopilot" or model == known:
        return found
    reason = f"the certificate is for {known or 'proposals that name no model'}, not for {model or 'those'}"
    return replace(found, to="human", by="model", reason=reason, inclusion=1.0)


def model_of(source: JSON, control: Control) -> str | None:
    """What a certificate is for: model and version as the proposal names them, or the loop's own model."""
    said = source if isinstance(source, dict) else {}
    if control.model is not None and said.get("version") == control.model:
        return control.model
    parts = [str(said[key]) for key in ("model", "version") if said.get(key) not in (None, "")]
    name = "/".join(parts)
    if len(name) > MODEL:
        name = f"{name[: MODEL - 33]}/{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:32]}"
    return name or None


def reroute(case: Case, candidate: Candidate, control: Control, asks: Mapping[str, JSON] | None = None) -> Route:
    """The route of an action in the case's place, as if proposed when it opened; nothing is drawn.

    `asks` has what the program says of these very arguments, in the place of what it said of the proposed ones.  What
    a certificate says of the proposal's own model holds for the proposal alone.
    """
    said = dict(asks or {})
    given, meta = said.pop("input", case.input), said.pop("meta", case.meta)
    signal = replace(case.signal, **said)
    subject = subject_of(candidate.action, candidate.value, given, signal, meta, True)
    unchanged = case.route is not None and case.route.scorer == control.scores_by and candidate == case.proposal
    if unchanged and case.route is not None:
        subject = subject._replace(score=case.route.score)
    found = route(subject, control, case.opened_at)
    return by_its_model(found, candidate.to_dict(), subject, control) if unchanged else found


def subject_of(action: str | None, value: JSON, given: JSON, signal: Signal, meta: JSON, is_proposed: bool) -> Subject:
    """What rules may look at; a proposal without an action has no args."""
    args = value if action else {}
    return Subject(action or "", args, given, signal, {} if meta is None else meta, is_proposed)


def route(
    subject: Subject, control: Control, now: int, *, ease: bool = False, leader: Case | None = None
) -> Route:  # fmt: skip
    """The route of a subject with nothing drawn; whatever fails on the way sends it to a human.

    `ease` lets the relief in force do its part, which an edit of a case already open knows nothing of; `leader` is an
    older case that asks the same, where there is one.
    """
    try:
        return _route(subject, control, now, ease, leader)
    except Exception as error:  # rule 1 of the product: an error is never an approval
        return _failed(error, control, now)


def _route(subject: Subject, control: Control, now: int, ease: bool, leader: Case | None) -> Route:
    settings = control.settings
    findings = Findings(compiled(settings.rules), subject)
    ruling = rule_on(subject, control, findings)
    asked = demands(ruling, settings, findings)
    found = Route(
        to=ruling.to, by=ruling.by, reason=ruling.reason, control=control.version,
        inclusion=audit.inclusion(ruling.to, audit.share_of(control, subject.signal.segment, ruling.score)),
        audited=False, epoch=control.epoch, bin=bin_of(control, subject, ruling.score), score=ruling.score,
        scorer=None if ruling.score is None else control.scores_by, group=asked.group, quorum=asked.quorum,
        risk=asked.risk,
        due_at=None if asked.within is None or ruling.to == "block" else now + asked.within,
        on_timeout=timeout(settings, ruling, asked.risk),
    )  # fmt: skip
    return eased(found, control, now, leader) if ease and not ruling.failed else found


def bin_of(control: Control, subject: Subject, score: float | None) -> int | None:
    """The score bin of a case under its certificate, once there are bins."""
    table = control.audits.get(control.certificate_for(subject.signal.segment) or "")
    return None if table is None or score is None else bisect_right(table.edges, score)


def _failed(error: Exception, control: Control, now: int) -> Route:
    settings = control.settings
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
    base = Demands(settings.group, settings.quorum, findings.subject.signal.risk, settings.response_time)
    if ruling.rule is not None and ruling.by == f"rule:{ruling.rule.name}" and not ruling.failed:
        return _replaced(base, ruling.rule)
    if ruling.rule is not None:
        base = _tightened(base, ruling.rule)
    for also in _asking(findings) if ruling.to == "human" else ():
        base = _tightened(base, also)
    return base


def timeout(settings: LoopSettings, ruling: Ruling, risk: precedence.Risk) -> str:
    """What a timeout does: never autopilot where the risk is above the ceiling or something failed."""
    if settings.on_timeout != "autopilot":
        return settings.on_timeout
    closed = ruling.failed or ruling.by == "risk_ceiling" or not precedence.known(risk)
    return "reject" if closed or precedence.above(risk, settings.risk_ceiling) else "autopilot"


def _replaced(base: Demands, rule: Rule) -> Demands:
    return Demands(
        rule.group or base.group,
        rule.quorum or base.quorum,
        precedence.higher(base.risk, rule.risk),
        base.within if rule.respond_within is None else microseconds(rule.respond_within),
    )


def _tightened(base: Demands, rule: Rule) -> Demands:
    within = microseconds(rule.respond_within)
    times = [time for time in (base.within, within) if time is not None]
    return Demands(
        rule.group or base.group,
        stricter(base.quorum, rule.quorum),
        precedence.higher(base.risk, rule.risk),
        min(times) if times else None,
    )


def stricter(quorum: Quorum, other: Quorum | None) -> Quorum:
    """The quorum that asks for more answers, the first where both ask for as many."""
    if other is None:
        return quorum
    return other if (other.answers, other.asked) > (quorum.answers, quorum.asked) else quorum


def _asking(findings: Findings) -> Iterator[Rule]:
    """The rules whose demands hold: the first that sends to people, and before it all that failed and might have."""
    for place in (*findings.set.blocking, *findings.set.routing):
        rule, finding = findings.set.rules[place], findings[place]
        if isinstance(finding, Failure):
            yield rule
        elif finding is True and rule.route == "human":
            yield rule
            return


# What relief does to one route: a case joins one that asks the same, may wait longer, is held, or is answered safely.
#
# Only routes to people are touched, never those of a high risk, and none is shed or put off unless somebody said that
# the risk is low.  No route leads to autopilot from here, and what a case gets at the end is never more than its loop
# declared for a case that nobody answers.


BUSY = "people are asked for more than they can answer in time"


def eased(found: Route, control: Control, now: int, leader: Case | None = None) -> Route:
    """The route under the relief in force; `leader` is an older case that asks the same, where there is one."""
    if control.relief < JOINED or found.to != "human":
        return found
    later = control.relief >= LATER and is_low(found.risk)
    if leader is not None and joins(found, leader, now):
        return _joined(_later(found, now) if later else found, leader)
    if not later:
        return found
    return _later(found, now) if control.relief < SHED else _shed(found)


def joins(found: Route, leader: Case, now: int) -> bool:
    """Whether a case with this route may be settled with another that waits, unseen, for the same people.

    What they are asked was compared when the leader was looked for; a high risk is always asked about by itself.
    """
    asked, due_at = leader.route, leader.due_at
    if asked is None or is_high(found.risk) or (due_at is not None and due_at <= now):
        return False
    waits = leader.state == "open" and leader.leader is None and not leader.erased and leader.read_only is None
    live = (leader.kind, leader.origin, asked.to) == ("live", "live", "human")
    same = (asked.group, asked.quorum, asked.risk) == (found.group, found.quorum, found.risk)
    return waits and live and same and bool(leader.reviews) and all(r.state == "open" for r in leader.reviews)


def _joined(found: Route, leader: Case) -> Route:
    reason = (
        f"{found.reason}; the same question as case {leader.id}, which waits already; its answer will count for both"
    )
    return replace(found, reason=reason, relief="joined")


def _later(found: Route, now: int) -> Route:
    times = RELIEF_TIMES["later"]
    due_at = None if found.due_at is None else now + times * (found.due_at - now)
    reason = f"{found.reason}; {BUSY}, so it may wait {times} times as long"
    return replace(found, due_at=due_at, reason=reason, relief="later")


def _shed(found: Route) -> Route:
    """The safe answer is no where the loop declares an end without people, else it waits until they have time."""
    if found.on_timeout in ("reject", "autopilot"):
        reason = f"{found.reason}; {BUSY}, so the answer is no"
        return replace(found, by="relief", reason=reason, due_at=None, on_timeout="reject", relief="reject")
    reason = f"{found.reason}; {BUSY}, so it is held until they have time"
    return replace(found, by="relief", reason=reason, due_at=None, on_timeout="hold", relief="hold")
