"""Promotion: the candidate's file, its row, the event that puts it in force, and the marks on what it learned from."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualcontrol.case import JSON, ModelRow
from dualcontrol.control import MODEL_FILE, Control
from dualcontrol.events import AutopilotOpened, Event, ModelKept, ModelPromoted, real
from dualcontrol.learn.examples import TrainingRow
from dualcontrol.learn.report import Report
from dualcontrol.learn.trainers import DeskPort
from dualcontrol.learn.trusted import model_folder

SKIPPED = "/skipped"  # how the mark of a row ends that nothing was learned from
UNFIT = re.compile(r"[^A-Za-z0-9.-]+")  # for a file's name


def write_file(desk: DeskPort, control: Control, version: str, data: bytes) -> tuple[str, str]:
    """Write the model's file, whole or not at all; its name and digest."""
    digest = hashlib.sha256(data).hexdigest()
    name = f"{control.loop_id}-{UNFIT.sub('_', version)[-80:]}-{digest[:12]}.joblib"
    write(model_folder(desk) / name, data)
    return name, digest


def record(
    desk: DeskPort, control: Control, report: Report, file: tuple[str, str],
    used: Sequence[tuple[Sequence[TrainingRow], str]],
) -> Report:  # fmt: skip
    """File first, then row, then event, then marks: a crash in between leaves nothing in force that is not there."""
    metrics: dict[str, JSON] = {k: v for k, v in report.to_dict().items() if k not in ("loop", "version")}
    row = ModelRow(
        id=desk.steps.new_id(), loop_id=control.loop_id, version=report.version, path=file[0], sha256=file[1],
        state="candidate", examples=report.trained, metrics=metrics, created_at=desk.steps.now(),
    )  # fmt: skip
    with desk.store.transaction() as tx:
        tx.save_model(row)
    after = _moved(desk, control, report, file)
    promoted = after.model == report.version
    if report.promoted and not promoted:
        report = Report.from_dict(report.to_dict() | {"promoted": False, "reason": "another model took over meanwhile"})
    with desk.store.transaction() as tx:
        tx.save_model(ModelRow.from_dict(row.to_dict() | {"state": "promoted" if promoted else "kept"}))
        for rows, name in used:
            tx.mark_used(control.loop_id, [r.id for r in rows if _unmarked(r, name)], name)
    return report


def _unmarked(row: TrainingRow, name: str) -> bool:
    """Whether nothing says yet what became of a row; one that was skipped may be learned from later."""
    return row.used_by is None or (row.used_by.endswith(SKIPPED) and not name.endswith(SKIPPED))


def _moved(desk: DeskPort, control: Control, report: Report, file: tuple[str, str]) -> Control:
    said: dict[str, Any] = {
        "model": report.version, "examples": report.trained, "metric": "log_loss",
        "score": real(report.candidate.log_loss if report.candidate else None) or "", "incumbent": report.incumbent,
        "file": file[0], "sha256": file[1],
    }  # fmt: skip

    def make(now: Control, at: int) -> list[Event]:
        if not report.promoted or now.model != control.model:
            return [ModelKept(at=at, **said)]
        return [ModelPromoted(version=now.version + 1, at=at, **said)]

    after = desk.steps.move(control.loop, make)
    return _reopened(desk, after) if after.model == report.version else after


def _reopened(desk: DeskPort, control: Control) -> Control:
    """Autopilot that was closed because a model file was bad opens with the model that takes its place."""

    def make(now: Control, at: int) -> list[Event]:
        if not now.closed_by("", MODEL_FILE):
            return []
        return [AutopilotOpened(version=now.version + 1, at=at, segment="", reason=f"model {now.model} took over")]

    return desk.steps.move(control.loop, make)


# Files that are there whole or not at all, that stay after a power cut, and that only their owner may read.


def write(path: Path, data: bytes) -> None:
    """Write beside the target, force it to disk, and rename; folders that are made on the way are private too."""
    _folder(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open(partial, "xb", opener=_private) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    _sync(path.parent)


def _folder(path: Path) -> None:
    """Make a folder and those above it, each for its owner alone, whatever the umask."""
    if path.is_dir():
        return
    _folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)


def _private(path: str, flags: int) -> int:
    handle = os.open(path, flags, 0o600)
    if hasattr(os, "fchmod"):
        os.fchmod(handle, 0o600)
    return handle


def _sync(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
