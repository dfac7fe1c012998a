"""``users``: invite, grant, link, recover, remove and sessions, from the call to what the record says."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest
from team import session, team

import dualcontrol as dc
from dualcontrol.events import AccountAdded, AccountEvent, AccountRecovered, AccountRemoved, GroupNamed, RolesChanged


@pytest.fixture
def recorded() -> Callable[[], list[AccountEvent]]:
    """What the stream of people holds now."""

    def read() -> list[AccountEvent]:
        with dc.open() as desk:
            entries = desk.store.queries.entries("people")
            return [event for entry in entries for event in entry.events if isinstance(event, AccountEvent)]

    return read


@pytest.fixture
def desk(refund: Callable[..., str]) -> Iterator[dc.Desk]:
    """The desk behind the command line, with ana, ben, lee and the admin root."""
    refund()
    with dc.open() as desk:
        team(desk, ("ana", "ben", "lee"), ("reviewer",))
        yield desk


def names(result) -> dict[str, dict]:
    return {row["name"]: row for row in result.json}


def test_an_invitation_prints_its_link_once_and_is_recorded_under_who_made_it(run, recorded):
    result = run("users", "invite", "lee", "--role", "lead@refunds", "--role", "reviewer", "--group", "leads", "--json")
    assert result.code == 0, result
    link = result.json["link"]
    assert link.startswith("http://127.0.0.1:8765/join?token=")
    added, roles, group = recorded()
    assert isinstance(added, AccountAdded)
    assert (added.person, added.by) == ("lee", "ana")
    assert isinstance(roles, RolesChanged)
    assert roles.roles == (("lead", "refunds"), ("reviewer", ""))
    assert isinstance(group, GroupNamed)
    assert group.people == ("lee",)
    secret = link.partition("token=")[2]
    for again in (run("users"), run("users", "--json"), run("doctor", "--json")):
        assert secret not in again.out + again.err
    with dc.open() as desk:
        assert desk.sign_ins.choose_password(secret, "four words of nobody").name == "lee"


def test_a_link_for_people_is_one_line_with_the_address_that_they_use(run):
    result = run("users", "invite", "ben", "--role", "reviewer", "--url", "https://review.example.org/")
    assert result.out.splitlines()[-1].startswith("https://review.example.org/join?token=")
    assert "nobody is admin" in result.err
    assert run("users", "invite", "cleo", "--url", "review.example.org").code == 2
    assert "cleo" not in run("users").out


def test_the_bare_name_lists_and_says_who_may_do_what(run, desk):
    session(desk, "ana")
    run("users", "grant", "ana", "lead", "--loop", "refunds")
    run("groups", "add", "support", "ana")
    listed = run("users")
    assert "reviewer, lead of refunds" in listed.out
    row = names(run("users", "--json"))["ana"]
    assert row["roles"] == [{"role": "reviewer", "loop": ""}, {"role": "lead", "loop": "refunds"}]
    assert (row["groups"], row["sessions"], row["state"]) == (["support"], 1, "active")
    assert row == names(run("users", "list", "--json"))["ana"]


def test_without_accounts_the_list_says_how_the_first_comes(run, refund):
    refund()
    assert "any name is taken" in run("users").out


@pytest.mark.parametrize(
    ("arguments", "code", "meant"),
    [
        (("grant", "an", "lead"), "DC-ACCOUNT", "'ana'"),
        (("grant", "ana", "reviwer"), "DC-ACCOUNT", "'reviewer'"),
        (("grant", "ana", "lead", "--loop", "refund"), "DC-LOOP", "'refunds'"),
        (("invite", "ben", "--role", "lead@refund"), "DC-LOOP", "'refunds'"),
        (("revoke", "ana", "lead"), "DC-ACCOUNT", "is not lead"),
        (("revoke", "root", "admin"), "DC-ACCOUNT", "last admin"),
        (("remove", "root", "--yes"), "DC-ACCOUNT", "last admin"),
        (("grant", "root", "reviewer"), "DC-ACCOUNT", "decides nothing"),
        (("invite", "Ana"), "DC-ACCOUNT", "another account"),
        (("sessions", "--end", "0"), "DC-ACCOUNT", "no session"),
    ],
)
def test_a_mistake_is_refused_with_what_was_meant(run, desk, recorded, arguments, code, meant):
    before = recorded()
    result = run("users", *arguments, "--json")
    assert result.code == (3 if code == "DC-LOOP" else 1)
    assert result.json["error"]["code"] == code
    assert meant in result.json["error"]["message"]
    assert recorded() == before


def test_roles_are_granted_and_taken_for_somebody_else(run, desk, recorded):
    run("users", "grant", "ana", "lead", "--person", "root")
    result = run("users", "revoke", "ana", "reviewer", "--person", "root", "--json")
    assert result.json["roles"] == [{"role": "lead", "loop": ""}]
    granted, revoked = recorded()[-2:]
    assert (granted.by, granted.roles) == ("root", (("reviewer", ""), ("lead", "")))
    assert (revoked.by, revoked.roles) == ("root", (("lead", ""),))


def test_two_accounts_of_one_human_are_said_so(run, desk):
    assert run("users", "link", "ana", "lee", "--json").json["same_human"] == ["lee"]
    assert "same human as" in run("users", "link", "lee", "ana").out


def test_removing_asks_and_says_what_ended(run, refund, desk, monkeypatch, recorded):
    desk.claim("ana", case=refund())
    desk.tokens.issue("ana", "root", scopes=("read",))
    session(desk, "ana")
    assert run("users", "remove", "ana", "--json").code == 2  # nobody is asked where a program reads
    monkeypatch.setattr("sys.stdin", io.StringIO())
    refused = run("users", "remove", "ana")
    assert (refused.code, refused.out.strip()) == (1, "")
    assert "1 claim, 1 token and 1 session" in refused.err
    assert names(run("users", "--json"))["ana"]["state"] == "active"
    result = run("users", "remove", "ana", "--yes", "--json")
    assert result.json["ended"] == {"claims": 1, "tokens": 1, "sessions": 1, "groups": []}
    assert any(isinstance(event, AccountRemoved) for event in recorded())
    assert names(run("users", "--json"))["ana"]["roles"] == []
    assert desk.people.holdings("ana")[:3] == (0, 0, 0)


def test_recovery_is_the_way_out_when_no_admin_can_sign_in(run, desk, recorded):
    session(desk, "lee")
    run("users", "revoke", "lee", "reviewer")
    result = run("users", "recover", "lee", "--admin", "--json")
    assert {"role": "admin", "loop": ""} in result.json["roles"]
    assert any(isinstance(event, AccountRecovered) and event.person == "lee" for event in recorded())
    assert names(run("users", "--json"))["lee"]["sessions"] == 0
    account = desk.sign_ins.choose_password(result.json["link"].partition("token=")[2], "four words of nobody")
    assert account.has("admin")
    assert run("users", "recover", "ana", "--admin").code == 1  # a reviewer; the hint names a second account


def test_sessions_are_listed_and_ended(run, desk):
    session(desk, "ana")
    session(desk, "ana")
    session(desk, "lee")
    listed = run("users", "sessions", "--json").json
    assert sorted(row["name"] for row in listed) == ["ana", "ana", "lee"]
    mine = run("users", "sessions", "ana", "--json").json
    assert run("users", "sessions", "--end", mine[0]["id"], "--json").json == {"ended": 1}
    assert [row["id"] for row in run("users", "sessions", "ana", "--json").json] == [mine[1]["id"]]
    assert "1 session ended" in run("users", "sessions", "ana", "--all").out
    assert [row["name"] for row in run("users", "sessions", "--json").json] == ["lee"]
    assert run("users", "sessions", "--all", "--end", "1").code == 2


def test_no_list_shows_a_hash_or_the_digest_of_a_secret(run, desk):
    secret = session(desk, "ana")
    key = desk.tokens.issue("ana", "root", scopes=("read",))[1]
    shown = "".join(run(*command, "--json").out for command in (("users",), ("users", "sessions"), ("keys",)))
    for private in (secret, key, "digest", "argon2", 'password": "'):
        assert private not in shown


# People who act by a command are asked for their role, as at every door


@pytest.mark.parametrize("person", ["zed", "root"])
@pytest.mark.parametrize(
    "command",
    [
        ("approve", "CASE"), ("reject", "CASE"), ("edit", "CASE", "--set", "amount=1"), ("answer", "CASE", "abstain"),
        ("commit", "CASE", "happen"), ("inbox",), ("export", "--open", "waiting.jsonl"),
        ("autopilot", "open", "refunds"),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_who_may_not_is_refused_by_every_command(run, refund, desk, command, person):
    case, code = refund(), "DC-ELIGIBILITY" if person == "zed" else "DC-ROLE"
    result = run(*(case if part == "CASE" else part for part in command), "--person", person, "--json")
    assert result.json["error"]["code"] == code, result
    assert person in result.json["error"]["message"]
    assert len(desk.events(case)) == 3


def test_a_lost_effect_is_resolved_and_an_approval_revoked_by_who_may_decide(run, refund, desk):
    case = refund()
    assert run("approve", case, "--person", "ana").code == 0
    assert run("revoke", case, "--person", "zed", "--json").json["error"]["code"] == "DC-ELIGIBILITY"
    assert run("resolve", case, "--happened", "--person", "root", "--json").json["error"]["code"] == "DC-ROLE"


def test_autopilot_is_stopped_by_whose_role_it_is_and_opened_by_a_lead(run, desk):
    why = ("--because", "wrong since noon")
    run("users", "invite", "otto", "--role", "auditor")
    assert run("autopilot", "stop", "refunds", *why, "--person", "otto").code == 1
    assert run("autopilot", "stop", "refunds", *why, "--person", "ana").code == 0
    assert run("autopilot", "open", "refunds", "--person", "ana", "--json").json["error"]["code"] == "DC-ROLE"
    run("users", "grant", "lee", "lead")
    assert run("autopilot", "open", "refunds", "--person", "lee").code == 0


def test_each_line_of_a_file_is_under_the_same_checks(run, refund, desk, folder):
    refund()
    assert run("export", "--open", "waiting.jsonl", "--person", "ana").code == 0
    lines = (folder / "waiting.jsonl").read_text(encoding="utf-8")
    (folder / "waiting.jsonl").write_text(lines.replace('"verdict": null', '"verdict": "approve"'), encoding="utf-8")
    run("users", "revoke", "ana", "reviewer")
    for dry in (("--dry-run",), ()):
        result = run("import", "waiting.jsonl", "--person", "ana", *dry, "--json")
        assert result.code == 1
        assert {(line["became"], line["code"]) for line in result.json["lines"]} == {("refused", "DC-ROLE")}


def test_a_case_says_by_which_sign_in_it_was_answered(run, refund, desk):
    case = refund()
    run("approve", case)
    assert "on the command line, as the user of this machine" in run("show", case).out
    other = refund()
    run("approve", other, "--person", "ben")
    assert "nobody signed in: the command line held the database" in run("show", other).out
    third = refund()
    desk.claim("ana", case=third).reject("no")
    assert "in Python; nobody signed in: Python held the database" in run("show", third).out
