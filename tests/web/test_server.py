"""Running the console: ports, two servers on one file, sweeping, streams, and what is logged."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import web_cases
from team import session, team

import dualcontrol as dc
from dualcontrol.errors import ServeError, StoreUnavailableError
from dualcontrol.web.server import Serving, background, listening, without_query


def client(serving: Serving, token: str | None = None) -> httpx2.Client:
    """A client that holds a token: that of the server, or one of somebody's."""
    headers = {"Authorization": f"Bearer {token or serving.access.token}"}
    return httpx2.Client(base_url=serving.url, headers=headers, timeout=20)


def test_a_taken_port(desk: dc.Desk) -> None:
    """`serve` says so; a demo takes another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1:{port}"):
            Serving(desk, port=port)
        with listening("127.0.0.1", port, any_port=True) as other:
            assert other.getsockname()[1] != port


def notice(desk: dc.Desk, **options: Any) -> tuple[str, Serving]:
    """What a server says at its start, which need not run for that."""
    serving = Serving(desk, port=0, **options)
    serving.socket.close()
    return serving.notice(), serving


def test_what_is_told(desk: dc.Desk) -> None:
    """Where to sign in, the token of programs, and the durability where it is the weaker one."""
    told, serving = notice(desk)
    assert f"{serving.url}sign-in" in told
    assert serving.access.token in told
    assert "proposes and reads; it decides nothing" in told
    assert "not a power cut" in told
    told, serving = notice(desk, token="hush-hush-hush-hush")
    assert "hush-hush-hush-hush" not in told


def test_an_address_that_lets_in_is_told_only_where_it_does(desk: dc.Desk, tmp_path: Path) -> None:
    """It makes the first admin, or opens the demo; where people sign in there is none."""
    told, serving = notice(desk)
    assert (serving.access.entry in told, "?token=" in told) == (False, False)
    with dc.open(f"sqlite:///{tmp_path}/fresh.db", durability="process") as fresh:
        told, serving = notice(fresh)
        assert (serving.entry_url in told, "makes the first admin" in told) == (True, True)
        told, serving = notice(fresh, people=("ana", "ben"))
        assert (serving.entry_url in told, "admin" in told) == (True, False)


def test_two_servers_on_one_file(tmp_path: Path) -> None:
    """A case proposed at one is decided at the other, and both know."""
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url, durability="process") as one, dc.open(url, durability="process") as two:
        web_cases.define(one)
        team(one)
        with (
            background(one, port=0) as first,
            background(two, port=0) as second,
            client(first) as a,
            client(second, one.tokens.issue("ana", "root", scopes=("decide",))[1]) as b,
        ):
            case = a.post("/api/v1/loops/spam/cases", json={"input": "x", "proposal": "spam", "confidence": 0.1}).json()
            claim = b.post("/api/v1/claims", json={}).json()
            waited: list[Any] = []
            waiter = threading.Thread(
                target=lambda: waited.append(a.get(f"/api/v1/cases/{case['id']}", headers={"Prefer": "wait=15"}).json())
            )
            waiter.start()
            b.post(f"/api/v1/claims/{claim['id']}/answer", json={"verdict": "approve"})
            waiter.join(timeout=15)
            assert waited[0]["outcome"]["value"] == "spam"


def test_the_server_sweeps(desk: dc.Desk) -> None:
    """A response time passes without anybody asking."""
    loop = desk.loop("quick", mode="approval", context="minimal", respond_within=1, on_timeout="reject")
    with background(desk, port=0):
        case = loop.propose(action="x", args={}, input="y")
        end = time.monotonic() + 10
        while desk.case(case.id).outcome is None and time.monotonic() < end:
            time.sleep(0.1)
    outcome = desk.case(case.id).outcome
    assert outcome is not None
    assert (outcome.by, outcome.verdict) == ("timeout", "reject")


def waited(done: Callable[[], bool]) -> bool:
    """Whether it came true within ten seconds."""
    end = time.monotonic() + 10
    while not done() and time.monotonic() < end:
        time.sleep(0.05)
    return done()


def test_the_server_gives_all_entries_their_positions_at_once(desk: dc.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst is not left to the following rounds, a thousand in each."""
    rows = {"action": ["x"] * 2_500, "args.n": list(range(2_500)), "input.text": ["y"] * 2_500}
    desk.loop("many", threshold=0.9, context="minimal").propose_batch(rows | {"confidence": [0.5] * 2_500})
    left: list[int] = []
    monkeypatch.setattr(desk, "sweep", lambda seconds=None: left.append(desk.store.queries.unplaced()[0]))
    with background(desk, port=0):
        assert waited(lambda: len(left) > 1)
    assert left[0] >= 2_500
    assert left[1] == 0


