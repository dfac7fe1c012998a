"""Cases that a newer version wrote: an older one leaves them in the queue and goes on with the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from failure.conftest import PAY, kinds
from newer import HOW, connected, mended, written

import dualcontrol as dc
from dualcontrol import step
from dualcontrol.cli import main
from dualcontrol.doctor import PROBLEM, WARNING, Finding, examine
from dualcontrol.store.sql.tx import SqlTx
from dualcontrol.sweep import sweep
from dualcontrol.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def desk(lasting_url: str, clock: FakeClock) -> Iterator[dc.Desk]:
    with dc.open(lasting_url, durability="process", clock=clock) as desk:
        yield desk


@pytest.fixture(params=HOW)
def how(request: pytest.FixtureRequest) -> str:
    """Why this version cannot change a case."""
    return str(request.param)


def opened(loop: dc.Loop, clock: FakeClock, count: int) -> list[str]:
    """Cases in the order of the queue."""
    found = []
    for _ in range(count):
        found.append(loop.propose(**PAY).id)
        clock.tick(1)
    return found


def calls(monkeypatch: pytest.MonkeyPatch, method: str) -> list[Any]:
    """Notes each call of a method of transactions."""
    seen: list[Any] = []
    real = getattr(SqlTx, method)

    def noted(self: SqlTx, *args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SqlTx, method, noted)
    return seen


def test_a_claim_passes_over_a_newer_versions_case(desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str) -> None:
    first, second, third, last = opened(loop, clock, 4)
    written(desk, first, how)
    written(desk, third, how)
    claims = [desk.claim(person, "pay") for person in ("ana", "ben", "cleo")]
    assert [claim and claim.case.id for claim in claims] == [second, last, None]
    with pytest.raises(dc.DualcontrolError) as caught:
        desk.claim("ana", case=first)
    assert caught.value.code == "DC-READ-ONLY"


def test_it_stays_in_the_queue_for_a_newer_version(desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str) -> None:
    first, _ = opened(loop, clock, 2)
    written(desk, first, how)
    assert desk.claim("ana", "pay") is not None
    assert desk.claim("ana", "pay") is None
    mended(desk, first)
    with dc.open(desk.store.url, clock=clock) as newer:
        claim = newer.claim("ben", "pay")
    assert claim is not None
    assert claim.case.id == first


def test_it_is_looked_at_again_after_a_while(desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str) -> None:
    first, _ = opened(loop, clock, 2)
    written(desk, first, how)
    assert desk.claim("ana", "pay") is not None
    mended(desk, first)
    assert desk.claim("ben", "pay") is None
    clock.tick(step.LOOK_AGAIN / 1_000_000)
    claim = desk.claim("ben", "pay")
    assert claim is not None
    assert claim.case.id == first


def test_a_row_that_is_no_json_blocks_nobody_either(desk: dc.Desk, loop: dc.Loop, clock: FakeClock) -> None:
    first, second = opened(loop, clock, 2)
    with connected(desk.store.url) as database:
        database.execute(f"UPDATE cases SET snapshot = 'rubbish' WHERE id = '{first}'")
    claim = desk.claim("ana", "pay")
    assert claim is not None
    assert claim.case.id == second
    with pytest.raises(dc.DualcontrolError, match="damaged"):
        desk.case(first)


def test_a_long_head_is_loaded_once_and_a_claim_ends(
    desk: dc.Desk, loop: dc.Loop, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "PASSED_AT_ONCE", 30)
    *newer, last = opened(loop, clock, 46)
    for case_id in newer:
        written(desk, case_id, "its snapshot does not fit")
    loads = calls(monkeypatch, "load")
    assert desk.claim("ana", "pay") is None
    assert len(loads) == 31
    claim = desk.claim("ana", "pay")
    assert claim is not None
    assert claim.case.id == last
    assert len(loads) == 46
    assert desk.claim("ben", "pay") is None
    assert len(loads) == 46


def test_a_claim_costs_what_it_did_when_nothing_is_wrong(
    desk: dc.Desk, loop: dc.Loop, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(loop, clock, 2)
    taken, slow, loads = (calls(monkeypatch, name) for name in ("take", "queue", "load"))
    assert desk.claim("ana", "pay") is not None
    assert (len(taken), len(slow), len(loads)) == (1, 0, 1)


def test_leases_of_others_still_run_out(
    desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualcontrol.step.EXPIRED_AT_ONCE", 1)
    newer = opened(loop, clock, 2)
    for case_id in newer:
        desk.claim("ana", case=case_id)
        clock.tick(1)
        written(desk, case_id, how)
    ours = loop.propose(**PAY).id
    desk.claim("ana", case=ours)
    clock.tick(3600)
    given = [desk.claim("ben", "pay") for _ in range(3)]
    assert [claim.case.id for claim in given if claim] == [ours]


def test_a_sweep_goes_on_with_the_others(
    desk: dc.Desk, clock: FakeClock, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = desk.loop("pay", threshold=0.9, context="minimal", respond_within="15m", on_timeout="reject", undo="1m")
    newer, ours = opened(loop, clock, 3), opened(loop, clock, 1)[0]
    decided = loop.propose(**PAY).id
    desk.claim("ana", case=decided).approve()
    for case_id in newer:
        written(desk, case_id, how)
    clock.tick(3600)
    monkeypatch.setattr("dualcontrol.sweep.AT_ONCE", 1)
    sweep(desk.steps)
    assert kinds(desk, ours)[-3:] == ["TimedOut", "Concluded", "ReviewCancelled"]
    assert desk.case(decided).outcome is not None
    assert all(desk.store.queries.entries(f"case/{case_id}")[-1].actor == "newer" for case_id in newer)


# what is said of it


def found(desk: dc.Desk, case_id: str) -> list[Finding]:
    return [finding for finding in examine(desk.store) if finding.case_id == case_id]


@pytest.mark.parametrize("how", [*HOW, None])
def test_the_doctor_says_that_a_newer_version_wrote_it(
    desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str | None
) -> None:
    first, _ = opened(loop, clock, 2)
    written(desk, first, how)
    said = found(desk, first)
    assert {finding.level for finding in said} == {WARNING}
    assert any("Upgrade dualcontrol" in finding.hint for finding in said)
    assert ("passed over" in said[-1].what) == (how is not None)
    assert not [finding for finding in examine(desk.store) if finding.level == PROBLEM]


def test_the_doctor_calls_a_damaged_row_a_problem(desk: dc.Desk, loop: dc.Loop, clock: FakeClock) -> None:
    (first,) = opened(loop, clock, 1)
    with connected(desk.store.url) as database:
        database.execute(f"UPDATE cases SET snapshot = replace(snapshot, 'live', 'dreamt') WHERE id = '{first}'")
    assert PROBLEM in {finding.level for finding in found(desk, first)}


@pytest.fixture
def run(
    lasting_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("DUALCONTROL_DATABASE__URL", lasting_url)

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(list(arguments)), "".join(capsys.readouterr())

    return call


def test_the_command_line_lists_it_as_read_only(
    desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str, run: Callable[..., tuple[int, str]]
) -> None:
    first, second = opened(loop, clock, 2)
    written(desk, first, how)
    status, out = run("inbox")
    assert status == 0
    assert out.count("read only") == 2  # its row and the note
    listed = json.loads(run("inbox", "--json")[1])
    assert [row["review"]["case_id"] for row in listed] == [first, second]
    assert ["version" in row.get("read_only", "") for row in listed] == [True, False]
    status, out = run("export", "--open", "-", "--person", "ana")
    assert (status, second in out, first in out) == (0, True, False)


def test_the_console_lists_it_and_goes_on(desk: dc.Desk, loop: dc.Loop, clock: FakeClock, how: str) -> None:
    from starlette.testclient import TestClient

    from dualcontrol.web.app import create_app

    first, second = opened(loop, clock, 2)
    desk.claim("ana", case=first)
    written(desk, first, how)
    app = create_app(desk, token="a-token-of-the-tests", people=("ana",))
    with TestClient(app, base_url="http://127.0.0.1:8765", headers={"Accept": "text/html"}) as web:
        web.get("/", params={"token": app.state.access.entry})
        page = web.get("/inbox")
        assert page.status_code == 200
        assert "Only a newer version can work on this" in page.text
        csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        after = web.post("/inbox/next", data={"csrf": csrf})
        assert "/claims/" in str(after.url)
        assert desk.case(second).reviews[0].state == "claimed"


def test_examples_of_it_are_left_out(desk: dc.Desk, loop: dc.Loop, clock: FakeClock) -> None:
    from dualcontrol.learn.examples import dataset

    first, second = opened(loop, clock, 2)
    for case_id in (first, second):
        desk.claim("ana", case=case_id).approve()
    written(desk, first, "its snapshot does not fit")
    data = dataset(desk, "pay")
    assert ([row.case_id for row in data.rows], data.left_out) == ([second], 1)


def test_a_replay_skips_it(desk: dc.Desk, loop: dc.Loop, clock: FakeClock) -> None:
    from dualcontrol.replay.past import replayed

    written(desk, opened(loop, clock, 2)[0], "its snapshot does not fit")
    told = replayed(desk, "pay", 10, lambda: None)
    assert (told.cases, told.skipped) == (1, 1)
