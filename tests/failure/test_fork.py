"""A desk that was opened before a fork: on PostgreSQL the child has connections of its own, on SQLite it is refused.

What is acknowledged is there, and the first process never notices.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine

FORKS = Path(__file__).with_name("forks.py")
LOST = "DC-STORE-LOST"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def forks(url: str, what: str) -> Any:
    """What a program that forks says in the end."""
    done = subprocess.run([sys.executable, str(FORKS), url, what], capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def sound(url: str) -> bool:
    with dc.open(url, durability="process") as desk:
        return [f for f in examine(desk.store) if f.level == PROBLEM] == []


def test_sqlite_refuses_every_verb_in_the_child(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/dc.db"
    told = forks(url, "verbs")
    assert told["child"] == {
        "propose": LOST, "wait": LOST, "case": LOST, "claim": LOST, "answer": LOST, "sweep": LOST, "batch": LOST,
        "loop": LOST, "close": "done",
    }  # fmt: skip
    assert (told["parent"], told["open"]) == ("approve", 2)
    assert sound(url)


def test_memory_refuses_in_the_child_too() -> None:
    """What a child writes into its copy of the memory nobody else would ever see."""
    told = forks("sqlite:///:memory:", "verbs")
    assert {told["child"][verb] for verb in ("propose", "case", "claim", "answer")} == {LOST}
    assert told["parent"] == "approve"


@pytest.mark.postgres
def test_postgres_carries_out_every_verb_in_the_child(postgres_url: str) -> None:
    told = forks(postgres_url, "verbs")
    assert told["child"].pop("wait") == ""
    assert set(told["child"].values()) == {"done"}
    assert (told["parent"], told["open"]) == ("approve", 2)
    assert sound(postgres_url)


@pytest.mark.postgres
def test_postgres_parent_and_children_work_at_once(postgres_url: str) -> None:
    told = forks(postgres_url, "trips")
    assert told == {"parent": ["approve"] * 6, "children": [["approve"] * 5] * 2, "cases": 17}
    assert sound(postgres_url)


def test_a_fork_in_the_midst_of_work_hangs_nobody(lasting_url: str) -> None:
    told = forks(lasting_url, "busy")
    assert told["children"] == (["done"] if lasting_url.startswith("postgres") else [LOST])
    assert (told["parent"], told["integrity"]) == ("approve", [])
    assert sound(lasting_url)


def test_a_desk_of_the_childs_own(lasting_url: str) -> None:
    """With SQLite only where none was open before: locks would be noted that the child does not hold."""
    told = forks(lasting_url, "fresh")
    postgres = lasting_url.startswith("postgres")
    assert told == {"beside": "done" if postgres else LOST, "after": "done", "cases": 3 if postgres else 2}
    assert sound(lasting_url)
