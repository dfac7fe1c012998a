"""``groups``: people of a group by the settings, or by what was said in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from team import team

import dualcontrol as dc
from dualcontrol.events import GroupNamed


@pytest.fixture
def desk(refund: Callable[..., str]) -> Iterator[dc.Desk]:
    """The desk behind the command line, with accounts for ana, ben and zed."""
    refund()
    with dc.open() as desk:
        team(desk, ("ana", "ben", "zed"), ("reviewer",))
        yield desk


def support(run) -> dict:
    return next(row for row in run("groups", "--json").json if row["name"] == "support")


def test_the_list_stands_beside_what_the_settings_say(run, desk):
    assert support(run)["by"] == "settings"
    assert run("groups", "add", "support", "zed").code == 0
    row = support(run)
    assert (row["by"], row["people"], row["settings"]) == ("accounts", ["ana", "ben", "zed"], ["ana", "ben", "cleo"])
    assert row["loops"] == ["both", "pairs", "refunds", "spam"]
    assert "ana, ben, cleo" in run("groups").out


def test_a_group_decides_who_may_claim_until_it_is_given_back(run, refund, desk):
    run("groups", "set", "support", "zed")
    assert run("approve", refund(), "--person", "ana", "--json").json["error"]["code"] == "DC-ELIGIBILITY"
    assert run("approve", refund(), "--person", "zed").code == 0
    run("groups", "take", "support", "zed")
    assert support(run)["people"] == []
    assert run("groups", "give-back", "support", "--person", "root", "--json").json["by"] == "settings"
    assert run("approve", refund(), "--person", "ana").code == 0
    entries = desk.store.queries.entries("people")
    named = [event for entry in entries for event in entry.events if isinstance(event, GroupNamed)]
    assert [(event.by, event.people) for event in named] == [("ana", ("zed",)), ("ana", ()), ("root", None)]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("add", "support", "zod"), "'zed'"),
        (("take", "support", "zed"), "of it are: ana, ben"),
        (("give-back", "support"), "the settings speak for"),
    ],
)
def test_a_mistake_is_refused_with_what_was_meant(run, desk, arguments, meant):
    result = run("groups", *arguments, "--json")
    assert (result.code, result.json["error"]["code"]) == (1, "DC-ACCOUNT")
    assert meant in result.json["error"]["message"]


def test_a_group_that_no_loop_asks_is_remarked_on(run, desk):
    assert "did you mean 'support'?" in run("groups", "add", "suport", "zed").err
