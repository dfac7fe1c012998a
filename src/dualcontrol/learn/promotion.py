"""Promotion: the candidate's file, its row, the event that puts it in force, and the marks on what it learned from."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

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


def save_row(
    desk: DeskPort, control: Control, version: str, file: tuple[str, str], *,
    state: str, examples: int, metrics: dict[str, JSON],
) -> ModelRow:  # fmt: skip
    """Save the row of a model whose file is written."""
    row = ModelRow(
        id=desk.steps.new_id(), loop_id=control.loop_id, version=version, path=file[0], sha256=file[1],
        state=state, examples=examples, metrics=metrics, created_at=desk.steps.now(),
    )  # fmt: skip
    with desk.store.transaction() as tx:
        tx.save_model(row)
    return row


def record(
    desk: DeskPort, control: Control, report: Report, file: tuple[str, str],
    used: Sequence[tuple[Sequence[TrainingRow], str]],
) -> Report:  # fmt: skip
    """Record a candidate whose file is written, and put it in force if it is promoted and no other was meanwhile.

    File first, then row, then event, then marks: a crash in between leaves nothing in force that is not there.  `used`
    holds the rows that this training took, with the mark that says what for; one that was skipped may be learned from
    later.  Autopilot that was closed because a model file was bad opens with the model that takes over.
    """
    metrics: dict[str, JSON] = {k: v for k, v in report.to_dict().items() if k not in ("loop", "version")}
    row = save_row(desk, control, report.version, file, state="candidate", examples=report.trained, metrics=metrics)
    facts: dict[str, Any] = {
        "model": report.version, "examples": report.trained, "metric": "log_loss",
        "score": real(report.candidate.log_loss if report.candidate else None) or "", "incumbent": report.incumbent,
        "file": file[0], "sha256": file[1],
    }  # fmt: skip

    def moved(now: Control, at: int) -> list[Event]:
        if not report.promoted or now.model != control.model:
            return [ModelKept(at=at, **facts)]
        return [ModelPromoted(version=now.version + 1, at=at, **facts)]

    def reopened(now: Control, at: int) -> list[Event]:
        if not now.closed_by("", MODEL_FILE):
            return []
        return [AutopilotOpened(version=now.version + 1, at=at, segment="", reason=f"model {now.model} took over")]

    after = desk.steps.move(control.loop, moved)
    if after.model == report.version:
        after = desk.steps.move(control.loop, reopened)
    promoted = after.model == report.version
    with desk.store.transaction() as tx:
        tx.save_model(replace(row, state="promoted" if promoted else "kept"))
        for rows, name in used:
            again = not name.endswith(SKIPPED)
            ids = [r.id for r in rows if r.used_by is None or (again and r.used_by.endswith(SKIPPED))]
            tx.mark_used(control.loop_id, ids, name)
    if report.promoted and not promoted:
        return replace(report, promoted=False, reason="another model took over meanwhile")
    return report


# Files that are there whole or not at all, that stay after a power cut, and that only their owner may read.


def write(path: Path, data: bytes) -> None:
    """Write beside the target, force it to disk, and rename; folders that are made on the way are private too."""
    for folder in reversed(path.parents):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)  # whatever the umask
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        if hasattr(os, "fchmod"):
            os.fchmod(file.fileno(), 0o600)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    if os.name == "posix":
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
