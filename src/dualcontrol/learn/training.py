"""Training: human decisions become a candidate model, which takes over only when it is better on held-out ones.

A fixed share of cases, drawn by HMAC, never trains any model: both models are compared on those cases' human
decisions, pair by pair, each weighted by one over its inclusion probability, truncated (Ionides 2008).
"""

from __future__ import annotations

import hashlib
import json
import logging
import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec.structs import replace

from dualcontrol.case import JSON, ModelRow, microseconds, plain
from dualcontrol.control import MODEL, Control, Feedback, draw
from dualcontrol.errors import DualcontrolError, MissingExtraError, ModelError, StoreUnavailableError
from dualcontrol.events import Event, TrainingFailed
from dualcontrol.labels import Labels
from dualcontrol.learn.baseline import Labelled, learned
from dualcontrol.learn.examples import TrainingRow, dataset, labelled
from dualcontrol.learn.promotion import record, write, write_file
from dualcontrol.learn.report import MIN_HELD_OUT, Report, compared, unrivalled
from dualcontrol.learn.risk import RISK
from dualcontrol.learn.serving import Served, model_in_force
from dualcontrol.learn.trainers import NONE, DeskPort, Model, Trainer, class_key
from dualcontrol.learn.trusted import UnnamedTrainerError, inside, model_folder, trusted

log = logging.getLogger("dualcontrol.learn")
PURPOSE = "holdout"
EVIDENCE = "evidence"
MIN_TRAINING = 10
MOST_NUMBERS = 20  # different ones that may still be names of classes, where the loop lists none


class Split(NamedTuple):
    """Training rows, hold-out rows that models are compared on, and evidence that only certifies; no case is in two."""

    train: list[TrainingRow]
    held_out: list[TrainingRow]
    evidence: list[TrainingRow]


def train(desk: DeskPort, loop: str, *, seed: int = 0, start: StartSet | None = None) -> Report:
    """Train a candidate on all human decisions and promote it if it is better; `ModelError` when it cannot be.

    `start` holds labels from before the loop; given once, every later training finds them again.  Only labels that
    are still in the loop's set are learned, and a better model waits while autopilot would lose by it what is
    certified today.
    """
    control = desk.governing(loop)
    feedback, labels = _feedback(control), Labels.of(control.settings)
    teacher = trusted(desk, feedback.trainer)
    start = stored_start(desk, control) if start is None else start.as_lists()
    start_record = store_start(desk, start)
    data = dataset(desk, loop)
    decided = labelled(latest_rows(data.rows))
    usable, start = decided, start.within(labels)
    if labels is not None:
        usable = [replace(row, value=labels.own(row.value)) for row in decided if row.value in labels]
    # labels that nothing is learned from are marked as well, or they would count as waiting for ever
    ids = {row.id for row in usable}
    skipped = [row for row in data.rows if row.kind == "label" and row.id not in ids]
    parts = split(desk, control, usable)
    training_set = _training_set(control, parts.train, start)
    model = teacher.fit(*training_set, seed=seed)
    # a name that no other training of this loop has, also one that runs at the same time
    version = f"{loop}-{len(desk.store.queries.models(control.loop_id)) + 1}-{desk.steps.new_id()[-4:]}"
    report = Report(
        loop=control.loop, version=version, trainer=feedback.trainer, promoted=False, reason="",
        trained=len(training_set.labels), held_out=len(parts.held_out), left_out=data.left_out,
        incumbent=control.model, start=start_record, skipped=len(skipped), removed=len(decided) - len(usable),
    )  # fmt: skip
    report = _judged(desk, report, model, teacher, training_set, parts.held_out, seed)
    if report.promoted and control.settings.guarantee is not None:
        objection = desk.objection(control, Served(version, model))
        report = report if objection is None else replace(report, promoted=False, reason=objection)
    file = write_file(desk, control, version, teacher.dump(model))
    used = [(parts.train, version), (parts.held_out, f"{version}/held-out")]
    used += [(parts.evidence, f"{version}/evidence"), (skipped, f"{version}/skipped")]
    return record(desk, control, report, file, used)


