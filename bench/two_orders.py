"""Two orders on simulated streams: confidence alone, a learned score alone, and both on half of delta each.

    python bench/two_orders.py --runs 300 --miss-rate 0.19
    python bench/two_orders.py --runs 300 --miss-rate 0.1 --stream class_errors bad_part

Each decision has a confidence and a class that a reviewer sees.  In two streams errors hang on the class, which
confidence does not know; in the four plain ones the class says nothing.  The risk model is the product's, learned
from labels of the stream itself when the product would learn it: nothing is both learned from and counted.
Coverages are of all decisions, `to best` is to what an oracle automates that may order all cases by their true error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from math import sqrt
from multiprocessing import get_context
from typing import Any

import numpy as np
from product import REFRESH, SHARES_EVERY, Promise
from rich.console import Console
from rich.table import Table
from streams import BINS, EDGES, ERRORS

from dualcontrol.control import CONFIDENCE, RISK
from dualcontrol.guarantee import moves, orders
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor
from dualcontrol.learn.risk_model import RiskModel
from dualcontrol.route import audit

CLASSES, FINE = 10, 5
LEARN_FROM, PILOT, LEAST = 500, 200, 200
PLAIN = ("cal_light", "cal_heavy", "topwrong", "overconf")
POLICIES = ("confidence", "learned", "both")


def _errors() -> dict[str, np.ndarray]:
    """The true error by class and bin of confidence."""
    smooth = 0.16 * np.exp(-3.0 * (np.arange(BINS) + 0.5) / BINS)
    spread = np.array([0.1] * 7 + [1.0, 3.0, 8.0])  # the error of a class, whatever the confidence says
    part = np.array([1.0] * 9 + [0.0])
    return {
        "class_errors": np.clip(np.outer(spread, 0.45 * smooth + 0.03), 0.0, 0.6),
        "bad_part": np.outer(part, 0.8 * smooth) + np.outer(1.0 - part, np.full(BINS, 0.3)),
        **{name: np.tile(ERRORS[name], (CLASSES, 1)) for name in PLAIN},
    }


TRUTH = _errors()


def best(name: str, max_error: float) -> float:
    """The coverage of an oracle that orders all cases by their true error."""
    errors = np.sort(TRUTH[name].ravel())
    fine = np.flatnonzero(np.cumsum(errors) / np.arange(1, len(errors) + 1) <= max_error)
    return float(fine[-1] + 1) / len(errors) if len(fine) else 0.0


def by_confidence(name: str, max_error: float) -> float:
    """The coverage of an oracle that has to go by confidence."""
    errors = TRUTH[name].mean(axis=0)[::-1]
    fine = np.flatnonzero(np.cumsum(errors) / np.arange(1, BINS + 1) <= max_error)
    return float(fine[-1] + 1) / BINS if len(fine) else 0.0


@dataclass
class Outcome:
    """What came of one stream under one policy."""

    coverage: float = 0.0
    half: float = 0.0  # the coverage in the middle
    violated: bool = False
    violated_by_half: bool = False
    opened: int = -1
    learned: int = 0
    switched: int = 0
    alarms: int = 0
    us_a_label: float = 0.0


class Confidence:
    """The order of confidence: its certificate, the true error and the mass of each of its regions."""

    name = CONFIDENCE

    def __init__(self, errors: np.ndarray, promise: Promise, halves: int, again: tuple[int, int] | None = None) -> None:
        first, tries = again if again is not None else (None, 0)
        self.certificate = Certificate(
            promise.max_error, 1.0 - promise.delta, edges=EDGES, launch=0 if tries else promise.launch,
            floor=audit.floor_of(promise.share), miss_rate=promise.miss_rate, first=first, again=tries, segments=halves,
            spent=0,
        )  # fmt: skip
        self.truth, self.mass = errors.mean(axis=0), np.full(BINS, 1.0 / BINS)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """What it orders decisions by."""
        return rows[:, 0]


class Learned:
    """The order of a risk model, learned from these decisions; the certificate chooses its bins by a burn-in."""

    name = RISK

    def __init__(
        self, rows: np.ndarray, seen: np.ndarray, weights: np.ndarray, promise: Promise, halves: int, spent: int,
        launch: int, seed: int, model: RiskModel | None = None,
    ) -> None:  # fmt: skip
        self.model = RiskModel.fit(rows, seen, weights, seed=seed) if model is None else model
        self.given: dict[str, Any] = {
            "max_error": promise.max_error, "confidence": 1.0 - promise.delta, "pilot": PILOT, "start": None,
            "floor": audit.floor_of(promise.share), "miss_rate": promise.miss_rate, "segments": halves, "spent": spent,
            "launch": launch,
        }  # fmt: skip
        self.certificate = Certificate(**self.given)
        grid = (np.arange(BINS * FINE) + 0.5) / BINS / FINE
        self._grid = np.concatenate([np.column_stack([grid, np.full(len(grid), kind)]) for kind in range(CLASSES)])
        self._scores = self.scores(self._grid)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """The learned chance of being right."""
        return np.asarray(1.0 - self.model.p_wrong(rows))

    def again(self, place: int) -> None:
        """Begin again with another first region."""
        old = self.certificate
        fresh = {**self.given, "edges": old.edges, "first": place, "again": old.again + 1, "launch": 0}
        self.certificate = Certificate(**fresh)

    def measured(self, errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The true error and the mass of each bin, once there are bins."""
        places = np.searchsorted(self.certificate.edges, self._scores, side="right")
        count = np.bincount(places, minlength=len(self.certificate.edges) + 1)
        wrong = np.bincount(places, errors.repeat(FINE, axis=1).ravel(), len(self.certificate.edges) + 1)
        return wrong / np.maximum(count, 1), count / len(places)


