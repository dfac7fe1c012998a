"""Bursts of equal questions: does the certificate hold, and how much later does a stream without bursts open?

    python bench/bursts.py --runs 300                        violations by stream and by how labels are counted
    python bench/bursts.py --opening --runs 60               when streams without bursts open with M = 1, 5 and 20
    python bench/bursts.py --desks 5 --cases 4000            bursts of twenty through the desk, joined by load shedding
    python bench/bursts.py --noticed --runs 300              alarms about runs that nobody declared, right and false

A burst is one question asked several times: its cases have one score and are all right, or all wrong.  Scores say
nothing here, so that every region errs as often as the whole stream; where that is above the bound, whatever is
certified is a violation.  "single" counts every label by itself; "first M" counts a burst as one bet of at most M
cases, and sends what exceeds M to people, where it is neither autopilot nor evidence.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from streams import EDGES, ERRORS, drawn, oracle, upwards

import dualcontrol as dc
from dualcontrol.control import Control
from dualcontrol.events import ReliefChanged
from dualcontrol.guarantee.alike import LATEST, alarming, likeness
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.certifier import GROWN
from dualcontrol.guarantee.monitor import FAR, FROM
from dualcontrol.route.capacity import JOINED, LEVELS
from dualcontrol.testing import FakeClock, seeded_ids

BOUND, DELTA = 0.05, 0.05


class Bursts(NamedTuple):
    """Sizes of bursts that are right and of those that are wrong (uniform from, to), and the share of wrong bursts."""

    right: tuple[int, int]
    wrong: tuple[int, int]
    share: float

    def error(self, largest: int | None = None) -> float:
        """The share of cases that is wrong, of the first `largest` of each burst."""
        right, wrong = (mean(sizes, largest) for sizes in (self.right, self.wrong))
        return self.share * wrong / (self.share * wrong + (1.0 - self.share) * right)


def mean(sizes: tuple[int, int], largest: int | None) -> float:
    """The mean size, where what exceeds `largest` is left out."""
    each = [min(size, largest or size) for size in range(sizes[0], sizes[1] + 1)]
    return sum(each) / len(each)


def at(error: float, right: tuple[int, int], wrong: tuple[int, int], largest: int | None = None) -> Bursts:
    """Bursts whose first `largest` cases err so often."""
    odds = error / (1.0 - error) * mean(right, largest) / mean(wrong, largest)
    return Bursts(right, wrong, odds / (1.0 + odds))


STREAMS = {
    "single, 5.5 % wrong": at(0.055, (1, 1), (1, 1)),
    "twenty, 8 % wrong": at(0.08, (20, 20), (20, 20)),
    "2 to 50, 5.5 % wrong": at(0.055, (2, 50), (2, 50)),
    "1 to 3, and 2 to 50 when wrong": at(0.055, (1, 3), (2, 50)),
    "1, and 2 to 50 when wrong; the first 5": at(0.055, (1, 1), (2, 50), 5),
}
COUNTED = {"single": None, "first 1": 1, "first 5": 5, "first 20": 20, "first 50": 50}


def bursts(kind: Bursts, cases: int, rng: np.random.Generator) -> Iterator[tuple[float, int, int]]:
    """Score, wrongness and size of one burst after the other, about so many cases in all."""
    count = int(cases / min(mean(kind.right, None), mean(kind.wrong, None))) + 1
    wrong = rng.random(count) < kind.share
    sizes = np.where(wrong, rng.integers(*kind.wrong, count, endpoint=True),
                     rng.integers(*kind.right, count, endpoint=True))  # fmt: skip
    whole = int(np.searchsorted(np.cumsum(sizes), cases)) + 1
    yield from zip(rng.random(count)[:whole].tolist(), wrong[:whole].astype(int).tolist(), sizes[:whole].tolist(),
                   strict=True)  # fmt: skip


def opened(kind: Bursts, largest: int | None, cases: int, seed: int) -> int | None:
    """The case at which a stream of bursts is certified, None where it never is."""
    certificate = Certificate(BOUND, 1.0 - DELTA, edges=EDGES, largest=largest or 1, launch=0 if largest else 2_000)
    seq = 0
    for score, wrong, size in bursts(kind, cases, np.random.default_rng([seed, size_of(largest)])):
        for n in range(size if largest is None else min(size, largest)):
            first = None if largest is None else seq
            certificate.observe(score=score, wrong=wrong, inclusion=1.0, seq=seq + n, cluster=first)
        seq += size
        if certificate.tick():
            return seq
    return None


def size_of(largest: int | None) -> int:
    """A part of the seed that differs by how labels are counted."""
    return largest or 0


def violations(runs: int, cases: int, streams: list[str]) -> list[dict[str, Any]]:
    """The share of runs that certify anything, with the true error of what would run on autopilot."""
    rows = []
    for name in streams:
        for counted, largest in COUNTED.items():
            times = [opened(STREAMS[name], largest, cases, seed) for seed in range(runs)]
            error = STREAMS[name].error(largest)
            certified = sum(time is not None for time in times) / runs
            rows.append({"stream": name, "counted": counted, "error": round(error, 4), "certified": certified,
                         "violates": certified if error > BOUND + 1e-9 else 0.0})  # fmt: skip
    return rows


def openings(runs: int, decisions: int) -> list[dict[str, Any]]:
    """When streams without bursts open, and what they cover at the end, with all of it labelled."""
    rows = []
    for name in ("cal_heavy", "cal_light", "topwrong", "overconf"):
        best = oracle(ERRORS[name], BOUND)
        for largest, launch in ((1, 2_000), (1, 0), (5, 0), (20, 0)):
            times, shares = [], []
            for seed in range(runs):
                stream = drawn(name, decisions, seed)
                certificate = Certificate(BOUND, 1.0 - DELTA, edges=EDGES, largest=largest, launch=launch)
                for seq, (score, wrong) in enumerate(zip(stream.scores.tolist(), stream.wrong.tolist(), strict=True)):
                    certificate.observe(score=score, wrong=wrong, inclusion=1.0, seq=seq)
                steps = certificate.tick()
                times.append(steps[0].seq if steps else decisions)
                shares.append(float(upwards(stream.masses)[certificate.bin]) / best if steps else 0.0)
            rows.append({"stream": name, "largest": largest, "launch": launch, "opened": np.mean(
                [time < decisions for time in times]), "median": int(np.median(times)),
                "coverage": round(float(np.mean(shares)), 3)})  # fmt: skip
    return rows


# Runs that nobody declared: sizes (from, to), the share of wrong cases, and which part of the runs is wrong as a whole;
# in the others each case is wrong by itself.
UNDECLARED = {
    "by itself, 1 % wrong": [((size, size), 0.01, 0.0) for size in (2, 5, 20)],
    "by itself, 5 % wrong": [((size, size), 0.05, 0.0) for size in (2, 5, 20)],
    "by itself, 20 % wrong": [((size, size), 0.2, 0.0) for size in (2, 5, 20)],
    "by itself, 1 to 40 a run": [((1, 40), error, 0.0) for error in (0.01, 0.05, 0.2)],
    "runs of 2 together": [((2, 2), 0.05, 1.0)],
    "runs of 5 together": [((5, 5), 0.05, 1.0)],
    "runs of 20 together": [((20, 20), 0.08, 1.0)],
    "runs of 20, a half together": [((20, 20), 0.08, 0.5)],
    "runs of 2 to 50 together": [((2, 50), 0.055, 1.0)],
}


def noticed(runs: int, cases: int) -> list[dict[str, Any]]:
    """How often undeclared runs raise an alarm by the labels so many, and after how many; looked at as a desk does."""
    rows = []
    for name, kinds in UNDECLARED.items():
        for place, (sizes, error, together) in enumerate(kinds):
            times = [alarm_at(sizes, error, together, cases, [seed, place, len(name)]) for seed in range(runs)]
            raised = [time for time in times if time is not None]
            rows.append({
                "runs": name, "size": f"{sizes[0]}" if sizes[0] == sizes[1] else f"{sizes[0]} to {sizes[1]}",
                "error": error, "alarm": len(raised) / runs, "median": int(np.median(raised)) if raised else None,
            })  # fmt: skip
    return rows


def alarm_at(sizes: tuple[int, int], error: float, together: float, cases: int, seed: list[int]) -> int | None:
    """The number of labels at which an alarm is raised; None where none is."""
    rng, labels, run = np.random.default_rng(seed), list[tuple[int, str | None]](), 0
    while len(labels) < cases:
        size, whole = int(rng.integers(*sizes, endpoint=True)), rng.random() < together
        wrongs = np.full(size, rng.random() < error) if whole else rng.random(size) < error
        labels += [(int(wrong), str(run)) for wrong in wrongs]
        run += 1
    count = FROM
    while count <= cases:
        if alarming(count, likeness("run", labels[max(count - LATEST, 0) : count]), FROM, FAR) is not None:
            return count
        count = int(GROWN * count) + 1
    return None


LABELS = ("a", "b")


def desks(runs: int, cases: int) -> list[dict[str, Any]]:
    """What a desk makes of bursts of twenty equal questions, 8 % of them wrong, where load shedding joins them."""
    declared = {"independent_by": "question", "largest": 20, "within": "1h"}
    rows: list[dict[str, Any]] = []
    for name, given in (("nothing declared", {}), ("question, 20", declared)):
        for seed in range(runs):
            try:
                rows.append({"declared": name, "seed": seed} | desk_of(given, cases, seed))
            except dc.DualcontrolError as refused:  # an older program knows no such settings
                rows.append({"declared": name, "seed": seed, "refused": str(refused)[:60]})
    return rows


def desk_of(given: dict[str, Any], cases: int, seed: int) -> dict[str, Any]:
    """One desk, until it certifies something, which is a violation, or the cases are over."""
    rng, clock = np.random.default_rng([seed, 20]), FakeClock()
    ids, secret = seeded_ids(seed), f"a secret of seed {seed:08}"
    people = {"adjudicate": False, "miss_rate": 0.0, "blind": False}
    with dc.open("sqlite:///:memory:", durability="process", clock=clock, new_id=ids, secret=secret) as desk:
        loop = desk.loop(
            "questions", mode="labels", labels=list(LABELS), context="minimal", capacity={"reviewers": 3},
            respond_within="15m", guarantee={"max_error": BOUND, "score": "confidence", **people, **given},
        )  # fmt: skip
        desk.steps.move(loop.name, joining)
        answers = opened = 0
        for question in range(cases // 20):
            score, truth = float(rng.random()), LABELS[int(rng.random() < 0.08)]
            for _ in range(20):
                loop.propose(proposal="a", input=question, confidence=score)
                clock.tick(1.0)
            while (claim := desk.claim("ana", loop)) is not None:
                claim.label(truth)
                answers += 1
            if question % 10 == 9:
                loop.certify()
                if loop.control.thresholds:
                    opened = 20 * (question + 1)
                    break
        (standing,) = loop.guarantee()
        return {"answers": answers, "labels": standing.labels_used, "violates": bool(opened), "at": opened}


def joining(control: Control, now: int) -> list[ReliefChanged]:
    """The first level of relief, as if more was asked of people than they can answer."""
    event = ReliefChanged(
        version=control.version + 1, at=now, level=JOINED, name=LEVELS[JOINED], demand="90.0", capacity="45.0",
        understaffed=3, reason="a benchmark",
    )  # fmt: skip
    return [event]


def main() -> int:
    """Print the table that was asked for; 1 where counting bursts as one bet violates in more than delta."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--stream", nargs="+", choices=list(STREAMS), default=list(STREAMS))
    parser.add_argument("--opening", action="store_true", help="when streams without bursts open")
    parser.add_argument("--noticed", action="store_true", help="alarms about runs that nobody declared")
    parser.add_argument("--desks", type=int, default=0, help="so many desks instead")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.noticed:
        rows = noticed(asked.runs, asked.cases)
    elif asked.desks:
        rows = desks(asked.desks, asked.cases)
    else:
        rows = openings(asked.runs, asked.cases) if asked.opening else violations(asked.runs, asked.cases, asked.stream)
    if asked.json:
        print(json.dumps(rows, indent=2, default=float))
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console(width=120).print(table)
    most = DELTA + 1.65 * (DELTA * (1.0 - DELTA) / asked.runs) ** 0.5
    return int(any(row.get("violates", 0.0) > most for row in rows if row.get("counted") != "single"))


if __name__ == "__main__":
    raise SystemExit(main())
