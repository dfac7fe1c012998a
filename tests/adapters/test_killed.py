"""kill -9 while a thread goes on: nothing approved is lost, nothing runs twice, and what nobody knows is listed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dualcontrol as dc

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).parent / "killed_agent.py"


class Program:
    """The program of one test, its database and its folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.takes(0)

    def takes(self, seconds: float) -> None:
        (self.folder / "takes").write_text(str(seconds))

    @property
    def ran(self) -> list[str]:
        log = self.folder / "ran.log"
        return log.read_text().split() if log.exists() else []

    def begin(self, verb: str) -> subprocess.Popen[str]:
        paths = [str(PROGRAM.parents[1]), *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
        arguments = [sys.executable, str(PROGRAM), self.url, verb, str(self.folder)]
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, verb: str) -> str:
        process = self.begin(verb)
        said, complained = process.communicate(timeout=120)
        assert process.returncode == 0, complained
        return said

    def kill(self, *, begun: bool = False, after: float = 0.0) -> None:
        """Continue the thread, and kill the program some seconds after that, or after the tool has `begun`."""
        process, patience = self.begin("resume"), time.monotonic() + 60
        while not ("begin" in self.ran if begun else (self.folder / "going").exists()):
            assert time.monotonic() < patience, process.communicate()
            time.sleep(0.002)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    """A paused thread whose one case was approved."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/dc.db" if sqlite else str(request.getfixturevalue("postgres_url"))
    made = Program(url, tmp_path)
    made.run("start")
    with dc.open(url) as desk:
        claim = desk.claim("ana", "orders")
        assert claim is not None
        claim.approve()
    return made


def effect(program: Program) -> tuple[str, str]:
    """The case of the tool's call, and the state of its effect."""
    with dc.open(program.url) as desk:
        desk.sweep()
        (row,) = desk.store.queries.cases(loop="orders").rows
        return row.id, row.effect


def test_killed_inside_the_tool_it_is_unknown_and_never_runs_again_by_itself(program: Program) -> None:
    program.takes(60)
    program.kill(begun=True)
    time.sleep(1.1)
    program.takes(0)
    assert effect(program)[1] == "unknown"
    for _ in range(2):
        assert "DC-EFFECT-UNKNOWN" in program.run("resume")
    assert program.ran == ["begin"]


@pytest.mark.parametrize("happened", [True, False])
def test_after_a_person_looked_the_thread_goes_on(program: Program, happened: bool) -> None:
    program.takes(60)
    program.kill(begun=True)
    time.sleep(1.1)
    program.takes(0)
    case_id, _ = effect(program)
    with dc.open(program.url) as desk:
        desk.resolve_effect(case_id, happened=happened, by="olga")
    said = program.run("resume")
    assert program.ran == (["begin"] if happened else ["begin", "begin", "end"])
    assert ("refunded 40.0 for A-17" in said) is not happened
    assert effect(program)[1] == "succeeded"


@pytest.mark.parametrize("after", [0.0, 0.03, 0.06, 0.12, 0.2])
def test_killed_at_any_time_nothing_is_lost_and_nothing_runs_twice(program: Program, after: float) -> None:
    program.takes(0.05)
    program.kill(after=after)
    time.sleep(1.1)
    said = program.run("resume")
    case_id, state = effect(program)
    if state == "unknown":
        assert program.ran == ["begin"] or program.ran == ["begin", "end"]
        assert "DC-EFFECT-UNKNOWN" in said
        with dc.open(program.url) as desk:
            assert [row.id for row in desk.store.queries.cases(loop="orders").rows if row.effect == "unknown"] == [
                case_id
            ]
    else:
        assert state == "succeeded"
        assert program.ran == ["begin", "end"]
