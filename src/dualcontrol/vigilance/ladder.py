"""The ladder: what follows for somebody whom the rubber-stamp test flags, step by step, and back.

A flag takes a person one step up in its loop; two healthy runs of the test in a row take them one step down, more
where they were flagged more often in the last 30 days, since who commits first cannot stamp.  The steps: notice,
a burst of training cases, commit first, a second person for their answers, suspension.  The last is asked of the leads
as a case, and in force only by their answer.  Everything is in the loop's stream and in its control, from which the
stages decide; what the record says that the control does not know yet is written by whoever looks next.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from dualcontrol.case import JSON, Case, Value
from dualcontrol.commands import Propose
from dualcontrol.control import (
    COMMIT_FIRST,
    NOTICE,
    SECOND_REVIEW,
    STEP_NAMES,
    SUSPENDED,
    TRAINING,
    Control,
    LoopSettings,
    Rung,
    draw,
)
from dualcontrol.errors import KeyConflictError
from dualcontrol.events import ReviewerStepped
from dualcontrol.names import identity
from dualcontrol.step import Steps
from dualcontrol.vigilance.record import DAY, Figures, Verdict

log = logging.getLogger("dualcontrol.vigilance")
HEALTHY = 2  # runs of the test in a row, at least, that take somebody a step down: who misses 40 % has one in 25
BURST = 20  # training cases, half of them wrong
HEEDED = 30 * DAY  # a verdict that is older moves nobody: the ladder may have been off then
FLAG, CLEAR, ASK = "flagged by the rubber-stamp test", "healthy runs of the test", "flagged under second review"
TRAINED, SCARCE = "the training cases are done", "there are no more cases to train with"


class Move(NamedTuple):
    """One step of somebody: where to, why, and by which verdicts."""

    step: int
    because: str
    verdicts: int
    case_id: str
    training: bool = False


def moves(rung: Rung | None, verdicts: Sequence[Verdict], last: int, now: int) -> list[Move]:
    """What verdicts that were not heeded yet lead to; `last` is how far the settings let the ladder go by itself.

    Every flag is a move, also of who stays where they are.  Nobody who is suspended is moved.
    """
    step, heeded = (0, 0) if rung is None else (rung.step, rung.verdicts)
    listed: list[Move] = []
    healthy = 0
    if last == 0 or step == SUSPENDED:
        return listed
    for count, verdict in enumerate(verdicts[heeded:], heeded + 1):
        if verdict.at < now - HEEDED:
            continue
        healthy = 0 if verdict.stamping else healthy + 1
        before = min(step, last)
        if verdict.stamping:
            step = min(before + 1, last, SECOND_REVIEW)
            asked = before == SECOND_REVIEW and last == SUSPENDED
            trains = step == TRAINING and before < TRAINING
            listed.append(Move(step, ASK if asked else FLAG, count, verdict.case_id, trains))
        elif step > 0 and healthy >= max(HEALTHY, _flags(verdicts[:count], verdict.at)):
            step, healthy = before - 1, 0
            listed.append(Move(step, CLEAR, count, verdict.case_id))
    return listed


def _flags(verdicts: Sequence[Verdict], at: int) -> int:
    """How often somebody was flagged in the time that is heeded, up to a moment."""
    return sum(verdict.stamping and verdict.at >= at - HEEDED for verdict in verdicts)


class LadderPlace(Value, frozen=True, kw_only=True):
    """Where somebody stands, for the people themselves and for leads; `left` is how many training cases remain."""

    person: str
    step: int
    name: str
    at: int
    because: str
    by: str
    words: str
    left: int | None = None


WORDS = {
    NOTICE: "You let more wrong proposals pass in checks of late than the others do; nothing else follows yet. "
    "Take the time to look.",
    TRAINING: "You let more wrong proposals pass in checks of late. Some training cases come first: half of them are "
    "wrong, and after each answer you are told what was right.",
    COMMIT_FIRST: "You say what is right before you see what the AI proposes.",
    SECOND_REVIEW: "You say what is right before you see what the AI proposes, and a second person confirms what you "
    "decide.",
    SUSPENDED: "You take no cases here until a lead lets you.",
}


def disclosure(settings: LoopSettings) -> list[str]:
    """What is measured of the people of a loop and what follows from it, as it is to be told to them; none where not.

    Plain sentences, for a page of each person and for works councils; they say what the settings in force do.
    """
    if settings.probe_share == 0.0:
        return []
    lines = [
        f"Up to {settings.probe_share:.0%} of your cases here are checks: what is right is known, and nothing comes of "
        "them. After your answer you are told, and what was right.",
        "Measured are: how many wrong proposals you let pass and how many right ones you turn down, how long you take, "
        "and where you say first what should happen, whether you leave what was right or what was wrong.",
        "Shown by hour of a shift and by week for all together; nobody is compared with others below 100 checks.",
    ]
    steps = [THEN[step] for step in range(NOTICE, settings.ladder + 1)]
    if steps:
        lines.append("Who lets far more pass than one in ten goes one step up, who does well again one step down.")
        lines.append(f"The steps are: {'; '.join(steps)}.")
    lines.append("No statistic takes anybody's work away: a suspension is decided by people, and ended by people.")
    return lines


THEN = {
    NOTICE: "a notice to you and the leads", TRAINING: f"{BURST} training cases, announced as such",
    COMMIT_FIRST: "you say what is right before you see the proposal",
    SECOND_REVIEW: "a second person confirms what you decide", SUSPENDED: "the leads are asked whether to suspend you",
}  # fmt: skip


class ProberPort(Protocol):
    """What the ladder asks of who draws probes."""

    def figures(self, control: Control) -> Figures:
        """What the probes of a loop say."""

    def practised(self, control: Control, person: str, since: int) -> tuple[int, int]:
        """How many training cases since a time are over, and how many were answered."""

    def training(self, control: Control, person: str, seed: str, *, wrong: bool) -> Propose | None:
        """A training case."""


Ask = Callable[[dict[str, JSON], str], None]  # for a suspension: its arguments, and a key that names this asking


class Ladder:
    """Moves people; one for each desk, and any number of desks on one database."""

    def __init__(self, steps: Steps, prober: ProberPort, ask: Ask) -> None:
        self._steps, self._prober, self._ask = steps, prober, ask
        self._asked: set[str] = set()

    def answered(self, case: Case) -> None:
        """After the answer to a probe or a training case: the moves it leads to; an error never fails the answer."""
        if case.kind == "live" or case.scored is None:
            return
        review = case.review(case.scored.review_id)
        try:
            control = self._control(case.loop)
            if control is not None and review is not None and review.person:
                self._attend(control, review.person)
        except Exception:
            log.warning("the ladder of loop %s is left to the next answer", case.loop, exc_info=True)

    def run_all(self, controls: Sequence[Control]) -> None:
        """What was not done after an answer, as after a kill: a training case to open, a suspension to ask for."""
        for control in controls:
            for key, rung in control.rungs.items():
                if control.in_training(key) or self._asks(control, rung):
                    try:
                        self._attend(control, rung.name)
                    except Exception:
                        log.warning("the ladder of loop %s is left to the next sweep", control.loop, exc_info=True)

    def standings(self, control: Control) -> list[LadderPlace]:
        """Everybody who is on a step in force, the highest first."""
        listed = []
        for key, rung in control.rungs.items():
            step = control.step_of(key)
            if step:
                answered = self._prober.practised(control, rung.name, rung.at)[1]
                left = BURST - answered if control.in_training(key) else None
                listed.append(LadderPlace(
                    person=rung.name, step=step, name=STEP_NAMES[step], at=rung.at, because=rung.because, by=rung.by,
                    words=WORDS[step], left=left,
                ))  # fmt: skip
        return sorted(listed, key=lambda standing: (-standing.step, standing.person))

    def standing(self, control: Control, person: str) -> LadderPlace | None:
        """Where one person stands; None on no step."""
        return next((s for s in self.standings(control) if identity(s.person) == identity(person)), None)

    def _control(self, loop: str) -> Control | None:
        return next((c for c in self._steps.store.queries.loops() if c.loop == loop), None)

    def _attend(self, control: Control, person: str) -> None:
        """Write the moves of one person that control does not know, and go on with what their step asks."""
        verdicts = self._prober.figures(control).verdicts.get(identity(person), [])
        if moves(control.rungs.get(identity(person)), verdicts, control.settings.ladder, self._steps.now()):
            control = self._steps.move(control.loop, lambda now, at: _events(now, at, person, verdicts))
        rung = control.rungs.get(identity(person))
        if rung is not None and self._asks(control, rung):
            self._suggest(control, rung)
        if rung is not None and control.in_training(person):
            self._train(control, rung)

    @staticmethod
    def _asks(control: Control, rung: Rung) -> bool:
        return rung.because == ASK and control.settings.ladder == SUSPENDED

    def _suggest(self, control: Control, rung: Rung) -> None:
        """Ask the leads for a suspension, once for each flag."""
        key = _key("suspension", control, rung)
        if key not in self._asked:
            self._ask({"loop": control.loop, "person": rung.name, "because": ASK}, key)
            self._asked.add(key)

    def _train(self, control: Control, rung: Rung) -> None:
        """Open the next training case of a burst, or end it."""
        over, answered = self._prober.practised(control, rung.name, rung.at)
        if answered >= BURST:
            return self._trained(control, rung, TRAINED)
        burst = _key("training", control, rung)
        key = f"{burst}/{over + 1}"
        if self._steps.case_of_key(control.loop, key) is not None:  # it is open
            return None
        order = sorted(range(BURST), key=lambda place: draw(self._steps.secret, burst, str(place)))
        command = self._prober.training(control, rung.name, key, wrong=order.index(over % BURST) < BURST // 2)
        if command is None:
            return self._trained(control, rung, SCARCE)
        try:
            self._steps.propose(command, own=True)
        except KeyConflictError:  # another process has opened it, of another case
            log.info("training case %s is open already", key)
        return None

    def _trained(self, control: Control, rung: Rung, because: str) -> None:
        def make(now: Control, at: int) -> list[ReviewerStepped]:
            known = now.rungs.get(identity(rung.name))
            if known is None or not known.training or known.at != rung.at:
                return []
            return [_stepped(now, at, rung.name, Move(known.step, because, known.verdicts, ""))]

        self._steps.move(control.loop, make)


def _events(control: Control, at: int, person: str, verdicts: Sequence[Verdict]) -> list[ReviewerStepped]:
    """The events of the moves that this control does not know yet."""
    due = moves(control.rungs.get(identity(person)), verdicts, control.settings.ladder, at)
    return [_stepped(control, at, person, move, place) for place, move in enumerate(due)]


def _stepped(control: Control, at: int, person: str, move: Move, place: int = 0) -> ReviewerStepped:
    return ReviewerStepped(
        version=control.version + 1 + place, at=at, person=person, step=move.step, because=move.because,
        training=move.training, verdicts=move.verdicts, case_id=move.case_id or None,
    )  # fmt: skip


def _key(what: str, control: Control, rung: Rung) -> str:
    """A key for what follows once from a verdict on somebody."""
    person = hashlib.sha256(identity(rung.name).encode()).hexdigest()[:16]
    return f"{what}/{control.loop_id}/{person}/{rung.verdicts}"
