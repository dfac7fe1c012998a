"""The product on a simulated stream: its own certificate, monitor, running bound and audit shares, label by label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from streams import Stream, oracle, risks, upwards

from dualcontrol.guarantee import moves
from dualcontrol.guarantee.bound import RunningBound
from dualcontrol.guarantee.certificate import Certificate
from dualcontrol.guarantee.monitor import Monitor
from dualcontrol.route import audit

REFRESH = 50
SHARES_EVERY = 10


@dataclass(frozen=True)
class Promise:
    """What is promised, and how it is kept; `blind` is the share of what people decide that is evidence, once open."""

    max_error: float = 0.05
    delta: float = 0.05
    share: float = 0.10
    miss_rate: float = 0.0
    launch: int = 2_000
    blind: float = 0.2


@dataclass
class Run:
    """What came of one stream; `final` and `average` are shares of what an oracle automates."""

    final: float = 0.0
    coverage: float = 0.0
    average: float = 0.0
    violated: bool = False
    reviews: float = 0.0
    error: float = 0.0
    alarms: int = 0
    false_alarms: int = 0
    bad_since: int = -1
    delay: int = -1
    error_after: float = 0.0
    miscovered: bool = False
    tries: int = 0
    opened: int = -1


class Governed:
    """One loop under a guarantee: refreshed every fifty decisions, closed and begun anew at an alarm."""

    def __init__(self, stream: Stream, promise: Promise) -> None:
        self.stream, self.promise, self.run = stream, promise, Run()
        self.floor = audit.floor_of(promise.share)
        self.bound = RunningBound(1.0 - promise.delta, floor=self.floor)
        self.truths = risks(stream.before, stream.masses), risks(stream.after, stream.masses)
        self.nothing = len(stream.edges) + 1
        self.automated = np.zeros(len(stream), bool)
        self.reviewed = 0
        self.begin(promise.launch)

    def begin(self, launch: int, first: int | None = None, tries: int = 0) -> None:
        """A new epoch: nothing is known, everything is reviewed."""
        promise = self.promise
        self.certificate = Certificate(
            promise.max_error, 1.0 - promise.delta, edges=self.stream.edges, launch=launch, floor=self.floor,
            miss_rate=promise.miss_rate, first=first, again=tries,
        )  # fmt: skip
        self.monitor = Monitor(promise.max_error, floor=self.floor, miss_rate=promise.miss_rate)
        self.live, self.shares, self.suspicious = self.nothing, np.ones(self.nothing), False

    def batch(self, start: int) -> None:
        """Fifty decisions under one threshold; their labels are told and counted in order."""
        stream, end = self.stream, min(start + REFRESH, len(self.stream))
        self.judge(start)
        places = stream.places[start:end]
        automated = places >= self.live
        inclusion = np.ones(len(places)) if self.certificate.launching else self.shares[places]
        reviewed = stream.draws[start:end] < inclusion
        self.automated[start:end] = automated
        alarm, skipped = False, 0
        scores, seen = stream.scores[start:end], stream.seen[start:end]
        for i in np.flatnonzero(reviewed | automated).tolist():
            if not reviewed[i]:
                skipped += 1
                continue
            wrong, chance = int(seen[i]), float(inclusion[i])
            self.certificate.observe(score=float(scores[i]), wrong=wrong, inclusion=chance, seq=start + i)
            if automated[i]:
                self.bound.skip(skipped)
                skipped = 0
                self.bound.observe(wrong=wrong, inclusion=chance)
                alarm |= self.monitor.observe(wrong=wrong, inclusion=chance)
        self.bound.skip(skipped)
        self.reviewed += int((reviewed | ~automated).sum())
        self.refresh(alarm, start, end)

    def refresh(self, alarm: bool, start: int, end: int) -> None:
        """What the labels change: a wider region, other audit shares, or an alarm that closes it all."""
        steps = self.certificate.tick(end - 1)
        if alarm:
            self.alarm(end)
        elif self.certificate.threshold is not None:
            suspicious = self.monitor.suspicious
            if steps or suspicious != self.suspicious or start // REFRESH % SHARES_EVERY == 0:
                self.share(suspicious)
        elif (place := moves.elsewhere(self.certificate)) is not None:
            self.run.tries += 1
            self.begin(0, place, self.certificate.again + 1)

    def share(self, suspicious: bool) -> None:
        """Take over the certified threshold, and share audits out again."""
        certificate = self.certificate
        self.live, self.suspicious = certificate.bin or 0, suspicious
        self.shares = np.array(
            audit.shares(
                certificate.wrongs, certificate.weights, self.live, share=self.promise.share,
                max_error=self.promise.max_error, boosted=suspicious,
            )
        )  # fmt: skip
        self.shares[: self.live] = self.promise.blind

    def alarm(self, now: int) -> None:
        """Autopilot closes; later epochs know no launch."""
        self.run.alarms += 1
        if self.run.bad_since < 0:
            self.run.false_alarms += 1
        elif self.run.delay < 0:
            self.run.delay = now - self.run.bad_since
        self.begin(0)

    def judge(self, now: int) -> None:
        """Whether the live region is worse than promised, by the true errors."""
        truth = self.truths[now >= self.stream.change]
        if self.live < self.nothing and self.run.opened < 0:
            self.run.opened = now
        if truth[self.live] > self.promise.max_error + 1e-12:
            self.run.violated |= True
            if self.run.bad_since < 0:
                self.run.bad_since = now

    def covered(self, truth: np.ndarray, now: int) -> None:
        """Whether the running bound lies above the mean true error of what autopilot has done."""
        cases = self.automated[:now].sum()
        if cases and self.bound.upper < truth[:now][self.automated[:now]].sum() / cases:
            self.run.miscovered = True

    def finish(self) -> Run:
        """The figures of the run."""
        stream, run = self.stream, self.run
        self.judge(len(stream) - 1)
        after = stream.after if stream.change < len(stream) else stream.before
        last, whole = (oracle(e, self.promise.max_error, stream.masses) for e in (after, stream.before))
        run.coverage = float(upwards(stream.masses)[self.live])
        run.final = run.coverage / last if last else 0.0
        run.average = float(self.automated.mean()) / whole if whole else 0.0
        run.reviews = self.reviewed / len(stream)
        run.error = _mean(stream.wrong[self.automated])
        late = self.automated.copy()
        late[: stream.change] = False
        run.error_after = _mean(stream.wrong[late])
        return run


def _mean(wrong: np.ndarray) -> float:
    return float(wrong.mean()) if len(wrong) else 0.0


def governed(stream: Stream, promise: Promise) -> Run:
    """Run the product over one stream."""
    loop = Governed(stream, promise)
    truth = np.where(np.arange(len(stream)) < stream.change, stream.before[stream.places], stream.after[stream.places])
    for start in range(0, len(stream), REFRESH):
        loop.batch(start)
        if start % (20 * REFRESH) == 0:
            loop.covered(truth, start + REFRESH)
    return loop.finish()
