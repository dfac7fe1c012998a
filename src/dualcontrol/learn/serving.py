"""Model serving: the model in force, loaded once a version, and only when its file is the one that was promoted.

A model file that is missing or altered closes autopilot for its loop: its scores are worth nothing, and the
ledger, the page and ``dualcontrol doctor`` say why.  The very file put back opens it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from dualcontrol.case import JSON, ModelRow, plain
from dualcontrol.control import ALARM, MODEL_FILE, PERSON, Control
from dualcontrol.errors import GuaranteeError, MissingExtraError, ModelError
from dualcontrol.events import AutopilotClosed, AutopilotOpened, Event
from dualcontrol.labels import ByLabel, Labels
from dualcontrol.learn.trainers import DeskPort, Floats, Model
from dualcontrol.learn.trusted import UnnamedTrainerError, trusted, unchanged
from dualcontrol.people import may, refuse

log = logging.getLogger("dualcontrol.learn")


class ModelFile(NamedTuple):
    """A file that a loop's scores come from: what its loss is recorded as, how it is named, and how it is made again.

    `version` reads from a control which one is in force.
    """

    cause: str
    words: str
    again: str
    version: Callable[[Control], str | None]


CLASSIFIER = ModelFile(MODEL_FILE, "the model file of ", "train again with `dualcontrol train {}`", attrgetter("model"))


class ModelOutput(NamedTuple):
    """A model's output for one input: the likeliest label, its probability, and each label's."""

    label: JSON
    confidence: float
    scores: ByLabel


class Served:
    """A promoted model, ready to score.

    It says nothing of a label that the loop no longer has: the probability of that one is dropped, and not shared
    out among the others, so that what it was sure of before is doubt and goes to people until the next model.
    """

    def __init__(self, version: str, model: Model, labels: Callable[[], Labels | None] = lambda: None) -> None:
        self.version, self.model, self._labels = version, model, labels

    @property
    def classes(self) -> tuple[JSON, ...]:
        """The labels it knows, without those that the loop no longer has."""
        return tuple(self.model.classes[column] for column in self._columns())

    def _columns(self) -> list[int]:
        labels = self._labels()
        return list(range(len(self.model.classes))) if labels is None else labels.places(self.model.classes)

    def predict_proba(self, inputs: Sequence[JSON]) -> Floats:
        """Class probabilities, one row an input; a row sums to less than 1 where labels were removed."""
        return self._chances(inputs, self._columns())

    def _chances(self, inputs: Sequence[JSON], columns: list[int]) -> Floats:
        return np.asarray(self.model.predict_proba(plain(list(inputs))))[:, columns]

    def score(self, value: JSON) -> ModelOutput:
        """The model's label for one input, with probabilities that may stand as `confidence` and `scores`."""
        return self.score_all([value])[0]

    def score_all(self, inputs: Sequence[JSON]) -> list[ModelOutput]:
        """The same for many inputs at once, which is much faster."""
        columns = self._columns()
        if not columns:
            raise ModelError(
                f"model {self.version} knows none of the labels that its loop has now",
                hint="Answer cases until the next training; until then no model can say anything.",
            )
        labels, outputs = [self.model.classes[column] for column in columns], []
        for chances in self._chances(inputs, columns):
            row = [float(chance) for chance in chances]
            best = max(range(len(row)), key=row.__getitem__)
            outputs.append(ModelOutput(labels[best], row[best], ByLabel(labels, row)))
        return outputs


_loaded: WeakKeyDictionary[Any, dict[tuple[str, str], Served | None]] = WeakKeyDictionary()


def current_model(desk: DeskPort, loop: str) -> Served | None:
    """The loop's model in force, cached by version; None when there is none that can say anything.

    That is so where none was promoted, where it knows none of the labels that the loop has now, and where its file
    cannot be trusted: then autopilot is closed for the loop.
    """
    served = model_in_force(desk, loop)
    return served if served is not None and served.classes else None


