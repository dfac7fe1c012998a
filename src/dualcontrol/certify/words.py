"""A guarantee in plain words: what is promised, for what, on what evidence, what counts as wrong, when it lapses."""

from __future__ import annotations

from dualcontrol.case import Value
from dualcontrol.certify.standing import Standing
from dualcontrol.control import Control
from dualcontrol.route.promise import share

LAPSES = (
    "It lapses when another model proposes, when the promise or the labels in the settings change, and when the "
    "monitor raises its alarm. Then everything goes to humans until enough is counted anew."
)
NOT_PROMISED = (
    "That the error stays this low on every day: when cases change, nobody can see it before labels tell. The monitor "
    "notices after hundreds or thousands of decisions, not at once; the bound on the error so far holds meanwhile. "
    "Nor is anything promised about a single case, about cases that a rule or a list sends to autopilot, or about "
    "several models taken together."
)
NOT_YET = (
    "Anything about the error of autopilot. Too little evidence is no smaller promise, it is none: until enough is "
    "counted, no case goes to autopilot by its score."
)
STARTS = {
    "suggest": ' The loop only suggests so far (start = "suggest"): nothing goes to autopilot.',
    "shadow": ' The loop only watches so far (start = "shadow"): nobody is asked, so nothing is counted.',
}
UNNAMED = "Cases of a segment that the settings do not name go to humans; name it in guarantee.segments to certify it."
MANY = 50_000  # beyond this an estimate says only that it is far away


class Words(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The parts of what there is to say, each a sentence or a few; empty where there is nothing to say."""

    headline: str
    promised_for: str
    evidence: str
    errors: str
    lapses: str
    not_promised: str


def words(control: Control, of: Standing) -> Words:
    """What a standing means to people who rely on it."""
    if control.settings.guarantee is None:
        return _without(control)
    return Words(
        headline=_headline(of), promised_for=_for(control, of), evidence=_evidence(of), errors=_errors(control),
        lapses=_lapses(control) if of.state == "certified" else _opens(of),
        not_promised=NOT_PROMISED if of.state == "certified" else NOT_YET,
    )  # fmt: skip


def _headline(of: Standing) -> str:
    if of.state == "closed":
        return "Autopilot is closed: everything goes to humans."
    if of.state != "certified" or of.max_error is None or of.confidence is None:
        return "Nothing is certified: everything goes to humans."
    return f"At most {share(of.max_error)} of what autopilot does is wrong, with {share(of.confidence)} confidence."


def _without(control: Control) -> Words:
    alone = control.settings.threshold
    fixed = "sends nothing to autopilot by score" if alone is None else f"runs on autopilot from {alone:g} on"
    return Words(
        headline="This loop has no guarantee: nothing is promised about the error of autopilot.",
        promised_for=f"The loop {fixed}, because its settings say so and not because anybody has counted.",
        evidence="",
        errors="",
        lapses="With guarantee = { max_error = 0.05 } in its settings the threshold follows the evidence.",
        not_promised="Anything about the error of autopilot.",
    )


def _for(control: Control, of: Standing) -> str:
    guarantee = control.settings.guarantee
    score = "learned score" if guarantee is not None and guarantee.score == "risk" else "confidence"
    part = f"segment {of.segment!r} of loop {of.loop!r}" if of.segment else f"loop {of.loop!r}"
    model = f"model {of.model!r}" if of.model else "what proposes today"
    starts = STARTS.get(control.settings.start, "")
    if of.threshold is None or of.state != "certified":
        return f"What is counted now is for {part}, {model}, epoch {of.epoch}.{starts}"
    together = " The confidence is that of all segments together." if of.segment else ""
    return (
        f"It holds for {part}, {model}, epoch {of.epoch}: for cases with a {score} of {of.threshold:.4g} or more, "
        f"{share(of.certified_coverage)} of decisions, as long as they come as those came that were counted."
        f"{together}{starts}"
    )


def _evidence(of: Standing) -> str:
    many = "1 answer was" if of.labels_used == 1 else f"{of.labels_used:,} answers were"
    counted = f"{many} counted in this epoch, in the order of the decisions they are about"
    late = f", {of.missing:,} of them as wrong because nobody gave them in time" if of.missing else ""
    if of.error_upper is None:
        return f"{counted}{late}. Autopilot has done nothing yet."
    return (
        f"{counted}{late}. Of the {of.autopilot_cases:,} decisions of autopilot so far, people reviewed "
        f"{of.audited_cases:,} as well: about {share(of.error_estimate or 0.0)} of all were wrong by that, and at most "
        f"{share(of.error_upper)} with {share(of.confidence or 0.0)} confidence. This last bound takes nothing for "
        "granted, not even that cases stay as they are, so it is wider than what the certificate says."
    )


def _errors(control: Control) -> str:
    guarantee = control.settings.guarantee
    if guarantee is None:
        return ""
    if guarantee.adjudicate:
        who = "A proposal counts as wrong when a second person, who has not seen the first answer, says so too"
    else:
        who = "A proposal counts as wrong when one person says so: errors of reviewers count as errors of the model"
    missed = f" Reviewers are taken to miss up to {share(guarantee.missed)} of all errors." if guarantee.missed else ""
    return f"{who}; so does a case that nobody answers within {_span(guarantee.answer_within)}.{missed}"


def _span(given: str | int | float) -> str:
    return given if isinstance(given, str) else f"{given:g} s"


def _lapses(control: Control) -> str:
    return f"{LAPSES} It lapses as well when another risk model is learned." if control.learned else LAPSES


def _opens(of: Standing) -> str:
    if of.state == "closed" and of.certified_coverage > 0.0:
        return "What was certified still stands; autopilot opens when what closed it is mended."
    if of.labels_needed is None and of.missing:
        return (
            "It opens when the error of the surest cases falls below the bound. Cases that nobody answers in time "
            f"count as errors, {of.missing:,} so far: more answers, and in time, will do it."
        )
    if of.labels_needed is None:
        return "It opens when the error of the surest cases falls below the bound; more answers alone will not do it."
    return f"It opens when the evidence is enough: {some(of.labels_needed)} more answers, if they go on as they have."


def some(count: int) -> str:
    """A number of answers to come, as exact as anybody can know it."""
    return f"more than {MANY:,}" if count > MANY else f"about {count:,}"
