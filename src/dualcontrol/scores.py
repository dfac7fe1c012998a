"""Learned scores at the door: computed before the transaction that routes, so that nobody waits while a model thinks.

A score belongs to one risk model.  Where another one is in force by the time the transaction begins, the proposal is
scored anew and tried again: no case is ever routed on the score of a model that is not in force.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dualcontrol.commands import Propose
from dualcontrol.control import Control

log = logging.getLogger("dualcontrol.scores")
Scorer = Callable[[Control, Propose], float | None]


class Score(NamedTuple):
    """The chance that a proposal is right, by which risk model; None where that gave none."""

    scorer: str | None
    value: float | None


class UnscoredError(Exception):
    """The control in force asks for a score that was not computed ahead; nothing was written."""

    def __init__(self, control: Control) -> None:
        super().__init__(control.scorer)
        self.control = control


class Scores:
    """Scores proposals by the control that was last seen of their loop; `scorer` is injected by the desk."""

    def __init__(self, scorer: Scorer | None = None) -> None:
        self.scorer = scorer
        self._seen: dict[str, Control] = {}

    def ahead(self, command: Propose) -> Score | None:
        """The score of a proposal by what is known of its loop; None where its loop asked for none."""
        control = self._seen.get(command.loop)
        return None if control is None else Score(control.scorer, self._of(control, command))

    def facts(self, control: Control, score: Score | None) -> Mapping[str, float | None]:
        """What routing is told of the score; `UnscoredError` where it is not one of the model in force."""
        if control.scores_by is None:
            self._seen.pop(control.loop, None)
            return {}
        if score is None or score.scorer != control.scorer:
            self._seen[control.loop] = control
            raise UnscoredError(control)
        return {"score": score.value}

    def _of(self, control: Control, command: Propose) -> float | None:
        """A probability or nothing: whatever fails on the way sends the case to a human."""
        if self.scorer is None:
            return None
        try:
            value = self.scorer(control, command)
        except Exception:
            log.exception("a proposal of loop %s was not scored", control.loop)
            return None
        return float(value) if value is not None and 0.0 <= value <= 1.0 else None
