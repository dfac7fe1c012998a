"""`db backup` on PostgreSQL: what pg_dump writes comes back whole, and a pg_dump that will not do is named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import Server

import dualcontrol as dc

pytestmark = pytest.mark.postgres
PAY: dict[str, Any] = {"action": "refund", "args": {"amount": 9.5}, "input": {"mail": "bitte, 😀"}, "confidence": 0.5}
NEVER_ASKED = "exit 9"


@pytest.fixture
def programs(postgres_server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PostgreSQL's own client programs, first on the path."""
    if postgres_server.programs is None:
        pytest.skip("no pg_dump of the server's version")
    monkeypatch.setenv("PATH", f"{postgres_server.programs}{os.pathsep}{os.environ['PATH']}")
    return postgres_server.programs


@pytest.fixture
def desk(postgres_url: str, folder: Path) -> Iterator[dc.Desk]:
    """A database with a decided case, an effect that ran, an open case, an erased one, and positions."""
    with dc.open(postgres_url, durability="process") as desk:
        loop = desk.loop("refunds", threshold=0.9, context="minimal")
        desk.claim("ana", case=loop.propose(**PAY, key="A-17")).edit({"amount": 1.0})
        loop.propose(**PAY)
        desk.erase(loop.propose(**PAY).id)
        with loop.effect(loop.propose(**{**PAY, "confidence": 0.99})):
            pass
        while desk.store.sequence():
            pass
        yield desk


@pytest.fixture
def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a pg_dump of our own making on the path, in place of any other."""

    def make(version: str, dump: str) -> None:
        path = folder / "bin" / "pg_dump"
        path.parent.mkdir(exist_ok=True)
        says = f'if [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) {version}"; exit; fi'
        path.write_text(f"#!/bin/sh\n{says}\n{dump}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))

    return make


def everything(desk: dc.Desk) -> list[Any]:
    """Every case with its content, every entry, and the feed."""
    queries = desk.store.queries
    ids = sorted(row.id for row in queries.cases(kind=None).rows)
    streams = [queries.entries(stream) for stream in queries.streams()]
    return [*map(queries.case, ids), *streams, desk.store.feed(0), desk.store.secret()]


def test_a_backup_restored_into_a_new_database_is_the_same(
    postgres_server: Server, programs: Path, desk: dc.Desk, postgres_url: str, run: Any, folder: Path
) -> None:
    written = run("db", "backup", "copy.dump", "--json", "--database", postgres_url)
    assert written.code == 0, written
    assert written.json == {"file": "copy.dump", "bytes": (folder / "copy.dump").stat().st_size}
    url = postgres_server.new_database()
    try:
        restore = [programs / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={url}", "copy.dump"]
        subprocess.run(restore, check=True, capture_output=True)
        told = run("doctor", "--json", "--database", url).json
        assert (told["problems"], {f["check"] for f in told["findings"]} >= {"evidence", "queue"}) == (0, True)
        with dc.open(url, durability="process") as copy:
            assert everything(copy) == everything(desk)
            goes_on(copy)
    finally:
        postgres_server.drop_database(url)
    assert sorted(path.name for path in folder.glob("copy*")) == ["copy.dump"]


def goes_on(desk: dc.Desk) -> None:
    """Work in a restored database: keys hold, the queue is there, and new entries come after the old."""
    loop = desk.loop("refunds", threshold=0.9, context="minimal")
    assert loop.propose(**PAY, key="A-17").outcome.value["args"] == {"amount": 1.0}
    last = desk.store.feed(0, limit=1000)[-1].pos
    claim = desk.claim("ben", loop)
    assert claim.approve().outcome.by == "human"
    fresh = loop.propose(**PAY)
    while desk.store.sequence():
        pass
    assert [e.stream for e in desk.store.feed(last)] == [f"case/{claim.case.id}"] * 2 + [f"case/{fresh.id}"]


def test_the_password_is_not_among_the_arguments(desk: dc.Desk, program: Any, folder: Path) -> None:
    from dualcontrol.store.sql.postgres import dump

    program(
        "99.1",
        f'echo "$@ $PGPASSWORD" > {folder}/said\nfor a in "$@"; do case $a in --file=*) : > "${{a#*=}}";; esac; done',
    )
    dump("postgresql://ana:se%20cret@host:5499/name?sslmode=require", 18, str(folder / "copy.dump"))
    said = (folder / "said").read_text()
    assert said.endswith(" se cret\n")
    assert said.count("cret") == 1
    for part in ("user=ana", "host=host", "port=5499", "dbname=name", "sslmode=require", "--no-password"):
        assert part in said


def refused(run: Any, url: str, *more: str) -> str:
    """What the command says on stderr when it refuses."""
    result = run("db", "backup", "copy.dump", *more, "--database", url)
    assert result.code == 6
    assert "DC-STORE" in result.err
    return str(result.err)


@pytest.mark.parametrize("version", ["15.18 (Debian 15.18-0+deb12u1)", "9.6.24", "13beta1"])
def test_an_older_pg_dump_is_refused_with_what_to_do(
    desk: dc.Desk, postgres_url: str, run: Any, program: Any, version: str, folder: Path
) -> None:
    program(version, NEVER_ASKED)
    said = refused(run, postgres_url)
    assert f"of PostgreSQL {int(version.split('.')[0].split('b')[0])} and the server of" in said
    assert "Install PostgreSQL's client programs of version" in said
    assert not list(folder.glob("copy*"))


def test_a_missing_pg_dump_is_named(
    desk: dc.Desk, postgres_url: str, run: Any, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("PATH", str(folder / "nothing"))
    said = refused(run, postgres_url)
    assert "pg_dump cannot be run: No such file" in said
    assert "client programs of version" in said


def test_a_pg_dump_that_fails_leaves_what_was_there(
    desk: dc.Desk, postgres_url: str, run: Any, program: Any, folder: Path
) -> None:
    (folder / "copy.dump").write_text("the last good one")
    halfway = 'for a in "$@"; do case $a in --file=*) echo half > "${a#*=}";; esac; done; echo "no room" >&2; exit 1'
    program("99.1", halfway)
    assert "pg_dump failed: no room" in refused(run, postgres_url, "--force")
    assert [path.read_text() for path in folder.glob("copy*")] == ["the last good one"]
