"""Learning the chance that a proposal is right: from decisions to a risk model in force, and nothing certified for it.

Decisions that were learned from are never evidence: the certificate begins with those that come after (`ScoreChanged`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dualcontrol.case import JSON, ModelRow, Value
from dualcontrol.control import RISK_FILE, Control
from dualcontrol.events import AutopilotOpened, Event, ScoreChanged
from dualcontrol.learn.ports import DeskPort
from dualcontrol.learn.promotion import write_file
from dualcontrol.learn.risk_features import Features
from dualcontrol.learn.risk_serving import EXTRA, MODULE, RISK
from dualcontrol.learn.trainers import optional


class Labelled(NamedTuple):
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
    desk: DeskPort, control: Control, rows: Sequence[Labelled], *, left_out: int, reason: str, seed: int = 0
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
