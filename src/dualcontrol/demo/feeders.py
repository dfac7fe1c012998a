"""The programs of the demo: one thread a loop proposes cases while the console runs, a few open at a time.

All that a feeder knows it reads from the database, so that a demo that was stopped goes on where it was.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial

from dualcontrol.case import Case
from dualcontrol.demo import digits, fallback, pairs, scans
from dualcontrol.demo.passages import passages
from dualcontrol.demo.retrieval import Index
from dualcontrol.demo.tidy import Agent, copy_samples
from dualcontrol.desk import Desk, Loop
from dualcontrol.errors import DualcontrolError, ErasedError, KeyConflictError
from dualcontrol.learn.serving import check, current_model

log = logging.getLogger("dualcontrol.demo")
MOST_OPEN = 5
RETRAIN_EVERY = 20
PACE = 0.05
IDLE = 1.0
TROUBLED = 5.0


FeederStep = Callable[[], bool]  # one small piece of a feeder's work; False when there is nothing to do for now


def has_room(loop: Loop) -> bool:
    """Whether few enough reviews of a loop wait for people."""
    pools = [(loop.control.loop_id, group) for group in loop.control.pools()]
    return len(loop.desk.store.queries.inbox(pools, limit=MOST_OPEN).rows) < MOST_OPEN


def digits_turn(desk: Desk, seed: int) -> FeederStep:
    """Scans stream past the model; it is trained again as answers come."""
    feedback = {**digits.SETTINGS["feedback"], "retrain_every": RETRAIN_EVERY}
    loop = digits.open_loop(desk, feedback=feedback)
    proposed = len(desk.store.queries.route_rows(loop.control.loop_id))
    left = scans.order(seed).stream[proposed:][::-1]

    def turn() -> bool:
        report = digits.learn(desk, seed)
        if report is not None:
            log.info("%s: %s", report.version, report.reason)
        if not left or not has_room(loop):
            return False
        model = current_model(desk, digits.NAME)
        output = model.score(scans.scan(left[-1])) if model else None
        digits.propose(loop, left[-1], output, model.version if model else None)
        left.pop()
        return True

    return turn


def tidy_turn(desk: Desk, folder: str | os.PathLike[str]) -> FeederStep:
    """An agent tidies a copy of the files that the package ships."""
    agent = Agent(desk, copy_samples(folder), most_open=MOST_OPEN)

    def turn() -> bool:
        if not agent.done:
            agent.tidy()
        return False

    return turn


def pairs_turn(desk: Desk) -> FeederStep:
    """Pairs of summaries, and a scorer that is fitted again before each."""
    loop = pairs.open_loop(desk)

    def propose(pair: pairs.Pair) -> Case:
        return pairs.propose(loop, pair, pairs.train(loop))

    return _keyed(loop, (partial(propose, pair) for pair in pairs.pairs()))


def fallback_turn(desk: Desk) -> FeederStep:
    """Questions to the package's own docs."""
    loop, index = fallback.open_loop(desk), Index(passages())
    return _keyed(loop, (partial(fallback.propose, loop, index, question) for question in fallback.QUESTIONS))


def _keyed(loop: Loop, proposals: Iterator[Callable[[], object]]) -> FeederStep:
    """Proposals that carry keys: made again after a restart, each finds its own case."""

    def turn() -> bool:
        propose = next(proposals, None) if has_room(loop) else None
        if propose is None:
            return False
        try:
            propose()
        except (KeyConflictError, ErasedError) as error:
            log.info("left out: %s", error.message)
        return True

    return turn


class Feeder(threading.Thread):
    """A thread that takes turns until it is stopped; `ready` is set when it first has nothing to do."""

    def __init__(self, name: str, make: Callable[[], FeederStep]) -> None:
        super().__init__(name=f"dualcontrol-demo-{name}", daemon=True)
        self.make = make
        self.ready = threading.Event()
        self.stopped = threading.Event()

    def run(self) -> None:
        """Take turns; trouble is logged and tried again later."""
        turn: FeederStep | None = None
        pause = 0.0
        while not self.stopped.wait(pause):
            try:
                turn = turn or self.make()
                pause = PACE if turn() else IDLE
            except DualcontrolError as error:
                log.warning("%s: %s", self.name, error)
                pause = TROUBLED
            except Exception:  # the other loops and the console go on
                log.exception("%s stumbled", self.name)
                pause = TROUBLED
            if pause > PACE:
                self.ready.set()


class Feeders(tuple[Feeder, ...]):
    """All feeders of a demo."""

    def wait_ready(self, timeout: float) -> bool:
        """Wait until every loop has its first cases; False when that took too long."""
        return all(feeder.ready.wait(timeout) for feeder in self)

    def stop(self) -> None:
        """Let every feeder end its turn."""
        for feeder in self:
            feeder.stopped.set()
        for feeder in self:
            feeder.join(timeout=10)


def start(desk: Desk, folder: str | os.PathLike[str], seed: int = 0) -> Feeders:
    """Start the four loops' feeders; a model file that is missing or altered is noticed first."""
    for loop, why in check(desk).items():
        log.warning("%s: autopilot is closed: %s", loop, why)
    feeders = Feeders([
        Feeder("digits", partial(digits_turn, desk, seed)),
        Feeder("tidy", partial(tidy_turn, desk, folder)),
        Feeder("pairs", partial(pairs_turn, desk)),
        Feeder("fallback", partial(fallback_turn, desk)),
    ])  # fmt: skip
    for feeder in feeders:
        feeder.start()
    return feeders
