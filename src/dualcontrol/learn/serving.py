"""The model in force: loaded once a version, and only when its file is the one that was promoted.

A model file that is missing or altered closes autopilot for its loop: its scores are worth nothing, and the
ledger, the page and ``dualcontrol doctor`` say why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from dualcontrol.case import JSON, ModelRow
from dualcontrol.control import Control
from dualcontrol.errors import ModelError
from dualcontrol.events import AutopilotClosed, Event
from dualcontrol.learn.ports import DeskPort
from dualcontrol.learn.trainers import Floats, Model, class_key, trainer

FOLDER = "dualcontrol-models"
CLOSED_BY_FILE = "the model file of "
Version = Callable[[Control], str | None]
Verify = Callable[[Control], object]
Shut = Callable[[DeskPort, Control, str], None]


class Scored(NamedTuple):
    """What the model says of one input: the likeliest label, its probability, and each label's."""

    label: JSON
    confidence: float
    scores: dict[Any, float]


class Served:
    """A promoted model, ready to score."""

    def __init__(self, version: str, model: Model) -> None:
        self.version, self.model = version, model

    @property
    def classes(self) -> tuple[JSON, ...]:
        """The labels it knows."""
        return self.model.classes

    def predict_proba(self, inputs: Sequence[JSON]) -> Floats:
        """One row an input, one column a class."""
        return self.model.predict_proba(inputs)

    def score(self, given: JSON) -> Scored:
        """The model's label for one input, with probabilities that may stand as `confidence` and `scores`."""
        return self.score_all([given])[0]

    def score_all(self, inputs: Sequence[JSON]) -> list[Scored]:
        """The same for many inputs at once, which is much faster."""
        names = [label if isinstance(label, str | int | float) else class_key(label) for label in self.classes]
        return [self._scored(names, [float(p) for p in row]) for row in self.predict_proba(inputs)]

    def _scored(self, names: list[JSON], row: list[float]) -> Scored:
        best = max(range(len(row)), key=row.__getitem__)
        return Scored(self.classes[best], row[best], dict(zip(names, row, strict=True)))


_loaded: WeakKeyDictionary[Any, dict[tuple[str, str], Served]] = WeakKeyDictionary()


def current_model(desk: DeskPort, loop: str) -> Served | None:
    """The loop's model in force, cached by version; None when there is none or its file cannot be trusted.

    In that last case autopilot is closed for the loop.
    """
    control = desk.control(loop)
    if control is None or control.model is None:
        return None
    cache = _loaded.setdefault(desk, {})
    key = (loop, control.model)
    if key not in cache:
        try:
            cache[key] = load(desk, control)
        except ModelError as error:
            close(desk, control, error.message)
            return None
    return cache[key]


def load(desk: DeskPort, control: Control) -> Served:
    """The model of a control from its verified file; `ModelError` says what is wrong with it."""
    row = row_of(desk, control)
    return Served(row.version, trainer(str(row.metrics.get("trainer", "sklearn"))).load(verified(desk, row)))


def row_of(desk: DeskPort, control: Control) -> ModelRow:
    """The row of a control's model."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    found = next((row for row in rows if row.version == control.model), None)
    if found is None:
        raise ModelError(f"model {control.model} of loop {control.loop} is not in the database")
    return found


def verified(desk: DeskPort, row: ModelRow) -> bytes:
    """The bytes of a model's file, checked against the digest of the bytes that were promoted."""
    return unchanged(model_folder(desk), row, CLOSED_BY_FILE)


def unchanged(folder: Path, row: ModelRow, words: str) -> bytes:
    """The bytes of a file that is there and as it was written; the error begins with `words`."""
    try:
        data = (folder / row.path).read_bytes()
    except OSError as error:
        raise ModelError(f"{words}{row.version} is missing ({type(error).__name__})") from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise ModelError(f"{words}{row.version} is not the one that was promoted: its digest differs")
    return data


def model_folder(desk: DeskPort) -> Path:
    """Where the model files of a desk lie."""
    return Path(getattr(desk.settings, "models", None) or FOLDER)


def check(desk: DeskPort) -> dict[str, str]:
    """Verify the model file of every loop, as at a restart; closes autopilot where it fails and says why, by loop."""
    return check_all(desk, _version, lambda control: verified(desk, row_of(desk, control)), close)


def close(desk: DeskPort, control: Control, reason: str) -> None:
    """Send everything of a loop to humans, unless that is so already or another model has taken over."""
    close_unless_replaced(desk, control, reason, _version)


def _version(control: Control) -> str | None:
    return control.model


def check_all(desk: DeskPort, version: Version, verify: Verify, shut: Shut) -> dict[str, str]:
    """Verify the file of every loop that has a model of a kind in force; why each that fails was shut, by loop."""
    failed: dict[str, str] = {}
    for control in desk.store.queries.loops():
        if version(control) is None:
            continue
        try:
            verify(control)
        except ModelError as error:
            failed[control.loop] = error.message
            shut(desk, control, error.message)
    return failed


def close_unless_replaced(desk: DeskPort, control: Control, reason: str, version: Version) -> None:
    """Close autopilot for a loop, unless it is closed already or has another version of the model by now."""

    def make(now: Control, at: int) -> list[Event]:
        if "" in now.closed or version(now) != version(control):
            return []
        return [AutopilotClosed(version=now.version + 1, at=at, segment="", reason=reason)]

    desk.steps.move(control.loop, make)