def regions(truth: np.ndarray, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The error and the mass of "this bin and above"."""
    whole = np.cumsum(mass[::-1])[::-1]
    return np.cumsum((truth * mass)[::-1])[::-1] / np.maximum(whole, 1e-12), whole


class Loop:
    """One loop under a guarantee with one or two orders, refreshed every fifty decisions."""

    def __init__(
        self, name: str, policy: str, decisions: int, promise: Promise, noise: float, seed: int,
        model: RiskModel | None = None,
    ) -> None:  # fmt: skip
        self.name, self.policy, self.promise, self.seed, self.model = name, policy, promise, seed, model
        rng = np.random.default_rng([seed, sorted(TRUTH).index(name)])
        self.errors = TRUTH[name]
        self.rows = np.column_stack([rng.random(decisions), rng.integers(0, CLASSES, decisions)])
        places, kinds = (self.rows[:, 0] * BINS).astype(int), self.rows[:, 1].astype(int)
        wrong = rng.random(decisions) < self.errors[kinds, places]
        self.seen = wrong & (rng.random(decisions) >= noise)
        self.draws = rng.random(decisions)
        self.halves = 2 if policy == "both" else 1
        self.first = Confidence(self.errors, promise, self.halves)
        self.second: Learned | None = None
        self.chances = np.zeros(decisions)
        self.window: list[tuple[float, float | None, float]] = []
        self.reviewed, self.weights = np.zeros(decisions, bool), np.ones(decisions)
        self.live: tuple[str, int] | None = None
        self.shares = np.ones(0)
        self.monitor = self._watch()
        self.floor, self.told, self.next, self.spent = 1.0, 0, LEARN_FROM, 0
        self.out, self.clock, self.labels = Outcome(), 0.0, 0

    def _watch(self) -> Monitor:
        floor = audit.floor_of(self.promise.share)
        return Monitor(self.promise.max_error, floor=floor, miss_rate=self.promise.miss_rate)

    def run(self) -> Outcome:
        """All decisions, fifty at a time."""
        for start in range(0, len(self.rows), REFRESH):
            self.batch(start, start + REFRESH)
            if start + REFRESH == len(self.rows) // 2:
                self.out.half, self.out.violated_by_half = self.covered(), self.out.violated
        self.out.coverage, self.out.us_a_label = self.covered(), 1e6 * self.clock / max(self.labels, 1)
        return self.out

    def certificate(self, order: str) -> Certificate:
        """The certificate of an order."""
        return self.second.certificate if order == RISK and self.second is not None else self.first.certificate

    @property
    def launching(self) -> bool:
        """Whether every decision is reviewed still."""
        return self.policy != "learned" and self.first.certificate.launching

    def batch(self, start: int, end: int) -> None:
        """Fifty decisions under one threshold; one draw and one probability each, for both orders."""
        rows, inclusion = self.rows[start:end], np.ones(end - start)
        confidence = rows[:, 0]
        chance = self.chances[start:end] if self.second is not None else None
        automated = np.zeros(end - start, bool)
        if self.live is not None:
            order, live = self.live
            by = confidence if order == CONFIDENCE or chance is None else chance
            places = np.searchsorted(self.certificate(order).edges, by, side="right")
            automated = places >= live
            if not self.launching:
                inclusion = self.shares[places]
        reviewed = self.draws[start:end] < inclusion
        self.reviewed[start:end], self.weights[start:end] = reviewed, 1.0 / inclusion
        floor, alarm = float(min(self.shares, default=1.0)) if self.live and not self.launching else 1.0, False
        begun = time.process_time()
        for i in np.flatnonzero(reviewed).tolist():
            wrong, p, seq = int(self.seen[start + i]), float(inclusion[i]), start + i
            if self.policy != "learned":
                self.first.certificate.observe(
                    score=float(confidence[i]), wrong=wrong, inclusion=p, seq=seq, floor=floor
                )
            if self.second is not None and chance is not None:
                self.second.certificate.observe(score=float(chance[i]), wrong=wrong, inclusion=p, seq=seq, floor=floor)
            if automated[i]:
                alarm |= self.monitor.observe(wrong=wrong, inclusion=p, floor=floor)
            self.window.append((float(confidence[i]), None if chance is None else float(chance[i]), 1.0 / p))
        self.first.certificate.tick(end - 1)
        if self.second is not None:
            self.second.certificate.tick(end - 1)
        self.clock, self.labels = self.clock + time.process_time() - begun, self.labels + int(reviewed.sum())
        self.refresh(alarm, start, end)

    def refresh(self, alarm: bool, start: int, end: int) -> None:
        """What the labels change: another order or region, audit shares, a restart, a risk model, or an alarm."""
        if alarm:
            self.out.alarms += 1
            self.first = Confidence(self.errors, replace(self.promise, launch=0), self.halves)
            self.second, self.live, self.monitor = None, None, self._watch()
            self.next, self.told = LEARN_FROM, end
            return
        if self.policy != "learned" and (place := moves.elsewhere(self.first.certificate)) is not None:
            self.first = Confidence(self.errors, self.promise, self.halves, (place, self.first.certificate.again + 1))
        if self.second is not None and (place := moves.elsewhere(self.second.certificate)) is not None:
            self.second.again(place)
        self.choose(start // REFRESH % SHARES_EVERY == 0)
        self.learn(end)

    def choose(self, due: bool) -> None:
        """The order that acts, its region and its audit shares; whether that region is as promised."""
        if self.live is not None and not due:
            order = self.live[0]
        else:
            order = self.wider()
        certificate = self.certificate(order)
        if certificate.bin is None:
            return
        if self.live is not None and self.live[0] != order:
            self.out.switched += 1
        if self.live != (order, certificate.bin) or due:
            self.live = order, certificate.bin
            self.shares = np.array(
                audit.shares(
                    certificate.wrongs, certificate.weights, certificate.bin, share=self.promise.share,
                    max_error=self.promise.max_error, boosted=self.monitor.suspicious,
                )
            )  # fmt: skip
            self.shares[: certificate.bin] = self.promise.blind
            self.out.opened = self.out.opened if self.out.opened >= 0 else certificate.seq
            self.judge()

    def wider(self) -> str:
        """The product's own choice, by the latest labels."""
        if self.policy != "both" or self.second is None:
            return RISK if self.policy == "learned" else CONFIDENCE
        beside = orders.Second.__new__(orders.Second)
        beside.certificate = self.second.certificate
        beside.latest = self.latest_labels()
        return orders.wider(self.first.certificate, beside, self.live[0] if self.live else CONFIDENCE).order

    def latest_labels(self) -> Any:
        """The latest labels, as the product keeps them."""
        self.window = self.window[-orders.LATEST :]
        return [orders.Latest(*one) for one in self.window]

    def learn(self, end: int) -> None:
        """A risk model from enough labels, and another from twice as many while that one certifies nothing."""
        if self.policy == "confidence":
            return
        of = self.reviewed[self.told : end]
        if end % (4 * REFRESH) or of.sum() < self.next:
            return
        if self.second is not None:
            certificate = self.second.certificate
            needed = certificate.labels_needed()
            if certificate.threshold is not None or (needed and needed <= certificate.labels):
                return
            self.spent = self.spent + (1 if certificate.labels else 0)
        rows, seen = self.rows[self.told : end][of], self.seen[self.told : end][of]
        if min(seen.sum(), (~seen).sum()) < 10:
            self.next += 100
            return
        launch = self.promise.launch if self.policy == "learned" and self.second is None else 0
        self.second = Learned(
            rows, seen, self.weights[self.told : end][of], self.promise, self.halves, self.spent, launch, self.seed,
            self.model,
        )  # fmt: skip
        self.chances = self.second.scores(self.rows)  # each is looked at after the model was there
        self.window = [(confidence, None, weight) for confidence, _, weight in self.window]
        self.next, self.out.learned = 2 * len(rows), self.out.learned + 1

    def figures(self) -> tuple[float, float]:
        """The true error and the mass of the region in force."""
        if self.live is None:
            return 0.0, 0.0
        order, live = self.live
        truth, mass = (self.first.truth, self.first.mass)
        if order == RISK and self.second is not None:
            truth, mass = self.second.measured(self.errors)
        error, whole = regions(truth, mass)
        return float(error[live]), float(whole[live])

    def covered(self) -> float:
        """The share of decisions that autopilot may have."""
        return self.figures()[1]

    def judge(self) -> None:
        """Whether the region in force is worse than promised, by the true errors."""
        self.out.violated |= self.figures()[0] > self.promise.max_error + 1e-9


def elsewhere(name: str, seed: int) -> RiskModel:
    """A risk model that was learned from a thousand decisions of another stream of this kind."""
    other = Loop(name, "confidence", 1_000, Promise(), 0.0, 1_000_000 + seed)
    return RiskModel.fit(other.rows, other.seen, seed=seed)


def once(task: tuple[str, str, int, Promise, float, int, RiskModel | None]) -> Outcome:
    """One run."""
    return Loop(*task).run()


def main() -> int:
    """Run and print what was asked for; exit status 1 where more is violated than delta allows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", nargs="+", choices=list(TRUTH), default=list(TRUTH))
    parser.add_argument("--policy", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--miss-rate", type=float, default=0.19, help="what is assumed, and what reviewers miss")
    parser.add_argument("--noise", type=float, help="what reviewers miss, where it is not what is assumed")
    parser.add_argument("--one-model", action="store_true", help="one risk model for all runs, of another stream")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    promise = Promise(miss_rate=asked.miss_rate)
    noise = asked.miss_rate if asked.noise is None else asked.noise
    rows = [row_of(asked, promise, noise, name, policy) for name in asked.stream for policy in asked.policy]
    slack = promise.delta + 1.65 * sqrt(promise.delta * (1 - promise.delta) / asked.runs)
    if asked.json:
        print(json.dumps(rows, indent=2))
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
        (Console() if sys.stdout.isatty() else Console(width=150)).print(table)
    return 0 if all(row["violated"] <= slack for row in rows) else 1


def row_of(asked: argparse.Namespace, promise: Promise, noise: float, name: str, policy: str) -> dict[str, Any]:
    """The figures of one policy on one stream."""
    model = elsewhere(name, asked.seed) if asked.one_model else None
    seeds = range(asked.seed, asked.seed + asked.runs)
    tasks = [(name, policy, asked.decisions, promise, noise, seed, model) for seed in seeds]
    with get_context("fork").Pool(asked.jobs) as pool:
        done = pool.map(once, tasks, chunksize=4)
    oracle = best(name, promise.max_error)
    coverage = float(np.mean([run.coverage for run in done]))
    opened = [run.opened for run in done if run.opened >= 0]
    return {
        "stream": name, "policy": policy, "coverage": coverage, "to best": coverage / oracle,
        "to confidence's": coverage / max(by_confidence(name, promise.max_error), 1e-9),
        "half": float(np.mean([run.half for run in done])),
        "violated": float(np.mean([run.violated for run in done])),
        "by half": float(np.mean([run.violated_by_half for run in done])),
        "opened": int(np.median(opened)) if opened else -1, "never": len(done) - len(opened),
        "models": float(np.mean([run.learned for run in done])),
        "switched": float(np.mean([run.switched for run in done])),
        "alarms": float(np.mean([run.alarms for run in done])),
        "us a label": float(np.median([run.us_a_label for run in done])),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
