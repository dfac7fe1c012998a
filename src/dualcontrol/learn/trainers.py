"""Trainers and models: the protocols of both, and the trainers by name, each loaded when it is first used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from dualcontrol.case import JSON, Case
from dualcontrol.control import Control
from dualcontrol.errors import MissingExtraError, ModelError
from dualcontrol.events import Event

Floats = NDArray[np.float64]


class Model(Protocol):
    """A classifier with calibrated class probabilities."""

    @property
    def classes(self) -> tuple[JSON, ...]:
        """The labels it knows, as reviewers write them."""

    def predict_proba(self, inputs: Sequence[JSON]) -> Floats:
        """One row an input, one column a class; rows sum to 1."""


class Trainer(Protocol):
    """Fits classifiers, and turns them into bytes and back."""

    name: str

    def fit(self, inputs: Sequence[JSON], labels: Sequence[JSON], weights: Sequence[float], *, seed: int) -> Model:
        """A model of these labels; `weights` are one over the inclusion probability.  Same seed, same model."""

    def dump(self, model: Model) -> bytes:
        """The model as a file's content."""

    def load(self, data: bytes) -> Model:
        """The model that `dump` wrote; only for bytes whose digest has been checked."""


def trainer(name: str) -> Trainer:
    """The trainer of that name: one of ours, or what the user's class or factory at ``module:attribute`` gives.

    `MissingExtraError` when its package is not installed.
    """
    if OWN.fullmatch(name):
        module, _, attribute = name.partition(":")
        try:
            return cast(Trainer, getattr(import_module(module), attribute)())
        except (ImportError, AttributeError) as error:
            hint = "Name a module that this program can import, and a class in it."
            raise ModelError(f"the trainer {name!r} cannot be loaded: {error}", hint=hint) from error
    if name not in TRAINERS:
        raise ModelError(f"there is no trainer {name!r}; known are {', '.join(sorted(TRAINERS))}",
                         hint='Set feedback.trainer to one of them, "module:attribute" or "export".')  # fmt: skip
    return cast(Trainer, optional(*TRAINERS[name]).TRAINER())


def optional(module: str, extra: str) -> ModuleType:
    """A module of ours that needs an extra; `MissingExtraError` says how to install it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("dualcontrol"):
            raise
        raise MissingExtraError(f"this needs {error.name}, which the extra {extra!r} brings",
                                hint=f'Run: pip install "dualcontrol[{extra}]"', extra=extra) from error  # fmt: skip


def probabilities(model: Model, inputs: Sequence[JSON]) -> Floats:
    """A model's class probabilities, one row an input; uniform for an input it cannot take, where it can take others.

    `ModelError` where what it gives is no row of probabilities for each.
    """
    try:
        return _checked(model, inputs)
    except Exception:
        if len(inputs) < 2:
            raise
    rows, readable = np.full((len(inputs), len(model.classes)), 1.0 / max(len(model.classes), 1)), 0
    for place, value in enumerate(inputs):
        with suppress(Exception):  # an input of another kind; whatever the model raises for it
            rows[place] = _checked(model, [value])
            readable += 1
    return rows if readable else _checked(model, inputs)  # raises again


def _checked(model: Model, inputs: Sequence[JSON]) -> Floats:
    rows = np.asarray(model.predict_proba(inputs), dtype=float)
    if rows.shape != (len(inputs), len(model.classes)) or not ((rows >= 0.0) & (rows <= 1.0 + 1e-9)).all():
        raise ModelError("what the model says of inputs is no probability for each label",
                         hint="predict_proba gives one row an input and one number from 0 to 1 a class.")  # fmt: skip
    return rows


def class_key(label: JSON) -> str:
    """A label as text with sorted keys: equal text is the same class, and 1 is not "1"."""
    return json.dumps(label, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def positions(classes: Sequence[JSON], labels: Sequence[JSON]) -> NDArray[np.int64]:
    """The column of each label among the classes; -1 where the model does not know it."""
    columns = {class_key(label): place for place, label in enumerate(classes)}
    return np.array([columns.get(class_key(label), -1) for label in labels], dtype=np.int64)


# The trainers by name: settings check a name without loading what is behind it.


# Module of ours and the extra that it needs, by the name in the settings.
TRAINERS: dict[str, tuple[str, str]] = {"sklearn": ("dualcontrol.learn.sklearn_trainer", "learn")}
NONE = ("export", "off")
OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")  # a trainer of the user's, as module:attribute


def known(name: str) -> bool:
    """Whether a name stands for a trainer: one of ours, none, or the user's own."""
    return name in TRAINERS or name in NONE or OWN.fullmatch(name) is not None


# What learning needs of a desk: the ledger's read side, transactions, and the one way to change a control.


Move = Callable[[Control, int], Sequence[Event]]


class StepsPort(Protocol):
    """Time, ids, the secret of the draws, and changes of control."""

    @property
    def now(self) -> Callable[[], int]:
        """The time in microseconds, UTC."""

    @property
    def new_id(self) -> Callable[[], str]:
        """A new id."""

    @property
    def secret(self) -> bytes:
        """The secret of the draws."""

    def move(self, loop: str, make: Move) -> Control:
        """Change a loop's control by events."""


class DeskPort(Protocol):
    """A desk as learning sees it."""

    @property
    def steps(self) -> StepsPort:
        """The one mechanism."""

    @property
    def store(self) -> Any:
        """The store: its transactions and its read side."""

    @property
    def settings(self) -> Any:
        """The program's settings; None when the desk was made without."""

    @property
    def trainers(self) -> Container[str]:
        """The trainers that this program's own settings name."""

    def control(self, name: str) -> Control | None:
        """What governs a loop now; None where there is none of that name."""

    def governing(self, name: str) -> Control:
        """What governs a loop now; raises UnknownLoopError."""

    def case(self, case_id: str) -> Case:
        """A case with its content."""

    def objection(self, control: Control, model: Any) -> str | None:
        """Why a better model should not take over yet; None when nothing speaks against it."""
