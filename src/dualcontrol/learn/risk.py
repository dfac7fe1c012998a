"""The risk model in force: loaded once a version, and only when its file is the one that was learned.

A file that is missing or altered closes autopilot for its loop; put back, it opens it again.  A program without the
extra, or with a version of it that cannot read the file, scores nothing, so that every case it proposes goes to a
human.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from dualcontrol.case import JSON, Value
from dualcontrol.commands import Propose
from dualcontrol.control import RISK_FILE, Control
from dualcontrol.errors import ModelError
from dualcontrol.events import AutopilotOpened, Event, ScoreChanged
from dualcontrol.learn import serving
from dualcontrol.learn.features import Features, of_proposal
from dualcontrol.learn.promotion import save_row, write_file
from dualcontrol.learn.trainers import DeskPort, optional

log = logging.getLogger("dualcontrol.learn")
MODULE, EXTRA = "dualcontrol.learn.risk_model", "learn"
RISK = "risk"  # the state of a risk model's row
SCORER = serving.ModelFile(
    RISK_FILE, "the risk model file of ", "learn again with `dualcontrol train {} --risk`", attrgetter("scorer")
)

_loaded: WeakKeyDictionary[Any, dict[tuple[str, str], Any]] = WeakKeyDictionary()


def chance_of_being_right(desk: DeskPort, control: Control, command: Propose) -> float | None:
    """One less the learned probability that a proposal is wrong; None where there is no model to say it.

    Models are cached by version; one that cannot be used is tried again by the next program.  Where confidence goes on
    without it, nothing closes: what the learned order would let through goes to people, and the other acts.
    """
    if control.chances_by is None:
        return None
    cache, key = _loaded.setdefault(desk, {}), (control.loop, control.chances_by)
    if key not in cache:
        model = None
        try:
            _, data = serving.verified(desk, control, SCORER)
        except ModelError as error:
            if control.learned:
                serving.close(desk, control, error.message, SCORER)
            log.warning("loop %s is not scored by its risk model: %s", control.loop, error.message)
        else:
            serving.reopen(desk, control, SCORER)
            try:
                model = optional(MODULE, EXTRA).RiskModel.from_bytes(data)
            except Exception as error:  # the extra is missing, or whatever unpickling raises under another version
                log.warning("loop %s is not scored by this program: %s", control.loop, error)
        cache[key] = model
    return None if cache[key] is None else 1.0 - float(cache[key].p_wrong([of_proposal(command)])[0])


def check(desk: DeskPort) -> dict[str, str]:
    """Verify the risk model of every loop that is scored by one, as at a restart; why each that fails was closed."""
    return serving.check(desk, SCORER, attrgetter("scores_by"))


# Learning the chance that a proposal is right: from decisions to a risk model in force, and nothing certified for it.
#
# Decisions that were learned from are never evidence: the certificate begins with those that come after
# (`ScoreChanged`).


class RiskExample(NamedTuple):
    """A decided case as a risk model learns it: features, whether the proposal was wrong, and one over inclusion."""

    case_id: str
    features: Features
    wrong: int
    weight: float


class RiskReport(Value, frozen=True, kw_only=True, omit_defaults=False):
    """What came of learning a risk model; `in_force` is false where another was learned meanwhile."""

    loop: str
    version: str
    in_force: bool
    examples: int
    wrong: int
    left_out: int
    before: str | None = None
    reason: str = ""


def fitted(
    desk: DeskPort, control: Control, rows: Sequence[RiskExample], *, left_out: int, reason: str, seed: int = 0
) -> RiskReport:  # fmt: skip
    """Fit and put in force; `ModelError` when the decisions are too few, `MissingExtraError` without scikit-learn.

    File first, then row, then event: a crash in between leaves nothing in force that is not there.
    """
    wrong, before = [row.wrong for row in rows], control.scorer
    model = optional(MODULE, EXTRA).RiskModel.fit(
        [row.features for row in rows], wrong, [row.weight for row in rows], seed=seed
    )
    count = len(desk.store.queries.models(control.loop_id))
    version = f"{control.loop}-risk-{count + 1}-{desk.steps.new_id()[-4:]}"
    path, digest = write_file(desk, control, version, model.to_bytes())
    metrics: dict[str, JSON] = {"wrong": sum(wrong), "reason": reason, "before": before}
    save_row(desk, control, version, (path, digest), state=RISK, examples=len(rows), metrics=metrics)

    def changed(now: Control, at: int) -> list[Event]:
        """The new score, unless another was learned meanwhile; it opens what the file of the one before closed."""
        if now.scorer != before or not (now.learned or now.beside):
            return []
        events: list[Event] = [ScoreChanged(version=now.version + 1, at=at, model=version, examples=len(rows),
                                            reason=reason, file=path, sha256=digest, beside=now.beside)]  # fmt: skip
        if now.closed_by("", RISK_FILE):
            events.append(AutopilotOpened(version=now.version + 2, at=at, segment="",
                                          reason=f"risk model {version} took over"))  # fmt: skip
        return events

    in_force = desk.steps.move(control.loop, changed).scorer == version
    return RiskReport(
        loop=control.loop, version=version, in_force=in_force, examples=len(rows), wrong=sum(wrong),
        left_out=left_out, before=before, reason=reason,
    )  # fmt: skip
