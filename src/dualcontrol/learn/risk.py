"""The risk model in force: loaded once a version, and only when its file is the one that was learned.

A file that is missing or altered closes autopilot for its loop; put back, it opens it again.  A program without the
extra, or with a version of it that cannot read the file, scores nothing, so that every case it proposes goes to a
human.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from dualcontrol.case import JSON, ModelRow, Value
from dualcontrol.commands import Propose
from dualcontrol.control import RISK_FILE, Cause, Control
from dualcontrol.errors import ModelError
from dualcontrol.events import AutopilotOpened, Event, ScoreChanged
from dualcontrol.learn.features import Features, of_proposal
from dualcontrol.learn.promotion import write_file
from dualcontrol.learn.serving import check_one, closing, failing, opening
from dualcontrol.learn.trainers import DeskPort, optional
from dualcontrol.learn.trusted import unchanged

log = logging.getLogger("dualcontrol.learn")
MODULE, EXTRA = "dualcontrol.learn.risk_model", "learn"
RISK = "risk"  # the state of a risk model's row
FILE = "the risk model file of "  # how what is wrong with one is said

_loaded: WeakKeyDictionary[Any, dict[tuple[str, str], Any]] = WeakKeyDictionary()


def chance_of_being_right(desk: DeskPort, control: Control, command: Propose) -> float | None:
    """One less the learned probability that a proposal is wrong; None where there is no model to say it."""
    model = _model(desk, control)
    return None if model is None else 1.0 - float(model.p_wrong([of_proposal(command)])[0])


def _model(desk: DeskPort, control: Control) -> Any:
    """The loop's risk model, cached by version; one that cannot be used is tried again by the next program."""
    if control.scores_by is None:
        return None
    cache, key = _loaded.setdefault(desk, {}), (control.loop, control.scores_by)
    if key not in cache:
        cache[key] = _tried(desk, control)
    return cache[key]


def _tried(desk: DeskPort, control: Control) -> Any:
    try:
        data = verified(desk, control)
    except ModelError as error:
        close(desk, control, error.message)
        return None
    reopen(desk, control)
    try:
        return optional(MODULE, EXTRA).RiskModel.from_bytes(data)
    except Exception as error:  # the extra is missing, or whatever unpickling raises under another version of it
        log.warning("loop %s is not scored by this program: %s", control.loop, error)
        return None


def verified(desk: DeskPort, control: Control) -> bytes:
    """The bytes of the risk model in force, checked against the digest of those that were learned."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    row = next((row for row in rows if row.version == control.scorer), None)
    if row is None:
        raise ModelError(
            f"{FILE}{control.scorer} cannot be checked, since the database has no row of it: restore "
            f"the database, or learn again with `dualcontrol train {control.loop} --risk`"
        )
    return unchanged(desk, row, FILE)


def check(desk: DeskPort) -> dict[str, str]:
    """Verify the risk model of every loop that is scored by one, as at a restart; why each that fails was closed."""
    return failing(desk, lambda control: None if control.scores_by is None else _check_one(desk, control))


def _check_one(desk: DeskPort, control: Control) -> str | None:
    try:
        verified(desk, control)
    except ModelError as error:
        close(desk, control, error.message)
        return error.message
    reopen(desk, control)
    return None


def close(desk: DeskPort, control: Control, reason: str) -> None:
    """Send everything of a loop to humans, unless another risk model has taken over."""
    cause = Cause(by=RISK_FILE, model=control.scorer)
    desk.steps.move(
        control.loop, lambda now, at: [] if now.scorer != control.scorer else closing(now, at, cause, reason)
    )


def reopen(desk: DeskPort, control: Control) -> None:
    """End the closure by a file that is there again, as it was learned; the file of the loop's model closes on."""
    if not control.closed_by("", RISK_FILE, control.scorer):
        return
    desk.steps.move(control.loop, lambda now, at: [] if now.closed != control.closed else opening(now, at))
    if control.model is not None:
        check_one(desk, control)


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
    """Fit and put in force; `ModelError` when the decisions are too few, `MissingExtraError` without scikit-learn."""
    kind = optional(MODULE, EXTRA).RiskModel
    wrong = [row.wrong for row in rows]
    model = kind.fit([row.features for row in rows], wrong, [row.weight for row in rows], seed=seed)
    count = len(desk.store.queries.models(control.loop_id))
    report = RiskReport(
        loop=control.loop, version=f"{control.loop}-risk-{count + 1}-{desk.steps.new_id()[-4:]}", in_force=False,
        examples=len(rows), wrong=sum(wrong), left_out=left_out, before=control.scorer, reason=reason,
    )  # fmt: skip
    return _recorded(desk, control, report, model.to_bytes())


def _recorded(desk: DeskPort, control: Control, report: RiskReport, data: bytes) -> RiskReport:
    """File first, then row, then event: a crash in between leaves nothing in force that is not there."""
    path, digest = write_file(desk, control, report.version, data)
    metrics: dict[str, JSON] = {"wrong": report.wrong, "reason": report.reason, "before": report.before}
    row = ModelRow(
        id=desk.steps.new_id(), loop_id=control.loop_id, version=report.version, path=path, sha256=digest,
        state=RISK, examples=report.examples, metrics=metrics, created_at=desk.steps.now(),
    )  # fmt: skip
    with desk.store.transaction() as tx:
        tx.save_model(row)
    after = desk.steps.move(control.loop, lambda now, at: _changed(control, now, at, report, (path, digest)))
    return RiskReport.from_dict(report.to_dict() | {"in_force": after.scorer == report.version})


def _changed(before: Control, now: Control, at: int, report: RiskReport, file: tuple[str, str]) -> list[Event]:
    """The new score, unless another was learned meanwhile; it opens what was closed for the file of the one before."""
    if now.scorer != before.scorer or not now.learned:
        return []
    said: dict[str, Any] = {
        "model": report.version, "examples": report.examples, "reason": report.reason, "file": file[0],
        "sha256": file[1],
    }  # fmt: skip
    made: list[Event] = [ScoreChanged(version=now.version + 1, at=at, **said)]
    if now.closed_by("", RISK_FILE):
        reason = f"risk model {report.version} took over"
        made.append(AutopilotOpened(version=now.version + 2, at=at, segment="", reason=reason))
    return made
