"""A small stream of decisions under a guarantee, with a clock, ids and draws that repeat."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dualcontrol as dc
from dualcontrol.doctor import examine
from dualcontrol.doctor.database import PROBLEM
from dualcontrol.events import AlarmRaised, EpochBegan, ThresholdMoved
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.testing import FakeClock, seeded_ids

SECRET = "5eed" * 16
# A loose promise, so that a stream of a few hundred cases opens autopilot.
EASY: dict[str, Any] = {
    "max_error": 0.2, "adjudicate": False, "miss_rate": 0.0, "blind": False, "pilot": 20, "launch": 0,
    "score": "confidence",
}  # fmt: skip


class Stream:
    """A labels loop whose proposals are wrong with a probability that falls with their confidence."""

    def __init__(self, url: str, *, clock: FakeClock | None = None, seed: int = 0, **settings: Any) -> None:
        self.clock = clock or FakeClock()
        self.noise = random.Random(seed)
        self.new_id = seeded_ids(seed)
        self.url, self.groups = url, settings.pop("groups", None)
        self.settings = {"mode": "labels", "context": "minimal", "guarantee": EASY, **settings}
        self.truth: dict[str, str] = {}
        self.risk: Callable[[float], float] = lambda score: 0.25 * (1.0 - score)
        self.desk = self.open()
        self.loop = self.desk.loop("mail", **self.settings)

    def open(self) -> dc.Desk:
        """One more desk on the same database; `groups` are who may review."""
        return dc.open(
            self.url, clock=self.clock, new_id=self.new_id, durability="process", secret=SECRET, groups=self.groups
        )

    def restart(self) -> None:
        """Close the desk and open another."""
        self.desk.close()
        self.desk = self.open()
        self.loop = self.desk.loop("mail", **self.settings)

    def propose(self, score: float | None = None, *, wrong: bool | None = None, desk: Any = None, **given: Any) -> Any:
        """One case; its truth is drawn."""
        score = self.noise.random() if score is None else score
        wrong = self.noise.random() < self.risk(score) if wrong is None else wrong
        self.clock.tick(1.0)
        loop = (desk or self.desk).loop("mail", **self.settings) if desk else self.loop
        given = {"proposal": "a", "input": len(self.truth) + 1, "confidence": score} | given
        case = loop.propose(**given)
        self.truth[case.id] = "b" if wrong else "a"
        return case

    def answer(self, person: str = "ana", *, desk: Any = None, case: Any = None) -> Any:
        """The next review is answered with the truth."""
        claim = (desk or self.desk).claim(person, "mail", case=case)
        return None if claim is None else claim.label(self.truth[claim.case.id])

    def go(self, count: int, **given: Any) -> int:
        """Propose, and answer what a person is to see; returns how many ran on autopilot."""
        alone = 0
        for _ in range(count):
            case = self.propose(**given)
            alone += case.route.to == "autopilot"
            if case.route.to == "human" or case.route.audited:
                self.answer()
        return alone

    def opened(self, **given: Any) -> Stream:
        """The stream once a threshold is certified."""
        for _ in range(40):
            if self.loop.control.thresholds:
                return self
            self.go(25, **given)
        raise AssertionError("nothing was certified")

    def events(self, *kinds: type) -> list[Any]:
        """What the loop's stream says."""
        entries = self.desk.store.queries.entries(self.loop.stream)
        return [e for entry in entries for e in entry.events if not kinds or isinstance(e, kinds)]

    def names(self) -> list[str]:
        return [type(e).__name__ for e in self.events()]

    def moves(self, segment: str = "") -> list[tuple[Any, ...]]:
        """The threshold as it moved in the last epoch."""
        moved = [e for e in self.events(EpochBegan, ThresholdMoved) if e.segment == segment]
        last = max(i for i, e in enumerate(moved) if isinstance(e, EpochBegan))
        return [(e.pos, e.bin, e.threshold) for e in moved[last + 1 :]]

    def pure(self, segment: str = "") -> Certificate:
        """A certificate made from the promise and fed the evidence, away from the desk."""
        began = [e for e in self.events(EpochBegan) if e.segment == segment][-1]
        made = Certificate(**json.loads(began.promise))
        for row in self.loop.evidence(segment):
            made.observe(**row)
        made.tick()
        return made

    def check(self, segment: str = "") -> Certificate:
        """The live threshold is what the pure certificate says, step by step, to the last bit."""
        made = self.pure(segment)
        assert self.moves(segment) == [(s.seq, s.bin, repr(s.threshold)) for s in made.steps]
        assert self.loop.control.thresholds.get(segment) == made.threshold
        return made

    def standing(self, segment: str = "") -> Any:
        return next(s for s in self.loop.guarantee() if s.segment == segment)


def problems(desk: dc.Desk, models: Path | None = None) -> list[str]:
    """What the doctor finds wrong."""
    return [found.what for found in examine(desk.store, models=models) if found.level == PROBLEM]


# People who miss errors, and the known-wrong cases by which that is measured.


TEAM = ("ana", "ben", "cal", "dan", "eve")
PROMISE = {"max_error": 0.2, "confidence": 0.8, "pilot": 20, "launch": 0, "score": "confidence"}
OFTEN = {"share": 0.5}


class People:
    """A stream whose reviews go to five people, each of whom catches an error with the same chance.

    Of what is right they call the share `false` wrong.
    """

    def __init__(
        self, make: Any, url: str = "sqlite:///:memory:", *, catch: float = 1.0, false: float = 0.0,
        team: tuple[str, ...] = TEAM, **changes: Any,
    ) -> None:  # fmt: skip
        given = {"labels": ["a", "b"], "guarantee": PROMISE, "probes": OFTEN, "seed": 1, **changes}
        self.stream: Stream = make(url, **given)
        self.stream.risk = lambda score: 0.8 * (1.0 - score)
        self.catch, self.chance, self.known = catch, random.Random(5), {}
        self.false, self.team = false, team

    def go(self, count: int, desk: Any = None) -> None:
        """So many proposals; everybody answers whatever there is for them, in an order that changes."""
        for _ in range(count):
            case = self.stream.propose(desk=desk)
            self.known[case.input] = self.stream.truth[case.id]
            for person in self.chance.sample(self.team, len(self.team)):
                while (claim := (desk or self.stream.desk).claim(person, "mail")) is not None:
                    truth = self.known[claim.view["input"]]
                    caught = self.chance.random() < self.catch
                    wrongly = truth == "a" and self.false > 0.0 and self.chance.random() < self.false
                    claim.label("b" if wrongly or (truth == "b" and caught) else "a")
        (desk or self.stream.desk).sweep()

    def settle(self, **changes: Any) -> None:
        """Other settings of the loop."""
        self.stream.settings |= changes
        self.stream.loop = self.stream.desk.loop("mail", **self.stream.settings)

    def epochs(self) -> list[EpochBegan]:
        return self.stream.events(EpochBegan)

    def alarms(self) -> list[AlarmRaised]:
        return [alarm for alarm in self.stream.events(AlarmRaised) if alarm.code == "people_miss"]


def miss_rate(began: EpochBegan) -> float:
    return float(json.loads(began.promise)["miss_rate"])
