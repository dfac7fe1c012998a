"""Killed after each kind of event, started again: the same outcome, and the effect happened once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from failure.trips import TRIPS

import dualcontrol as dc
from dualcontrol.events import EVENTS

SCRIPT = Path(__file__).with_name("trips.py")
Play = Callable[..., tuple[int, dict[str, Any] | None]]
DURABLE = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


# After every change on SQLite; on PostgreSQL these, and at length all.
OFTEN = ("Opened", "Answered", "Concluded", "EffectStarted", "EffectSucceeded", "Recalled", "BatchRouted")
AFTER = [
    *(pytest.param("sqlite", event) for event in sorted(EVENTS)),
    *(
        pytest.param("postgres", event, marks=[pytest.mark.postgres, *([] if event in OFTEN else [pytest.mark.slow])])
        for event in sorted(EVENTS)
    ),
]


@pytest.fixture(params=DURABLE)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that outlives a process."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/dc.db"
    return str(request.getfixturevalue("postgres_url"))


class Trips:
    """Plays trips in processes of their own, which are forked from one that has imported everything."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, str(SCRIPT), "serve", str(folder / "scratch.db")]
        self._folder = folder
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "TZ": "UTC"}
        )

    def play(self, url: str, witness: Path, *arguments: str) -> tuple[int, dict[str, Any] | None]:
        """Run one trip: its exit status and how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        out, err = self._folder / "out", self._folder / "err"
        self._process.stdin.write(json.dumps([str(out), str(err), url, str(witness), *arguments]) + "\n")
        self._process.stdin.flush()
        lines = self._process.stdout  # what the scratch trip printed came before the first status
        status = int(lines.readline())
        if status not in (0, -signal.SIGKILL):
            raise AssertionError(err.read_text()[-3000:])
        return status, json.loads(out.read_text().splitlines()[-1]) if status == 0 else None

    def close(self) -> None:
        """End the process that is forked."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trips]:
    """Trips in processes of their own."""
    trips = Trips(tmp_path_factory.mktemp("trips"))
    yield trips
    trips.close()


@pytest.fixture
def play(trips: Trips) -> Play:
    """Play a trip in a process of its own."""
    return trips.play


def without_result(end: dict[str, Any] | None) -> dict[str, Any]:
    """What must be equal: a result found by looking need not read like one that was returned."""
    return {k: v for k, v in (end or {}).items() if k != "result"}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, trips: Trips) -> Callable[[str], dict[str, Any] | None]:
    """How the trip of an event ends where nobody is killed; played once each."""
    ends: dict[str, dict[str, Any] | None] = {}

    def end(event: str) -> dict[str, Any] | None:
        if event not in ends:
            folder = tmp_path_factory.mktemp("quiet")
            ends[event] = trips.play(f"sqlite:///{folder}/dc.db", folder / "witness", event, "never")[1]
        return ends[event]

    return end


@pytest.mark.parametrize(("url", "event"), AFTER, indirect=["url"])
def test_killed_after_each_kind_of_event(url: str, tmp_path: Path, event: str, quiet: Any, play: Play) -> None:
    """The list comes from the code: a new event without a kill point has no trip and fails here."""
    assert event in TRIPS, f"{event} has no kill point in tests/failure/trips.py"
    killed, _ = play(url, tmp_path / "witness", event, "after")
    assert killed == -signal.SIGKILL, f"no {event} happened in its trip"
    status, end = play(url, tmp_path / "witness", event, "never")
    assert status == 0
    assert without_result(end) == without_result(quiet(event))
    assert len(end["witness"] if end else []) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("event", sorted(EVENTS))
def test_killed_before_the_commit_of_each_kind_of_event(
    url: str, tmp_path: Path, event: str, quiet: Any, play: Play
) -> None:
    """What was not committed did not happen, and is done again."""
    killed, _ = play(url, tmp_path / "witness", event, "before")
    assert killed == -signal.SIGKILL
    status, end = play(url, tmp_path / "witness", event, "never")
    assert status == 0
    if event in ("EffectSucceeded", "EffectFailed"):
        assert len(end["witness"] if end else []) == 1
    else:
        assert without_result(end) == without_result(quiet(event))


@pytest.mark.parametrize(("trip", "left"), [("Joined", 0), ("joined, one by one", 1)])
def test_killed_when_a_leader_is_settled_its_follower_is_settled_once(
    url: str, tmp_path: Path, trip: str, left: int, play: Play
) -> None:
    """Both in one transaction, or the second by a sweep of whoever comes next."""
    killed, _ = play(url, tmp_path / "witness", "Concluded", "after", trip)
    assert killed == -signal.SIGKILL
    with dc.open(url, groups={"solo": ["ana"], "leads": ["lee"]}) as desk:
        assert [row.state for row in desk.store.queries.cases(loop="pay").rows].count("open") == left
    status, end = play(url, tmp_path / "witness", "Concluded", "never", trip)
    assert status == 0
    assert end is not None
    assert (end["result"], end["by"], end["joined"]) == (["approve", "approve"], "human", True)
    assert (end["decided"], end["concluded"], end["witness"]) == (1, 1, ["A-17"])


@pytest.mark.parametrize(
    ("event", "when", "threshold"),
    [("Concluded", "after", 0.9), ("EffectStarted", "before", 0.9), ("SettingOverridden", "after", 0.95)],
)
def test_killed_around_an_approved_change_it_is_made_once(
    url: str, tmp_path: Path, event: str, when: str, threshold: float, play: Play
) -> None:
    """Between the approval and the change, within it, and right after it."""
    trip = "overridden by two"
    killed, _ = play(url, tmp_path / "witness", event, when, trip)
    assert killed == -signal.SIGKILL
    with dc.open(url) as desk:
        assert desk.governing("pay").settings.threshold == threshold
    status, end = play(url, tmp_path / "witness", event, "never", trip)
    assert status == 0
    assert end == {
        "threshold": 0.95, "cases": 1, "SettingOverridden": 1, "EffectStarted": 1, "EffectSucceeded": 1,
    }  # fmt: skip
