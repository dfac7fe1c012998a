"""Databases that outlive a process, the programs beside the tests, and one case that waits for a human."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.evolve import fold

BESIDE = Path(__file__).with_name("beside.py")
PAY = {"action": "pay", "args": {"order": "A-17", "amount": 420.0}, "input": {"mail": "please"}, "confidence": 0.5}


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lasting_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives a process."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dc.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def desk(lasting_url: str) -> Iterator[dc.Desk]:
    with dc.open(lasting_url, durability="process") as desk:
        yield desk


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return desk.loop("pay", threshold=0.9, context="minimal")


class Beside:
    """Programs in processes of their own; each prints a line when it is ready and begins when told."""

    def __init__(self, url: str, script: Path = BESIDE) -> None:
        self.url = url
        self.script = script
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one and wait until it is ready."""
        command = [sys.executable, str(self.script), self.url, *arguments]
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(started)
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        return started

    def go(self) -> None:
        """Let all begin at once."""
        for process in self.running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def said(self) -> list[str]:
        """What each printed last."""
        return [process.communicate(timeout=40)[0].strip().splitlines()[-1] for process in self.running]

    def end(self) -> None:
        """End what still runs."""
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def beside(lasting_url: str) -> Iterator[Beside]:
    programs = Beside(lasting_url)
    yield programs
    programs.end()


def kinds(desk: dc.Desk, case_id: str) -> list[str]:
    """What happened to a case, by kind."""
    return [type(event).__name__ for event in desk.events(case_id)]


def folded(desk: dc.Desk, case_id: str) -> Any:
    """The case that the entries of a case make up."""
    case = None
    for entry in desk.store.queries.entries(f"case/{case_id}"):
        case = fold(case, entry.events, seq=entry.seq)
    return case
