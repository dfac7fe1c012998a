"""What a loop's probes say of its human step, for people to read: certificate, team, people, context levels, flags.

Who may see how others are measured sees all of it; everybody else their own figures.  People stand in the order of
their names: fewer than a hundred probes do not tell them apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp

from dualcontrol.case import Value
from dualcontrol.control import Control
from dualcontrol.names import identity, same
from dualcontrol.oversight.certificate import Disagreement
from dualcontrol.oversight.rates import RANKED, Rate, at_least
from dualcontrol.oversight.scorecard import Diagnosis, Scorecard, wilson
from dualcontrol.oversight.stamping import Stamping
from dualcontrol.vigilance.ladder import LadderPlace
from dualcontrol.vigilance.pace import Drift
from dualcontrol.vigilance.record import DELTA, Figures

DIAGNOSES: dict[Diagnosis, str] = {
    "too few probes": "too few test cases to say what it points to; it takes 30 wrong and 30 right ones",
    "cannot tell them apart": "wrong and right proposals are hard to tell apart: look at the context and at training",
    "lenient": "told apart, but in doubt the proposal is let through",
    "turns down too much": "told apart, but in doubt the proposal is turned down",
    "attentive": "wrong and right proposals are told apart, and doubt goes neither way",
}
NOBODY = "nobody knows yet what the human step catches: no test case with a wrong proposal in view has been answered"


class Share(Value, frozen=True, kw_only=True, omit_defaults=False):
    """A share `of` so many answers, with the limits between which it lies; None where there was none."""

    share: float | None
    low: float
    high: float
    of: int


class Seconds(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The typical time of an answer (geometric mean), with its 95 % interval."""

    typical: float
    low: float
    high: float


