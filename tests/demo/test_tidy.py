"""Tidy: an agent on a real folder; effects once, edits honoured, nothing outside, and it survives being killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import dualcontrol as dc
from dualcontrol.demo.tidy import HELP, Agent, Folder, OutsideError, copy_samples
from dualcontrol.errors import AnswerValueError
from dualcontrol.events import EffectStarted, EffectSucceeded

PROGRAM = """
import sys, time
import dualcontrol as dc
from dualcontrol.demo.tidy import Folder
from dualcontrol.demo.tidy import Agent
with dc.open(sys.argv[1], durability="process") as desk:
    agent = Agent(desk, Folder(sys.argv[2]))
    while not agent.done:
        agent.tidy()
        print("pass", flush=True)
        time.sleep(0.05)
"""


@pytest.fixture
def folder(tmp_path) -> Folder:
    return copy_samples(tmp_path / "files")


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/dc.db"


@pytest.fixture
def desk(url):
    with dc.open(url, durability="process") as opened:
        yield opened


def decide(desk, verdicts: dict[str, tuple]) -> int:
    """Answer every open decision: by path, else approve; audits are approved."""
    count = 0
    while (claim := desk.claim("ana", "tidy")) is not None:
        args = claim.view["proposal"]["value"]
        claim.answer(*(("approve",) if claim.review.kind == "audit" else verdicts.get(args.get("path"), ("approve",))))
        count += 1
    return count


def finish(agent: Agent, desk, verdicts: dict[str, tuple] | None = None) -> None:
    for _ in range(20):
        agent.tidy()
        if agent.done:
            return
        decide(desk, verdicts or {})
    raise AssertionError("the agent never ends")


def test_what_is_sure_happens_alone_and_what_is_not_waits(desk, folder):
    agent = Agent(desk, folder)
    assert agent.tidy() == 5
    assert (folder.root / "letters/dear-neighbours.txt").exists()
    assert (folder.root / "mixed.txt").exists()
    assert (folder.root / "empty.txt").exists()


def test_deleting_always_asks(desk, folder):
    agent = Agent(desk, folder, most_open=100)
    agent.tidy()
    rows = desk.store.queries.cases(loop="tidy", limit=200).rows
    assert {row.route for row in rows if row.action == "delete"} == {"human"}
    assert {row.route for row in rows if row.action in ("list_files", "read_file")} == {"autopilot"}
    assert {row.route for row in rows if row.action == "rename"} == {"autopilot", "human"}


def test_decisions_take_effect_once_and_as_edited(desk, folder):
    agent = Agent(desk, folder)
    verdicts = {
        "mixed.txt": ("edit", {"path": "mixed.txt", "to": "letters/team.txt"}),
        "tmp-8841.txt": ("reject",),
    }
    finish(agent, desk, verdicts)
    assert "receipt for the hotel" in (folder.root / "letters/team.txt").read_text()
    assert (folder.root / "tmp-8841.txt").exists()
    assert not (folder.root / "empty.txt").exists()
    assert not (folder.root / "copy of doc1.txt").exists()
    assert agent.errors == {}
    before = folder.names()
    finish(Agent(desk, folder), desk)
    assert folder.names() == before
    for row in desk.store.queries.cases(loop="tidy", limit=200).rows:
        started = [e for e in desk.events(row.id) if isinstance(e, EffectStarted)]
        assert len(started) == (row.verdict != "reject")


OUTSIDE = ("../stolen.txt", "a/../../x", "..", "/etc/x", "C:/x", "C:x", "a\\x", "a/..\n", "")
FITTING = ("notes/x.txt", "..x", "a..b/c", "...", ".hidden", "a b/c:d.txt", "ü/x", "a\nb")


def test_an_answer_that_leads_outside_is_refused_at_once(desk, folder):
    agent = Agent(desk, folder)
    agent.tidy()
    waiting = iter(lambda: desk.claim("ana", "tidy"), None)
    claim = next(c for c in waiting if c.case.action == "rename" and c.review.kind != "audit")
    path = claim.case.proposal.value["path"]
    for to in OUTSIDE:
        with pytest.raises(AnswerValueError):
            claim.edit({"path": path, "to": to})
    schema = claim.case.proposal.schema["properties"]["to"]
    assert all(re.search(schema["pattern"], to) for to in FITTING)
    assert schema["description"] == HELP
    assert (folder.root / path).exists()


def test_what_only_the_folder_can_see_is_refused_when_it_happens(desk, folder, tmp_path):
    agent = Agent(desk, folder)
    (tmp_path / "elsewhere").mkdir()
    (folder.root / "linked").symlink_to(tmp_path / "elsewhere")
    finish(agent, desk, {"mixed.txt": ("edit", {"path": "mixed.txt", "to": "linked/stolen.txt"})})
    assert "through a link" in agent.errors["mixed.txt"]
    assert (folder.root / "mixed.txt").exists()


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "", ".", "..", "a\\..\\x", "C:/x", "a\x00b", "link", "linked/x"]
)
def test_paths_and_links_that_lead_outside_are_refused(folder, tmp_path, name):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "elsewhere").mkdir()
    (folder.root / "link").symlink_to(tmp_path / "secret")
    (folder.root / "linked").symlink_to(tmp_path / "elsewhere")
    for act in (folder.read, folder.delete, lambda n: folder.rename(n, "y"), lambda n: folder.rename("doc1.txt", n)):
        with pytest.raises((OutsideError, FileNotFoundError)) as caught:
            act(name)
        assert isinstance(caught.value, OutsideError)
    assert (tmp_path / "secret").read_text() == "s"
    assert (folder.root / "doc1.txt").exists()
    assert not {"link", "linked/x"} & set(folder.names())


def test_a_file_is_never_overwritten(folder):
    with pytest.raises(FileExistsError):
        folder.rename("doc1.txt", "mtg.txt")


def test_samples_are_copied_once(folder):
    (folder.root / "doc1.txt").unlink()
    assert "doc1.txt" not in copy_samples(folder.root).names()
    assert len(folder.names()) == 15


def started(url: str, folder: Folder) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, url, str(folder.root)], stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_while_it_waits_decided_and_started_again_it_continues(url, folder):
    with started(url, folder) as agent:
        for _ in range(3):
            assert agent.stdout.readline() == "pass\n"
        agent.send_signal(signal.SIGKILL)
    with dc.open(url, durability="process") as desk:
        before = len(desk.store.queries.cases(loop="tidy", limit=200).rows)
        assert decide(desk, {}) >= 5
        assert (folder.root / "empty.txt").exists()
        with started(url, folder) as again:
            deadline = time.monotonic() + 20
            while again.poll() is None and time.monotonic() < deadline:
                decide(desk, {})
                time.sleep(0.05)
            again.kill()
            assert again.returncode == 0
        rows = desk.store.queries.cases(loop="tidy", limit=200).rows
        effects = [[type(e) for e in desk.events(row.id)] for row in rows]
    assert before < len(rows) == 1 + 16 + 16
    assert all(kinds.count(EffectStarted) == kinds.count(EffectSucceeded) == 1 for kinds in effects)
    assert folder.names() == sorted(
        ["letters/dear-member.txt", "letters/dear-neighbours.txt", "logs/error-in-request.txt",
         "logs/info-worker-started.txt", "notes/meeting-notes-may.txt", "notes/to-do.txt", "receipts/city-taxi.txt",
         "receipts/dear-team.txt", "receipts/hotel-miramar-lisbon.txt", "recipes/kg-flour-kg-butter-eggs.txt",
         "recipes/leek-and-potato-soup.txt", "recipes/plum-cake.txt"]
    )  # fmt: skip
