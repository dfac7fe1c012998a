"""Evidence changed behind the program's back: `dualcontrol doctor` names case and sequence number, and says 1."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from failure.conftest import PAY, kinds

import dualcontrol as dc
from dualcontrol.cli import main
from dualcontrol.errors import SchemaError
from dualcontrol.store.sql.schema import VERSION_TABLE

Doctor = Callable[[], tuple[int, str]]
WHERE = "WHERE stream = 'case/{case}'"


@pytest.fixture
def case(desk: dc.Desk, loop: dc.Loop) -> str:
    """A decided case, with others before and after it."""
    loop.propose(**PAY)
    case = loop.propose(**PAY)
    desk.claim("ana", case=case).approve()
    loop.propose(**PAY)
    return case.id


@pytest.fixture
def doctor(lasting_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """The command line: exit status, and what it printed as JSON."""
    monkeypatch.setenv("DUALCONTROL_DATABASE__URL", lasting_url)

    def run() -> tuple[int, str]:
        capsys.readouterr()
        return main(["doctor", "--json"]), capsys.readouterr().out

    return run


def execute(url: str, statement: str) -> None:
    """Change the database without the program."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            assert connection.execute(statement).rowcount > 0
        return
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(statement).rowcount > 0


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        (f"UPDATE entries SET body = replace(body, '\"ana\"', '\"eve\"') {WHERE} AND seq = 2", 2),
        (f"UPDATE entries SET hash = 'x' {WHERE} AND seq = 1", 1),
        (f"DELETE FROM entries {WHERE} AND seq = 3", 2),
        (f"DELETE FROM entries {WHERE} AND seq = 2", 2),
        ("UPDATE cases SET snapshot = replace(snapshot, '\"approve\"', '\"reject\"') WHERE id = '{case}'", 3),
        (
            "UPDATE payloads SET body = '[]' WHERE case_id = '{case}' AND slot = 'candidates'",
            None,
        ),
        ("DELETE FROM payloads WHERE case_id = '{case}' AND slot = 'input'", None),
    ],
)
def test_the_doctor_names_the_place(lasting_url: str, case: str, doctor: Doctor, change: str, seq: int | None) -> None:
    assert doctor()[0] == 0
    execute(lasting_url, change.format(case=case))
    status, out = doctor()
    assert status == 1
    found = [f for f in json.loads(out)["findings"] if f["level"] == "problem"]
    assert {f["case_id"] for f in found} == {case}
    assert seq is None or seq in {f["seq"] for f in found}


def test_an_event_of_an_unknown_kind_makes_the_case_read_only(desk: dc.Desk, loop: dc.Loop) -> None:
    from dualcontrol.events import opened
    from dualcontrol.evolve import fold

    case = loop.propose(**PAY)
    first = desk.store.queries.entries(f"case/{case.id}")[0]
    body: dict[str, Any] = json.loads(first.body)
    body["events"].append({"kind": "Blessed", "by": "a newer version"})
    later = fold(None, opened(json.dumps(body)).events)
    assert later.read_only == "Blessed"
    assert kinds(desk, case.id)[0] == "Opened"


def test_a_read_only_case_is_read_and_not_changed(desk: dc.Desk, loop: dc.Loop, lasting_url: str) -> None:
    case = loop.propose(**PAY)
    execute(lasting_url, f"UPDATE cases SET snapshot = replace(snapshot, '\"seq\":1', '\"read_only\":\"Blessed\",\"seq\":1') WHERE id = '{case.id}'")  # fmt: skip  # noqa: E501
    assert desk.case(case.id).read_only == "Blessed"
    for change in (desk.withdraw, desk.erase, lambda i: desk.claim("ana", case=i)):
        with pytest.raises(dc.DualcontrolError) as caught:
            change(case.id)
        assert caught.value.code == "DC-READ-ONLY"
    assert len(desk.store.queries.entries(f"case/{case.id}")) == 1


def test_a_database_of_a_newer_schema_is_refused(desk: dc.Desk, lasting_url: str, doctor: Doctor) -> None:
    execute(lasting_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(SchemaError) as caught:
        dc.open(lasting_url)
    assert caught.value.hint
    assert doctor()[0] == 6
