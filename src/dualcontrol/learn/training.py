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
from dualcontrol.control import MODEL, Control, Feedback, Untrained, draw
from dualcontrol.errors import DualcontrolError, MissingExtraError, ModelError, StoreUnavailableError
from dualcontrol.events import Event, TrainingFailed
from dualcontrol.labels import Labels
from dualcontrol.learn.baseline import Labelled, by_folds, by_held_out
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
    """Rows that train, rows that models are compared on, and rows that only certify: no case is in two of them."""

    train: list[TrainingRow]
    held_out: list[TrainingRow]
    evidence: list[TrainingRow] = []


def train(desk: DeskPort, loop: str, *, seed: int = 0, start: StartSet | None = None) -> Report:
    """Train a candidate on all human decisions and promote it if it is better; `ModelError` when it cannot be.

    `start` holds labels from before the loop; given once, every later training finds them again.
    """
    control = desk.governing(loop)
    teacher = trusted(desk, _feedback(control).trainer)
    start = remembered(desk, control) if start is None else start.listed()
    kept = keep(desk, start)
    data = dataset(desk, loop)
    words = labelled(last_words(data.rows))
    usable, start = _in_force(control, words), start.within(Labels.of(control.settings))
    parted, skipped = split(desk, control, usable), _skipped(data.rows, usable)
    taught = _taught(control, parted.train, start)
    model = teacher.fit(*taught, seed=seed)
    report = Report(
        loop=loop, version=_version(desk, control), trainer=_feedback(control).trainer, promoted=False, reason="",
        trained=len(parted.train) + len(start.labels), held_out=len(parted.held_out), left_out=data.left_out,
        incumbent=control.model, start=kept, skipped=len(skipped), removed=len(words) - len(usable),
    )  # fmt: skip
    report = _judged(desk, report, model, teacher, taught, parted.held_out, seed)
    report = _objected(desk, control, report, model)
    file = write_file(desk, control, report.version, teacher.dump(model))
    used = [(parted.train, report.version), (parted.held_out, f"{report.version}/held-out")]
    used += [(parted.evidence, f"{report.version}/evidence"), (skipped, f"{report.version}/skipped")]
    return record(desk, control, report, file, used)


