"""Order of precedence: which of blocks, demands, rules, risk, lists and threshold routes a case (design section 4)."""

from __future__ import annotations

from typing import NamedTuple

from dualcontrol.case import RISK_LEVELS, RouteTo
from dualcontrol.control import RISK, Control, LoopSettings, Rule
from dualcontrol.names import among
from dualcontrol.route.rules import Failure, Findings, Subject

NAMED = 5  # segments in a reason


class Ruling(NamedTuple):
    """Where a case goes, by whose word and why; `rule` is the rule that matched on the way, if one did."""

    to: RouteTo
    by: str
    reason: str
    rule: Rule | None = None
    failed: bool = False
    score: float | None = None  # what a certificate counts the case by; None where none spoke
    by_score: float | None = None  # what the threshold was compared with: of two orders, the one that acts


def rule_on(subject: Subject, control: Control, findings: Findings) -> Ruling:
    """The first ruling in the order: block, demands, rules, risk, list, confidence; then closures.

    A closure turns autopilot into a human after all: a closed segment, or a loop that only suggests.
    """
    settings = control.settings
    ruling = blocked(subject, settings, findings) or demanded(subject, settings) or ruled(findings)
    if ruling is None or ruling.to == "autopilot":
        risky = too_risky(subject, settings, ruling.rule if ruling else None)
        ruling = risky or ruling or listed(subject, settings) or confident(subject, control)
    if ruling.to != "autopilot":
        return ruling
    closed = control.closed_for(subject.signal.segment)
    if closed is not None:
        return ruling._replace(to="human", by="closed", reason=f"autopilot is closed: {closed}")
    if settings.start == "suggest":
        reason = "this loop only suggests: a human decides every case"
        return ruling._replace(to="human", by="start", reason=reason)
    return ruling


def blocked(subject: Subject, settings: LoopSettings, findings: Findings) -> Ruling | None:
    """Step 1: a block by action or by any rule; a block rule that fails sends the case to a human."""
    if settings.block_actions and among(subject.action, settings.block_actions):
        return Ruling("block", "block_actions", f"action {subject.action!r} is named in block_actions")
    failed: Ruling | None = None
    for place in findings.set.blocking:
        finding, rule = findings[place], findings.set.rules[place]
        if finding is True:
            return Ruling("block", f"rule:{rule.name}", f"rule {rule.name!r} blocks this", rule)
        if isinstance(finding, Failure) and failed is None:
            failed = Ruling("human", f"rule:{rule.name}", finding.reason, rule, failed=True)
    return failed


def demanded(subject: Subject, settings: LoopSettings) -> Ruling | None:
    """Step 2: nothing to run, or the case or its action asks for a human."""
    if not subject.proposed or settings.mode == "preference":
        return Ruling("human", "no_proposal", "nothing is proposed that autopilot could do")
    if subject.signal.requires_approval:
        return Ruling("human", "requires_approval", "the proposal says that it requires approval")
    if settings.human_actions and among(subject.action, settings.human_actions):
        return Ruling("human", "human_actions", f"action {subject.action!r} is named in human_actions")
    return None


def ruled(findings: Findings) -> Ruling | None:
    """Step 3: the first rule that matches or fails."""
    for place in findings.set.routing:
        finding = findings[place]
        if finding is False:
            continue
        rule = findings.set.rules[place]
        if isinstance(finding, Failure):
            return Ruling("human", f"rule:{rule.name}", finding.reason, rule, failed=True)
        says = "sends this to a human" if rule.route == "human" else "lets this run on autopilot"
        return Ruling(rule.route, f"rule:{rule.name}", f"rule {rule.name!r} {says}", rule)
    return None


def too_risky(subject: Subject, settings: LoopSettings, rule: Rule | None) -> Ruling | None:
    """Step 4: a risk that cannot be compared, or one above the ceiling."""
    unknown = why_unknown(subject.signal.risk)
    if unknown is not None:
        return Ruling("human", "error", unknown, rule, failed=True)
    risk = higher(subject.signal.risk, rule.risk if rule else None)
    if not above(risk, settings.risk_ceiling):
        return None
    return Ruling("human", "risk_ceiling", f"risk {risk} is above the ceiling {settings.risk_ceiling}", rule)


def listed(subject: Subject, settings: LoopSettings) -> Ruling | None:
    """Step 5: the action is one that autopilot may always run."""
    if settings.autopilot_actions and among(subject.action, settings.autopilot_actions):
        reason = f"action {subject.action!r} is named in autopilot_actions"
        return Ruling("autopilot", "autopilot_actions", reason)
    return None


