"""The status of a guarantee, in numbers and in words: what is promised, on what evidence, and why where nothing is."""

from __future__ import annotations

from dualcontrol.case import Value
from dualcontrol.control import CONFIDENCE, OVERLOOKED, RISK, Control, Guarantee
from dualcontrol.guarantee import moves, orders
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.evidence import LABELS, Segment, Segments
from dualcontrol.guarantee.monitor import worth
from dualcontrol.guarantee.moves import promised
from dualcontrol.guarantee.offline import share
from dualcontrol.oversight.rates import at_least
from dualcontrol.route import audit

WATCHES = {"shadow": "The loop only watches, so nobody is asked and nothing will be counted"}
SUGGESTS = {"suggest": "The loop only suggests, so nothing goes to autopilot all the same"}


class Order(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One of two orders of the cases: "confidence" or "risk", whether it acts, and what is certified by it.

    `through` is the share of the latest cases that it lets through, by which the wider one acts.
    """

    order: str
    acts: bool
    scorer: str | None
    threshold: float | None
    certified_coverage: float
    through: float
    labels_used: int
    labels_needed: int | None


class Standing(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One segment of a loop under a guarantee; `state` is off, waiting, pilot, collecting, certified or closed.

    `labels_worth` is how many independent labels those used are worth, where questions come again, cases belong
    together, or errors fall together.  `miss_rate` is the share of errors that people are taken to let pass, `measured`
    by so many answers to known-wrong cases, `by_second` by second answers; None where it is assumed or declared.
    `shown` decisions are no evidence, since people saw the proposal before they answered; `blind` says that of all that
    is evidence nobody had.  `seconds` are those for which people held the reviews behind what counted in this epoch,
    until something was certified, or so far.  `reason` says all of it; of its parts `closed` is what closed autopilot,
    and `counted` what the evidence says.  Where two orders count, the figures are those of the one that acts, and
    `orders` has both; `halved` says that half of the chance of being wrong is for a second one.
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
    labels_worth: float | None
    labels_needed: int | None
    error_upper: float | None
    error_estimate: float | None
    autopilot_cases: int
    audited_cases: int
    missing: int
    miss_rate: float
    measured: int | None
    by_second: bool
    shown: int
    blind: bool
    seconds: float
    suspicion: float
    state: str
    reason: str
    closed: str | None
    counted: str
    halved: bool = False
    orders: list[Order] = []


def standing(control: Control, segments: Segments) -> list[Standing]:
    """The status of every segment that the loop's guarantee names, or of the one that is the whole loop."""
    guarantee = control.settings.guarantee
    names = guarantee.segments if guarantee is not None and guarantee.segments else ("",)
    return [_standing(control, name, segments.get(name)) for name in names]


def _standing(control: Control, name: str, segment: Segment | None) -> Standing:
    guarantee, closed = control.settings.guarantee, control.closed_for(name)
    current = segment if segment is not None and control.epochs.get(name) == segment.epoch else None
    certificate = current.acting(control, name) if current is not None else None
    bound = segment.bound if segment is not None else None
    if guarantee is None:
        state, counted, needed = "off", "this loop has no guarantee", None
    elif current is None:
        state, fresh = "waiting", Certificate(**promised(control, segment))
        needed = fresh.labels_needed()
        counted = _joined(_waiting(control, guarantee, fresh, segment), WATCHES.get(control.settings.start))
    else:
        needed = current.acting(control, name).labels_needed()
        state, counted = _counted(control, guarantee, current, current.acting(control, name), needed)
    if control.settings.side_by_side and not audit.judges(control):
        needed, counted = None, FREE
    if guarantee is not None and closed is not None:  # what the evidence says comes after that, as a sentence
        stands = f"What is certified stands by for when it opens: {counted}"
        state, counted = "closed", stands if state == "certified" else counted[:1].upper() + counted[1:]
    return Standing(
        loop=control.loop, segment=name, epoch=current.epoch if current else control.epoch,
        model=current.model if current else control.model,
        scorer=control.scorer if control.acting(name) == RISK else None,
        max_error=guarantee.max_error if guarantee else None, confidence=guarantee.confidence if guarantee else None,
        threshold=control.threshold_for(name) if guarantee else None,
        certified_coverage=round(certificate.coverage, 6) if certificate else 0.0,
        labels_used=certificate.labels if certificate else 0, labels_needed=needed,
        labels_worth=round(worth(certificate.labels, segment.size), 1) if certificate and segment else None,
        error_upper=round(bound.upper, 6) if bound and bound.cases else None,
        error_estimate=round(bound.estimate, 6) if bound and bound.estimate is not None else None,
        autopilot_cases=bound.cases if bound else 0, audited_cases=bound.labels if bound else 0,
        missing=current.missing if current else 0, shown=current.shown if current else 0,
        blind=guarantee is not None and guarantee.blind and (current is None or current.blind),
        miss_rate=certificate.miss_rate if certificate else guarantee.missed if guarantee else 0.0,
        measured=current.measured if current else None, by_second=current is not None and current.by_second,
        seconds=round(current.took / 1e6, 3) if current else 0.0,
        suspicion=round(current.monitor.share, 4) if current else 0.0,
        state=state, reason=f"autopilot is closed: {closed}. {counted}" if state == "closed" else counted,
        closed=closed, counted=counted, orders=_orders(control, name, current),
        halved=orders.learnable() and control.beside and (current is None or orders.shares(current.promise, control)),
    )  # fmt: skip


def _orders(control: Control, name: str, current: Segment | None) -> list[Order]:
    """Both orders of a segment, where a learned one counts beside confidence."""
    if current is None or current.second is None:
        return []
    learned = current.second
    through = learned.through(current.certificate.threshold, learned.certificate.threshold)
    both = ((CONFIDENCE, None, current.certificate), (RISK, learned.scorer, learned.certificate))
    return [
        Order(
            order=order,
            acts=control.acting(name) == order,
            scorer=scorer,
            threshold=certificate.threshold,
            certified_coverage=round(certificate.coverage, 6),
            through=round(lets, 6),
            labels_used=certificate.labels,
            labels_needed=certificate.labels_needed(),
        )
        for (order, scorer, certificate), lets in zip(both, through, strict=True)
    ]


def _waiting(control: Control, guarantee: Guarantee, fresh: Certificate, before: Segment | None) -> str:
    """Nothing is counted for this promise: how many answers the certificate that comes takes at the least."""
    promise = " for this promise" if before is not None else ""
    parts = [f"no decision was counted yet{promise}, so everything goes to humans"]
    if control.learned and control.scorer is None:
        first = f"{guarantee.learn_from:,} decided cases, which are not counted"
        parts.append(f"First the score is learned from the first {first}")
    if guarantee.pilot:
        parts.append(f"The first {_many(guarantee.pilot, 'answer')} show how the scores lie, and prove nothing")
    parts.append(
        f"Then at least {_many(fresh.fewest, 'answer')} on the surest cases must find no error: "
        f"about {_many(fresh.labels_needed() or 0, 'answer')} in all"
    )
    return _joined(*parts)


def _counted(
    control: Control, guarantee: Guarantee, current: Segment, certificate: Certificate, needed: int | None
) -> tuple[str, str]:  # fmt: skip
    """The state, and what the evidence says, whether or not autopilot is closed."""
    late, scorer = None, control.scores_by if certificate is current.certificate else control.scorer
    if current.missing:  # they count as wrong; who does not know that takes them for errors of the model
        several = "count as wrong because nobody answered them"
        counts = several if current.missing > 1 else "counts as wrong because nobody answered it"
        late = (
            f"{_many(current.missing, 'case')} {counts} within {_span(guarantee.answer_within)}: answer in time, or "
            "set a longer answer_within"
        )
    if not certificate.begun:
        left = f"{_answers(certificate.evidence()['pilot_left'], 'more ')} to see how the scores lie"
        return "pilot", _joined(f"{left}; everything goes to humans", late)
    unseen = f", and {share(certificate.miss_rate)} of errors are taken to be missed" if certificate.miss_rate else ""
    errors = f"A proposal counts as wrong once a second reviewer says so too{unseen}"
    if control.settings.side_by_side:
        errors = f"{SIDE_BY_SIDE}{unseen}"
    elif not guarantee.adjudicate:
        errors = f"Nobody is asked twice, so errors of reviewers count as errors of the model{unseen}"
    if scorer is not None:
        errors += f". Here the score is the chance of being right, learned by {scorer}"
    if certificate.threshold is not None:
        promise = (
            f"at most {share(certificate.max_error)} of what autopilot does from {certificate.threshold:.4g} on is "
            f"wrong, with {share(certificate.confidence)} confidence, while model and cases stay as they are"
        )
        return "certified", _joined(promise, errors, SUGGESTS.get(control.settings.start))
    place = max(certificate._next, 0)
    seen, wrong = sum(certificate.weights[place:]), sum(certificate.wrongs[place:])
    since = {None: "", LABELS: "since the labels changed "}.get(current.cut, "since the alarm ")
    surest = f"{since}{wrong:.0f} of the {seen:.0f} surest cases count as wrong"
    why = f"{surest}, and {share(certificate.max_error)} may be"
    if not seen:
        why = f"no answer on the surest cases was counted {since or 'yet'}".rstrip()
    more, due = f"About {_answers(needed or 0, 'more ')}", moves.due(certificate)
    if needed is None:
        more = "More answers like these would not change that"
        if certificate.labels < due:
            more += f". When {due:,} are counted, another group of the surest cases is tried if one looks better"
    tied = None if certificate.edges else "Every score was the same so far, so it is all cases or none"
    return "collecting", _joined(f"nothing is certified: {why}", more, tied, late, errors)


def _joined(*sentences: str | None) -> str:
    return ". ".join(sentence for sentence in sentences if sentence)


def _answers(count: int, more: str = "") -> str:
    return f"1 {more}answer is needed" if count == 1 else f"{count:,} {more}answers are needed"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


# A guarantee in plain words: what is promised, for what, on what evidence, what counts as wrong, when it lapses.


ASSUMED = (
    " People see the proposal before they answer (blind = false): what is promised assumes that they find as many "
    "errors as they would have found without seeing it."
)
FREE = (
    "A free response is never quite what was proposed, so that a second person has to judge both side by side, and the "
    "group has nobody else. What one person answers is not counted. With a schema of a number, a yes or no, or a "
    "choice it could be; blind = false counts answers to what was shown, and assumes that people notice what is wrong "
    "with it"
)
SIDE_BY_SIDE = (
    "A proposal counts as wrong when a person finds it not acceptable beside the answer that somebody else wrote "
    "without seeing it, and is not told whose is whose"
)
LAPSES = (
    "It lapses when another model proposes, when the settings change the promise, the labels or which cases reach the "
    "threshold, and when the monitor raises its alarm. Then everything goes to humans until enough is counted anew. "
    "The confidence is that of all of this together, however often it begins again."
)
NOT_PROMISED = (
    "That the error stays this low on every day: when cases change, nobody can see it before labels tell. The monitor "
    "notices after hundreds or thousands of decisions, not at once; the bound on the error so far holds meanwhile. "
    "Nor is anything promised about a single case, or about cases that a rule or a list sends to autopilot."
)
NOT_YET = (
    "Anything about the error of autopilot. Too little evidence is no smaller promise, it is none: until enough is "
    "counted, no case goes to autopilot by its score."
)
NOTICED = f"assuming that people notice at least {share(1.0 - OVERLOOKED)} of wrong proposals; not measured yet."
MEASURED = "measured on {:,} answers to known-wrong cases"
BY_SECOND = 'measured on {:,} second answers, of which each that took a first "wrong" back counts as a miss'
NOT_MEASURED = f" All this is said {NOTICED}"
STARTS = {
    "suggest": ' The loop only suggests so far (start = "suggest"): nothing goes to autopilot.',
    "shadow": ' The loop only watches so far (start = "shadow"): nobody is asked, so nothing is counted.',
}
UNNAMED = "Cases of a segment that the settings do not name go to humans; name it in guarantee.segments to certify it."
LESS = 0.9  # of the labels: what they are worth is said where it is less
MANY = 50_000  # beyond this an estimate says only that it is far away


class Words(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The parts of what there is to say, each a sentence or a few; empty where there is nothing to say."""

    headline: str
    promised_for: str
    evidence: str
    orders: str
    errors: str
    lapses: str
    not_promised: str


def words(control: Control, of: Standing) -> Words:
    """What a status means to people who rely on it."""
    guarantee = control.settings.guarantee
    if guarantee is None:
        fixed = control.settings.threshold
        where = "sends nothing to autopilot by score" if fixed is None else f"runs on autopilot from {fixed:g} on"
        return Words(
            headline="This loop has no guarantee: nothing is promised about the error of autopilot.",
            promised_for=f"The loop {where}, because its settings say so and not because anybody has counted.",
            evidence="",
            orders="",
            errors="",
            lapses="With guarantee = { max_error = 0.05 } in its settings the threshold follows the evidence.",
            not_promised="Anything about the error of autopilot.",
        )
    certified = of.state == "certified"
    headline = "Nothing is certified: everything goes to humans."
    if of.state == "closed":
        headline = "Autopilot is closed: everything goes to humans."
    elif certified and of.max_error is not None and of.confidence is not None:
        most = f"At most {share(of.max_error)} of what autopilot does is wrong"
        headline = f"{most}, with {share(of.confidence)} confidence."
    who = "A proposal counts as wrong when one person says so: errors of reviewers count as errors of the model"
    if control.settings.side_by_side:
        who = SIDE_BY_SIDE
    elif guarantee.adjudicate:
        who = "A proposal counts as wrong when a second person, who has not seen the first answer, says so too"
    assumed = "" if guarantee.blind else ASSUMED
    missed = f" Reviewers are taken to miss up to {share(of.miss_rate)} of all errors." if of.miss_rate else ""
    if of.measured is not None:
        second = ", and a second person sees them too" if guarantee.adjudicate else ""
        noticed = f"people notice at least {at_least(1.0 - of.miss_rate)} of wrong proposals{second}"
        rests = (BY_SECOND if of.by_second else MEASURED).format(of.measured)
        missed = f" All this allows for what people miss: {noticed}; {rests}."
    elif guarantee.miss_rate is None and guarantee.adjudicate and of.miss_rate:
        missed = NOT_MEASURED
    lapses = LAPSES if of.scorer is None else f"{LAPSES} It lapses as well when another risk model is learned."
    return Words(
        headline=headline, promised_for=_for(control, guarantee, of), evidence=_evidence(of, guarantee),
        orders=_ordered(guarantee, of),
        errors=f"{who}; so does a case that nobody answers within {_span(guarantee.answer_within)}.{missed}{assumed}",
        lapses=lapses if certified else _opens(of),
        not_promised=NOT_PROMISED if certified else NOT_YET,
    )  # fmt: skip


def _for(control: Control, guarantee: Guarantee, of: Standing) -> str:
    score = "confidence" if of.scorer is None else "learned score"
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


def _evidence(of: Standing, guarantee: Guarantee) -> str:
    blind = "blind " if of.blind else ""
    many = f"1 {blind}answer was" if of.labels_used == 1 else f"{of.labels_used:,} {blind}answers were"
    counted = f"{many} counted in this epoch, in the order of the decisions they are about"
    late = f", {of.missing:,} of them as wrong because nobody gave them in time" if of.missing else ""
    if less := worth_of(of):
        late += f"; since cases belong together, they are {less}"
    if of.blind and of.labels_used:
        late += ". Nobody had seen the proposal before they gave them"
    elif guarantee.blind and of.labels_used:
        late += ". Some are of a time when answers counted although the proposal had been shown"
    if of.shown:
        late += f"; {_many(of.shown, 'more decision')} with the proposal shown did not count"
    if of.error_upper is None:
        return f"{counted}{late}. Autopilot has done nothing yet."
    return (
        f"{counted}{late}. Of the {of.autopilot_cases:,} decisions of autopilot so far, people reviewed "
        f"{of.audited_cases:,} as well: about {share(of.error_estimate or 0.0)} of all were wrong by that, and at most "
        f"{share(of.error_upper)} with {share(of.confidence or 0.0)} confidence. This last bound takes nothing for "
        "granted, not even that cases stay as they are, so it is wider than what the certificate says."
    )


HALVES = "each with half of the chance of being wrong, so that what either certifies holds whichever acts"


def _ordered(guarantee: Guarantee, of: Standing) -> str:
    """What orders the cases, where it may be either of two: what each lets through, and why which one acts."""
    if not of.orders:
        many = f"{guarantee.learn_from:,} decided cases"
        return "" if not of.halved else (
            "Confidence alone orders the cases so far. Half of the chance of being wrong is kept for a second order, "
            f"by a chance of being right that is learned from about {many}: these count for confidence and not for it."
        )  # fmt: skip
    confidence, chance = of.orders
    acts, rests = (chance, confidence) if chance.acts else (confidence, chance)
    two = f"Two orders count the same answers, {HALVES}: confidence, and the chance of being right by {chance.scorer}."
    if acts.threshold is None:
        counted = _many(chance.labels_used, "answer")
        return f"{two} Neither certifies anything yet; the learned one has counted {counted}."
    lets = f"{share(acts.through)} of the latest cases through, from {acts.threshold:.4g} on"
    other = "nothing is certified by the other" if rests.threshold is None else (
        f"the other would let {share(rests.through)} through, from {rests.threshold:.4g} on"
    )  # fmt: skip
    which = "The learned one acts" if chance.acts else "Confidence acts"
    return f"{two} {which}: it lets {lets}, and {other}."


def worth_of(of: Standing) -> str:
    """What the labels are worth, where that is less than their number; else nothing."""
    if of.labels_worth is None or of.labels_worth >= LESS * of.labels_used:
        return ""
    return f"worth about {of.labels_worth:,.0f} independent ones"


def effort(of: Standing) -> tuple[str, str]:
    """People's time behind the answers that counted, and until when, in words."""
    return time_of(of.seconds), "until it opened" if of.certified_coverage > 0.0 else "so far"


def time_of(seconds: float) -> str:
    """Working time as people say it: ``40 s``, ``75 min``, ``5 h 12 min``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60:,} h {minutes % 60} min"


def _span(seconds: str | int | float) -> str:
    return seconds if isinstance(seconds, str) else f"{seconds:g} s"


def _opens(of: Standing) -> str:
    if of.state == "closed" and of.certified_coverage > 0.0:
        return "What was certified still stands; autopilot opens when what closed it is mended."
    if of.labels_needed is None and of.missing:
        return (
            "It opens when the error of the surest cases falls below the bound. Cases that nobody answers in time "
            f"count as errors, {of.missing:,} so far: more answers, and in time, will do it."
        )
    if of.labels_needed is None and of.by_second:
        return (
            "It opens when the error of the surest cases falls below the bound, as far as people can be shown to see "
            "it: the limit of what they miss comes down with more second answers, and a third person would be measured."
        )
    if of.labels_needed is None:
        return "It opens when the error of the surest cases falls below the bound; more answers alone will not do it."
    return f"It opens when the evidence is enough: {some(of.labels_needed)} more answers, if they go on as they have."


def some(count: int) -> str:
    """A number of answers to come, as exact as anybody can know it."""
    return f"more than {MANY:,}" if count > MANY else f"about {count:,}"
