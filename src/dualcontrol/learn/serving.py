"""The model in force: loaded once a version, and only when its file is the one that was promoted.

A model file that is missing or altered closes autopilot for its loop: its scores are worth nothing, and the
ledger, the page and ``dualcontrol doctor`` say why.  The very file put back opens it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from dualcontrol.case import JSON, ModelRow
from dualcontrol.control import CLOSED_BY_ALARM, Control
from dualcontrol.errors import ModelError
from dualcontrol.events import AutopilotClosed, AutopilotOpened, Event
from dualcontrol.learn.ports import DeskPort
from dualcontrol.learn.trainers import Floats, Model, class_key
from dualcontrol.learn.trusted import UnnamedTrainerError, trusted, unchanged

log = logging.getLogger("dualcontrol.learn")
CLOSED_BY_FILE = "the model file of "


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
        except UnnamedTrainerError as error:  # other programs may use it: the loop stays open
            log.warning("loop %s is not scored by this program: %s", loop, error)
            return None
        except ModelError as error:
            close(desk, control, error.message)
            return None
        reopen(desk, control)
    return cache[key]


def load(desk: DeskPort, control: Control) -> Served:
    """The model of a control from its verified file; `ModelError` says what is wrong with it."""
    row = row_of(desk, control)
    data = verified(desk, row)
    return Served(row.version, trusted(desk, str(row.metrics.get("trainer", "sklearn"))).load(data))


def row_of(desk: DeskPort, control: Control) -> ModelRow:
    """The row of a control's model."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    found = next((row for row in rows if row.version == control.model), None)
    if found is None:
        raise ModelError(
            f"{CLOSED_BY_FILE}{control.model} cannot be checked, since the database has no row of it: restore the "
            f"database, or train again with `dualcontrol train {control.loop}`"
        )
    return found


def verified(desk: DeskPort, row: ModelRow) -> bytes:
    """The bytes of a model's file, checked against the digest of the bytes that were promoted."""
    return unchanged(desk, row, CLOSED_BY_FILE)


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
    desk.steps.move(control.loop, lambda now, at: [] if now.model != control.model else closing(now, at, reason))


def reopen(desk: DeskPort, control: Control) -> None:
    """End the closure by a file that is there again, as it was promoted."""
    if control.closed.get("", "").startswith(f"{CLOSED_BY_FILE}{control.model} "):
        desk.steps.move(control.loop, lambda now, at: [] if now.closed != control.closed else opening(now, at))


def closing(now: Control, at: int, reason: str) -> list[Event]:
    """Close the whole loop; a closure by alarm gives way, since a new certificate would end it with the file gone."""
    before = now.closed.get("")
    if before is not None and not before.startswith(CLOSED_BY_ALARM):
        return []
    return [AutopilotClosed(version=now.version + 1, at=at, segment="", reason=reason)]


def opening(now: Control, at: int) -> list[Event]:
    """Open the whole loop: what is certified counts again."""
    return [AutopilotOpened(version=now.version + 1, at=at, segment="", reason="the model file is there again")]