class Watched(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What the probes say of the team (""), of one person, or of one context level.

    `caught` is of wrong proposals in view, `missed_blind` of wrong ones that nobody saw before they answered; their
    limits hold at every look and together.  `false_alarms` (Wilson), d', criterion and `seconds` are to be read, no
    promise rests on them.  `suspicion` is how far the rubber-stamp test is on the way to a flag; `comparable` says
    whether there are enough probes to compare with others.
    """

    name: str
    caught: Share
    missed_blind: Share
    false_alarms: Share
    d_prime: float | None
    spread: float | None
    criterion: float | None
    diagnosis: Diagnosis
    points_to: str
    seconds: Seconds | None
    suspicion: float | None
    comparable: bool


class Flagged(Value, frozen=True, kw_only=True, omit_defaults=False):
    """When the rubber-stamp test flagged somebody, by which probe, and what that says."""

    person: str
    at: int
    case_id: str
    words: str


class Certified(Value, frozen=True, kw_only=True, omit_defaults=False):
    """The oversight certificate: what the human step catches, and what is wrong after review.

    `residual` follows from probes and blind labels, `direct` is by blind audits of what people decided; each with its
    upper limit.  `disagreement` is an alarm: the two exclude each other.
    """

    confidence: float
    probes: int
    caught: float | None
    caught_at_least: float
    wrong: float | None
    wrong_at_most: float
    residual: float | None
    residual_at_most: float
    direct: float | None
    direct_at_most: float
    disagreement: Disagreement | None


class Oversight(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What is measured of a loop's people; `whole` says whether this is all of it, or one person's own figures.

    `share` is the largest share of answers that goes to probes; 0 where none are asked.  `steps` are those of the
    ladder that people are on, `drift` how they fare over a shift and over weeks; of their own people see their step and
    pace.
    """

    loop: str
    share: float
    statement: str
    whole: bool
    certificate: Certified | None
    team: Watched | None
    people: tuple[Watched, ...]
    levels: tuple[Watched, ...]
    flags: tuple[Flagged, ...]
    steps: tuple[LadderPlace, ...]
    drift: Drift

    def last_flags(self) -> list[tuple[Flagged, int]]:
        """The last flag of each person, the newest first, and how many there are of them."""
        counts = Counter(identity(flag.person) for flag in self.flags)
        last = {identity(flag.person): flag for flag in reversed(self.flags)}
        return [(last[key], counts[key]) for key in sorted(last, key=lambda key: (-last[key].at, key))]

    def own(self, person: str) -> Oversight:
        """What of it is one person's own."""
        mine = tuple(each for each in self.people if same(each.name, person))
        return Oversight(
            loop=self.loop, share=self.share, statement=_own_words(mine[0] if mine else None), whole=False,
            certificate=None, team=None, people=mine, levels=(),
            flags=tuple(flag for flag in self.flags if same(flag.person, person)),
            steps=tuple(step for step in self.steps if same(step.person, person)),
            drift=Drift(paces=tuple(pace for pace in self.drift.paces if same(pace.person, person))),
        )  # fmt: skip


def oversight(
    control: Control, figures: Figures, steps: Sequence[LadderPlace] = (), drift: Drift | None = None
) -> Oversight:
    """Everything that the probes of a loop say now, the steps that its people are on, and how they fare over time."""
    names = sorted(figures.names.items(), key=lambda item: (item[0], item[1]))
    people = tuple(
        _watched(
            name, figures.shown.people.get(key), figures.blind.people.get(key), figures.cards[key], figures.tests[key]
        )
        for key, name in names
    )
    levels = tuple(
        _watched(
            level, figures.levels.people.get(level), figures.levels_blind.people.get(level), figures.level_cards[level]
        )
        for level in sorted({*figures.levels.people, *figures.levels_blind.people, *figures.level_cards})
    )
    certificate = figures.certificate.figures()
    return Oversight(
        loop=control.loop, share=control.settings.probe_share, whole=True,
        statement=certificate.words if certificate.probes else NOBODY,
        certificate=Certified(
            confidence=figures.certificate.confidence,
            **{name: value for name, value in certificate._asdict().items() if name != "words"},
        ),
        team=_watched("", figures.shown.all, figures.blind.all, figures.team) if figures.probes else None,
        people=people, levels=levels, flags=tuple(_flags(figures))[::-1],
        steps=tuple(steps), drift=drift or Drift(),
    )  # fmt: skip


def _watched(
    name: str, shown: Rate | None, blind: Rate | None, card: Scorecard, test: Stamping | None = None
) -> Watched:  # fmt: skip
    seen = card.detection if card.wrongs and card.rights else None
    low, high = wilson(card.false_alarms, card.rights)
    missed, unseen = _share(shown), _share(blind)
    return Watched(
        name=name,
        caught=Share(
            share=None if missed.share is None else 1.0 - missed.share, low=1.0 - missed.high, high=1.0 - missed.low,
            of=missed.of,
        ),
        missed_blind=unseen,
        false_alarms=Share(
            share=card.false_alarms / card.rights if card.rights else None, low=low, high=high, of=card.rights
        ),
        d_prime=seen and round(seen.d_prime, 3), spread=seen and round(seen.spread, 3),
        criterion=seen and round(seen.criterion, 3), diagnosis=card.diagnosis, points_to=DIAGNOSES[card.diagnosis],
        seconds=None if card.seconds is None else Seconds(
            typical=card.seconds[0], low=card.seconds[1], high=card.seconds[2]
        ),
        suspicion=None if test is None else test.share, comparable=missed.of >= RANKED,
    )  # fmt: skip


def _share(rate: Rate | None) -> Share:
    if rate is None or not rate.of:
        return Share(share=None, low=0.0, high=1.0, of=0)
    low, high = rate.interval
    return Share(share=rate.estimate, low=low, high=high, of=rate.of)


def _flags(figures: Figures) -> Iterator[Flagged]:
    """Every flag in words, in order of time: who lets what pass, how sure that is, and how it was measured."""
    places: Counter[str] = Counter()
    for flag in figures.flags:
        key = identity(flag.person)
        test, place = figures.tests[key], places[key]
        run = test.flagged[place]
        places[key] += 1
        parts = [
            f"{flag.person} missed {run.missed} of the last {run.of} wrong proposals: {int(exp(run.evidence) + 1e-9)} "
            f"times as likely of somebody who misses {at_least(test.stamping)} of them as of somebody who misses "
            f"{at_least(test.healthy)}"
        ]
        for rate, how in ((figures.shown.people.get(key), "in view"), (figures.blind.people.get(key), "not in view")):
            if rate is not None and rate.lower > 0.0:
                parts.append(
                    f"of all {rate.of} test cases with a wrong proposal {how} at least {at_least(rate.lower)} came "
                    f"through, confidence {at_least(1.0 - DELTA)}"
                )
        parts.append("measured with cases whose right answer is known, by a sequential test (Wald 1945)")
        yield Flagged(person=flag.person, at=flag.at, case_id=flag.case_id, words="; ".join(parts))


def _own_words(own: Watched | None) -> str:
    if own is None or not own.caught.of:
        return "you have not answered a test case with a wrong proposal in view yet"
    noticed = round((own.caught.share or 0.0) * own.caught.of)
    return (
        f"you noticed {noticed} of {own.caught.of} wrong proposals in test cases; as far as that can say, you notice "
        f"between {at_least(own.caught.low)} and {at_least(own.caught.high)} of them"
    )