def confident(subject: Subject, control: Control) -> Ruling:
    """Step 6: the score against the threshold in force; autopilot needs a positive reason.

    The score is the learned chance of being right where the loop asks for it, or where that acts beside confidence,
    else the confidence.  A certificate learns from it where the loop has a guarantee, and one that speaks for the
    case's segment; of two orders each learns from every case that has a confidence, whichever acts.
    """
    segment, guarantee = subject.signal.segment, control.settings.guarantee
    learned, confidence = control.acting(segment) == RISK, subject.signal.confidence
    value = subject.score if learned else confidence
    certified = guarantee is not None and control.certificate_for(segment) is not None
    score = (confidence if control.beside else value) if certified else None
    if value is None or (control.beside and confidence is None):
        why = "no confidence was given"
        if control.learned and control.scorer is None:
            why = "no risk model was learned yet"
        elif learned and value is None:
            why = f"risk model {control.scorer} gave no chance of being right"
        return Ruling("human", "no_signal", f"{why}, and autopilot needs a positive reason", score=score)
    threshold = control.threshold_for(segment)
    if threshold is None:
        closed = control.closed_for(segment)
        if guarantee is None:
            why = "no threshold is set"
        elif not certified:
            named = "a case without a segment" if segment is None else f"segment {segment!r}"
            named = named if guarantee.per is None else f"its {guarantee.per}"
            few = ", ".join(guarantee.segments[:NAMED]) + (", …" if len(guarantee.segments) > NAMED else "")
            why = f"{named} is none that the guarantee is for ({few})"
        else:
            why = "nothing is certified yet" if closed is None else f"autopilot is closed: {closed}"
        return Ruling("human", "threshold", f"{why}, so nothing runs on autopilot", score=score, by_score=value)
    reaches = value >= threshold
    number_shown, needed = distinct(value, threshold)
    what = f"chance of being right {number_shown} (learned)" if learned else f"confidence {number_shown}"
    relation = "reaches" if reaches else "is below"
    reason = f"{what} {relation} {needed}, the autopilot threshold of {control.loop}"
    return Ruling("autopilot" if reaches else "human", "threshold", reason, score=score, by_score=value)


def distinct(confidence: float, threshold: float) -> tuple[str, str]:
    """Both numbers with the threshold's decimals, two at least, and as many more as tell them apart."""
    written = len(repr(threshold).partition(".")[2])
    for digits in range(min(max(written, 2), 6), 18):
        texts = f"{confidence:.{digits}f}", f"{threshold:.{digits}f}"
        if texts[0] != texts[1] or confidence == threshold:
            return texts
    return repr(confidence), repr(threshold)


# Risk as a level or a number: compared on one scale, given back as it was written.


Risk = str | float | None


class UnknownRiskError(ValueError):
    """The risk is neither a known level nor a number from 0 to 1."""


def number(risk: str | float) -> float:
    """The risk on the scale from 0 to 1; raises UnknownRiskError for anything that is not on it."""
    if isinstance(risk, str):
        level = RISK_LEVELS.get(risk)
        if level is None:
            raise UnknownRiskError(f"the risk is none of the levels {', '.join(RISK_LEVELS)}")
        return level
    if isinstance(risk, bool) or not 0.0 <= risk <= 1.0:
        raise UnknownRiskError("the risk is not a number from 0 to 1")
    return float(risk)


def known(risk: Risk) -> bool:
    """Whether this risk can be compared; no risk at all can."""
    return why_unknown(risk) is None


def why_unknown(risk: Risk) -> str | None:
    """What is wrong with this risk, or None when it can be compared."""
    try:
        if risk is not None:
            number(risk)
    except UnknownRiskError as error:
        return str(error)
    except TypeError:
        return "the risk is not a number from 0 to 1"
    return None


def higher(first: Risk, second: Risk) -> Risk:
    """The higher of two risks, the first where they are equal; one that cannot be compared is the highest."""
    if second is None or not known(first):
        return first
    if first is None or not known(second):
        return second
    return second if number(second) > number(first) else first


def above(risk: Risk, ceiling: Risk) -> bool:
    """Whether the risk is above the ceiling; exactly at it is not above, nor is no risk."""
    return risk is not None and ceiling is not None and number(risk) > number(ceiling)
