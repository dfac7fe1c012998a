"""One case's trip on the command line: propose, inbox, show, answer, and the exit codes."""

from __future__ import annotations

import json

import pytest
from burst import at_level

import dualcontrol as dc
from dualcontrol.cli import main


def test_a_confident_proposal_goes_on(run):
    given = ("--action", "refund", "--args", '{"amount": 1}', "--input", '"x"', "--confidence", "0.95", "--wait", "0")
    result = run("propose", "refunds", *given)
    assert result.code == 0
    assert "autopilot" in result.out
    assert '{"action": "refund", "args": {"amount": 1}}' in result.out


def test_a_key_that_stands_twice_is_refused_by_name(run, refund, tmp_path):
    case = refund()
    twice = '{"order": "A-17", "amount": 1.0, "amount": 900.0}'
    refused = run("edit", case, twice)
    assert (refused.code, "'amount' stands twice" in " ".join(refused.err.split())) == (2, True)
    file = tmp_path / "answers.jsonl"
    review = run("show", case, "--json").json["reviews"][0]["id"]
    line = f'{{"case_id": "{case}", "review_id": "{review}", "verdict": "edit", "value": {twice}}}'
    file.write_text(line + "\n", encoding="utf-8")
    imported = run("import", str(file), "--json")
    assert (imported.code, imported.json["applied"], imported.json["refused"]) == (1, 0, 1)
    assert "'amount' stands twice" in imported.json["lines"][0]["why"]


def test_an_unsure_one_is_recorded_and_waits(run, refund):
    case = refund()
    listed = run("inbox", "--json").json
    assert [row["review"]["case_id"] for row in listed] == [case]
    assert case in run("inbox").out


def test_waiting_in_vain_is_exit_code_5(run):
    given = ("--action", "refund", "--input", '"x"', "--confidence", "0.5", "--wait", "0", "--json")
    result = run("propose", "refunds", *given)
    assert result.code == 5
    assert result.json["outcome"] is None
    assert result.json["route"]["to"] == "human"


def test_a_blocked_proposal_is_refused(run):
    result = run("propose", "refunds", "--action", "drop_table", "--input", '"x"', "--json")
    assert result.code == 1
    assert result.json["outcome"]["verdict"] == "reject"


def test_the_same_key_finds_the_case_again_and_its_answer(run, refund):
    case = refund("--key", "k1")
    assert run("approve", case).code == 0
    given = ("--action", "refund", "--args", '{"order": "A-17", "amount": 42.0}', "--input", '{"mail": "please"}')
    again = run("propose", "refunds", *given, "--key", "k1", "--wait", "0", "--json")
    assert (again.code, again.json["case_id"]) == (0, case)
    other = run("propose", "refunds", "--action", "refund", "--input", '"other"', "--key", "k1")
    assert other.code == 4
    assert "DC-KEY-CONFLICT" in other.err


def test_wait_ends_when_another_process_answers(run, refund):
    import threading

    case = refund("--key", "k2")
    timer = threading.Timer(0.3, lambda: main(["approve", case, "--person", "ben"]))
    timer.start()
    given = ("--action", "refund", "--args", '{"order": "A-17", "amount": 42.0}', "--input", '{"mail": "please"}')
    result = run("propose", "refunds", *given, "--key", "k2", "--wait", "20")
    timer.join()
    assert result.code == 0
    assert "approve by human" in result.out


def test_approve_by_case_claims_that_very_case(run, refund):
    first, second = refund(), refund()
    result = run("approve", second, "--json")
    assert result.code == 0
    assert result.json["outcome"]["reviewers"] == ["ana"]
    events = run("show", second, "--events", "--json").json["events"]
    kinds = [event["kind"] for entry in events for event in entry["events"]]
    assert kinds[-4:] == ["Claimed", "Answered", "Decided", "Concluded"]
    assert [row["review"]["case_id"] for row in run("inbox", "--json").json] == [first]


def test_an_answer_that_is_refused_leaves_no_claim(run, refund):
    case = refund()
    assert run("answer", case, "label", "--value", "x").code == 1
    assert run("show", case, "--json").json["seq"] == 1
    assert run("approve", case, "--person", "ben").code == 0


def test_edit_changes_one_argument_and_keeps_the_rest(run, refund):
    case = refund()
    result = run("edit", case, "--set", "amount=7.5", "--rationale", "partly", "--json")
    assert result.json["outcome"]["value"] == {"action": "refund", "args": {"order": "A-17", "amount": 7.5}}
    shown = run("show", case)
    assert "ana answered edit" in shown.out
    assert "partly" in shown.out


def test_edit_takes_the_whole_value_from_a_file(run, refund, folder):
    (folder / "args.json").write_text('{"order": "A-18", "amount": 1.0}', encoding="utf-8")
    result = run("edit", refund(), "@args.json", "--json")
    assert result.json["outcome"]["value"]["args"]["order"] == "A-18"


