"""What is kept is its owner's alone: new files and folders are made so, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import Server

import dualcontrol as dc
from dualcontrol import compose
from dualcontrol.learn import training
from dualcontrol.learn.training import StartSet
from dualcontrol.settings import Database, Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no modes here")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o177, 0o777], ids=oct, autouse=True)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path, pattern: str = "*") -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob(pattern)}


def written(url: str) -> dc.Desk:
    desk = dc.open(url, durability="process")
    desk.loop("pay", threshold=0.9, context="minimal").propose(action="pay", args={}, input="x", confidence=0.5)
    return desk


def test_a_new_database_and_what_lies_beside_it(tmp_path: Path) -> None:
    with written(f"sqlite:///{tmp_path}/dc.db"):
        assert modes(tmp_path, "dc.db*") == {"dc.db": 0o600, "dc.db-wal": 0o600, "dc.db-shm": 0o600}
    assert modes(tmp_path, "dc.db*") == {"dc.db": 0o600}


def test_a_new_database_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    with written(f"sqlite:///{tmp_path}/link.db"):
        assert modes(tmp_path, "real.db*") == {"real.db": 0o600, "real.db-wal": 0o600, "real.db-shm": 0o600}


def test_a_file_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    """Somebody may have shared it on purpose."""
    written(f"sqlite:///{tmp_path}/dc.db").close()
    (tmp_path / "dc.db").chmod(0o640)
    with written(f"sqlite:///{tmp_path}/dc.db"):
        assert modes(tmp_path, "dc.db*") == {"dc.db": 0o640, "dc.db-wal": 0o640, "dc.db-shm": 0o640}


def backed_up(desk: dc.Desk, folder: Path) -> dict[str, int]:
    """The modes of a backup, made where one that everybody could read was left half done."""
    (folder / "out.part").touch()
    (folder / "out.part").chmod(0o666)
    desk.store.backup(str(folder / "out"))
    return modes(folder, "out*")


def test_a_backup(tmp_path: Path) -> None:
    with written(f"sqlite:///{tmp_path}/dc.db") as desk:
        assert backed_up(desk, tmp_path) == {"out": 0o600}


@pytest.mark.postgres
def test_a_dump(postgres_server: Server, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if postgres_server.programs is None:
        pytest.skip("no pg_dump of the server's version")
    monkeypatch.setenv("PATH", f"{postgres_server.programs}{os.pathsep}{os.environ['PATH']}")
    with written(postgres_url) as desk:
        assert backed_up(desk, tmp_path) == {"out": 0o600}


def test_models_and_the_folders_made_for_them(tmp_path: Path) -> None:
    database = Database(url=f"sqlite:///{tmp_path}/dc.db", durability="process")
    settings = Settings(database=database, models=str(tmp_path / "kept" / "models"), secret="5eed" * 16)
    start = StartSet("by hand", [{"x": x / 10} for x in range(-20, 20)], ["left"] * 20 + ["right"] * 20)
    with compose.open(settings=settings) as desk:
        feedback = {"trainer": "sklearn", "holdout": 0.25}
        desk.loop("sides", mode="labels", labels=["left", "right"], context=["input"], feedback=feedback)
        training.train(desk, "sides", start=start)
    assert modes(tmp_path, "kept") == {"kept": 0o700}
    assert modes(tmp_path / "kept") == {"models": 0o700}
    files = modes(tmp_path / "kept" / "models")
    assert len(files) == 2
    assert set(files.values()) == {0o600}
