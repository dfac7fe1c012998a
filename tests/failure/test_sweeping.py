"""Many cases due at once, with replicas that sweep at the same time and processes that are killed meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.testing import FakeClock

SWEEPER = """
import sys, time
import dualcontrol as dc
with dc.open(sys.argv[1], durability="process") as desk:
    print("ready", flush=True)
    sys.stdin.readline()
    print(desk.sweep(), flush=True)
"""


def opened(url: str, clock: Any = None) -> dc.Desk:
    desk = dc.open(url, durability="process", clock=clock)
    desk.loop("pay", threshold=0.9, context="minimal", respond_within="1h", on_timeout="reject")
    return desk


def filled(url: str, count: int) -> list[str]:
    """Cases whose time has passed: they were opened two hours ago."""
    clock = FakeClock(time.time_ns() // 1000 - 7_200_000_000)
    with opened(url, clock) as desk:
        rows = {"action": ["pay"] * count, "args.n": list(range(count)), "input.mail": ["please"] * count}
        return list(desk.loop("pay").propose_batch(rows | {"confidence": [0.5] * count}).cases.values())


class Sweepers:
    """Processes that sweep, each when told."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.running: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SWEEPER, self.url]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def go(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def sweepers(lasting_url: str) -> Iterator[Sweepers]:
    found = Sweepers(lasting_url)
    yield found
    for process in found.running:
        process.kill()
        process.communicate()


def ended_once(url: str, ids: list[str]) -> None:
    """Each case timed out once, in an entry of its own, and the record holds."""
    with dc.open(url, durability="process") as desk:
        while desk.store.sequence():
            pass
        told = [
            entry for entry in desk.store.feed(0, limit=10_000) if entry.actor == "system" and "case" in entry.stream
        ]
        assert sorted(entry.stream for entry in told) == sorted(f"case/{case_id}" for case_id in ids)
        for entry in told:
            assert [type(event).__name__ for event in entry.events] == ["TimedOut", "Concluded", "ReviewCancelled"]
        assert [f for f in examine(desk.store) if f.level == PROBLEM] == []


def test_replicas_share_the_work_and_do_nothing_twice(lasting_url: str, sweepers: Sweepers) -> None:
    ids = filled(lasting_url, 300)
    processes = [sweepers.start() for _ in range(2)]
    for process in processes:
        sweepers.go(process)
    done = [int(process.communicate(timeout=120)[0]) for process in processes]
    assert sum(done) == len(ids)
    ended_once(lasting_url, ids)


def test_a_sweeper_that_is_killed_loses_nothing(lasting_url: str, sweepers: Sweepers) -> None:
    ids = filled(lasting_url, 300)
    for moment in (0.05, 0.15, 0.3):
        process = sweepers.start()
        sweepers.go(process)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with opened(lasting_url) as desk:
        desk.sweep()
    ended_once(lasting_url, ids)


def test_answers_meet_a_sweep_of_the_same_cases(lasting_url: str) -> None:
    """Who answers a case that is being swept is told that it is over, or was in time; it ends once."""
    ids = filled(lasting_url, 120)
    said: list[str] = []
    with opened(lasting_url) as desk:

        def answer() -> None:
            for case_id in ids[::6]:
                try:
                    desk.claim("ana", case=case_id).reject("no")
                    said.append("done")
                except dc.DualcontrolError as error:
                    said.append(error.code)

        people = threading.Thread(target=answer)
        people.start()
        desk.sweep()
        people.join()
    assert set(said) <= {"done", "DC-SETTLED", "DC-CLAIM"}
    with dc.open(lasting_url, durability="process") as desk:
        assert all([type(e).__name__ for e in desk.events(i)].count("Concluded") == 1 for i in ids)
        assert [f for f in examine(desk.store) if f.level == PROBLEM] == []