def _judged(
    desk: DeskPort, report: Report, model: Model, teacher: Trainer, training_set: Labelled,
    held_out: Sequence[TrainingRow], seed: int,
) -> Report:  # fmt: skip
    """Whether a model is better than the one in force, or where there is none, whether it has learned anything."""
    incumbent = model_in_force(desk, report.loop)
    if incumbent is not None and incumbent.classes:
        return compared(report, model, incumbent, held_out)
    why = "the first model of the loop"
    if report.incumbent is not None:
        why = "the one before knows none of the labels that the loop has now"
    if report.incumbent is not None and incumbent is None:
        why = "the file of the one before cannot be used"
    enough = held_out if len(held_out) >= MIN_HELD_OUT else []
    unseen = Labelled([r.input for r in enough], [r.value for r in enough], [r.weight for r in enough])
    return unrivalled(report, model, why, learned(teacher, model, training_set, unseen, seed), held_out)


def latest_rows(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """The latest row of each case: what the adjudicator said, where one was asked."""
    last = {row.case_id: row for row in sorted(rows, key=lambda row: (row.at, row.id))}
    return [row for row in rows if last[row.case_id] is row]


def _training_set(control: Control, rows: Sequence[TrainingRow], start: StartSet) -> Labelled:
    """The labels to fit a model to; `ModelError` where there are too few of them, or where they are no classes.

    Where the loop names no labels, those that are a quantity, or of which hardly any comes back, are refused: a
    quantity that is nearly right is wrong all the same, so that no model could say how sure it is to be right.
    """
    inputs = [*start.inputs, *(row.input for row in rows)]
    labels = [*start.labels, *(row.value for row in rows)]
    if len(labels) < MIN_TRAINING:
        raise ModelError(f"loop {control.loop!r} has {len(labels)} labels to train on, and needs {MIN_TRAINING}",
                         hint="Answer more cases; the count of unused answers is on the front page.")  # fmt: skip
    if control.settings.labels is None:
        numbers = [label for label in labels if isinstance(label, int | float) and not isinstance(label, bool)]
        many, different = len(numbers), len(set(map(class_key, numbers)))
        if 2 * many > len(labels) and (different > MOST_NUMBERS or 3 * different > many):
            raise ModelError(
                f"the labels of loop {control.loop!r} are a quantity, {different} different numbers among {many}, and "
                "a model learns to tell classes apart",
                hint='List the classes in `labels`, also where they are numbers, or label ranges such as "100 to 200".',
            )
        kinds = len(set(map(class_key, labels)))
        if 2 * kinds > len(labels):
            raise ModelError(
                f"of {len(labels)} labels of loop {control.loop!r} {kinds} are different: hardly any comes back, so "
                "that there is nothing to learn about it",
                hint="Answer more cases, or list the classes in `labels`.",
            )
    return Labelled(inputs, labels, [1.0] * len(start.labels) + [row.weight for row in rows])


def split(desk: DeskPort, control: Control, rows: Sequence[TrainingRow]) -> Split:
    """The held-out share is fixed by case for ever; what was imported was no draw of this loop and only trains."""
    secret, parts = desk.steps.secret, Split([], [], [])
    for row in rows:
        if row.origin != "live":
            parts.train.append(row)
        elif for_evidence(secret, control, row.case_id):
            parts.evidence.append(row)
        else:
            (parts.held_out if for_comparison(secret, control, row.case_id) else parts.train).append(row)
    return parts


def for_evidence(secret: bytes, control: Control, case_id: str) -> bool:
    """Whether the label of a case only certifies and never trains; fixed by its draw."""
    guarantee = control.settings.guarantee
    return guarantee is not None and draw(secret, EVIDENCE, case_id) < guarantee.evidence


def for_comparison(secret: bytes, control: Control, case_id: str) -> bool:
    """Whether models are compared on the label of a case, which then neither trains nor certifies."""
    feedback = control.settings.feedback
    held_out = feedback is not None and draw(secret, PURPOSE, case_id) < feedback.holdout
    return held_out and not for_evidence(secret, control, case_id)


def should_train(desk: DeskPort, loop: str, *, now: int | None = None) -> bool:
    """Whether N answers wait unused, or any does and the period since the last training has passed.

    After a training that failed it is not, until its time has come or so many more answers wait as a training takes.
    """
    control = desk.control(loop)
    feedback = control.settings.feedback if control is not None else None
    if control is None or feedback is None or feedback.trainer in NONE or control.settings.mode != "labels":
        return False
    queries, failure = desk.store.queries, control.untrained.get(MODEL)
    waiting, at = queries.unfed().get(loop, 0), desk.steps.now() if now is None else now
    enough = max(feedback.retrain_every or MORE, MORE)
    if failure is not None and at < failure.retry_at and waiting < failure.waiting + enough:
        return False
    if feedback.retrain_every is not None and waiting >= feedback.retrain_every:
        return True
    period = microseconds(feedback.or_every)
    if period is None or waiting == 0:
        return False
    models: list[ModelRow] = [row for row in queries.models(control.loop_id) if row.state != RISK]
    times = [row.created_at for row in models] or [e.at for e in queries.examples(control.loop_id, limit=1)]
    return at - max(times, default=0) >= period


def train_if_due(desk: DeskPort, loop: str, *, seed: int = 0, start: StartSet | None = None) -> Report | None:
    """Train when `should_train` says so."""
    return train(desk, loop, seed=seed, start=start) if should_train(desk, loop) else None


def train_all_due(desk: DeskPort, *, seed: int = 0) -> list[Report]:
    """Train every loop that is due, for a worker; one that cannot be trained says so in its stream and stops no other.

    Only a database that cannot be reached ends it, and whoever interrupts the program.
    """
    reports = []
    for control in desk.store.queries.loops():
        try:
            report = train_if_due(desk, control.loop, seed=seed)
        except (StoreUnavailableError, KeyboardInterrupt):
            raise
        except UnnamedTrainerError as error:  # other programs may train it
            log.warning("loop %s is not trained by this program: %s", control.loop, error.message)
        except BaseException as error:  # whatever a trainer does, the other loops are not to blame
            feedback = control.settings.feedback
            record_failure(desk, control, MODEL, feedback.trainer if feedback is not None else "", error)
        else:
            reports += [] if report is None else [report]
    return reports


def _feedback(control: Control) -> Feedback:
    feedback = control.settings.feedback
    if feedback is None or feedback.trainer in NONE:
        raise ModelError(f"loop {control.loop!r} has no trainer", hint='Set feedback = { trainer = "sklearn" }.')
    if control.settings.mode != "labels":
        raise ModelError(f"loop {control.loop!r} is in {control.settings.mode} mode; this trainer learns from labels",
                         hint='Export its decisions: loop.export(path, format="trl-preference").')  # fmt: skip
    return feedback


# Labels that were there before the loop: every model trains on them, and its row names them.
#
# They are kept in a file beside the models, named by its digest, so that any later training finds and verifies them.


class StartSet(NamedTuple):
    """Labels from before the loop, with their inputs and a sentence on where they come from."""

    source: str
    inputs: Sequence[JSON]
    labels: Sequence[JSON]

    def as_lists(self) -> StartSet:
        """The same with rows as lists of plain values, also where they came as arrays or with numbers of NumPy."""
        columns: tuple[Any, Any] = (self.inputs, self.labels)
        return StartSet(self.source, *(plain(c.tolist() if hasattr(c, "tolist") else list(c)) for c in columns))

    def within(self, labels: Labels | None) -> StartSet:
        """The rows whose label is one of a set."""
        if labels is None:
            return self
        rows = labels.places(self.labels)
        return StartSet(self.source, [self.inputs[row] for row in rows], [labels.own(self.labels[row]) for row in rows])

    def to_bytes(self) -> bytes:
        """The file's content: JSON with sorted keys."""
        content = {"source": self.source, "inputs": list(self.inputs), "labels": list(self.labels)}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def store_start(desk: DeskPort, start: StartSet) -> dict[str, JSON] | None:
    """Write the file of a start set; what a model's row says of it."""
    if not start.labels:
        return None
    data = start.to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path = model_folder(desk) / file_name(digest)
    if not path.exists():
        write(path, data)
    return {"source": start.source, "rows": len(start.labels), "sha256": digest}


def stored_start(desk: DeskPort, control: Control) -> StartSet:
    """The start set of the loop's newest model; `ModelError` when its file is missing or altered."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    start = next((row.metrics.get("start") for row in rows if row.state != RISK), None)
    if not start:
        return StartSet("", (), ())
    path = inside(model_folder(desk), file_name(start["sha256"]))
    if path is None:
        raise ModelError(f"the start labels of loop {control.loop!r} lie outside the folder of models")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the start labels of loop {control.loop!r} are missing ({type(error).__name__})") from error
    if hashlib.sha256(data).hexdigest() != start["sha256"]:
        raise ModelError(f"the start labels of loop {control.loop!r} are not those it began with: the digest differs")
    return StartSet(**json.loads(data))


def file_name(digest: str) -> str:
    """The name of the file of a start set."""
    return f"start-{digest[:16]}.json"


# Trainings that fail: each is recorded in its loop's stream, and tried again later; the other loops go on.
#
# What a trainer raises may hold what people wrote, so that only our own words are recorded, and of anything else its
# type and where it was raised.


MINUTE = 60_000_000
FIRST, LONGEST = 10 * MINUTE, 24 * 60 * MINUTE  # until it is tried again: twice as long each time
MORE = 10  # answers after which it is tried again at once, where the loop names no number


def record_failure(desk: DeskPort, control: Control, what: str, trainer: str, error: BaseException) -> None:
    """Record why a training failed, unless another program has just done so.

    Where that cannot be written though the database is there, the log alone has it.
    """
    code, reason = described(error)
    log.warning("training of the %s of loop %s failed: %s", what, control.loop, reason)
    log.debug("in full", exc_info=error)
    before, waiting = control.untrained.get(what), desk.store.queries.unfed().get(control.loop, 0)
    attempt = 1 if before is None else before.attempt + 1
    pause = min(FIRST * 2 ** min(attempt - 1, 30), LONGEST)

    def failed(now: Control, at: int) -> list[Event]:
        if now.untrained.get(what) != before:
            return []
        return [TrainingFailed(at=at, what=what, trainer=trainer, code=code, reason=reason, attempt=attempt,
                               retry_at=at + pause, waiting=waiting)]  # fmt: skip

    try:
        desk.steps.move(control.loop, failed)
    except StoreUnavailableError:
        raise
    except DualcontrolError as lost:
        log.warning("that the %s of loop %s was not trained is not recorded: %s", what, control.loop, lost.message)


def described(error: BaseException) -> tuple[str, str]:
    """Code and reason of a failure, without content."""
    frames = list(traceback.walk_tb(error.__traceback__))
    module = frames[-1][0].f_globals.get("__name__", "?") if frames else "?"
    if isinstance(error, ModelError | MissingExtraError) and module.partition(".")[0] == "dualcontrol":
        return error.code, f"{error.message}. {error.hint}" if "hint" in vars(error) else error.message
    code = error.code if isinstance(error, DualcontrolError) else ModelError.code
    return code, f"{type(error).__name__} in {module}, line {frames[-1][1] if frames else '?'}"