def _judged(
    desk: DeskPort, report: Report, model: Model, teacher: Trainer, taught: Labelled,
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
    if len(held_out) < MIN_HELD_OUT:
        return unrivalled(report, model, why, by_folds(teacher, taught, seed), held_out)
    kept = Labelled(*zip(*((row.input, row.value, row.weight) for row in held_out), strict=True))
    return unrivalled(report, model, why, by_held_out(model, taught, kept), held_out)


def _objected(desk: DeskPort, control: Control, report: Report, model: Model) -> Report:
    """A better model waits while autopilot would lose by it what is certified today."""
    if not report.promoted or control.settings.guarantee is None:
        return report
    why = desk.objection(control, Served(report.version, model))
    return report if why is None else Report.from_dict(report.to_dict() | {"promoted": False, "reason": why})


def _in_force(control: Control, rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """The rows whose label is still one of the loop's, each with the label as the loop has it."""
    labels = Labels.of(control.settings)
    if labels is None:
        return list(rows)
    return [replace(row, value=labels.own(row.value)) for row in rows if row.value in labels]


def last_words(rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """One row a case: where a second reviewer was asked, what they said."""
    latest = {row.case_id: row for row in sorted(rows, key=lambda row: (row.at, row.id))}
    return [row for row in rows if latest[row.case_id] is row]


def _skipped(rows: Sequence[TrainingRow], usable: Sequence[TrainingRow]) -> list[TrainingRow]:
    """Labels that nothing is to be learned from; marked as well, or they would count as waiting for ever."""
    taken = {row.id for row in usable}
    return [row for row in rows if row.kind == "label" and row.id not in taken]


def _taught(control: Control, rows: Sequence[TrainingRow], start: StartSet) -> Labelled:
    """What a model is to learn from; `ModelError` where there is too little of it, or where labels are no classes."""
    inputs = [*start.inputs, *(row.input for row in rows)]
    labels = [*start.labels, *(row.value for row in rows)]
    if len(labels) < MIN_TRAINING:
        raise ModelError(f"loop {control.loop!r} has {len(labels)} labels to train on, and needs {MIN_TRAINING}",
                         hint="Answer more cases; the count of unused answers is on the front page.")  # fmt: skip
    if control.settings.labels is None:
        _check_classes(control, labels)
    return Labelled(inputs, labels, [1.0] * len(start.labels) + [row.weight for row in rows])


def _check_classes(control: Control, labels: Sequence[JSON]) -> None:
    """Refuse labels of a loop that names none where they are a quantity, or where hardly any comes back.

    A quantity that is nearly right is wrong all the same, so that no model could say how sure it is to be right.
    """
    numbers = {class_key(label) for label in labels if isinstance(label, int | float) and not isinstance(label, bool)}
    many = sum(isinstance(label, int | float) and not isinstance(label, bool) for label in labels)
    kinds = len({class_key(label) for label in labels})
    if 2 * many > len(labels) and (len(numbers) > MOST_NUMBERS or 3 * len(numbers) > many):
        raise ModelError(
            f"the labels of loop {control.loop!r} are a quantity, {len(numbers)} different numbers among {many}, and "
            "a model learns to tell classes apart",
            hint='List the classes in `labels`, also where they are numbers, or label ranges such as "100 to 200".',
        )
    if 2 * kinds > len(labels):
        raise ModelError(
            f"of {len(labels)} labels of loop {control.loop!r} {kinds} are different: hardly any comes back, so "
            "that there is nothing to learn about it",
            hint="Answer more cases, or list the classes in `labels`.",
        )


def split(desk: DeskPort, control: Control, rows: Sequence[TrainingRow]) -> Split:
    """The held-out share is fixed by case for ever; what was imported was no draw of this loop and only trains."""
    share, secret = _feedback(control).holdout, desk.steps.secret
    parts = Split([], [], [])
    for row in rows:
        if row.origin != "live":
            parts.train.append(row)
        elif for_evidence(secret, control, row.case_id):
            parts.evidence.append(row)
        else:
            (parts.held_out if draw(secret, PURPOSE, row.case_id) < share else parts.train).append(row)
    return parts


def for_evidence(secret: bytes, control: Control, case_id: str) -> bool:
    """Whether the label of a case only certifies and never trains; fixed by draw, for ever."""
    guarantee = control.settings.guarantee
    return guarantee is not None and draw(secret, EVIDENCE, case_id) < guarantee.evidence


def for_comparison(secret: bytes, control: Control, case_id: str) -> bool:
    """Whether models are compared on the label of a case, which then neither trains nor certifies."""
    feedback = control.settings.feedback
    held_out = feedback is not None and draw(secret, PURPOSE, case_id) < feedback.holdout
    return held_out and not for_evidence(secret, control, case_id)


def should_train(desk: DeskPort, loop: str, *, now: int | None = None) -> bool:
    """Whether N answers wait unused, or any does and the period since the last training has passed.

    After a training that failed it is not, until its time or more answers have come.
    """
    control = desk.control(loop)
    feedback = control.settings.feedback if control is not None else None
    if control is None or feedback is None or feedback.trainer in NONE or control.settings.mode != "labels":
        return False
    waiting, at = desk.store.queries.unfed().get(loop, 0), desk.steps.now() if now is None else now
    if not may_try(control.untrained.get(MODEL), waiting, feedback.retrain_every, at):
        return False
    if feedback.retrain_every is not None and waiting >= feedback.retrain_every:
        return True
    period = microseconds(feedback.or_every)
    if period is None or waiting == 0:
        return False
    return at - _last_training(desk, control) >= period


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


def _last_training(desk: DeskPort, control: Control) -> int:
    """When the last model was made, or the first example where none was."""
    queries = desk.store.queries
    models: list[ModelRow] = [row for row in queries.models(control.loop_id) if row.state != RISK]
    if models:
        return max(model.created_at for model in models)
    return int(next((e.at for e in queries.examples(control.loop_id, limit=1)), 0))


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


# Labels that were there before the loop: every model trains on them, and its row names them.
#
# They are kept in a file beside the models, named by its digest, so that any later training finds and verifies them.


class StartSet(NamedTuple):
    """Inputs with their labels, and a sentence on where they come from."""

    source: str
    inputs: Sequence[JSON]
    labels: Sequence[JSON]

    def listed(self) -> StartSet:
        """The same with rows as lists of plain values, also where they came as arrays or with numbers of NumPy."""
        return StartSet(self.source, _listed(self.inputs), _listed(self.labels))

    def within(self, labels: Labels | None) -> StartSet:
        """The rows whose label is one of a set."""
        if labels is None:
            return self
        rows = labels.places(self.labels)
        return StartSet(self.source, [self.inputs[row] for row in rows], [labels.own(self.labels[row]) for row in rows])

    def to_bytes(self) -> bytes:
        """The file's content: JSON with sorted keys."""
        said = {"source": self.source, "inputs": list(self.inputs), "labels": list(self.labels)}
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


NOTHING = StartSet("", (), ())


def _listed(values: Any) -> list[JSON]:
    return list(plain(values.tolist() if hasattr(values, "tolist") else list(values)))


def keep(desk: DeskPort, start: StartSet) -> dict[str, JSON] | None:
    """Write the file of a start set; what a model's row says of it."""
    if not start.labels:
        return None
    data = start.to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path = model_folder(desk) / file_name(digest)
    if not path.exists():
        write(path, data)
    return {"source": start.source, "rows": len(start.labels), "sha256": digest}


def remembered(desk: DeskPort, control: Control) -> StartSet:
    """The start set of the loop's newest model; `ModelError` when its file is missing or altered."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    said = next((row.metrics.get("start") for row in rows if row.state != RISK), None)
    if not said:
        return NOTHING
    path = inside(model_folder(desk), file_name(said["sha256"]))
    if path is None:
        raise ModelError(f"the start labels of loop {control.loop!r} lie outside the folder of models")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the start labels of loop {control.loop!r} are missing ({type(error).__name__})") from error
    if hashlib.sha256(data).hexdigest() != said["sha256"]:
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


def may_try(last: Untrained | None, waiting: int, enough: int | None, now: int) -> bool:
    """Whether to try after a failure: once its time has come, or when so many more answers wait as a training takes."""
    if last is None or now >= last.retry_at:
        return True
    return waiting >= last.waiting + max(enough or MORE, MORE)


def record_failure(desk: DeskPort, control: Control, what: str, trainer: str, error: BaseException) -> None:
    """Write down why a training came to nothing, unless another program has just done so.

    Where that cannot be written though the database is there, the log alone has it.
    """
    code, reason = described(error)
    log.warning("training of the %s of loop %s failed: %s", what, control.loop, reason)
    log.debug("in full", exc_info=error)
    before, waiting = control.untrained.get(what), desk.store.queries.unfed().get(control.loop, 0)
    attempt = 1 if before is None else before.attempt + 1
    pause = min(FIRST * 2 ** min(attempt - 1, 30), LONGEST)

    def make(now: Control, at: int) -> list[Event]:
        if now.untrained.get(what) != before:
            return []
        return [TrainingFailed(at=at, what=what, trainer=trainer, code=code, reason=reason, attempt=attempt,
                               retry_at=at + pause, waiting=waiting)]  # fmt: skip

    try:
        desk.steps.move(control.loop, make)
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
