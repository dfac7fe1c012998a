"""People are people: however a name is spelled it is one person, at every door and in both databases."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dualcontrol as dc
from dualcontrol.errors import EligibilityError, SamePersonError, SettingsError
from dualcontrol.names import among, identity, same, written
from dualcontrol.testing import FakeClock

SPELLINGS = [
    "Ana",
    "ana ",
    " ANA",
    "a\u200bna",
    "\ufeffana",
    "an\u00ada",
    "ａｎａ",
    "ana\u2800",
    "ana\ufe0f",
    "\u202eana",
]
JOSE = "José"
NFD = unicodedata.normalize("NFD", JOSE)


@pytest.fixture
def desk(database_url: str):
    with dc.open(database_url, durability="process", clock=FakeClock(), groups={"team": ["Ana", "ben", JOSE]}) as desk:
        yield desk


def opened(desk: dc.Desk, **more: Any) -> Any:
    return desk.loop("pay", **{"context": "minimal", "group": "team", **more})


@pytest.mark.parametrize("name", SPELLINGS)
def test_one_person_counts_once_in_a_quorum(desk, name: str) -> None:
    case = opened(desk, quorum={"answers": 2}).propose(action="act", args={}, input=1)
    desk.claim("ana", case=case).approve()
    with pytest.raises(SamePersonError):
        desk.claim(name, case=case)
    assert desk.claim(name, "pay") is None
    assert desk.case(case.id).state == "open"


@pytest.mark.parametrize(("one", "other"), [(JOSE, NFD), (NFD, "JOSÉ"), ("ﬁona", "Fiona"), ("STRASSE", "straße")])
def test_composed_folded_and_compatible_spellings_are_one(desk, one: str, other: str) -> None:
    case = desk.loop("open", context="minimal", quorum={"answers": 2}).propose(
        proposal=None, action="act", args={}, input=1
    )
    desk.claim(one, case=case).approve()
    with pytest.raises(SamePersonError):
        desk.claim(other, case=case)


@pytest.mark.parametrize("name", SPELLINGS)
def test_who_proposes_does_not_review(desk, name: str) -> None:
    case = opened(desk).propose(action="act", args={}, input=1, owner="ana")
    with pytest.raises(EligibilityError, match="proposed"):
        desk.claim(name, case=case)
    assert desk.claim(name, "pay") is None
    assert desk.claim("ben", "pay") is not None


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_second_review_asks_another_person(desk, name: str) -> None:
    rule = {"name": "dear", "when": "args.n > 5", "route": "human", "quorum": {"answers": 2}}
    case = opened(desk, rules=[rule]).propose(action="act", args={"n": 1}, input=1)
    desk.claim("ana", case=case).edit({"n": 9})
    assert desk.case(case.id).state == "open"
    with pytest.raises(SamePersonError):
        desk.claim(name, case=case)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_member_is_a_member_and_a_claim_is_its_holders(desk, name: str) -> None:
    case = opened(desk).propose(action="act", args={}, input=1)
    claim = desk.claim(name, case=case)
    assert desk.claim("ana", case=case).id == claim.id
    after = desk.answer(claim.id, "approve", person="ana")
    assert after.outcome.reviewers == (written("ana"),)
    assert desk.store.queries.inbox([], person="ANA").rows == ()


def test_a_name_is_kept_as_it_is_written(desk) -> None:
    case = opened(desk).propose(action="act", args={}, input=1)
    assert desk.claim(" Ana\u200b ", case=case).approve().outcome.reviewers == ("Ana",)


@pytest.mark.parametrize("name", SPELLINGS[1:])
def test_a_group_has_a_person_once(name: str) -> None:
    with pytest.raises(SettingsError, match=r"one person|twice"):
        dc.open("sqlite:///:memory:", groups={"team": ["Ana", name]})


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\u2800 ", "\ufeff"])
def test_what_nobody_can_see_is_no_name(desk, name: str) -> None:
    case = opened(desk).propose(action="act", args={}, input=1)
    with pytest.raises(dc.DualcontrolError):
        desk.claim(name, case=case)
    with pytest.raises(dc.DualcontrolError):
        opened(desk).propose(action=name, args={}, input=1)


def test_look_alikes_of_other_scripts_are_other_people() -> None:
    assert not same("ana", "аna")  # the first letter is Cyrillic
    assert not same("ben", "bén")


@pytest.mark.parametrize(
    "entry",
    [
        "delete_*",
        "delete?",
        "del.*",
        "/delete/",
        "^delete$",
        "[a-z]+",
        "a|b",
        "delete,refund",
        "delete, refund",
        "delete;refund",
        "{delete}",
        "<action>",
        "\u200b",
    ],
)
@pytest.mark.parametrize("key", ["block_actions", "human_actions", "autopilot_actions"])
def test_an_entry_that_is_no_name_is_refused(entry: str, key: str) -> None:
    with dc.open("sqlite:///:memory:") as desk, pytest.raises(SettingsError):
        desk.loop("pay", **{key: [entry]})


@pytest.mark.parametrize(
    "entry", ["delete_account", "mail.send", "files/delete", "send-mail", "send mail", "löschen", "a:b"]
)
def test_an_entry_that_is_a_name_is_taken(entry: str) -> None:
    with dc.open("sqlite:///:memory:") as desk:
        loop = desk.loop("pay", block_actions=[entry], context="minimal")
        assert loop.propose(action=entry.upper(), args={}, input=1).route.to == "block"


def test_an_edit_to_a_blocked_action_is_blocked_however_it_is_spelled(desk) -> None:
    case = opened(desk, block_actions=["delete"]).propose(action="act", args={}, input=1)
    for name in ("delete", "Delete", "de\u200blete ", "ＤＥＬＥＴＥ"):
        with pytest.raises(dc.errors.BlockedError):
            desk.claim("ana", case=case).edit({"action": name, "args": {}})


@given(st.text(max_size=20))
def test_a_name_is_written_once_and_for_all(name: str) -> None:
    assert written(written(name)) == written(name)
    assert identity(written(name)) == identity(name) == identity(identity(name))


@given(st.text(min_size=1, max_size=10))
def test_what_is_the_same_is_among_itself(name: str) -> None:
    assert among(name, (name,)) is bool(identity(name))
