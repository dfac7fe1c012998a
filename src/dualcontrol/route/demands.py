"""What a review of this case asks for: group, quorum, risk, due time, and what a timeout may do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dualcontrol.case import Quorum, microseconds
from dualcontrol.control import LoopSettings, Rule
from dualcontrol.route import risk as risks
from dualcontrol.route.precedence import Ruling
from dualcontrol.route.rules import Failure, Findings


class Demands(NamedTuple):
    """Group, quorum, risk and response time (microseconds) of one case."""

    group: str
    quorum: Quorum
    risk: risks.Risk
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


def timeout(settings: LoopSettings, ruling: Ruling, risk: risks.Risk) -> str:
    """What a timeout does: never autopilot where the risk is above the ceiling or something failed."""
    if settings.on_timeout != "autopilot":
        return settings.on_timeout
    closed = ruling.failed or ruling.by == "risk_ceiling" or not risks.known(risk)
    return "reject" if closed or risks.above(risk, settings.risk_ceiling) else "autopilot"


def _replaced(base: Demands, rule: Rule) -> Demands:
    return Demands(
        rule.group or base.group,
        rule.quorum or base.quorum,
        risks.higher(base.risk, rule.risk),
        base.within if rule.respond_within is None else microseconds(rule.respond_within),
    )


def _tightened(base: Demands, rule: Rule) -> Demands:
    within = microseconds(rule.respond_within)
    times = [time for time in (base.within, within) if time is not None]
    return Demands(
        rule.group or base.group,
        stricter(base.quorum, rule.quorum),
        risks.higher(base.risk, rule.risk),
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
