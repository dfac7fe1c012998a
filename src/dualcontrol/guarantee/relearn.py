"""Learning of risk models: the decided cases that one learns from, and when it is learned without being asked.

All of them were decided before the model is in force, and its certificate counts only what is decided after that: no
label is both.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dualcontrol.case import Case, Example, ModelRow
from dualcontrol.control import RISK_MODEL, Control
from dualcontrol.errors import ModelError, ReadOnlyError, StoreUnavailableError, UnknownLoopError
from dualcontrol.guarantee import orders
from dualcontrol.guarantee.certifier import Certifier
from dualcontrol.guarantee.evidence import label_of
from dualcontrol.learn import training
from dualcontrol.learn.features import of_case
from dualcontrol.learn.risk import RiskExample, RiskReport, fitted
from dualcontrol.learn.trainers import DeskPort
from dualcontrol.names import identity

log = logging.getLogger("dualcontrol.learn")
PAGE = 1_000
MOST = 50_000  # decided cases, the latest, that one model learns from
LOOK = 20  # answers between two looks whether it is time


class Gathered(NamedTuple):
    """Cases with a final word, and how many decided ones are without one, or without content."""

    rows: list[RiskExample]
    left_out: int


def learn_risk(desk: DeskPort, loop: str, *, seed: int = 0, reason: str = "by hand") -> RiskReport:
    """Learn the chance that a proposal is right from all decided cases of a loop, and put it in force."""
    control = desk.control(loop)
    if control is None:
        raise UnknownLoopError(f"there is no loop {loop!r}", loop=loop)
    if not (control.learned or control.beside):
        raise ModelError(f"loop {loop!r} is not scored by a risk model",
                         hint='Set guarantee = { max_error = 0.05, score = "both" }.')  # fmt: skip
    data = gathered(desk, control)
    return fitted(desk, control, data.rows, left_out=data.left_out, reason=reason, seed=seed)


def gathered(desk: DeskPort, control: Control) -> Gathered:
    """The latest decided cases with what the last word on each says; weights are one over inclusion."""
    ids = dict.fromkeys(example.case_id for example in _labels(desk, control, 0))
    cases: list[Case] = []
    for case_id in deque(ids, MOST):
        try:
            case = desk.store.queries.case(case_id)
        except ReadOnlyError:  # a newer version wrote it
            continue
        if case is not None and not case.erased and case.proposed is not None:
            cases.append(case)
    alone = len({identity(answer.actor.person) for case in cases for answer in case.answered}) < 2
    rows = []
    for case in cases:
        wrong = label_of(case, control, alone=alone)
        if case.route is not None and isinstance(wrong, int):
            rows.append(RiskExample(case.id, of_case(case), wrong, 1.0 / case.route.inclusion))
    return Gathered(rows, min(len(ids), MOST) - len(rows))


def _labels(desk: DeskPort, control: Control, after: int) -> Iterator[Example]:
    """What people said about proposals, from an example on."""
    page: Sequence[Example]
    while page := desk.store.queries.examples(control.loop_id, after=after, limit=PAGE):
        after = page[-1].id or 0
        yield from (example for example in page if example.wrong is not None and example.inclusion > 0.0)


class _Seen:
    """The labelled cases of a loop up to example `after`, and from how many on another look is worth it."""

    def __init__(self) -> None:
        self.after = self.answers = self.again = 0
        self.cases: set[str] = set()


class Riskiness:
    """Learns risk models when it is time: the first from so many cases, the next from twice as many.

    There is no next one while the last certifies something, or is about to.  One thread learns at a time; the others
    do not wait for it.
    """

    def __init__(self, desk: DeskPort, certifier: Certifier) -> None:
        self._desk, self._certifier = desk, certifier
        self._loops: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def answered(self, case: Case) -> None:
        """After an answer: look now and then whether it is time."""
        seen = self._loops.setdefault(case.loop, _Seen())
        seen.answers += 1
        if seen.answers % LOOK == 0:
            self.run(case.loop)

    def run_all(self, controls: Sequence[Control]) -> None:
        """Look at every loop that a risk model scores, or may."""
        for control in controls:
            if control.learned or control.beside:
                self.run(control.loop)

    def run(self, loop: str) -> RiskReport | None:
        """Learn if it is time; what cannot be learned is logged and tried again with more answers."""
        control = self._desk.control(loop)
        if control is None or not (control.learned or (control.beside and orders.learnable())):
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._learned(control, self._loops.setdefault(loop, _Seen()))
        except StoreUnavailableError as error:
            log.warning("loop %s: no risk model was learned: %s", loop, error.message)
            return None
        except Exception as error:  # the answer stands, whatever comes of it
            if control.beside:  # nothing waits for it: confidence orders the cases, as it did
                log.info("loop %s: no risk model was learned: %s", loop, training.described(error)[1])
                return None
            last = control.untrained.get(RISK_MODEL)
            reason = training.described(error)[1]
            if last is not None and last.reason == reason and self._desk.steps.now() < last.retry_at:
                return None  # a failure that is recorded already is not said again before its time
            try:
                training.record_failure(self._desk, control, RISK_MODEL, "risk", error)
            except StoreUnavailableError as lost:
                log.warning("loop %s: that no risk model was learned is not recorded: %s", loop, lost.message)
            return None
        finally:
            self._lock.release()

    def _learned(self, control: Control, seen: _Seen) -> RiskReport | None:
        """Learn from enough labels, unless the score in force certifies something or will before they have doubled."""
        if self._serves(control):
            return None
        for example in _labels(self._desk, control, seen.after):
            seen.after = example.id or seen.after
            seen.cases.add(example.case_id)
        guarantee = control.settings.guarantee
        models: list[ModelRow] = self._desk.store.queries.models(control.loop_id)
        last = next((model.examples for model in models if model.version == control.scorer), 0)
        target = 2 * last or (guarantee.learn_from if guarantee is not None else 0)
        if len(seen.cases) < max(target, seen.again):
            return None
        seen.again = len(seen.cases) + max(LOOK, target // 20)
        self._certifier.run(control.loop)
        now = self._desk.control(control.loop)
        if now is None or now.scorer != control.scorer or self._serves(now, soon=True):
            return None
        data = gathered(self._desk, control)
        if len(data.rows) < target:
            return None
        reason = f"the first {target} decided cases" if control.scorer is None else "twice as many, nothing certified"
        return fitted(self._desk, control, data.rows, left_out=data.left_out, reason=reason)

    def _serves(self, control: Control, *, soon: bool = False) -> bool:
        """Whether the score in force certifies something, or with `soon` will before its labels have doubled.

        Beside confidence it is the learned order's own certificate that says so, and where no half of delta is kept
        for one, nothing is to be learned.
        """
        if control.learned:
            if control.thresholds:
                return True
            certificates = [] if not soon else [
                segment.certificate for name, segment in self._certifier.segments(control).items()
                if control.epochs.get(name) == segment.epoch
            ]  # fmt: skip
        else:
            if control.orders:
                return True
            current = [
                segment
                for name, segment in self._certifier.segments(control).items()
                if control.epochs.get(name) == segment.epoch and orders.shares(segment.promise, control)
            ]
            if not current:
                return True
            certificates = [segment.second.certificate for segment in current if segment.second is not None]
        for certificate in certificates:
            needed = certificate.labels_needed() if soon else None
            if certificate.threshold is not None or (needed and needed <= certificate.labels):
                return True
        return False
