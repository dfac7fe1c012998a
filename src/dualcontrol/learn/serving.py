"""The model in force: loaded once a version, and only when its file is the one that was promoted.

A model file that is missing or altered closes autopilot for its loop: its scores are worth nothing, and the
ledger, the page and ``dualcontrol doctor`` say why.  The very file put back opens it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from dualcontrol.case import JSON, ModelRow, plain
from dualcontrol.control import ALARM, MODEL_FILE, PERSON, Cause, Control
from dualcontrol.errors import GuaranteeError, MissingExtraError, ModelError
from dualcontrol.events import AutopilotClosed, AutopilotOpened, Event
from dualcontrol.labels import ByLabel, Labels
from dualcontrol.learn.trainers import DeskPort, Floats, Model
from dualcontrol.learn.trusted import UnnamedTrainerError, trusted, unchanged

log = logging.getLogger("dualcontrol.learn")
FILE = "the model file of "  # how what is wrong with one is said


class ModelOutput(NamedTuple):
    """What the model says of one input: the likeliest label, its probability, and each label's."""

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
        return tuple(self.model.classes[place] for place in self._kept())

    def _kept(self) -> list[int]:
        labels = self._labels()
        return list(range(len(self.model.classes))) if labels is None else labels.places(self.model.classes)

    def predict_proba(self, inputs: Sequence[JSON]) -> Floats:
        """One row an input, one column a class; a row sums to less than 1 where labels were removed."""
        return self._chances(inputs, self._kept())

    def _chances(self, inputs: Sequence[JSON], kept: list[int]) -> Floats:
        return np.asarray(self.model.predict_proba(plain(list(inputs))))[:, kept]

    def score(self, given: JSON) -> ModelOutput:
        """The model's label for one input, with probabilities that may stand as `confidence` and `scores`."""
        return self.score_all([given])[0]

    def score_all(self, inputs: Sequence[JSON]) -> list[ModelOutput]:
        """The same for many inputs at once, which is much faster."""
        kept = self._kept()
        if not kept:
            raise ModelError(
                f"model {self.version} knows none of the labels that its loop has now",
                hint="Answer cases until the next training; until then no model can say anything.",
            )
        labels = [self.model.classes[place] for place in kept]
        return [_scored(labels, [float(p) for p in row]) for row in self._chances(inputs, kept)]


def _scored(labels: list[JSON], row: list[float]) -> ModelOutput:
    best = max(range(len(row)), key=row.__getitem__)
    return ModelOutput(labels[best], row[best], ByLabel(labels, row))


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
    cache = _loaded.setdefault(desk, {})
    key = (loop, control.model)
    if key not in cache:
        try:
            cache[key] = load(desk, control)
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


def load(desk: DeskPort, control: Control) -> Served:
    """The model of a control from its verified file; `ModelError` says what is wrong with it."""
    row = row_of(desk, control)
    data = verified(desk, row)
    model = trusted(desk, str(row.metrics.get("trainer", "sklearn"))).load(data)
    return Served(row.version, model, lambda: labels_of(desk, control.loop))


def labels_of(desk: DeskPort, loop: str) -> Labels | None:
    """The set of labels in force for a loop; None where any will do."""
    control = desk.control(loop)
    return None if control is None else Labels.of(control.settings)


def row_of(desk: DeskPort, control: Control) -> ModelRow:
    """The row of a control's model."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    found = next((row for row in rows if row.version == control.model), None)
    if found is None:
        raise ModelError(
            f"{FILE}{control.model} cannot be checked, since the database has no row of it: restore the "
            f"database, or train again with `dualcontrol train {control.loop}`"
        )
    return found


def verified(desk: DeskPort, row: ModelRow) -> bytes:
    """The bytes of a model's file, checked against the digest of the bytes that were promoted."""
    return unchanged(desk, row, FILE)


def check(desk: DeskPort) -> dict[str, str]:
    """Verify the model file of every loop, as at a restart: why those that fail are closed, by loop; the rest open."""
    return failing(desk, lambda control: None if control.model is None else check_one(desk, control))


def failing(desk: DeskPort, check_one: Callable[[Control], str | None]) -> dict[str, str]:
    """What a check says of each loop, where it says anything."""
    found = {control.loop: check_one(control) for control in desk.store.queries.loops()}
    return {loop: why for loop, why in found.items() if why is not None}


def check_one(desk: DeskPort, control: Control) -> str | None:
    """Verify the model file of a loop that has one, and close or open it; why it was closed."""
    try:
        verified(desk, row_of(desk, control))
    except ModelError as error:
        close(desk, control, error.message)
        return error.message
    reopen(desk, control)
    return None


def close(desk: DeskPort, control: Control, reason: str) -> None:
    """Send everything of a loop to humans, unless another model has taken over."""
    cause = Cause(by=MODEL_FILE, model=control.model)
    desk.steps.move(control.loop, lambda now, at: [] if now.model != control.model else closing(now, at, cause, reason))


def reopen(desk: DeskPort, control: Control) -> None:
    """End the closure by a file that is there again, as it was promoted."""
    if control.closed_by("", MODEL_FILE, control.model):
        desk.steps.move(control.loop, lambda now, at: [] if now.closed != control.closed else opening(now, at))


def closing(now: Control, at: int, cause: Cause, reason: str) -> list[Event]:
    """Close the whole loop; a closure by alarm gives way, since a new certificate would end it with the file gone."""
    if "" in now.closed and not now.closed_by("", ALARM):
        return []
    version = now.version + 1
    return [AutopilotClosed(version=version, at=at, segment="", cause=cause.by, model=cause.model, reason=reason)]


def stopped(now: Control, at: int, by: str, because: str, segment: str) -> Event:
    """A person closes a loop, or a segment of it; that stands until a person opens it again."""
    reason = f"{by} stopped it: {because}"
    return AutopilotClosed(version=now.version + 1, at=at, segment=segment, cause=PERSON, reason=reason)


def started(now: Control, at: int, by: str, because: str, segment: str) -> list[Event]:
    """A person opens what a person has closed; nothing where it is open."""
    if segment not in now.closed:
        return []
    cause = now.causes.get(segment)
    if cause is None or cause.by != PERSON:
        raise GuaranteeError(
            f"autopilot of loop {now.loop!r} was not stopped by a person: {now.closed[segment]}",
            hint="An alarm ends with a new certificate, a missing model with its file or another model.",
        )
    reason = f"{by} opened it again" + (f": {because}" if because else "")
    return [AutopilotOpened(version=now.version + 1, at=at, segment=segment, reason=reason)]


def opening(now: Control, at: int) -> list[Event]:
    """Open the whole loop: what is certified counts again."""
    return [AutopilotOpened(version=now.version + 1, at=at, segment="", reason="the model file is there again")]
