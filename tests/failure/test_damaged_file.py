"""A damaged SQLite file: the doctor says so, whatever is damaged, and every other program refuses in words."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.doctor import PROBLEM, examine
from dualcontrol.errors import SchemaError, StoreDamagedError, StoreError
from dualcontrol.store.sql import open_store

PAGE = 4096


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with cases of every kind: open, claimed, answered, run, erased, joined by keys."""
    path = tmp_path_factory.mktemp("sound") / "dc.db"
    with dc.open(f"sqlite:///{path}", durability="process") as desk:
        loop = desk.loop("pay", threshold=0.9, context="minimal", audit=0.5)
        for number in range(15):
            given: dict[str, Any] = {"args": {"n": number}, "input": "please " * 40, "key": f"order {number}"}
            case = loop.propose(action="pay", confidence=0.95 if number % 3 == 0 else 0.5, effect="ready", **given)
            if number % 3 == 1:
                desk.claim("ana", case=case).edit({"n": -number})
            if number % 5 == 0:
                desk.erase(case.id)
            if number % 3 == 0 and number % 5:
                with loop.effect(case):
                    pass
        while desk.store.sequence():
            pass
    return path.read_bytes()


def zeros(data: bytes, page: int, draw: random.Random) -> bytes:
    return data[: page * PAGE] + bytes(PAGE) + data[(page + 1) * PAGE :]


def noise(data: bytes, page: int, draw: random.Random) -> bytes:
    return data[: page * PAGE] + draw.randbytes(PAGE) + data[(page + 1) * PAGE :]


def another_page(data: bytes, page: int, draw: random.Random) -> bytes:
    other = draw.randrange(1, len(data) // PAGE)
    return data[: page * PAGE] + data[other * PAGE : (other + 1) * PAGE] + data[(page + 1) * PAGE :]


def bits(data: bytes, page: int, draw: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(8):
        damaged[page * PAGE + draw.randrange(PAGE)] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def truncated(data: bytes, page: int, draw: random.Random) -> bytes:
    return data[: page * PAGE + draw.randrange(PAGE)]


WAYS = [zeros, noise, another_page, bits, truncated]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_doctor_reads_whatever_is_left(
    sound: bytes, tmp_path: Path, way: Callable[[bytes, int, random.Random], bytes]
) -> None:
    """A third of the pages each way; where SQLite itself finds something wrong, so does the doctor."""
    draw = random.Random(way.__name__)
    for page in range(WAYS.index(way) % 3, len(sound) // PAGE, 3):
        path = tmp_path / f"{page}.db"
        path.write_bytes(way(sound, page, draw))
        try:
            store = open_store(f"sqlite:///{path}", durability="process", create=False)
        except StoreError:
            continue
        try:
            found = list(examine(store))
        finally:
            store.close()
        assert any(f.level == PROBLEM for f in found) or intact(path), page


def intact(path: Path) -> bool:
    with sqlite3.connect(path) as plain:
        (said,) = plain.execute("PRAGMA integrity_check").fetchone()
    plain.close()
    return said == "ok"


@pytest.mark.parametrize("table", ["cases", "case_keys", "entries", "reviews", "payloads", "loops", "system", "feed"])
def test_a_table_that_is_gone_is_a_finding(sound: bytes, tmp_path: Path, table: str) -> None:
    path = tmp_path / "dc.db"
    path.write_bytes(sound)
    with sqlite3.connect(path) as plain:
        plain.execute(f"DROP TABLE {table}")
    plain.close()
    store = open_store(f"sqlite:///{path}", durability="process", create=False)
    try:
        found = [f for f in examine(store) if f.level == PROBLEM]
    finally:
        store.close()
    assert any(table in f.what for f in found)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE cases SET snapshot = x'ff00'", "cannot be"),
        ("UPDATE cases SET snapshot = 17", "cannot be"),
        ("UPDATE cases SET snapshot = CAST(x'fffe' AS TEXT)", "cannot be"),
        ("UPDATE entries SET body = 17", "cannot be"),
        ("UPDATE entries SET seq = 'many' WHERE rowid = 9", "case"),
        ("UPDATE loops SET control = '[]'", "cannot be"),
        ("UPDATE payloads SET salt = 5", "sealed"),
        ("UPDATE reviews SET case_id = x'00' WHERE rowid = 2", "review"),
        ("UPDATE system SET value = 'no secret'", "cannot be"),
        ("UPDATE feed SET pos = -pos", "position"),
    ],
)
def test_values_of_another_kind_are_findings(sound: bytes, tmp_path: Path, statement: str, says: str) -> None:
    path = tmp_path / "dc.db"
    path.write_bytes(sound)
    with sqlite3.connect(path) as plain:
        plain.execute(statement)
    plain.close()
    store = open_store(f"sqlite:///{path}", durability="process", create=False)
    try:
        found = [f for f in examine(store) if f.level == PROBLEM]
    finally:
        store.close()
    assert any(says in f.what for f in found), found


@pytest.mark.parametrize("content", [b"", b"\x00" * 8192, b"SQLite format 3\x00", b"#!/bin/sh\n" * 999], ids=len)
def test_what_is_no_database_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dc.db"
    path.write_bytes(content)
    with pytest.raises((StoreError, SchemaError)) as raised:
        open_store(f"sqlite:///{path}", create=False)
    assert raised.value.hint


def test_a_schema_that_is_no_text_is_refused_in_words(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dc.db"
    path.write_bytes(sound.replace(b"CREATE TABLE cases (", b"CREATE\xee\xff\xfeBLE cases (", 1))
    with pytest.raises(StoreDamagedError):
        open_store(f"sqlite:///{path}", create=False)
