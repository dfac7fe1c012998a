"""The guarantee through the real desk: store, queue, delayed and out-of-order answers, restarts, two replicas.

A real model on real data, fitted once on a start set, streams the rest past a loop under a guarantee.  Reviewers know
the truth, answer late (wrong proposals later than right ones) and in no order; a second one adjudicates.  They answer
in Python, which counts at once.  Time and reviewers are simulated; data, model, store, queue and certificate are not.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load
from seeds import parsed, played, show
from sklearn.ensemble import ExtraTreesClassifier

import dualcontrol as dc
from dualcontrol.events import AlarmRaised, EpochBegan, ThresholdMoved
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.testing import FakeClock

START = {"letter": 4000, "magic": 2000, "spambase": 600, "digits": 200}
ALPHA = {"letter": 0.05, "magic": 0.10, "spambase": 0.05, "digits": 0.05}
DECISIONS = 10_000
SLOW, QUICK = 60.0, 20.0  # mean delay of an answer, in decisions: wrong proposals and right ones
LOOP = "stream"
PEOPLE = ("ana", "ben")
SETTINGS: dict[str, Any] = {"mode": "labels", "context": "minimal", "lease": "30d", "audit": 0.10}


class Run:
    """One stream through one or two desks on one database."""

    def __init__(self, name: str, seed: int, url: str, *, decisions: int, replicas: int, launch: int) -> None:
        self.rng = np.random.default_rng(seed)
        data = load(name)
        order = self.rng.permutation(len(data.y))
        start, rest = order[: START[name]], order[START[name] :][:decisions]
        model = ExtraTreesClassifier(200, n_jobs=1, random_state=seed, min_samples_leaf=1)
        model.fit(data.X[start], data.y[start])
        proba = model.predict_proba(data.X[rest])
        self.said = model.classes_[proba.argmax(1)]
        self.confidence, self.truth = proba.max(1), data.y[rest]
        self.name, self.url, self.replicas = name, url, replicas
        self.guarantee = {"max_error": ALPHA[name], "confidence": 0.95, "launch": launch, "score": "confidence"}
        self.clock = FakeClock()
        self.late: list[tuple[float, int, str, int]] = []  # when an answer comes, a number, the claim, the row
        self.rows: dict[str, int] = {}
        self.autopilot: list[int] = []
        self.reviews = 0
        self.desks: list[dc.Desk] = []

    def open(self) -> None:
        """Start every replica."""
        self.desks = [dc.open(self.url, clock=self.clock, durability="process") for _ in range(self.replicas)]
        for desk in self.desks:
            desk.loop(LOOP, **SETTINGS, guarantee=self.guarantee)

    def close(self) -> None:
        """Stop every replica."""
        for desk in self.desks:
            desk.close()

    def play(self) -> dict[str, Any]:
        """The whole stream, with a restart in its middle."""
        began, self.open_rows = time.perf_counter(), len(self.truth)
        self.open()
        for row in range(len(self.truth)):
            if row == len(self.truth) // 2:
                self.close()
                self.open()
            self.decide(row)
            self.take(row)
            self.answer(row)
        self.drain()
        found = self.found() | {"seconds": round(time.perf_counter() - began, 1)}
        self.close()
        return found

    def desk(self, number: int) -> dc.Desk:
        """The replica whose turn it is."""
        return self.desks[number % len(self.desks)]

    def decide(self, row: int) -> None:
        """One proposal."""
        self.clock.tick(1.0)
        loop = self.desk(row).loop(LOOP)
        case = loop.propose(
            proposal=str(self.said[row]), input=row, confidence=float(min(1.0, self.confidence[row])),
        )  # fmt: skip
        self.rows[case.id] = row
        if case.route is not None and case.route.to == "autopilot":
            self.autopilot.append(row)

    def take(self, row: int) -> None:
        """People take whatever waits; each answers when they come to it."""
        for person in PEOPLE:
            while (claim := self.desk(row + 1).claim(person, LOOP)) is not None:
                mine = self.rows[claim.case.id]
                slow = self.said[mine] != self.truth[mine]
                due = row + self.rng.exponential(SLOW if slow else QUICK)
                heapq.heappush(self.late, (due, len(self.late), claim.id, mine))

    def answer(self, row: float) -> None:
        """The answers that are due by now."""
        while self.late and self.late[0][0] <= row:
            _, _, claim, mine = heapq.heappop(self.late)
            self.desk(mine).answer(claim, "label", str(self.truth[mine]))
            self.reviews += 1

    def drain(self) -> None:
        """What is outstanding when the stream ends."""
        for row in range(len(self.truth), len(self.truth) + 10_000):
            self.take(row)
            if not self.late:
                break
            self.clock.tick(1.0)
            self.answer(row)
        self.desk(0).sweep()

    def found(self) -> dict[str, Any]:
        """Whether the promise was kept, and whether the stored rows give the same thresholds again."""
        wrong = self.said != self.truth
        loop = self.desk(0).loop(LOOP)
        (standing,) = loop.guarantee()
        live = [(e.pos, e.threshold) for e in events(loop) if isinstance(e, ThresholdMoved)]
        pure = replayed(loop)
        risk = [float(wrong[self.confidence >= float(t)].mean()) for _, t in live if t]
        n = len(self.truth)
        return {
            "data": self.name, "decisions": n, "alpha": ALPHA[self.name], "state": standing.state,
            "coverage": len(self.autopilot) / n, "final_coverage": standing.certified_coverage,
            "oracle": oracle(self.confidence, wrong, ALPHA[self.name]), "reviews": self.reviews / n,
            "error": float(wrong[self.autopilot].mean()) if self.autopilot else 0.0,
            "error_upper": standing.error_upper, "worst_live_risk": max(risk, default=0.0), "moves": len(live),
            "same_as_pure": live == pure, "alarms": len(events(loop, AlarmRaised)),
            "labels": standing.labels_used, "missing": standing.missing,
        }  # fmt: skip


def events(loop: Any, kind: type | None = None) -> list[Any]:
    """The events of the loop's own stream."""
    found = [e for entry in loop.desk.store.queries.entries(loop.stream, values=False) for e in entry.events]
    return [e for e in found if kind is None or isinstance(e, kind)]


