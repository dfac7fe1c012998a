"""An SQLite file that is deleted or replaced under an open desk: nothing is acknowledged any more, or harmed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import StoreLostError

PAY: dict[str, Any] = {"action": "pay", "args": {"order": "A-17"}, "input": "please", "confidence": 0.5}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dc.db"


@pytest.fixture
def desk(file: Path) -> Iterator[dc.Desk]:
    with dc.open(f"sqlite:///{file}", durability="process") as desk:
        desk.loop("pay", threshold=0.9, context="minimal")
        yield desk


def another(path: Path, cases: int = 1) -> None:
    """A database of another desk."""
    with dc.open(f"sqlite:///{path}", durability="process") as desk:
        loop = desk.loop("pay", threshold=0.9, context="minimal")
        for _ in range(cases):
            loop.propose(**PAY)


def deleted(file: Path) -> None:
    file.unlink()


def deleted_whole(file: Path) -> None:
    for path in file.parent.glob("dc.db*"):
        path.unlink()


def renamed(file: Path) -> None:
    file.rename(file.with_name("elsewhere.db"))


def replaced(file: Path) -> None:
    another(file.with_name("other.db"))
    os.replace(file.with_name("other.db"), file)


def replaced_by_nothing(file: Path) -> None:
    file.with_name("empty.db").touch()
    os.replace(file.with_name("empty.db"), file)


def without_log(file: Path) -> None:
    file.with_name("dc.db-wal").unlink()


def without_index(file: Path) -> None:
    file.with_name("dc.db-shm").unlink()


WAYS = [deleted, deleted_whole, renamed, replaced, replaced_by_nothing, without_log, without_index]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_is_acknowledged_any_more(desk: dc.Desk, file: Path, way: Callable[[Path], None]) -> None:
    loop = desk.loop("pay")
    case, claim = loop.propose(**PAY), desk.claim("ana")
    assert claim is not None
    way(file)
    for verb in (
        lambda: loop.propose(**PAY),
        claim.approve,
        lambda: desk.claim("ben", case=case),
        lambda: desk.withdraw(case.id),
        lambda: desk.loop("pay", threshold=0.8, context="minimal"),
    ):
        with pytest.raises(StoreLostError, match=r"dc\.db.* was (deleted|replaced)"):
            verb()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nothing_is_read_from_it_either(desk: dc.Desk, file: Path, way: Callable[[Path], None]) -> None:
    case = desk.loop("pay").propose(**PAY)
    way(file)
    for verb in (lambda: desk.case(case.id), desk.loops, desk.sweep, lambda: desk.loop("pay").wait(case, timeout=5)):
        with pytest.raises(StoreLostError):
            verb()


def test_who_waits_is_told(desk: dc.Desk, file: Path) -> None:
    case = desk.loop("pay").propose(**PAY)
    threading.Timer(0.2, file.unlink).start()
    started = time.monotonic()
    with pytest.raises(StoreLostError, match="was deleted"):
        desk.loop("pay").wait(case)
    assert time.monotonic() - started < 10


def test_a_file_lost_within_a_transaction_is_not_acknowledged(desk: dc.Desk, file: Path) -> None:
    def written() -> None:
        with desk.store.transaction() as tx:
            tx.add_job("look", "pay", 0)
            file.unlink()

    with pytest.raises(StoreLostError):
        written()


def test_a_file_that_is_put_back_is_written_again(desk: dc.Desk, file: Path) -> None:
    loop = desk.loop("pay")
    first = loop.propose(**PAY)
    file.rename(file.with_name("aside.db"))
    with pytest.raises(StoreLostError):
        loop.propose(**PAY)
    file.with_name("aside.db").rename(file)
    second = loop.propose(**PAY)
    with dc.open(f"sqlite:///{file}", durability="process") as other:
        assert {row.id for row in other.store.queries.cases().rows} == {first.id, second.id}
        assert [f for f in examine(other.store) if f.level == PROBLEM] == []


WRITER = """
import sys, dualcontrol as dc
desk = dc.open(sys.argv[1], durability="process")
loop = desk.loop("pay", threshold=0.9, context="minimal")
for line in sys.stdin:
    print(loop.propose(action="pay", args={}, input="please", confidence=0.5).id, flush=True)
"""


def test_closing_harms_nothing_that_lies_there_now(desk: dc.Desk, file: Path) -> None:
    """SQLite deletes the log beside a database by its name when the last one closes it: here it is another's log."""
    desk.loop("pay").propose(**PAY)
    replaced(file)
    for ending in ("-wal", "-shm"):
        file.with_name(f"dc.db{ending}").unlink(missing_ok=True)
    command = [sys.executable, "-c", WRITER, f"sqlite:///{file}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None

        def written() -> str:
            print("go", file=other.stdin, flush=True)
            return other.stdout.readline().strip()

        ids = {written()}
        desk.close()
        ids.add(written())
        other.kill()
    with sqlite3.connect(file) as found:
        assert ids <= {row[0] for row in found.execute("SELECT id FROM cases")}
    found.close()


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    another(tmp_path / "one.db")
    another(tmp_path / "two.db", cases=3)
    link = tmp_path / "current.db"
    link.symlink_to(tmp_path / "one.db")
    with dc.open(f"sqlite:///{link}", durability="process") as desk:
        desk.loop("pay").propose(**PAY)
        link.unlink()
        link.symlink_to(tmp_path / "two.db")
        with pytest.raises(StoreLostError, match=r"current\.db was replaced"):
            desk.loop("pay").propose(**PAY)


def test_a_change_of_folder_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative address is that of the folder in which the desk was opened, for every connection."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with dc.open("sqlite:///dc.db", durability="process") as desk:
        loop = desk.loop("pay", threshold=0.9, context="minimal")
        loop.propose(**PAY)
        monkeypatch.chdir(tmp_path / "elsewhere")
        loop.propose(**PAY)
        threads = [threading.Thread(target=lambda: desk.store.queries.cases()) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(desk.store.queries.cases().rows) == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_smaller_database_copied_over_it_is_noticed(desk: dc.Desk, file: Path) -> None:
    """How a backup is often restored; the copy is the same file to the system, with what was logged beside it."""
    another(file.with_name("backup.db"))
    for _ in range(100):
        desk.loop("pay").propose(**PAY)
    with sqlite3.connect(file) as plain:
        plain.execute("PRAGMA wal_checkpoint(FULL)")
    plain.close()
    desk.loop("pay").propose(**PAY)
    shutil.copyfile(file.with_name("backup.db"), file)
    with pytest.raises(StoreLostError, match="overwritten"):
        desk.loop("pay").propose(**PAY)


def test_other_desks_come_and_go(desk: dc.Desk, file: Path) -> None:
    """What others do with the file, checkpoints and upgrades of its size included, is no loss."""
    for _ in range(3):
        another(file)
        desk.loop("pay").propose(**PAY)
    with sqlite3.connect(file) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        desk.loop("pay").propose(**PAY)
        plain.execute("DROP INDEX cases_by_opening")
        plain.execute("VACUUM")
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    plain.close()
    desk.loop("pay").propose(**PAY)
    assert len(desk.store.queries.cases().rows) == 8


def test_a_file_that_grows_under_many_threads_is_no_loss(desk: dc.Desk) -> None:
    """One thread looks at the file, another lets it grow and notes that; the first is not to take it for smaller."""
    failed: list[str] = []
    large = {**PAY, "args": {"text": "x" * 5000}}

    def work() -> None:
        try:
            for _ in range(80):
                desk.loop("pay").propose(**large)
                desk.store.queries.cases(limit=1)
        except dc.DualcontrolError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