def model_in_force(desk: DeskPort, loop: str) -> Served | None:
    """The same, also where it knows none of the labels.

    A file that this program cannot read, such as one of another version of scikit-learn, may be read by others: it
    closes nothing, and the model says nothing here.
    """
    control = desk.control(loop)
    if control is None or control.model is None:
        return None

    def labels() -> Labels | None:
        now = desk.control(loop)
        return None if now is None else Labels.of(now.settings)

    cache, key = _loaded.setdefault(desk, {}), (loop, control.model)
    if key not in cache:
        try:
            row, data = verified(desk, control)
            model = trusted(desk, str(row.metrics.get("trainer", "sklearn"))).load(data)
            cache[key] = Served(row.version, model, labels)
        except UnnamedTrainerError as error:  # other programs may use it: the loop stays open
            log.warning("loop %s is not scored by this program: %s", loop, error)
            return None
        except ModelError as error:
            close(desk, control, error.message)
            return None
        except MissingExtraError:
            raise
        except Exception as error:  # whatever unpickling raises
            log.warning("model %s cannot be read by this program: %s", control.model, type(error).__name__)
            cache[key] = None
            return None
        reopen(desk, control)
    return cache[key]


def verified(desk: DeskPort, control: Control, file: ModelFile = CLASSIFIER) -> tuple[ModelRow, bytes]:
    """The row of the model in force, and the bytes of its file, checked against those that were put in force.

    `ModelError` says what is wrong with it.
    """
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    row = next((row for row in rows if row.version == file.version(control)), None)
    if row is None:
        raise ModelError(
            f"{file.words}{file.version(control)} cannot be checked, since the database has no row of it: restore the "
            f"database, or {file.again.format(control.loop)}"
        )
    return row, unchanged(desk, row, file.words)


def check(
    desk: DeskPort, file: ModelFile = CLASSIFIER, governs: Callable[[Control], object] = attrgetter("model")
) -> dict[str, str]:  # fmt: skip
    """Verify the file of every loop that a model governs, as at a restart; by loop, why those that fail are closed."""
    controls = filter(governs, desk.store.queries.loops())
    reasons = {control.loop: check_one(desk, control, file) for control in controls}
    return {loop: reason for loop, reason in reasons.items() if reason is not None}


def check_one(desk: DeskPort, control: Control, file: ModelFile = CLASSIFIER) -> str | None:
    """Verify the model file of a loop that has one, and close or open it; why it was closed."""
    try:
        verified(desk, control, file)
    except ModelError as error:
        close(desk, control, error.message, file)
        return error.message
    reopen(desk, control, file)
    return None


def close(desk: DeskPort, control: Control, reason: str, file: ModelFile = CLASSIFIER) -> None:
    """Send everything of a loop to humans, unless another model has taken over.

    A closure by alarm gives way, since a new certificate would end it with the file gone.
    """
    version = file.version(control)

    def closed(now: Control, at: int) -> list[Event]:
        if file.version(now) != version or ("" in now.closed and not now.closed_by("", ALARM)):
            return []
        return [AutopilotClosed(version=now.version + 1, at=at, segment="", cause=file.cause, model=version,
                                reason=reason)]  # fmt: skip

    desk.steps.move(control.loop, closed)


def reopen(desk: DeskPort, control: Control, file: ModelFile = CLASSIFIER) -> None:
    """End the closure by a file that is there again, as it was put in force: what is certified counts again.

    Where it was another file than that of the loop's model, this one closes on.
    """
    if not control.closed_by("", file.cause, file.version(control)):
        return

    def opened(now: Control, at: int) -> list[Event]:
        if now.closed != control.closed:
            return []
        reason = "the model file is there again"
        return [AutopilotOpened(version=now.version + 1, at=at, segment="", reason=reason)]

    desk.steps.move(control.loop, opened)
    if file is not CLASSIFIER and control.model is not None:
        check_one(desk, control)


def stopped(now: Control, at: int, by: str, because: str, segment: str) -> Event:
    """A person closes a loop, or a segment of it; that stands until a person opens it again."""
    refuse(may(by, "stop", now))
    reason = f"{by} stopped it: {because}"
    return AutopilotClosed(version=now.version + 1, at=at, segment=segment, cause=PERSON, reason=reason)


def started(
    now: Control, at: int, by: str, because: str, segment: str, *, approved_by: str | None = None
) -> list[Event]:  # fmt: skip
    """A person opens what a person has closed, with the approval of a second where that takes two."""
    refuse(may(by, "resume", now))
    if segment not in now.closed:
        return []
    cause = now.causes.get(segment)
    if cause is None or cause.by != PERSON:
        raise GuaranteeError(
            f"autopilot of loop {now.loop!r} was not stopped by a person: {now.closed[segment]}",
            hint="An alarm ends with a new certificate, a missing model with its file or another model.",
        )
    author = f"{by}, approved by {approved_by}," if approved_by else by
    reason = f"{author} opened it again" + (f": {because}" if because else "")
    return [AutopilotOpened(version=now.version + 1, at=at, segment=segment, reason=reason)]