@pytest.mark.parametrize(
    "given", [[], ["{}", "--set", "amount=1"], ["--set", "amount"], ["--set", "amont=1"], ["--set", "amount=x"]]
)
def test_an_edit_that_says_nothing_clear_is_a_usage_error(run, refund, given):
    assert run("edit", refund(), *given).code == 2


def test_reject_ends_a_waiting_program_with_1(run, refund):
    case = refund("--key", "k3")
    result = run("reject", case, "--rationale", "fraud", "--reason", "fraud", "--reason", "again", "--json")
    assert result.code == 0
    given = ("--action", "refund", "--args", '{"order": "A-17", "amount": 42.0}', "--input", '{"mail": "please"}')
    assert run("propose", "refunds", *given, "--key", "k3", "--wait", "0").code == 1
    assert run("show", case, "--json").json["answers"][0]["reasons"] == ["fraud", "again"]


def test_a_second_answer_is_a_conflict(run, refund):
    case = refund()
    assert run("approve", case).code == 0
    result = run("approve", case, "--person", "ben")
    assert result.code == 4
    assert "more: dualcontrol explain DC-SETTLED" in result.err


def test_a_stranger_may_not_answer(run, refund):
    result = run("approve", refund(), "--person", "mallory")
    assert result.code == 1
    assert "DC-ELIGIBILITY" in result.err


def test_a_case_that_is_not_there_is_exit_code_3(run, refund):
    refund()
    assert run("show", "nope").code == 3
    assert run("approve", "nope", "--json").json["error"]["code"] == "DC-CASE"
    assert run("inbox", "--loop", "nope").code == 3


def test_a_claim_is_answered_by_its_id(run, refund):
    import dualcontrol as dc

    case = refund()
    with dc.open() as desk:
        claim = desk.claim("ben", case=case)
    result = run("approve", claim.id, "--json")
    assert (result.code, result.json["person"]) == (0, "ben")


@pytest.mark.parametrize(
    ("typed", "label"), [("spam", "spam"), ("HAM", "ham"), ("1", 1), ("2", "2"), ('"2"', "2"), ('"ham"', "ham")]
)
def test_a_label_typed_as_text_is_the_label_of_the_loop(run, mail, typed, label):
    result = run("answer", mail(), "label", "--value", typed, "--json")
    assert result.json["outcome"]["value"] == label


def test_an_unknown_label_is_refused_with_the_set(run, mail):
    result = run("answer", mail(), "label", "--value", "eggs")
    assert result.code == 1
    assert '"spam"' in result.err


def test_respond_and_escalate_take_plain_text(run, refund):
    first, second = refund(), refund()
    assert run("answer", first, "respond", "--value", "42", "--json").json["outcome"]["value"] == {"text": "42"}
    assert run("answer", second, "escalate", "--value", "leads").code == 0
    assert run("approve", second, "--person", "lee").code == 0


def test_a_preference_names_a_candidate(run):
    case = run("propose", "pairs", "--candidates", '["a", "b"]', "--input", '"q"', "--json").json["case_id"]
    result = run("answer", case, "prefer", "--value", "c2", "--json")
    assert result.code == 0


def test_two_answers_make_a_quorum_and_stay_blind_until_then(run, refund):
    case = refund(loop="both")
    assert "more answers are needed" in run("approve", case, "--rationale", "secret reason").out
    for person, sees in (("ana", True), ("ben", False)):
        shown = run("show", case, "--person", person, "--events")
        told = run("show", case, "--person", person, "--events", "--json")
        assert ("secret reason" in shown.out) is sees
        assert ("secret reason" in told.out) is sees
        assert (len(told.json["answers"]) == 1) is sees
    assert run("approve", case).code == 4
    assert run("approve", case, "--person", "ben", "--json").json["outcome"]["reviewers"] == ["ana", "ben"]
    assert "secret reason" in run("show", case, "--person", "ben").out


def test_the_inbox_of_a_person_holds_what_they_may_take(run, refund):
    case = refund(loop="both")
    run("approve", case)
    assert run("inbox", "--person", "ana", "--json").json == []
    assert len(run("inbox", "--person", "ben", "--json").json) == 1
    assert "Nothing waits for lee" in run("inbox", "--person", "lee").out


def test_text_from_outside_cannot_act_on_the_terminal(run):
    nasty = json.dumps({"mail": "\x1b[2J\x1b]0;x\x07 [red]bold[/red] \u202egnp.exe"})
    case = run("propose", "refunds", "--action", "refund", "--input", nasty, "--json").json["case_id"]
    shown = run("show", case).out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]bold[/red]" in shown