def replayed(loop: Any) -> list[tuple[int, str]]:
    """The thresholds that a certificate of its own gives on the stored rows of its last epoch, and those before it."""
    began = events(loop, EpochBegan)[-1]
    certificate = Certificate(**json.loads(began.promise))
    for label in loop.evidence():
        certificate.observe(**label)
    certificate.tick()
    steps = [(step.seq, repr(step.threshold)) for step in certificate.steps]
    earlier = [(e.pos, e.threshold) for e in events(loop, ThresholdMoved) if e.epoch != began.epoch]
    return [*earlier, *steps]


def oracle(confidence: np.ndarray, wrong: np.ndarray, alpha: float) -> float:
    """The greatest share that could be on autopilot, knowing the truth."""
    order = np.argsort(-confidence)
    risk = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    fit = np.flatnonzero(risk <= alpha)
    return float((fit.max() + 1) / len(order)) if len(fit) else 0.0


@contextmanager
def database(kind: str) -> Iterator[str]:
    """A fresh SQLite file, or a fresh database on a PostgreSQL that is started here or named by the environment."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{Path(folder) / 'run.db'}"
        return
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from postgres_server import open_server

    server = open_server()
    try:
        yield server.new_database()
    finally:
        server.close()


def one(job: tuple[str, int, str, int, int, int]) -> dict[str, Any]:
    """One run of one data set."""
    name, seed, kind, decisions, replicas, launch = job
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with database(kind) as url:
        run = Run(name, seed, url, decisions=decisions, replicas=replicas, launch=launch)
        return {"seed": seed, "store": kind, "replicas": replicas, **run.play()}


def summed_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the runs of a data set came to."""
    middle = {k: float(np.median([r[k] for r in rows])) for k in ("coverage", "final_coverage", "oracle", "reviews")}
    return {
        "runs": len(rows), "decisions": rows[0]["decisions"], "alpha": rows[0]["alpha"],
        "within_target": sum(r["error"] <= r["alpha"] for r in rows), "worst_error": max(r["error"] for r in rows),
        "live_risk_above": sum(r["worst_live_risk"] > r["alpha"] for r in rows),
        "same_as_pure": sum(r["same_as_pure"] for r in rows), "opened": sum(r["moves"] > 0 for r in rows),
        "alarms": sum(r["alarms"] for r in rows), **{f"median_{k}": round(v, 3) for k, v in middle.items()},
        "median_seconds": float(np.median([r["seconds"] for r in rows])),
    }  # fmt: skip


def told(row: dict[str, Any]) -> str:
    """A run as it is told when it ends."""
    return f"error {row['error']:.4f} on {row['coverage']:.0%}"


def main() -> None:
    """Run the streams and print what came of the promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=list(START), choices=list(START))
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--decisions", type=int, default=DECISIONS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="sqlite")
    parser.add_argument("--replicas", type=int, default=None, help="1 on SQLite, 2 on PostgreSQL")
    parser.add_argument("--launch", type=int, default=2000)
    given = parsed(parser)
    replicas = given.replicas or (1 if given.store == "sqlite" else 2)
    seeds = range(given.seed, given.seed + given.runs)
    work = {
        name: [(name, seed, given.store, given.decisions, replicas, given.launch) for seed in seeds]
        for name in given.data
    }
    show(played(one, work, given.jobs, told=told, summed_up=summed_up), given.json)


if __name__ == "__main__":
    main()