def test_the_server_says_that_its_sequencer_lags_and_that_it_has_caught_up(
    desk: dc.Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each, however many rounds there are, and though a hook before it fails in every round."""
    monkeypatch.setattr("dualcontrol.web.server.SWEEP_EVERY", 0.02)
    monkeypatch.setattr("dualcontrol.doctor.database.LAG", 0)
    caplog.set_level(logging.INFO, logger="dualcontrol.doctor")
    monkeypatch.setattr(desk.store, "sequence", lambda limit=1000: 0)
    desk.loop("lagging", threshold=0.9, context="minimal").propose(action="x", args={}, input="y")
    serving, rounds = Serving(desk, port=0, trains=False), threading.Semaphore(0)

    def failing(_: Any) -> None:
        rounds.release()
        raise StoreUnavailableError("the database is away")

    serving.after_sequence.insert(0, failing)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    try:
        assert all(rounds.acquire(timeout=20) for _ in range(3))
        monkeypatch.undo()
        while desk.store.sequence():
            pass
        assert all(rounds.acquire(timeout=20) for _ in range(3))
    finally:
        serving.stop()
        thread.join(timeout=20)
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "dualcontrol.doctor"]
    assert [level for level, _ in logged] == ["WARNING", "INFO"]
    assert "no position yet" in logged[0][1]
    assert logged[1][1] == "the sequencer: every entry has its position"


@pytest.mark.parametrize("error", [KeyError("a defect"), StoreUnavailableError("busy")], ids=repr)
def test_the_server_goes_on_sweeping_after_an_error(
    desk: dc.Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    loop = desk.loop("quick", mode="approval", context="minimal", respond_within=1, on_timeout="reject")
    case, sweep, failed = loop.propose(action="x", args={}, input="y"), desk.sweep, threading.Event()

    def failing(seconds: float | None = None) -> int:
        if not failed.is_set():
            failed.set()
            raise error
        return sweep(seconds)

    monkeypatch.setattr(desk, "sweep", failing)
    with background(desk, port=0):
        assert waited(lambda: desk.case(case.id).outcome is not None)
    assert "nothing swept this time" in caplog.text


def events(lines: Iterator[str], count: int) -> list[dict[str, Any]]:
    """The first events of a stream."""
    told: list[dict[str, Any]] = []
    for line in lines:
        if line.startswith("data: "):
            told.append(json.loads(line.removeprefix("data: ")))
            if len(told) == count:
                break
    return told


def test_the_stream_goes_on_where_it_broke(desk: dc.Desk) -> None:
    """Event ids are positions; a new connection continues behind the last; stopping does not wait for readers."""
    with background(desk, port=0) as serving, client(serving) as api:
        stream = {"Accept": "text/event-stream"}
        with api.stream("GET", "/api/v1/events", headers=stream) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            first = events(reply.iter_lines(), 3)
        case = web_cases.spam(desk)
        while desk.store.sequence():
            pass
        every = len(desk.store.feed(0, 1000))
        with api.stream("GET", "/api/v1/events", headers={**stream, "Last-Event-ID": str(first[-1]["pos"])}) as reply:
            rows = events(reply.iter_lines(), every - 3)
            started = time.monotonic()
            serving.stop()
        assert [row["pos"] for row in first + rows] == list(range(1, every + 1))
        assert rows[-1]["case_id"] == case.id
        assert time.monotonic() - started < 8


def test_the_counts_end_with_the_session(desk: dc.Desk) -> None:
    """A stream that was opened before its reader left tells nothing more."""
    with background(desk, port=0) as serving, httpx2.Client(base_url=serving.url, timeout=20) as browser:
        browser.cookies.set(serving.access.cookie, session(desk, "ana"))
        with browser.stream("GET", "/live", headers={"Accept": "text/event-stream"}) as reply:
            lines = reply.iter_lines()
            assert next(lines) == "event: counts"
            desk.sign_ins.end(account_id=desk.people.account("ana").id)
            assert "event: counts" not in list(lines)
        assert browser.get("/live").status_code == 401


def test_no_token_in_the_log() -> None:
    """The query string of a request is cut off before it is written."""
    given = ("127.0.0.1:1", "GET", "/?token=secret", "1.1", 303)
    record = logging.LogRecord("uvicorn.access", logging.INFO, "", 1, '%s - "%s %s HTTP/%s" %d', given, None)
    assert without_query(record)
    assert record.getMessage() == '127.0.0.1:1 - "GET / HTTP/1.1" 303'