def test_big_integers_and_other_writing_survive(run):
    given = '{"id": 9007199254740993123, "name": "Ωμέγα"}'
    case = run("propose", "refunds", "--action", "refund", "--args", given, "--input", '"x"', "--json").json["case_id"]
    shown = run("show", case, "--json")
    assert shown.json["candidates"][0]["value"] == {"id": 9007199254740993123, "name": "Ωμέγα"}


@pytest.mark.parametrize(
    "given",
    [
        ["--input", "{not json"],
        ["--input", "NaN"],
        ["--input", "@missing.json"],
        ["--action", "a", "--proposal", "1"],
        ["--args", "{}"],
        ["--alternatives", "{}"],
        ["--meta", "[]"],
        ["--action", "a", "--input", "-", "--args", "-"],
        ["--wait", "-1"],
    ],
    ids=" ".join,
)
def test_a_mistake_in_the_call_is_exit_code_2(run, given):
    assert run("propose", "refunds", *given).code == 2


def test_the_core_refuses_what_the_shell_let_through(run):
    assert run("propose", "refunds", "--action", "a", "--input", '"x"', "--confidence", "1.5").code == 1
    result = run("propose", "refunds", "--action", "a", "--json")
    assert result.code == 1
    assert result.json["error"]["code"] == "DC-CONTEXT"
    assert run("propose", "nope", "--action", "a").code == 3


def test_a_mistyped_database_is_not_made(run, folder):
    for command in (["inbox"], ["show", "x"], ["doctor"], ["db", "backup", "x.db"], ["approve", "x"]):
        result = run("--database", "sqlite:///mistyped.db", *command)
        assert result.code == 6
        assert "mistyped.db" in result.err
    assert not (folder / "mistyped.db").exists()


def test_an_unknown_loop_makes_no_database(run, folder):
    assert run("propose", "nope", "--action", "a").code == 3
    assert not (folder / "dualcontrol.db").exists()


def test_a_database_that_is_down_is_exit_code_6(run):
    result = run("inbox", "--database", "postgresql://nobody:s3cret@127.0.0.1:1/none")
    assert result.code == 6
    assert "s3cret" not in result.err + result.out


def test_global_options_stand_before_or_after(run, refund, folder):
    case = refund()
    other = folder / "elsewhere"
    other.mkdir()
    url = f"sqlite:///{folder}/dualcontrol.db"
    before = run("--json", "--database", url, "show", case)
    after = run("show", case, "--json", "--database", url)
    assert before.json == after.json
    assert run("--settings", "nowhere.toml", "inbox").code == 2


def joined(run) -> list[str]:
    """Three cases that ask the same while there is relief."""
    given = ("--action", "pay", "--args", '{"n": 1}', "--input", '"x"', "--confidence", "0.5", "--json")
    first = run("propose", "busy", *given).json["case_id"]
    with dc.open(settings="dualcontrol.toml") as desk:
        at_level(desk, desk.loop("busy"), 1)
    return [first, *(run("propose", "busy", *given).json["case_id"] for _ in range(2))]


@pytest.fixture
def busy():
    with open("dualcontrol.toml", "a", encoding="utf-8") as file:
        file.write(
            '\n[loop.busy]\ncontext = "minimal"\nrespond_within = "15m"\ncapacity = { reviewers = 1 }\n'
            'on_timeout = "reject"\n'
        )


@pytest.mark.usefixtures("busy")
def test_who_answers_is_told_how_many_cases_ask_the_same(run):
    leader, follower, _ = joined(run)
    assert "2 more cases ask the same; your answer counts for all of them" in run("show", leader).out
    assert leader in run("show", follower).out
    refused = run("approve", follower)
    assert refused.code == 4
    assert f"settled with case {leader}" in refused.err
    answered = run("approve", leader)
    assert "2 more that ask the same" in answered.out
    assert run("show", follower, "--json").json["outcome"]["reviewers"] == ["ana"]
    shown = run("show", follower, "--events").out
    assert all(kind in shown for kind in ("Answered", "Decided", "Concluded"))


@pytest.mark.usefixtures("busy")
def test_a_file_of_open_reviews_says_how_many_cases_ask_the_same(run, tmp_path):
    leader, follower, _ = joined(run)
    assert run("export", "--open", "open.jsonl", "--loop", "busy").code == 0
    (row,) = [json.loads(line) for line in (tmp_path / "open.jsonl").read_text().splitlines()]
    assert (row["case_id"], row["view"]["followers"]) == (leader, 2)
    (tmp_path / "open.jsonl").write_text(json.dumps({**row, "verdict": "approve"}) + "\n")
    assert run("import", "open.jsonl", "--dry-run").code == 0
    given = ("--action", "pay", "--args", '{"n": 1}', "--input", '"x"', "--confidence", "0.5", "--json")
    run("propose", "busy", *given)
    assert "is not what the file shows" in "".join(run("import", "open.jsonl")[1:3])
    assert run("show", follower, "--json").json["outcome"] is None
