"""A probe that waits cannot be told from a live case of its kind by what pages, API and command line show."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import probe_cases
import pytest
from starlette.testclient import TestClient
from team import People, session, team

import dualcontrol as dc
from dualcontrol.cli import main
from dualcontrol.testing import FakeClock, seeded_ids
from dualcontrol.web.app import create_app

BASE, TOKEN = "http://127.0.0.1:8765", "a-token-of-the-tests"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
SIZES = ("content-length", "content-security-policy")


class Doors(NamedTuple):
    """A desk on which a probe and a live case of the same content wait for ana, and her ways to look at them."""

    desk: dc.Desk
    probe: dc.Case
    live: dc.Case
    api: TestClient
    web: TestClient
    url: str


@pytest.fixture(params=probe_cases.LOOPS)
def doors(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Doors]:
    """The two cases, one kind of loop after the other."""
    url = f"sqlite:///{tmp_path}/dc.db"
    with dc.open(url, clock=FakeClock(), new_id=seeded_ids(3), durability="process") as desk:
        team(desk, names=("ana", "ben", "cleo"), roles=("reviewer",))
        probe = probe_cases.work(desk, request.param)
        live = probe_cases.twin(desk, probe, request.param)
        app = create_app(desk, token=TOKEN)
        with People(app, desk, base_url=BASE) as api, TestClient(app, base_url=BASE) as web:
            api.headers["Authorization"] = f"Bearer {api.token('ana')}"
            web.headers["Accept"] = "text/html"
            web.cookies.set(app.state.access.cookie, session(desk, "ana"), domain="127.0.0.1", path="/")
            yield Doors(desk, desk.case(probe.id), live, api, web, url)


def alike(text: str, case: dc.Case) -> str:
    """What a door shows of a case, without ids, times, hashes, places in the ledger and keys."""
    text = text.replace(case.id, "CASE")
    for place, review in enumerate(case.reviews):
        text = text.replace(review.id, f"ROW{place}")
    text = ID.sub("ID", re.sub(r"CASE\.[\w-]+", "CLAIM", text))
    text = re.sub(r"\b1\d{15}\b|\b1\d{12}\b", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{12}(?:[0-9a-f]{28,52})?\b", "HASH", text)
    text = re.sub(r"20\d\d-\d\d-\d\d[T ][\d:]+Z?( UTC)?", "MOMENT", text)
    text = re.sub(r"\d+ (s|min|h|d)( \d+ \w+)? (ago|left)|just now|now\b", "AGO", text)
    return re.sub(r'"pos": ?\d+', "POS", text)


def whole(response: Any) -> str:
    """A response with its status and headers."""
    headers = sorted((name, value) for name, value in response.headers.items() if name not in SIZES)
    return f"{response.status_code} {headers} {response.text}"


def of(rows: list[dict[str, Any]], case: dc.Case) -> str:
    """The rows of a list that are about a case."""
    return json.dumps([row for row in rows if case.id in json.dumps(row)])


def lines(page: str, case: dc.Case) -> str:
    """The items of a list on a page that are about a case."""
    return "".join(item for item in re.findall(r"(?s)<li\b.*?</li>", page) if case.id in item)


def feed(api: TestClient) -> list[dict[str, Any]]:
    """What the feed says of every entry, page by page."""
    rows: list[dict[str, Any]] = []
    while page := api.get(f"/api/v1/events?loop=mail&limit=1000&after={rows[-1]['pos'] if rows else 0}").json():
        if not page["entries"]:
            break
        rows += page["entries"]
    return [{name: row[name] for name in ("case_id", "seq", "kinds")} for row in rows]


def shown(doors: Doors) -> dict[str, Callable[[dc.Case], str]]:
    """Every way to look at a case that is not held, by name."""
    api, web = doors.api, doors.web
    return {
        "GET /cases/ID": lambda case: whole(api.get(f"/api/v1/cases/{case.id}")),
        "its events": lambda case: whole(api.get(f"/api/v1/cases/{case.id}/events")),
        "the list": lambda case: of(api.get("/api/v1/cases?limit=200").json()["rows"], case),
        "the list of open ones": lambda case: of(api.get("/api/v1/cases?limit=200&state=open").json()["rows"], case),
        "the queue": lambda case: of(api.get("/api/v1/inbox?limit=200").json()["rows"], case),
        "one's own queue": lambda case: of(api.get("/api/v1/inbox?limit=200&person=ana").json()["rows"], case),
        "the feed": lambda case: of(feed(api), case),
        "the page": lambda case: whole(web.get(f"/cases/{case.id}")),
        "its twin": lambda case: whole(web.get(f"/cases/{case.id}.json")),
        "the page to read": lambda case: whole(web.get(f"/cases/{case.id}/whole")),
        "the inbox": lambda case: lines(web.get("/inbox").text, case),
        "the list on a page": lambda case: lines(web.get("/cases").text, case),
        "the answer of somebody who holds nothing": lambda case: whole(
            api.post(f"/api/v1/claims/{case.id}.0000000000000000/answer", json={"verdict": "abstain"})
        ),
    }  # fmt: skip


def test_nothing_that_is_shown_tells_a_probe_from_a_live_case(doors: Doors) -> None:
    """Before the claim and while it is held: pages, lists, queue, JSON, ledger, feed and headers."""
    claims: dict[str, str] = {}
    views: dict[str, Callable[[dc.Case], str]] = {
        "the claim": lambda case: whole(doors.api.get(f"/api/v1/claims/{claims[case.id]}")),
        "the review page": lambda case: whole(doors.web.get(f"/claims/{claims[case.id]}")),
        "its twin": lambda case: whole(doors.web.get(f"/claims/{claims[case.id]}.json")),
    }
    for held in (False, True):
        for case in (doors.probe, doors.live) if held else ():
            claimed = doors.api.post("/api/v1/claims", json={"person": "ana", "case": case.id})
            assert claimed.status_code == 201, claimed.text
            claims[case.id] = claimed.json()["id"]
        probe, live = doors.desk.case(doors.probe.id), doors.desk.case(doors.live.id)
        for name, look in {**shown(doors), **(views if held else {})}.items():
            assert alike(look(probe), probe) == alike(look(live), live), (name, held)


def test_the_command_line_shows_no_difference(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Queue, case and ledger, for the very person who is asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ana")

    def run(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments, "--database", doors.url]) == 0
        return capsys.readouterr().out

    commands: dict[str, Callable[[dc.Case], str]] = {
        "inbox": lambda case: of(json.loads(run("inbox", "--json", "--limit", "500")), case),
        "inbox --person": lambda case: of(
            json.loads(run("inbox", "--json", "--person", "ana", "--limit", "500")), case
        ),
        "show": lambda case: run("show", case.id, "--person", "ana"),
        "show --json": lambda case: run("show", case.id, "--person", "ana", "--json"),
        "show --events": lambda case: run("show", case.id, "--person", "ana", "--events"),
        "show --events --json": lambda case: run("show", case.id, "--person", "ana", "--events", "--json"),
        "export --open": lambda case: of(exported(), case),
    }

    def exported() -> list[dict[str, Any]]:
        run("export", "--open", "open.jsonl", "--person", "ana", "--force")
        return [json.loads(line) for line in Path("open.jsonl").read_text(encoding="utf-8").splitlines()]

    for name, look in commands.items():
        assert alike(look(doors.probe), doors.probe) == alike(look(doors.live), doors.live), name


def test_it_has_the_place_in_the_queue_and_in_the_counts_that_a_live_case_has(doors: Doors) -> None:
    """Opened at one moment, they are due at one; and what waits is counted with both."""
    places = {case.id: {r.order_at - r.opened_at for r in case.reviews} for case in (doors.probe, doors.live)}
    assert places[doors.probe.id] == places[doors.live.id]
    loop = doors.api.get("/api/v1/loops/mail").json()["counts"]
    audits = doors.probe.route is not None and doors.probe.route.to == "autopilot"
    everything = doors.desk.store.queries.counts(doors.desk.loop("mail").control.loop_id)
    waits = {"closed": 1, "autopilot": 1, "audited": 1} if audits else {"open": 1, "human": 1}
    others = {"probe": sum(case.id != doors.probe.id for case in waiting_probes(doors.desk))}
    assert others == {"probe": 0}
    assert {name: loop[name] - everything[name] for name in loop if loop[name] != everything[name]} == waits
    nav = re.search(r'data-live="open" aria-hidden="true">(\d+)', doors.web.get("/inbox").text)
    assert nav is not None
    assert int(nav[1]) == len(re.findall(r"<li data-item", doors.web.get("/inbox").text))


def waiting_probes(desk: dc.Desk) -> list[dc.Case]:
    """The probes of a loop that are still to be answered, of everybody."""
    page = desk.store.queries.cases(loop="mail", kind="probe", limit=200)
    cases = [desk.case(row.id) for row in page.rows]
    return [case for case in cases if case.scored is None]


def test_to_others_it_is_not_there(doors: Doors) -> None:
    """Nobody else sees it in lists, by its id or in the ledger, nor can they take it."""
    ben = {"Authorization": f"Bearer {doors.api.token('ben')}"}
    case_id = doors.probe.id
    for address in (f"/api/v1/cases/{case_id}", f"/api/v1/cases/{case_id}/events"):
        assert doors.api.get(address, headers=ben).status_code == 404, address
    for address in ("/api/v1/cases?limit=200", "/api/v1/inbox?limit=200", "/api/v1/inbox?limit=200&person=ana"):
        assert case_id not in doors.api.get(address, headers=ben).text, address
        assert doors.live.id in doors.api.get(address, headers=ben).text
    taken = doors.api.post("/api/v1/claims", json={"person": "ben", "case": case_id}, headers=ben)
    assert taken.status_code in (403, 404)
