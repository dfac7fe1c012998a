"""Training: human decisions become a candidate model, which takes over only when it is better on held-out ones.

A fixed share of cases, drawn by HMAC, never trains any model: both models are compared on those cases' human
decisions, pair by pair, each weighted by one over its inclusion probability, truncated (Ionides 2008).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from dualcontrol.case import ModelRow, microseconds
from dualcontrol.control import Control, Feedback, draw
from dualcontrol.errors import MissingExtraError, ModelError, UnknownLoopError
from dualcontrol.learn.dataset import Row, dataset, labelled
from dualcontrol.learn.ports import DeskPort
from dualcontrol.learn.promotion import record, write_file
from dualcontrol.learn.report import Report, compared
from dualcontrol.learn.serving import current_model
from dualcontrol.learn.start import StartSet, keep, remembered
from dualcontrol.learn.trainers import NONE, Model, Trainer, trainer

log = logging.getLogger("dualcontrol.learn")
PURPOSE = "holdout"
MIN_TRAINING = 10


class Split(NamedTuple):
    """Rows that train, and rows that only measure."""

    train: list[Row]
    held_out: list[Row]


def train(desk: DeskPort, loop: str, *, seed: int = 0, start: StartSet | None = None) -> Report:
    """Train a candidate on all human decisions and promote it if it is better; `ModelError` when it cannot be.

    `start` holds labels from before the loop; given once, every later training finds them again.
    """
    control = _control(desk, loop)
    teacher = trainer(_feedback(control).trainer)
    start = remembered(desk, control) if start is None else start
    data = dataset(desk, loop)
    usable = labelled(data.rows)
    parted, skipped = split(desk, control, usable), _skipped(data.rows, usable)
    model = _fitted(control, teacher, parted.train, start, seed)
    incumbent = current_model(desk, loop)
    report = Report(
        loop=loop, version=_version(desk, control), trainer=_feedback(control).trainer, promoted=False, reason="",
        trained=len(parted.train) + len(start.labels), held_out=len(parted.held_out), left_out=data.left_out,
        incumbent=control.model, start=keep(desk, start), skipped=len(skipped),
    )  # fmt: skip
    report = compared(report, model, incumbent.model if incumbent else None, parted.held_out)
    file = write_file(desk, control, report.version, teacher.dump(model))
    used = [(parted.train, report.version), (parted.held_out, f"{report.version}/held-out")]
    return record(desk, control, report, file, [*used, (skipped, f"{report.version}/skipped")])


def _skipped(rows: Sequence[Row], usable: Sequence[Row]) -> list[Row]:
    """Labels that no trainer can learn from; marked as well, or they would count as waiting for ever."""
    taken = {row.id for row in usable}
    return [row for row in rows if row.kind == "label" and row.id not in taken]


def _fitted(control: Control, teacher: Trainer, rows: Sequence[Row], start: StartSet, seed: int) -> Model:
    inputs = [*start.inputs, *(row.input for row in rows)]
    labels = [*start.labels, *(row.value for row in rows)]
    if len(labels) < MIN_TRAINING:
        raise ModelError(f"loop {control.loop!r} has {len(labels)} labels to train on, and needs {MIN_TRAINING}",
                         hint="Answer more cases; the count of unused answers is on the front page.")  # fmt: skip
    weights = [1.0] * len(start.labels) + [row.weight for row in rows]
    return teacher.fit(inputs, labels, weights, seed=seed)


def split(desk: DeskPort, control: Control, rows: Sequence[Row]) -> Split:
    """The held-out share is fixed by case for ever; what was imported was no draw of this loop and only trains."""
    share, secret = _feedback(control).holdout, desk.steps.secret
    out = {row.id for row in rows if row.origin == "live" and draw(secret, PURPOSE, row.case_id) < share}
    return Split([row for row in rows if row.id not in out], [row for row in rows if row.id in out])


def should_train(desk: DeskPort, loop: str, *, now: int | None = None) -> bool:
    """Whether N answers wait unused, or any does and the period since the last training has passed."""
    control = desk.control(loop)
    feedback = control.settings.feedback if control is not None else None
    if control is None or feedback is None or feedback.trainer in NONE or control.settings.mode != "labels":
        return False
    waiting = desk.store.queries.unfed().get(loop, 0)
    if feedback.retrain_every is not None and waiting >= feedback.retrain_every:
        return True
    period = microseconds(feedback.or_every)
    if period is None or waiting == 0:
        return False
    return (desk.steps.now() if now is None else now) - _last_training(desk, control) >= period


def train_if_due(desk: DeskPort, loop: str, *, seed: int = 0, start: StartSet | None = None) -> Report | None:
    """Train when `should_train` says so."""
    return train(desk, loop, seed=seed, start=start) if should_train(desk, loop) else None


def train_all_due(desk: DeskPort, *, seed: int = 0) -> list[Report]:
    """Train every loop that is due, for a worker; one that cannot be trained is logged and stops no other."""
    reports = []
    for control in desk.store.queries.loops():
        try:
            report = train_if_due(desk, control.loop, seed=seed)
        except (ModelError, MissingExtraError) as error:
            log.warning("loop %s was not trained: %s", control.loop, error)
        else:
            reports += [] if report is None else [report]
    return reports


def _last_training(desk: DeskPort, control: Control) -> int:
    """When the last model was made, or the first example where none was."""
    queries = desk.store.queries
    models: list[ModelRow] = queries.models(control.loop_id)
    if models:
        return max(model.created_at for model in models)
    return int(next((e.at for e in queries.examples(control.loop_id, limit=1)), 0))


def _control(desk: DeskPort, loop: str) -> Control:
    control = desk.control(loop)
    if control is None:
        raise UnknownLoopError(f"there is no loop {loop!r}", loop=loop)
    return control


def _feedback(control: Control) -> Feedback:
    feedback = control.settings.feedback
    if feedback is None or feedback.trainer in NONE:
        raise ModelError(f"loop {control.loop!r} has no trainer", hint='Set feedback = { trainer = "sklearn" }.')
    if control.settings.mode != "labels":
        raise ModelError(f"loop {control.loop!r} is in {control.settings.mode} mode; this trainer learns from labels",
                         hint='Export its decisions: loop.export(path, format="trl-preference").')  # fmt: skip
    return feedback


def _version(desk: DeskPort, control: Control) -> str:
    """A name that no other training of this loop has, also one that runs at the same time."""
    count = len(desk.store.queries.models(control.loop_id))
    return f"{control.loop}-{count + 1}-{desk.steps.new_id()[-4:]}"
