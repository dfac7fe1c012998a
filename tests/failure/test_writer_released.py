"""SQLite has one writer: whatever goes wrong beside a transaction, the next one gets it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import dualcontrol as dc
from dualcontrol.store.sql import sqlite


def pay(loop: dc.Loop) -> dc.Case:
    return loop.propose(action="pay", args={}, input="x", confidence=0.1)


def test_a_checkpoint_thread_that_cannot_start_keeps_no_writer_and_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine may be out of threads: the commit stands, and SQLite checkpoints by itself meanwhile."""
    real, refused = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if thread.name == "dualcontrol-checkpoint" and len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(sqlite, "EVERY", 2)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    monkeypatch.setattr(threading.Thread, "start", start)
    with dc.open(f"sqlite:///{tmp_path}/dc.db", durability="process") as desk:
        loop = desk.loop("pay", threshold=0.9, context="minimal")
        cases = [pay(loop) for _ in range(10)]
        assert len(refused) == 2
        assert all(desk.case(case.id).seq == 1 for case in cases)
        assert any(thread.name == "dualcontrol-checkpoint" for thread in threading.enumerate())  # tried again


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///{}/dc.db"])
def test_a_clock_that_fails_keeps_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    broken: list[bool] = []

    def clock() -> int:
        if broken:
            raise OSError("no clock")
        return 1_767_225_600_000_000

    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    with dc.open(url.format(tmp_path), durability="process", clock=clock) as desk:
        loop = desk.loop("pay", threshold=0.9, context="minimal")
        broken.append(True)
        with pytest.raises(OSError, match="no clock"):
            pay(loop)
        broken.clear()
        assert pay(loop).seq == 1
