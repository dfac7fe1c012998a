"""``keys``: a token is made, listed without its secret, and ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from team import team

import dualcontrol as dc
from dualcontrol.events import AccountAdded


@pytest.fixture
def desk(refund: Callable[..., str]) -> Iterator[dc.Desk]:
    """The desk behind the command line, with an account for ana."""
    refund()
    with dc.open() as desk:
        team(desk, ("ana",), ("reviewer",))
        yield desk


def test_a_new_service_gets_a_token_that_proposes_in_its_loop(run, desk):
    result = run(
        "keys", "new", "bot", "--service", "--owner", "ana", "--loop", "refunds", "--name", "nightly", "--json"
    )
    assert result.code == 0, result
    made = result.json
    assert (made["scopes"], made["loops"], made["account"]) == (["propose", "read"], ["refunds"], "bot")
    principal = desk.tokens.principal(made["secret"])
    assert principal is not None
    assert (principal.person, principal.loops, principal.roles("refunds")) == ("bot", ("refunds",), {"submitter"})
    entries = desk.store.queries.entries("people")
    added = next(e for entry in entries for e in entry.events if isinstance(e, AccountAdded) and e.person == "bot")
    assert (added.account_kind, added.owner, added.by) == ("service", "ana", "ana")
    again = run("keys", "new", "bot", "--service", "--owner", "ana", "--expires", "never", "--json").json
    assert again["expires_at"] is None


def test_the_secret_is_printed_once(run, desk):
    shown = run("keys", "new", "ana", "--scope", "decide", "--expires", "30d")
    secret = next(word for word in shown.out.split() if word.startswith("dc_"))
    assert shown.out.count(secret) == 1
    assert secret not in shown.err
    for again in (
        run("keys"),
        run("keys", "--json"),
        run("keys", "list", "--all"),
        run("users", "--json"),
        run("doctor"),
    ):
        assert secret not in again.out + again.err
    (row,) = run("keys", "--json").json
    assert (row["account"], row["scopes"], row["used_at"], row["state"]) == ("ana", ["decide"], None, "in force")


def test_a_person_reads_where_no_scope_is_named(run, desk):
    assert run("keys", "new", "ana", "--json").json["scopes"] == ["read"]


@pytest.mark.parametrize(
    ("arguments", "code", "meant"),
    [
        (("an",), "DC-ACCOUNT", "'ana'"),
        (("bot", "--service"), "DC-USAGE", "--owner"),
        (("bot", "--owner", "ana"), "DC-USAGE", "--service"),
        (("bot", "--service", "--owner", "an"), "DC-ACCOUNT", "'ana'"),
        (("bot", "--service", "--owner", "ana", "--scope", "decide"), "DC-ACCOUNT", "decides"),
        (("ana", "--service", "--owner", "ana"), "DC-ACCOUNT", "is a person"),
        (("ana", "--scope", "decide", "--scope", "propose"), "DC-ACCOUNT", "both proposes and decides"),
        (("ana", "--scope", "propose"), "DC-ACCOUNT", "no service"),
        (("ana", "--scope", "rule"), "DC-ACCOUNT", "'rule'"),
        (("root", "--scope", "decide"), "DC-ACCOUNT", "neither reviewer nor lead"),
        (("ana", "--loop", "refund"), "DC-LOOP", "'refunds'"),
        (("ana", "--expires", "soon"), "DC-REQUEST", "90s"),
    ],
)
def test_a_token_that_cannot_be_is_refused_and_registers_nobody(run, desk, arguments, code, meant):
    before = len(desk.people.accounts())
    result = run("keys", "new", *arguments, "--json")
    assert result.json["error"]["code"] == code, result
    assert meant in result.json["error"]["message"]
    assert (desk.tokens.listed(), len(desk.people.accounts())) == ([], before)


def test_a_revoked_token_opens_nothing_and_leaves_the_list(run, desk):
    made = run("keys", "new", "ana", "--json").json
    assert run("keys", "revoke", made["id"], "--json").json["state"] == "revoked"
    assert desk.tokens.principal(made["secret"]) is None
    assert "No token is in force" in run("keys").out
    assert [row["state"] for row in run("keys", "list", "--all", "--json").json] == ["revoked"]
    assert run("keys", "revoke", made["id"]).code == 1
