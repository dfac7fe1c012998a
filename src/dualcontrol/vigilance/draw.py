"""Which probe is asked of whom, and when: drawn after an answer, by what is not known yet of who gave it.

An answer to a live case draws a probe for its person with the declared share, half of that where the last 30 days say
enough of them.  A probe counts by the inverse, so that rates are of the work as it is done; those that are asked blind
are not halved, and all count alike.  Two people get the same error of the model where that can be, since what two miss
is measured by pairs.  At most the declared share of the loop's answers goes to probes, one waits at a time for each
person, and none is asked while load is shed.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import chain

from msgspec.structs import replace

from dualcontrol.case import Case, Review
from dualcontrol.commands import Propose
from dualcontrol.control import Control, draw
from dualcontrol.errors import DualcontrolError, ReadOnlyError
from dualcontrol.names import identity, own_pool
from dualcontrol.oversight.allowance import Blind
from dualcontrol.people import may
from dualcontrol.step import Steps
from dualcontrol.vigilance import sources
from dualcontrol.vigilance.direct import DISAGREES
from dualcontrol.vigilance.ladder import Ask, Ladder
from dualcontrol.vigilance.pace import Drift, Timed, break_due, drift
from dualcontrol.vigilance.record import DAY, Figures, Record

log = logging.getLogger("dualcontrol.vigilance")
PURPOSE, KIND, PLACE, WAY, BLIND = "probe", "probe/wrong", "probe/source", "probe/way", "probe/blind"  # of draws
WRITTEN = "probe/written"
MONTH = 30 * DAY
ENOUGH = 30  # known-wrong probes in a month, after which half as many are asked
WRONG = 0.7  # of probes; the others are right, so that false alarms are measured too
AUTHORED = 0.5  # of draws that look first among the probes that somebody wrote
SOURCES, TRIES, PAGE = 5_000, 40, 1_000
LOOK = 20  # answers between two looks whether probes and the direct figure agree
HALVES = 10  # of the cases that one person has answered so far, that another may answer
EXPOSURES = 20  # people who have seen a probe of one source, after which it is retired
RECOUNT = 60_000_000  # microseconds after which answers are counted again
MOST_ANSWERS = 20_000
TIMES = 2_000
LONG = 20  # cases that wait, at least, for a queue to be long


class Sheet:
    """What a process keeps of one loop between draws: the probes so far, the answers by person, and the sources."""

    def __init__(self) -> None:
        self.record = Record()
        self.answers: Counter[str] = Counter()
        self.opened = self.counted_at = self.after = self.looked = self.seq = 0
        self.disagreed = False  # whether the loop's stream has the alarm of it, up to entry `seq`
        self.cases: deque[str] = deque(maxlen=SOURCES)


class Prober:
    """Opens probes after answers; one for each desk, and any number of desks on one database."""

    def __init__(self, steps: Steps, ask: Ask | None = None) -> None:
        self._steps = steps
        self.ladder = Ladder(steps, self, ask or (lambda args, key: None))
        self._sheets: dict[str, Sheet] = {}
        self._times: dict[str, deque[int]] = {}  # of the answers of each person that this process took
        self._lock = threading.Lock()

    def answered(self, case: Case) -> Case | None:
        """After an answer: the probe that it draws, or what a probe leads to; an error here never fails the answer."""
        for review in case.reviews:
            if review.state == "answered" and review.person and review.answered_at:
                times = self._times.setdefault(identity(review.person), deque(maxlen=TIMES))
                if not times or times[-1] < review.answered_at:
                    times.append(review.answered_at)
        if case.kind != "live" or case.origin != "live":
            self.ladder.answered(case)
            return None
        done = [review for review in case.reviews if review.state == "answered" and review.person]
        if not done or not self._lock.acquire(blocking=False):
            return None
        review = max(done, key=lambda r: (r.answered_at or 0, r.id))
        try:
            self._compared(case.loop)
            return self._drawn(case.loop, review)
        except Exception:
            log.warning("no probe was drawn in loop %s", case.loop, exc_info=True)
            return None
        finally:
            self._lock.release()

    def drift(self, control: Control) -> Drift:
        """How the people of a loop fare over a shift and over weeks, and each one's pace, by the last 60 days."""
        figures, now, queries = self.figures(control), self._steps.now(), self._steps.store.queries
        answers = [Timed(*answer) for answer in queries.times(control.loop_id, now - 2 * MONTH, MOST_ANSWERS)]
        a_day = sum(answer.at >= now - DAY for answer in answers)
        waiting = queries.counts(control.loop_id)["open"]
        return drift(answers, figures.probes, names=figures.names, long_queue=waiting > max(a_day, LONG))

    def break_due(self, person: str) -> bool:
        """Whether to suggest a pause to somebody, by their answers that this process took."""
        return break_due(list(self._times.get(identity(person), ())), self._steps.now())

    def notices(self, person: str, controls: Sequence[Control], case: Case | None = None) -> list[str]:
        """What a page tells somebody: where they stand, that a case is for training, that a pause is due."""
        standings = [(control.loop, self.ladder.standing(control, person)) for control in controls if control.rungs]
        notices = [f"{loop}: {standing.words}" for loop, standing in standings if standing is not None]
        if case is not None and case.kind == "practice":
            notices.append("This is a training case: what is right is known, and nothing comes of it.")
        if self.break_due(person):
            notices.append("You have worked for 40 minutes without a pause. A short one helps; nothing is lost by it.")
        return notices

    def figures(self, control: Control) -> Figures:
        """What the probes of a loop say, as far as they are answered now."""
        with self._lock:
            return self._figures(control, self._sheets.setdefault(control.loop, Sheet()))

    def _figures(self, control: Control, sheet: Sheet) -> Figures:
        """What the probes say, beside what is looked at directly."""
        self._read(control, sheet)
        direct = sheet.record.direct
        while direct.take(self._steps.store.feed(direct.read, PAGE, control.loop)) == PAGE:
            pass
        return sheet.record.figures()

    def blind(self, control: Control) -> Blind:
        """What the blind answers to the model's own errors say, as far as they are there now."""
        with self._lock:
            sheet = self._sheets.setdefault(control.loop, Sheet())
            self._read(control, sheet)
            return sheet.record.blind()

    def _read(self, control: Control, sheet: Sheet) -> None:
        queries = self._steps.store.queries
        sheet.record.read(lambda since, known: queries.probes(control.loop_id, since, known))

    def _drawn(self, loop: str, review: Review) -> Case | None:
        """The probe that an answer draws for who gave it; None where it draws none."""
        control = next((c for c in self._steps.store.queries.loops() if c.loop == loop), None)
        person = review.person or ""
        if control is None or control.relief or control.stopped is not None or control.settings.start != "gate":
            return None
        share, sheet = control.settings.probe_share, self._sheets.setdefault(loop, Sheet())
        sheet.answers[identity(person)] += 1
        chance = draw(self._steps.secret, PURPOSE, review.id)
        if chance >= share:
            return None
        self._read(control, sheet)
        figures, now = sheet.record.figures(), self._steps.now()
        self._recount(control, sheet, now)
        if not self._affordable(control, sheet, person, share):
            return None
        halved = chance >= share * need(figures, person, now)
        counts = None if halved else weight(figures, sheet.answers, person, now)
        return self._opened(control, sheet, person, review.id, counts)

    def _compared(self, loop: str) -> None:
        """Every few answers: whether probes and the direct figure exclude each other, which is said once."""
        sheet, store = self._sheets.setdefault(loop, Sheet()), self._steps.store
        sheet.looked += 1
        control = None if sheet.looked % LOOK else next((c for c in store.queries.loops() if c.loop == loop), None)
        if control is None or control.settings.again_share == 0.0 or sheet.disagreed:
            return
        alarm = sheet.record.direct.alarm(self._figures(control, sheet).certificate, self._steps.now())
        if alarm is None:
            return
        for entry in store.queries.entries(f"loop/{control.loop_id}", after=sheet.seq, values=False):
            sheet.seq = entry.seq
            sheet.disagreed |= any(getattr(event, "code", None) == DISAGREES for event in entry.events)
        if not sheet.disagreed:  # and nobody has written since
            self._steps.move(loop, lambda now, at: [alarm] if now.seq == sheet.seq else [])

    def _recount(self, control: Control, sheet: Sheet, now: int) -> None:
        """Count the answers and probes of the last month, at most once a minute."""
        if sheet.counted_at and now - sheet.counted_at < RECOUNT:
            return
        queries = self._steps.store.queries
        sheet.answers = Counter(person for person, _ in queries.handling(control.loop_id, now - MONTH, MOST_ANSWERS))
        sheet.opened, sheet.counted_at = queries.probes_opened(control.loop_id, now - MONTH), now

    def _affordable(self, control: Control, sheet: Sheet, person: str, share: float) -> bool:
        """Whether one more probe leaves their share of the answers as declared, and none waits for this person."""
        if sheet.opened + 1 > share * (sheet.answers.total() + sheet.opened + 1) or may(person, "claim", control):
            return False
        waiting = [(control.loop_id, own_pool(person))]
        return not self._steps.store.queries.inbox(waiting, limit=1).rows

    def _opened(self, control: Control, sheet: Sheet, person: str, seed: str, weight: float | None) -> Case | None:
        """Open a probe for somebody, of a source that they do not know and that routes to people; None without one.

        Without a `weight` only a blind one is opened.
        """
        wrong, blind_answers = draw(self._steps.secret, KIND, seed) < WRONG, sheet.record.blind()
        halves = dict.fromkeys(blind_answers.halves()[:HALVES] if wrong else ())
        for source in self._sources(control, sheet, person, seed, wrong, first=tuple(halves)):
            half = source.case.id in halves
            blind = self._blind(sources.proposal(source, control, person), control, seed)
            if blind is None or (blind and source.how != "replayed" and control.settings.mode != "approval"):
                continue  # what nobody sees says nothing; an action is shown once its reviewer has committed
            if not blind and (weight is None or half):
                continue
            if blind and source.case.id in blind_answers.sources and not half:  # a third answer is no pair
                continue
            counts = 1.0 if blind or weight is None else weight
            command = sources.proposal(source, control, person, counts, blind=blind)
            sheet.opened += 1
            sheet.record.exposed[source.case.id].add(identity(person))
            return self._steps.propose(command, own=True).case
        return None

    def training(self, control: Control, person: str, seed: str, *, wrong: bool) -> Propose | None:
        """A training case for somebody, announced as one; of the other kind where there is none of this."""
        with self._lock:
            sheet = self._sheets.setdefault(control.loop, Sheet())
            for kind in (wrong, not wrong):
                for source in self._sources(control, sheet, person, seed, kind, SOURCES):
                    return replace(sources.proposal(source, control, person), kind="practice", key=seed)
        return None

    def practised(self, control: Control, person: str, since: int) -> tuple[int, int]:
        """How many training cases of somebody, opened since a time, are over, and how many of these were answered."""
        with self._lock:
            sheet = self._sheets.setdefault(control.loop, Sheet())
            self._read(control, sheet)
            mine = [p for p in sheet.record.practised.values() if p.person == identity(person) and p.opened_at >= since]
        return len(mine), sum(p.answered for p in mine)

    def _sources(
        self, control: Control, sheet: Sheet, person: str, seed: str, wrong: bool, tries: int = TRIES,
        first: Sequence[str] = (),
    ) -> Iterator[sources.Source]:  # fmt: skip
        """What a probe for somebody can be made of: the cases `first`, then from a drawn place on; none they know."""
        named = filter(None, map(self._case, first))
        for case in chain(named, self._candidates(control, sheet, seed, tries)):
            other = self._other(sheet, seed)
            source = sources.made_of(case, control, wrong, draw(self._steps.secret, WAY, seed), other)
            exposed = sheet.record.exposed[case.id]
            known = identity(person) in sources.worked_on(case) | exposed
            if source is not None and not known and len(exposed) < EXPOSURES:
                yield source

    def _candidates(self, control: Control, sheet: Sheet, seed: str, tries: int) -> Iterator[Case]:
        """Settled cases, from a drawn place on; before them, for half of the draws, probes that somebody wrote."""
        written = list(sheet.record.authored) if draw(self._steps.secret, WRITTEN, seed) < AUTHORED else []
        first = int(draw(self._steps.secret, f"{WRITTEN}/source", seed) * len(written))
        yield from filter(None, map(self._case, [*written[first:], *written[:first]][:tries]))
        queries = self._steps.store.queries
        while page := queries.examples(control.loop_id, after=sheet.after, limit=PAGE):
            sheet.after = page[-1].id or 0
            sheet.cases.extend(example.case_id for example in page if example.wrong is not None)
        count = len(sheet.cases)
        first = int(draw(self._steps.secret, PLACE, seed) * count) if count else 0
        for step in range(min(count, tries)):
            case = self._case(sheet.cases[(first + step) % count])
            if case is not None:
                yield case

    def _other(self, sheet: Sheet, seed: str) -> Case | None:
        place = int(draw(self._steps.secret, f"{PLACE}/other", seed) * len(sheet.cases))
        return self._case(sheet.cases[place]) if sheet.cases else None

    def _case(self, case_id: str) -> Case | None:
        try:
            return self._steps.store.queries.case(case_id)
        except (ReadOnlyError, DualcontrolError):
            return None

    def _blind(self, command: Propose, control: Control, seed: str) -> bool | None:
        """Whether a probe is asked blind, with the probability of a live case; None where it would reach nobody."""
        routed = self._steps.rehearsed(command, control)
        if routed is None or routed.to == "block" or routed.relief is not None:
            return None
        if routed.to == "autopilot":  # as an audit, which is blind under a guarantee
            guarantee = control.settings.guarantee
            if guarantee is not None and guarantee.blind:
                return True
            return None if control.settings.mode == "approval" else False  # no effect stands beside it
        return routed.evidence is not None and draw(self._steps.secret, BLIND, seed) < float(routed.evidence)


def need(figures: Figures, person: str, now: int) -> float:
    """How much of the share somebody gets: all while little is known of them, or the test leans towards stamping."""
    known = figures.known_wrong(person, now - MONTH) >= ENOUGH
    return 0.5 if known and not figures.suspected(person) else 1.0


def weight(figures: Figures, answers: Counter[str], person: str, now: int) -> float:
    """What a probe of somebody counts for: the mean need of all answers over their own need.

    With it the rate of probes is that of the work as it is done; the mean weight is 1.
    """
    total = answers.total()
    if not total:
        return 1.0
    mean = sum(count * need(figures, name, now) for name, count in answers.items()) / total
    return mean / need(figures, person, now)
