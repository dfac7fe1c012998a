"""The ladder and the cap at the doors: what is refused over HTTP, and what a page tells."""

from __future__ import annotations

from typing import Any

import pytest
from ladder_cases import flag, mail, settled
from starlette.testclient import TestClient

import dualcontrol as dc


@pytest.fixture
def loop(desk: dc.Desk) -> dc.Loop:
    return mail(desk, quorum={"answers": 2})


def live(loop: dc.Loop, **given: Any) -> dc.Case:
    return loop.propose(proposal="b", alternatives=["a", "c"], input="live", confidence=0.5, **given)


def claim(api: TestClient, case: dc.Case | None = None, person: str = "ana") -> Any:
    of = {"loop": "mail"} if case is None else {"case": case.id}
    return api.post("/api/v1/claims", json={"person": person, **of})


def test_a_claim_beside_training_is_refused_by_its_code(api: TestClient, desk: dc.Desk, loop: dc.Loop) -> None:
    settled(desk, loop, 5, ("ben", "eva"))
    case = live(loop)
    flag(desk, loop, "ana", 2)
    refused = claim(api, case)
    assert (refused.status_code, refused.json()["code"]) == (403, "DC-TRAINING")
    given = claim(api)
    assert given.status_code in (200, 201)
    assert given.json()["view"]["practice"] is True
    assert claim(api, case, "ben").status_code in (200, 201)


def test_who_is_suspended_is_refused_by_its_code(api: TestClient, desk: dc.Desk, loop: dc.Loop) -> None:
    flag(desk, loop, "ana", 5)
    assert loop.control.step_of("ana") == 4
    loop.suspend("ana", by="lee", because="test")
    case = live(loop)
    for refused in (claim(api), claim(api, case)):
        assert (refused.status_code, refused.json()["code"]) == (403, "DC-SUSPENDED")


def test_a_claim_above_the_cap_is_refused_by_its_code(api: TestClient, desk: dc.Desk) -> None:
    loop = mail(desk, "off", cap={"high": 1})
    first, second = live(loop, risk="high"), live(loop, risk="high")
    assert claim(api, first).status_code in (200, 201)
    refused = claim(api, second)
    assert (refused.status_code, refused.json()["code"]) == (403, "DC-CAP")
    assert refused.json()["bound"] == 1


def test_a_page_says_where_somebody_stands_and_that_a_case_is_for_training(
    web: TestClient, desk: dc.Desk, loop: dc.Loop
) -> None:
    assert "wrong proposals pass" not in web.get("/inbox").text
    settled(desk, loop, 5, ("ben", "eva"))
    flag(desk, loop, "ana", 2)
    assert "Some training cases come first" in web.get("/inbox").text
    held = desk.claim("ana", "mail")
    assert held is not None
    page = web.get(f"/claims/{held.id}").text
    assert "This is a training case" in page
    assert "40 minutes" not in page


def test_a_colleague_is_not_told_who_commits_first(api: TestClient, desk: dc.Desk, loop: dc.Loop) -> None:
    case = live(loop)
    flag(desk, loop, "ana", 3)
    held = desk.claim("ana", case=case)
    assert held is not None
    held.label("a")
    for door in (f"/api/v1/cases/{case.id}", f"/api/v1/cases/{case.id}/events"):
        reply = api.get(door)
        assert reply.status_code == 200, reply.text
        assert "by_step" not in reply.text
