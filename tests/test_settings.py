"""Settings: every source in its order, and every mistake refused with file, line and the nearest right name."""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualcontrol.case import Bounds, Quorum, Value
from dualcontrol.control import Capacity, Feedback, Guarantee, LoopSettings, Rule
from dualcontrol.errors import QuorumError, RuleError, SettingsError
from dualcontrol.names import nearest
from dualcontrol.settings import Database, Oidc, Settings, Web, every_key, load, loop_settings, masked
from dualcontrol.settings.place import Place, Sources
from dualcontrol.settings.schema import table_of
from dualcontrol.settings.sources import lines

DESIGN = """\
[database]
url = "sqlite:///dualcontrol.db"
durability = "power"

[loop.refunds]
mode = "approval"
threshold = 0.90
risk_ceiling = "medium"
audit = 0.05
human_actions = ["delete_account"]
respond_within = "15m"
on_timeout = "reject"
context = "standard"
rationale = "required"
group = "support"
quorum = { answers = 1, settle = "unanimous", arbiter = "leads" }
start = "shadow"
feedback = { retrain_every = 200, or_every = "7d", trainer = "sklearn" }

[[loop.refunds.rule]]
name = "large amounts"
when = 'args.amount > 500.0'
route = "human"
risk = "high"
quorum = { answers = 2 }

[groups]
support = ["ana", "ben"]
leads = ["cy"]
"""
Load = Callable[..., Settings]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def settings(text: str = "", *, env: dict[str, str] | None = None, **overrides: Any) -> Settings:
    """What this file, these variables and these arguments come to."""
    Path("dualcontrol.toml").write_text(text, encoding="utf-8")
    return load(env=env or {}, **overrides)


def refused(text: str = "", *, env: dict[str, str] | None = None, **overrides: Any) -> SettingsError:
    """The error that this file, these variables and these arguments raise."""
    with pytest.raises(SettingsError) as caught:
        settings(text, env=env, **overrides)
    details = caught.value.details
    assert {"file", "line", "key", "nearest"} <= set(details)
    if details["line"] is not None:
        assert caught.value.message.startswith(f"{details['file']}:{details['line']}: ")
    return caught.value


def refused_key(line: str, header: str = "[loop.refunds]") -> SettingsError:
    """The error that one line of a loop raises, which has to name line 3."""
    error = refused(f"# a comment\n{header}\n{line}\n")
    assert error.details["line"] == 3, error
    return error


# sources


def test_without_a_file_everything_is_default() -> None:
    found = load(env={})
    assert found.database == Database(url="sqlite:///dualcontrol.db", durability="power")
    assert found.web == Web(host="127.0.0.1", port=8765, token=None)
    assert (found.loops, found.groups, found.secret) == ({}, {}, None)
    assert found.models == "dualcontrol.db.models"
    assert set(found.origins.values()) == {"default"}


def test_the_example_of_the_design() -> None:
    loop = settings(DESIGN).loops["refunds"]
    assert loop == LoopSettings(
        name="refunds", mode="approval", threshold=0.9, risk_ceiling="medium", audit=0.05,
        human_actions=("delete_account",), respond_within="15m", on_timeout="reject", context="standard",
        rationale="required", group="support", quorum=Quorum(arbiter="leads"), start="shadow",
        feedback=Feedback(retrain_every=200, or_every="7d", trainer="sklearn"),
        rules=(
            Rule(
                name="large amounts", when="args.amount > 500.0", route="human", risk="high",
                quorum=Quorum(answers=2, arbiter="leads"),
            ),
        ),
        groups={"support": ("ana", "ben"), "leads": ("cy",)},
    )  # fmt: skip


def test_settings_travel_as_json() -> None:
    found = settings(DESIGN)
    assert Settings.from_dict(found.to_dict()) == found


def test_a_table_of_pyproject_counts_where_there_is_no_file_of_its_own(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n[tool.dualcontrol.web]\nport = 1\n")
    found = load(env={})
    assert found.web.port == 1
    assert found.origins["web.port"] == "pyproject.toml:4"
    assert settings("web.port = 2").web.port == 2


def test_a_pyproject_without_our_table_is_no_matter(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert load(env={}).web.port == 8765


def test_mistakes_in_pyproject_have_their_line(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool.dualcontrol]\n[tool.dualcontrol.wep]\nport = 1\n")
    with pytest.raises(SettingsError, match=r"^pyproject\.toml:2: unknown key 'wep'; did you mean 'web'\?"):
        load(env={})
    (folder / "pyproject.toml").write_text("[tool]\ndualcontrol = 3\n")
    with pytest.raises(SettingsError, match=r"^pyproject\.toml:2: \[tool\.dualcontrol\] must be a table"):
        load(env={})


def test_a_named_file_and_a_named_folder(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "dualcontrol.toml").write_text("web.port = 3")
    (folder / "other.toml").write_text("web.port = 4")
    assert load("deep", env={}).web.port == 3
    assert load(folder / "other.toml", env={}).origins["web.port"] == f"{folder / 'other.toml'}:1"


def test_a_named_file_has_to_be_there(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"^nowhere\.toml: there is no such file"):
        load("nowhere.toml", env={})
    (folder / "pyproject.toml").write_text("")
    with pytest.raises(SettingsError, match=r"there is no \[tool\.dualcontrol\]"):
        load("pyproject.toml", env={})


def test_environment_over_file_and_arguments_over_environment() -> None:
    env = {"DUALCONTROL_LOOP__REFUNDS__THRESHOLD": "0.8", "DUALCONTROL_LOOP__REFUNDS__AUDIT": "0.1"}
    found = settings(DESIGN, env=env, loop={"refunds": {"audit": 0.2}})
    loop = found.loops["refunds"]
    assert (loop.threshold, loop.audit, loop.respond_within) == (0.8, 0.2, "15m")
    assert found.origins["loop.refunds.threshold"] == "environment DUALCONTROL_LOOP__REFUNDS__THRESHOLD"
    assert found.origins["loop.refunds.audit"] == "argument"
    assert found.origins["loop.refunds.respond_within"] == "dualcontrol.toml:11"
    assert found.origins["loop.refunds.lease"] == "default"


@pytest.mark.parametrize(
    ("variable", "raw", "key", "value"),
    [
        ("MODE", "labels", "mode", "labels"),
        ("RISK_CEILING", "0.5", "risk_ceiling", 0.5),
        ("RISK_CEILING", '"low"', "risk_ceiling", "low"),
        ("RESPOND_WITHIN", "15m", "respond_within", "15m"),
        ("RESPOND_WITHIN", "900", "respond_within", 900),
        ("HUMAN_ACTIONS", '["a", "b"]', "human_actions", ("a", "b")),
        ("GROUP", "12", "group", "12"),
        ("GROUP", '"12"', "group", "12"),
        ("QUORUM", "{ answers = 2 }", "quorum", Quorum(answers=2)),
        ("QUORUM__ANSWERS", "2", "quorum", Quorum(answers=2)),
        ("GUARANTEE", "{ max_error = 0.02 }", "guarantee", Guarantee(max_error=0.02)),
        ("FEEDBACK__TRAINER", "sklearn", "feedback", Feedback(trainer="sklearn")),
        ("FEEDBACK", "off", "feedback", None),
        ("SCHEMA", '{ type = "object" }', "schema", {"type": "object"}),
        ("RULE", '[{name="n", when="true", route="human"}]', "rules", (Rule(name="n", when="true", route="human"),)),
    ],
)
def test_variables_are_toml_or_else_plain_text(variable: str, raw: str, key: str, value: Any) -> None:
    found = settings("[loop.refunds]", env={f"DUALCONTROL_LOOP__REFUNDS__{variable}": raw})
    assert getattr(found.loops["refunds"], key) == value


def test_a_variable_cannot_smuggle_in_a_second_key() -> None:
    error = refused("[loop.a]", env={"DUALCONTROL_LOOP__A__THRESHOLD": "0.5\naudit = 0.1"})
    assert "must be a number" in error.message


def test_loop_names_in_variables_ignore_case_and_punctuation() -> None:
    text = "[loop.Big-Refunds]\n[loop.'Big Refunds II']\n[loop.a__b]\n"
    env = {
        "DUALCONTROL_LOOP__BIG_REFUNDS__AUDIT": "0.1",
        "DUALCONTROL_LOOP__BIG_REFUNDS_II__AUDIT": "0.2",
        "DUALCONTROL_LOOP__A__B__AUDIT": "0.3",
    }
    found = settings(text, env=env).loops
    assert [loop.audit for loop in found.values()] == [0.1, 0.2, 0.3]


def test_a_variable_that_may_mean_two_loops_is_refused() -> None:
    error = refused("[loop.a-b]\n[loop.a_b]\n", env={"DUALCONTROL_LOOP__A_B__AUDIT": "0.1"})
    assert "may mean 'a-b' or 'a_b'" in error.message


def test_variables_reach_loops_that_arguments_define() -> None:
    found = settings(env={"DUALCONTROL_LOOP__X__AUDIT": "0.1"}, loop={"x": {"threshold": 0.5}})
    assert found.loops["x"].audit == 0.1
    assert settings(env={"DUALCONTROL_LOOP__X__AUDIT": "0.1"}, loop__x__threshold=0.5).loops["x"].audit == 0.1


def test_variables_of_groups() -> None:
    found = settings(DESIGN, env={"DUALCONTROL_GROUPS__LEADS": '["dan"]'})
    assert found.groups["leads"] == ("dan",)


def test_variables_of_the_tests_are_no_settings() -> None:
    env = {"DUALCONTROL_TEST_POSTGRES_URL": "x", "DUALCONTROL_CHROMIUM": "y", "OTHER": "z"}
    assert settings(env=env).loops == {}


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALCONTROL_WEB__PORT", "99")
    assert load().web.port == 99


def test_files_of_secrets(folder: Path) -> None:
    (folder / "url").write_text("postgresql://bob:pw@host/db\n")
    (folder / "secret").write_text(" 0123456789abcdef \n")
    env = {
        "DUALCONTROL_DATABASE__URL_FILE": str(folder / "url"),
        "DUALCONTROL_SECRET_FILE": "secret",
        "DUALCONTROL_WEB__TOKEN_FILE": "secret",
    }
    found = settings("database.url = 'sqlite:///other.db'", env=env)
    assert found.database.url == "postgresql://bob:pw@host/db"
    assert found.secret == found.web.token == "0123456789abcdef"
    assert found.origins["database.url"] == f"file {folder / 'url'}"
    assert found.origins["secret"] == "file secret"


def test_a_secret_and_its_file_at_once_are_refused(folder: Path) -> None:
    (folder / "secret").write_text("0123456789abcdef")
    env = {"DUALCONTROL_SECRET": "0123456789abcdef", "DUALCONTROL_SECRET_FILE": "secret"}
    error = refused(env=env)
    assert "DUALCONTROL_SECRET is given as well" in error.message
    assert "0123456789abcdef" not in str(error) + str(error.details)


@pytest.mark.parametrize("name", ["missing", ""])
def test_a_file_of_secrets_has_to_be_readable(name: str) -> None:
    error = refused(env={"DUALCONTROL_SECRET_FILE": name})
    assert error.message.startswith("environment DUALCONTROL_SECRET_FILE: the file cannot be read")


def test_an_empty_file_of_secrets_is_refused(folder: Path) -> None:
    (folder / "empty").write_text("\n")
    assert refused(env={"DUALCONTROL_SECRET_FILE": "empty"}).message.startswith("file empty: secret must be text")


def test_secrets_are_taken_as_they_stand() -> None:
    assert settings(env={"DUALCONTROL_SECRET": '"12345678901234"'}).secret == '"12345678901234"'
    assert settings(env={"DUALCONTROL_WEB__TOKEN": "1234567890123456"}).web.token == "1234567890123456"


def test_arguments_nest_by_tables_or_names_and_none_is_not_given() -> None:
    found = settings("web.port = 5", web={"host": "0.0.0.0", "port": None}, database__durability="process", models=None)
    assert (found.web.host, found.web.port, found.database.durability) == ("0.0.0.0", 5, "process")


@pytest.mark.parametrize(
    ("url", "models"),
    [
        ("sqlite:///data/a.db", "data/a.db.models"),
        ("sqlite:////var/a%20b.db", "/var/a b.db.models"),
        ("sqlite:///:memory:", "dualcontrol-models"),
        ("sqlite://", "dualcontrol-models"),
        ("postgresql://host/db", "dualcontrol-models"),
        ("postgres://host/db", "dualcontrol-models"),
        ("postgresql+psycopg://host/db", "dualcontrol-models"),
        ("sqlite+pysqlite:///a.db", "a.db.models"),
    ],
)
def test_models_lie_beside_the_database(url: str, models: str) -> None:
    assert settings(database={"url": url}).models == models
    assert settings(database={"url": url}, models="else").models == "else"


# what is printed


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:hunter2@host/db",
        "postgresql://bob:hunter2/x@host/db",
        "postgresql://bob:a@hunter2@host/db",
        "postgresql://host/db?user=bob&password=hunter2",
    ],
)
def test_secrets_are_never_printed(url: str) -> None:
    found = settings(database={"url": url}, secret="hunter2hunter2hunter2", web={"token": "hunter2-hunter2-hunter2"})
    shown = str(masked(found)) + repr(found) + repr(found.database) + str(found.web) + f"{found}"
    assert "hunter2" not in shown
    assert shown.count("********") >= 6


@pytest.mark.parametrize("url", ["mysql://bob:hunter2@host/db", "hunter2", "sqlite:hunter2", "sqlite://[hunter2"])
def test_a_refused_address_is_not_printed(url: str) -> None:
    error = refused(env={"DUALCONTROL_DATABASE__URL": url})
    assert "hunter2" not in str(error) + str(error.details)


def test_a_capacity_needs_people_to_count() -> None:
    error = refused("[loop.x]\ncapacity = { late = 0.1 }\nrespond_within = '1h'\n")
    assert error.details["line"] == 2
    assert "has no 'reviewers', and group 'reviewers' has no members to count" in error.message
    team = "[groups]\nteam = ['ana', 'ben']\n[loop.x]\ngroup = 'team'\nrespond_within = '1h'\n"
    assert settings(team + "capacity = {}\n").loops["x"].capacity == Capacity()


PROVIDER = "[web.oidc]\nissuer = 'https://id.example.org'\nclient_id = 'desk'\n"
STAFFED = "[loop.d]\nrespond_within = '1h'\ncapacity = { reviewers = 3 }\n"
PROBED = "[loop.e.probes]\nshare = 0.1\n[[loop.e.probes.corruptions]]\nfield = 'amount'\ntimes = 10\ncue = 'tenfold'\n"


def test_every_key_is_shown_with_its_origin() -> None:
    text = (
        DESIGN + "[loop.b.guarantee]\nmax_error = 0.02\n[loop.c]\nfeedback = 'export'\n" + STAFFED + PROBED + PROVIDER
    )
    found = settings(text)
    shown = {key: (value, origin) for key, value, origin in masked(found)}
    assert set(shown) == set(found.origins)
    assert shown["groups.support"] == (["ana", "ben"], "dualcontrol.toml:28")
    assert shown["loop.refunds.rule[0].when"] == ("args.amount > 500.0", "dualcontrol.toml:22")
    assert shown["loop.refunds.rule[0].quorum.answers"] == (2, "dualcontrol.toml:25")
    assert shown["loop.refunds.rule[0].quorum.arbiter"] == ("leads", "dualcontrol.toml:16")
    assert shown["loop.refunds.quorum.veto"] == (False, "default")
    assert shown["loop.b.guarantee.max_error"] == (0.02, "dualcontrol.toml:31")
    assert shown["loop.b.guarantee.confidence"] == (0.95, "default")
    assert shown["loop.c.feedback.trainer"] == ("export", "dualcontrol.toml:33")
    flat = {re.sub(r"\[\d+\]", "", re.sub(r"^(loop|groups)\.\w+", r"\1.NAME", key)) for key in shown}
    assert {key for key in every_key() if key not in flat} == {"loop.NAME.feedback"} - flat


# values


@pytest.mark.parametrize(
    ("mode", "settle"),
    [("approval", "unanimous"), ("labels", "majority"), ("preference", "collect"), ("fallback", "unanimous")],
)
def test_how_answers_settle_follows_from_the_mode(mode: str, settle: str) -> None:
    assert loop_settings("x", mode=mode).quorum.settle == settle
    assert loop_settings("x", mode=mode, quorum={"settle": "majority"}).quorum.settle == "majority"
    assert loop_settings("x", loop_settings("x", mode="labels"), mode=mode).quorum.settle == settle


def test_the_quorum_of_a_rule_leaves_the_rest_as_in_the_loop() -> None:
    rule = {"name": "n", "when": "true", "route": "human", "quorum": {"answers": 3}}
    loop = loop_settings("x", quorum={"arbiter": "leads", "blind": False}, rules=[rule])
    assert loop.rules[0].quorum == Quorum(answers=3, arbiter="leads", blind=False)


@pytest.mark.parametrize(
    ("feedback", "value"),
    [
        ("off", None),
        ("export", Feedback(trainer="export")),
        ({"retrain_every": 5}, Feedback(retrain_every=5)),
        (Feedback(or_every="7d"), Feedback(or_every="7d")),
        (None, None),
    ],
)
def test_feedback(feedback: Any, value: Feedback | None) -> None:
    assert loop_settings("x", feedback=feedback).feedback == value


def test_markdown() -> None:
    """Fields by name, each once; by default none is, and then the settings are those of a release without the key."""
    fields = ("input.mail", "rationale", "proposal", "alternatives.text", "history.content", "meta.note", "answer")
    assert loop_settings("x", markdown=list(fields)).markdown == fields
    plain = loop_settings("x")
    assert (plain.markdown, "markdown" in plain.to_dict()) == ((), False)
    assert loop_settings("x", markdown=[]).digest == plain.digest


@pytest.mark.parametrize("context", ["minimal", "standard", "full", ("input", "history"), ("input.customer", "meta")])
def test_context(context: Any) -> None:
    assert loop_settings("x", context=context).context == context


def test_labels_mode_needs_neither_labels_nor_schema() -> None:
    assert loop_settings("x", mode="labels").labels is None
    assert loop_settings("x", mode="labels", labels=["a", 1, True, None, {"b": [1]}]).labels == (
        "a",
        1,
        True,
        None,
        {"b": [1]},
    )


def test_a_group_that_is_not_named_is_open_to_everybody() -> None:
    assert settings("[groups]\nleads = ['ana']\n[loop.x]\n").loops["x"].groups.get("reviewers") is None


# mistakes: names


def test_an_unknown_key_names_the_nearest() -> None:
    error = refused_key("treshold = 0.9")
    assert error.message == "dualcontrol.toml:3: unknown key 'treshold' in [loop.refunds]; did you mean 'threshold'?"
    assert error.details == {
        "file": "dualcontrol.toml", "line": 3, "key": "loop.refunds.treshold", "nearest": "threshold",
        "origin": "dualcontrol.toml:3",
    }  # fmt: skip
    assert (error.code, error.exit_code) == ("DC-SETTINGS", 2)


@pytest.mark.parametrize(
    ("text", "line", "key", "near"),
    [
        ("[lop.refunds]\nx = 1", 1, "lop", "loop"),
        ("[databse]\nurl = 1", 1, "databse", "database"),
        ("\n[web]\nprot = 1", 3, "web.prot", "port"),
        ("[loop.x]\nquorum = { answers = 1,\n aswers = 2 }", None, None, None),
        ("[loop.x.quorum]\nanswer = 1", 2, "loop.x.quorum.answer", "answers"),
        ("[loop.x]\nquorum.anwsers = 1", 2, "loop.x.quorum.anwsers", "answers"),
        ("[loop.x]\nfeedback = { trainr = 'a' }", 2, "loop.x.feedback.trainr", "trainer"),
        ("[loop.x]\nrules = []", 2, "loop.x.rules", "rule"),
        ("[loop.x]\nzzzzzz = 1", 2, "loop.x.zzzzzz", None),
    ],
)
def test_unknown_keys_and_tables(text: str, line: int | None, key: str | None, near: str | None) -> None:
    error = refused(text)
    if key is None:  # Python before 3.14 refuses line breaks inside inline tables
        assert error.details["line"] in (2, 3)
        return
    assert "unknown key" in error.message
    assert (error.details["line"], error.details["key"], error.details["nearest"]) == (line, key, near)


def _typos(word: str) -> Iterator[str]:
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]
        yield word[:i] + "x" + word[i:]
        yield word[:i] + "z" + word[i + 1 :]


LOOP_KEYS = sorted({k.split(".")[2] for k in every_key() if k.startswith("loop.NAME.")})


@given(st.data())
def test_any_typo_of_a_key_is_refused(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(LOOP_KEYS))
    typo = data.draw(st.sampled_from(list(_typos(key))))
    with pytest.raises(SettingsError, match=f"unknown key '{typo}'"):
        loop_settings("x", **{typo: 1})


def test_the_nearest_name_is_nearly_always_the_right_one() -> None:
    typos = [(key, typo) for key in LOOP_KEYS for typo in _typos(key)]
    right = sum(nearest(typo, LOOP_KEYS) == key for key, typo in typos)
    assert right / len(typos) > 0.98


def test_nearest() -> None:
    assert nearest("Treshold", ["threshold", "audit"]) == "threshold"
    assert nearest("on", ["of", "answers"]) == "of"
    assert nearest("banana", ["threshold", "audit"]) is None
    assert nearest("x", []) is None


@pytest.mark.parametrize(
    ("variable", "words", "near"),
    [
        ("LOOP__REFUND__AUDIT", "unknown loop 'refund' (known: refunds)", "refunds"),
        ("LOOP__REFUNDS__AUDITS", "unknown key 'audits' in [loop.refunds]", "audit"),
        ("LOOP__REFUNDS__QUORUM__ANSWER", "unknown key 'answer' in [loop.refunds.quorum]", "answers"),
        ("LOOP__REFUNDS__FEEDBACK__TRAINR", "unknown key 'trainr' in [loop.refunds.feedback]", "trainer"),
        ("LOOP__REFUNDS__AUDIT__X", "unknown key 'x'", None),
        ("GROUPS__SUPORT", "unknown group 'suport' (known: leads, support)", "support"),
        ("DATABASE_URL", "unknown key 'database_url'", "database__url"),
        ("WEB__PORTS", "unknown key 'ports' in [web]", "port"),
        ("SECRETS", "unknown key 'secrets'", "secret"),
        ("WEB__PORT_FILE", "unknown key 'port_file' in [web]", "port"),
        ("", "unknown key ''", None),
    ],
)
def test_variables_that_name_nothing(variable: str, words: str, near: str | None) -> None:
    error = refused(DESIGN, env={f"DUALCONTROL_{variable}": "1"})
    assert error.message.startswith(f"environment DUALCONTROL_{variable}: {words}")
    assert error.details["nearest"] == near
    assert "variable" in error.hint


def test_unknown_arguments() -> None:
    assert refused(wep={"port": 1}).message == "argument: unknown key 'wep'; did you mean 'web'?"
    assert refused(loops={"x": {}}).details["nearest"] == "loop"


@pytest.mark.parametrize("name", ["", " x", "a/b", "a\\nb"])
def test_names_that_cannot_be_names(name: str) -> None:
    assert "cannot be a name" in refused(f'[loop."{name}"]\n').message
    with pytest.raises(SettingsError, match="cannot be a name"):
        loop_settings(name.replace("\\n", "\n"))
    assert "cannot be a name" in refused(f'[groups]\n"{name}" = ["ana"]\n').message


# mistakes: values


@pytest.mark.parametrize(
    ("line", "words", "near"),
    [
        ('mode = "aproval"', "approval, labels, preference or fallback", "approval"),
        ('threshold = "high"', "a number from 0 to 1, not the text 'high'", None),
        ("threshold = 90", "a number from 0 to 1, not 90", 0.9),
        ("threshold = -0.1", "a number from 0 to 1, not -0.1", None),
        ("threshold = nan", "a number from 0 to 1", None),
        ("threshold = true", "a number from 0 to 1, not true", None),
        ("audit = 1.5", "a number from 0 to 1, not 1.5", 0.015),
        ("audit = [1]", "a number from 0 to 1, not a list", None),
        ("audit = 2020-01-01", "a number from 0 to 1, not a value of type date", None),
        ("guarantee = 0.02", "a table, not 0.02", None),
        ("guarantee = { max_error = 0 }", "a number above 0 and below 1", None),
        ("guarantee = { max_error = 2 }", "a number above 0 and below 1", 0.02),
        ("guarantee = { max_error = 0.1, confidence = 1.0 }", "a number above 0 and below 1", None),
        ("guarantee = { confidence = 0.9 }", "has no 'max_error'", None),
        ("guarantee = {}", "has no 'max_error'", None),
        ('risk_ceiling = "midium"', "low, medium, high or critical", "medium"),
        ("risk_ceiling = 2", "or a number from 0 to 1", 0.02),
        ('human_actions = "delete"', "a list of texts", None),
        ("human_actions = [1]", "a list of texts", None),
        ('human_actions = [""]', "a list of texts", None),
        ('respond_within = "soon"', 'a time such as "90s"', None),
        ('respond_within = "15 minutes"', 'a time such as "90s"', None),
        ('respond_within = "-5m"', 'a time such as "90s"', None),
        ("respond_within = 0", 'a time such as "90s"', None),
        ("respond_within = inf", 'a time such as "90s"', None),
        ("respond_within = nan", 'a time such as "90s"', None),
        ('respond_within = "1e300w"', 'a time such as "90s"', None),
        ("respond_within = 1" + "0" * 400, "not a number that large", None),
        ("respond_within = true", 'a time such as "90s"', None),
        ('lease = "0s"', 'a time such as "90s"', None),
        ('effect_lease = ""', 'a time such as "90s"', None),
        ("undo = -1", 'a time such as "90s"', None),
        ('on_timeout = "rejcet"', "reject, hold, escalate or autopilot", "reject"),
        ('context = "standart"', "minimal, standard or full", "standard"),
        ('context = ["input", "histroy"]', "unknown field 'histroy'", "history"),
        ("context = []", "at least one field", None),
        ('markdown = ["inputs.mail"]', "unknown field 'inputs.mail'", "input"),
        ('markdown = ["args.body"]', "unknown field 'args.body'", "proposal"),
        ('markdown = "input"', "a list of texts", None),
        ('markdown = ["input..mail"]', "a name between dots is empty", None),
        ('markdown = ["input", "input"]', "names 'input' twice", None),
        ('markdwon = ["input"]', "unknown key 'markdwon'", "markdown"),
        ('rationale = "require"', "required or optional", "required"),
        ("group = 5", "text that is not empty", None),
        ("quorum = 2", "a table, not 2", None),
        ("quorum = { answers = 0 }", "a whole number from 1", None),
        ("quorum = { answers = 2.0 }", "a whole number from 1", None),
        ("quorum = { answers = true }", "a whole number from 1", None),
        ('quorum = { settle = "majorty" }', "unanimous, majority or collect", "majority"),
        ('quorum = { settle = "k" }', "or the number of equal answers that settle, such as 2", None),
        ("quorum = { settle = 0 }", "a whole number from 1", None),
        ("quorum = { settle = 2 }", "wants 2 equal answers of 1 asked for", 1),
        ("quorum = { answers = 3, of = 2 }", "is 2, fewer than the 3 answers wanted", 3),
        ('quorum = { settle = "collect" }', "decides nothing", None),
        ('quorum = { veto = "True" }', "true or false", "true"),
        ("labels = ['a']", 'need mode = "labels"', "labels"),
        ('start = "shadwo"', "shadow, suggest or gate", "shadow"),
        ('feedback = "of"', "export or off", "off"),
        ("feedback = 3", '"export", "off" or a table', None),
        ("feedback = { retrain_every = 0 }", "a whole number from 1", None),
        ('feedback = { trainer = "sklern", retrain_every = 5 }', "must be sklearn, export, off, or", "sklearn"),
        ('feedback = { trainer = "exprt" }', "must be sklearn, export, off, or", "export"),
        ('feedback = { trainer = "my.module:" }', '"module:attribute" of your own', None),
        ("feedback = { holdout = 1 }", "above 0 and below 1", None),
        ('on_unknown = "retyr"', "ask or retry", "retry"),
        ('schema = "object"', "a table that holds a JSON Schema", None),
        ('schema = { type = "strng" }', "is not a JSON Schema at type", "string"),
        ("schema = { properties = { a = { minimum = 'x' } } }", "is not a JSON Schema at properties.a.minimum", None),
        ("threshold = 1" + "0" * 400, "not a number that large", None),
        ("quorum = { answers = 1" + "0" * 30 + " }", "a whole number from 1 to 1000", None),
        ('group = "\\u0000"', "text that is not empty", None),
        ("schema = { const = 2020-01-01 }", "JSON values", None),
        ("capacity = { reviewers = 3 }", "needs respond_within", None),
        ("capacity = { reviewers = 0 }", "a whole number from 1", None),
        ("capacity = { reviewers = 3, availability = 85 }", "above 0 and at most 1", 0.85),
        ("capacity = { reviewers = 3, late = 1 }", "above 0 and below 1", None),
        ("rule = 3", "a list of tables, not 3", None),
        ("rule = [3]", "must be a table, not 3", None),
    ],
)
def test_values_that_do_not_fit(line: str, words: str, near: Any) -> None:
    error = refused_key(line)
    assert words in error.message
    assert error.details["nearest"] == near
    if near is not None:
        assert error.message.endswith(f"; did you mean {near!r}?")
    assert error.details["key"].startswith(f"loop.refunds.{line.split(' ')[0]}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("labels = []", "at least one label"),
        ('labels = ["a", "a"]', '"a" twice'),
        ("labels = [1, 2020-01-01]", "JSON values"),
        ('labels = "a"', "must be a list"),
    ],
)
def test_labels_that_do_not_fit(line: str, words: str) -> None:
    error = refused(f'[loop.x]\nmode = "labels"\n{line}\n')
    assert words in error.message
    assert error.details["line"] == 3


class Declared(Value, frozen=True, kw_only=True):
    needed: str
    whole: Annotated[int, Bounds(1, 9)] = 1
    share: Annotated[float, Bounds(0, 1, "[)")] | None = None
    rest: Annotated[float, Bounds(0, 1, "(]")] = 1.0
    one_of: Literal["left", "right"] = "left"
    inner: Quorum | None = None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"whole": 0}, "whole in [x] must be a whole number from 1 to 9, not 0"),
        ({"whole": 10}, "from 1 to 9, not 10"),
        ({"whole": 2.0}, "from 1 to 9, not 2.0"),
        ({"whole": 50}, "not 50"),
        ({"share": 1.0}, "share in [x] must be a number of at least 0 and below 1, not 1.0"),
        ({"share": 50}, "not 50; did you mean 0.5?"),
        ({"rest": 0}, "rest in [x] must be a number above 0 and at most 1, not 0"),
        ({"one_of": "rihgt"}, "must be left or right, not the text 'rihgt'; did you mean 'right'?"),
        ({"inner": {"answer": 1}}, "unknown key 'answer' in [x.inner]; did you mean 'answers'?"),
        ({"sahre": 1}, "unknown key 'sahre' in [x]; did you mean 'share'?"),
    ],
)
def test_a_setting_is_checked_as_its_field_declares(value: dict[str, Any], words: str) -> None:
    table, place = table_of(Declared), Place(Sources(), ("x",))
    fine = {"needed": "a", "whole": 9, "share": 0, "rest": 1, "one_of": "right", "inner": {"answers": 2}}
    assert table(fine, place) == {**fine, "share": 0.0, "rest": 1.0}
    assert table.required == ["needed"]
    with pytest.raises(SettingsError) as caught:
        table(value, place)
    assert caught.value.message.endswith(words)


@pytest.mark.parametrize(
    ("line", "words", "near"),
    [
        ("port = 70000", "a whole number from 0 to 65535, not 70000", None),
        ('port = "8765"', "a whole number", None),
        ('host = ""', "text that is not empty", None),
        ("token = 5", "token in [web] must be text that is not empty", None),
    ],
)
def test_values_of_the_web(line: str, words: str, near: Any) -> None:
    error = refused_key(line, "[web]")
    assert words in error.message
    assert error.details["nearest"] == near


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("issuer = 'http://id.example.org'", "an address such as https://id.example.org"),
        ("issuer = 'https://id.example.org?tenant=1'", "an address such as"),
        ("issuer = 'https://ana@id.example.org'", "an address such as"),
        ("issuer = 'id.example.org'", "an address such as"),
        ("issuer = 5", "text that is not empty"),
        ("client_id = ''", "client_id in [web.oidc] must be text"),
        ("client_id = 'é'", "printable ASCII"),
        ("client_secret = 'päss'", "printable ASCII"),
        ("client_secret = ' x'", "without outer spaces"),
        ("scopes = []", "has no 'openid'"),
        ("scopes = ['profile']", "has no 'openid'"),
        ("scopes = ['openid profile']", "a list of single words, not the text 'openid profile'"),
        ("scopes = 'openid'", "a list of texts"),
        ("name = ' '", "text that is not empty"),
        ("name_claim = 1", "text that is not empty"),
        ("leeway = 601", "a whole number from 0 to 600"),
        ("leeway = 0.5", "a whole number from 0 to 600"),
        ("tenant = 'x'", "unknown key 'tenant'"),
    ],
)
def test_values_of_a_provider(line: str, words: str) -> None:
    error = refused_key(line, "[web.oidc]")
    assert words in error.message
    assert "päss" not in str(error) + str(error.details)


@pytest.mark.parametrize("left_out", ["issuer", "client_id"])
def test_a_provider_has_an_address_and_knows_this_program(left_out: str) -> None:
    lines = [line for line in PROVIDER.splitlines() if not line.startswith(left_out)]
    error = refused("\n".join(lines))
    assert f"[web.oidc] has no '{left_out}'" in error.message
    assert error.details["line"] == 1


def test_a_provider_is_given_by_variables_and_its_secret_by_a_file(folder: Path) -> None:
    (folder / "secret").write_text("0042\n")
    env = {
        "DUALCONTROL_WEB__OIDC__ISSUER": "http://localhost:9400",
        "DUALCONTROL_WEB__OIDC__CLIENT_ID": "007",
        "DUALCONTROL_WEB__OIDC__CLIENT_SECRET_FILE": "secret",
    }
    provider = settings(env=env).web.oidc
    assert provider == Oidc(issuer="http://localhost:9400", client_id="007", client_secret="0042")


def test_the_secret_of_a_provider_is_never_shown() -> None:
    found = settings(PROVIDER + "client_secret = 'hush-hush'\n")
    assert found.web.oidc is not None
    assert found.web.oidc.client_secret == "hush-hush"
    assert "hush" not in repr(found) + repr(masked(found))
    assert ("web.oidc.client_secret", "********", "dualcontrol.toml:4") in masked(found)


def test_values_of_the_rest() -> None:
    assert refused_key("url = 'postgre://h/d'", "[database]").details["nearest"] == "postgresql"
    assert refused_key("durability = 'proces'", "[database]").details["nearest"] == "process"
    assert "at least 16 characters" in refused("secret = 'short'").message
    assert "token in [web] must have at least 16 characters" in refused("web.token = 'fifteen-letters'").message
    assert "names 'ana' twice" in refused_key("g = ['ana', 'ana']", "[groups]").message
    assert "a list of texts" in refused_key("g = 'ana'", "[groups]").message
    assert "groups must be a table" in refused("groups = 1").message
    assert "must be a table" in refused("loop = 1").message
    assert "must be a table" in refused("loop.x = 1").message


# mistakes: TOML


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[web]\nport = \n", 2),
        ("[web]\nport = 1\nport = 2\n", 3),
        ("[web]\n[web]\n", 2),
        ("a = [1,\n2\n\n\n", 2),
        ("a = " + "1" * 5_000, 1),
        ("[web\n", 1),
        ('secret = "open\n', 1),
    ],
)
def test_text_that_is_not_toml(text: str, line: int) -> None:
    error = refused(text)
    assert error.message.startswith(f"dualcontrol.toml:{line}: not valid TOML: ")
    assert error.details["line"] == line


def test_a_file_that_is_not_text(folder: Path) -> None:
    (folder / "dualcontrol.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"^dualcontrol\.toml: cannot be read as UTF-8"):
        load(env={})
    (folder / "dualcontrol.toml").write_text("a = " + "[" * 20_000)
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(env={})


def test_a_byte_order_mark_does_no_harm(folder: Path) -> None:
    (folder / "dualcontrol.toml").write_text("web.port = 1", encoding="utf-8-sig")
    assert load(env={}).web.port == 1


# mistakes: what does not go together


def test_threshold_and_guarantee_exclude_each_other() -> None:
    error = refused("[loop.x]\nthreshold = 0.9\nguarantee = { max_error = 0.02 }\n")
    assert error.message.startswith("dualcontrol.toml:3: threshold (dualcontrol.toml:2) and guarantee are both given")
    base = loop_settings("x", threshold=0.9)
    with pytest.raises(SettingsError, match="both given"):
        loop_settings("x", base, guarantee={"max_error": 0.02})
    assert loop_settings("x", base, threshold=None, guarantee={"max_error": 0.02}).threshold is None


def test_an_action_in_two_lists() -> None:
    error = refused('[loop.x]\nhuman_actions = ["a", "b"]\nblock_actions = ["b"]\n')
    assert error.message == "dualcontrol.toml:3: action 'b' is in human_actions and in block_actions of [loop.x]"


RULE = '[[loop.x.rule]]\nname = "r"\nwhen = "true"\nroute = "human"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('on_timeout = "autopilot"\nrisk_ceiling = "high"', 3),
        ('on_timeout = "autopilot"\nrisk_ceiling = "critical"', 3),
        ('on_timeout = "autopilot"\nrisk_ceiling = 0.75', 3),
        (f'on_timeout = "autopilot"\nrisk_ceiling = "low"\n{RULE}risk = "medium"', 8),
        (f'on_timeout = "autopilot"\nrisk_ceiling = 0.3\n{RULE}risk = 0.4', 8),
    ],
)
def test_a_timeout_never_lets_a_high_risk_through(text: str, line: int) -> None:
    error = refused(f"[loop.x]\n{text}\n")
    assert "would let a high risk through on timeout" in error.message
    assert error.details["line"] == line


def test_a_timeout_may_lead_to_autopilot_below_the_ceiling() -> None:
    rule = {"name": "r", "when": "true", "route": "human", "risk": "medium"}
    blocked = {"name": "b", "when": "false", "route": "block", "risk": "critical"}
    loop = loop_settings("x", on_timeout="autopilot", risk_ceiling="medium", rules=[rule, blocked])
    assert loop.on_timeout == "autopilot"


def test_escalating_on_timeout_needs_an_arbiter() -> None:
    assert "needs quorum.arbiter" in refused_key('on_timeout = "escalate"').message
    assert loop_settings("x", on_timeout="escalate", quorum={"arbiter": "leads"}).on_timeout == "escalate"


GROUPS = "[groups]\nsupport = ['ana', 'ben']\nleads = ['cy']\nnobody = []\n[loop.x]\n"


@pytest.mark.parametrize(
    ("line", "key", "near"),
    [
        ("group = 'suport'", "loop.x.group", "support"),
        ("quorum = { arbiter = 'leeds' }", "loop.x.quorum.arbiter", "leads"),
        ("rule = [{name='r', when='true', route='human', group='lead'}]", "loop.x.rule[0].group", "leads"),
    ],
)
def test_groups_that_are_not_declared(line: str, key: str, near: str) -> None:
    error = refused(GROUPS + line)
    assert "is not in [groups]" in error.message
    assert (error.details["line"], error.details["key"], error.details["nearest"]) == (6, key, near)
    assert settings(f"[loop.x]\n{line}\n").loops


@pytest.mark.parametrize(
    ("line", "group", "members", "needed"),
    [
        ("group = 'support'\nquorum = { answers = 3 }", "support", ["ana", "ben"], 3),
        ("group = 'support'\nquorum = { answers = 1, of = 3 }", "support", ["ana", "ben"], 3),
        ("group = 'leads'\nquorum = { answers = 2 }", "leads", ["cy"], 2),
        ("group = 'nobody'", "nobody", [], 1),
        ("quorum = { arbiter = 'nobody' }", "nobody", [], 1),
        ("group = 'leads'\nquorum = { arbiter = 'leads' }", "leads", ["cy"], 2),
        ("rule = [{name='r', when='true', route='human', group='leads', quorum={answers=2}}]", "leads", ["cy"], 2),
        (
            "group = 'support'\nrule = [{name='r', when='true', route='human', quorum={answers=3}}]",
            "support", ["ana", "ben"], 3,
        ),
        (
            "quorum = { answers = 2 }\nrule = [{name='r', when='true', route='human', group='leads'}]",
            "leads", ["cy"], 2,
        ),
    ],
)  # fmt: skip
def test_a_quorum_larger_than_its_group(line: str, group: str, members: list[str], needed: int) -> None:
    error = refused(GROUPS + line)
    assert isinstance(error, QuorumError)
    assert error.code == "DC-QUORUM"
    wanted = f"{needed} different people" if needed > 1 else "somebody"
    assert f"needs {wanted}, but group {group!r} has {len(members)} member" in error.message
    assert (error.details["group"], error.details["members"], error.details["needed"]) == (group, members, needed)
    assert error.details["line"] == 5 + len(line.splitlines())


# mistakes: rules

FINE = "name = 'r'\nwhen = 'true'\nroute = 'human'"


@pytest.mark.parametrize(
    ("rule", "line", "words", "near"),
    [
        ("when = 'true'\nroute = 'human'", 2, "number 1 has no 'name'", None),
        ("name = 'r'\nroute = 'human'", 2, "'r' has no 'when'", None),
        ("name = 'r'\nwhen = 'true'", 2, "'r' has no 'route'", None),
        ("name = 'r'\nwhen = 'true'\nroute = 'humn'", 5, "human, autopilot or block", "human"),
        ("name = 'r'\nwhen = 'true'\nrout = 'human'", 5, "unknown key 'rout' in [[loop.x.rule]] 'r'", "route"),
        ("name = 'r'\nwhen = 'arg.x > 1'\nroute = 'human'", 4, "unknown variable 'arg'", "args"),
        ("name = 'r'\nwhen = 'args.x >'\nroute = 'human'", 4, "does not parse", None),
        ("name = 'r'\nwhen = '1 + 1'\nroute = 'human'", 4, "not true or false", None),
        ("name = 'r'\nwhen = 5\nroute = 'human'", 4, "text that is not empty", None),
        ("name = 'r'\nwhen = 'true'\nroute = 'human'\nrisk = 'hihg'", 6, "low, medium, high or critical", "high"),
        ("name = 'r'\nwhen = 'true'\nroute = 'human'\nrespond_within = 'x'", 6, "a time such as", None),
        (f"{FINE}\nquorum = {{ answer = 1 }}", 6, "[loop.x.rule.quorum] of rule 'r'", "answers"),
        ("name = 'r'\nwhen = 'true'\nroute = 'human'\nquorum = { of = 0 }", 6, "a whole number from 1", None),
        (f"{FINE}\n[[loop.x.rule]]\n{FINE}", 7, "two rules are named 'r'", None),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_loaded(rule: str, line: int, words: str, near: str | None) -> None:
    error = refused(f"[loop.x]\n[[loop.x.rule]]\n{rule}\n")
    assert isinstance(error, RuleError)
    assert words in error.message
    assert (error.details["line"], error.details["nearest"]) == (line, near)


# keyword arguments of a loop


def test_keywords_of_a_loop_override_its_file() -> None:
    found = settings(DESIGN)
    base = found.loops["refunds"]
    loop = loop_settings("refunds", base, found.groups, threshold=0.95, quorum={"answers": 2}, human_actions=("a",))
    assert (loop.threshold, loop.human_actions) == (0.95, ("a",))
    assert loop.quorum == Quorum(answers=2, arbiter="leads")
    assert loop.rules == base.rules


def test_a_loop_without_keywords_is_as_it_was() -> None:
    rule = "[[loop.b.rule]]\nname='r'\nwhen='true'\nroute='human'\nquorum={answers=2, veto=true}\nrespond_within='1h'\n"
    text = DESIGN + "[loop.b]\nmode='labels'\nlabels=['x', 1]\nschema={type='string'}\ncontext=['input']\n" + rule
    found = settings(text + "[loop.c]\nguarantee={max_error=0.02}\nfeedback='export'\nundo=5\n")
    for name, base in found.loops.items():
        assert loop_settings(name, base, found.groups) == base
        assert loop_settings(name, base) == base


def test_keywords_take_values_as_well_as_tables() -> None:
    rule = Rule(name="r", when="true", route="human", quorum=Quorum(answers=2))
    loop = loop_settings("x", quorum=Quorum(answers=2, of=3), guarantee=Guarantee(max_error=0.01), rules=(rule,))
    assert loop.quorum == Quorum(answers=2, of=3)
    assert loop.guarantee == Guarantee(max_error=0.01)
    assert (
        loop_settings("x", rule=[{"name": "r", "when": "true", "route": "human", "risk": None}]).rules[0].risk is None
    )


def test_none_takes_a_key_back_to_its_default() -> None:
    base = loop_settings("x", threshold=0.9, group="g", quorum={"answers": 2, "arbiter": "a"})
    loop = loop_settings("x", base, threshold=None, group=None, quorum={"arbiter": None})
    assert (loop.threshold, loop.group, loop.quorum) == (None, "reviewers", Quorum(answers=2))
    assert loop_settings("x", base, quorum=None).quorum == Quorum()


@pytest.mark.parametrize(
    ("keywords", "kind", "words"),
    [
        ({"treshold": 0.9}, SettingsError, "argument: unknown key 'treshold' in [loop.x]; did you mean 'threshold'?"),
        ({"treshold": None}, SettingsError, "argument: unknown key 'treshold'"),
        ({"name": "y"}, SettingsError, "unknown key 'name'"),
        ({"threshold": "high"}, SettingsError, "argument: threshold in [loop.x] must be a number from 0 to 1"),
        ({"human_actions": "a"}, SettingsError, "must be a list"),
        ({"context": {"input"}}, SettingsError, "not a value of type set"),
        ({"rules": [{"name": "r"}]}, RuleError, "argument: [[loop.x.rule]] 'r' has no 'when'"),
        ({"rules": [], "rule": []}, SettingsError, "give one of the two"),
        ({"rules": 5}, SettingsError, "must be a list of tables"),
        ({"group": "support", "quorum": {"answers": 3}}, QuorumError, "needs 3 different people"),
        ({"schema": {"a": object()}}, SettingsError, "JSON values"),
    ],
)
def test_keywords_are_checked_like_a_file(keywords: dict[str, Any], kind: type[SettingsError], words: str) -> None:
    with pytest.raises(kind) as caught:
        loop_settings("x", None, {"support": ["ana", "ben"]}, **keywords)
    assert words in caught.value.message
    assert {"file", "line", "key", "nearest"} <= set(caught.value.details)
    assert caught.value.details["line"] is None


WORDS = st.text("ab1m \0é\ud800", max_size=5) | st.sampled_from(["labels", "autopilot", "escalate", "15m", "off"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.just(datetime.date(2020, 1, 1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.sampled_from(LOOP_KEYS), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(LOOP_KEYS), ANYTHING, max_size=3))
def test_whatever_is_given_is_taken_or_refused_and_what_is_taken_can_be_stored(keywords: dict[str, Any]) -> None:
    try:
        loop = loop_settings("x", None, **keywords)
    except SettingsError:
        return
    assert len(loop.digest) == 64
    assert loop_settings("x", loop) == loop


def test_groups_of_keywords_are_checked_too() -> None:
    with pytest.raises(SettingsError, match="names 'ana' twice"):
        loop_settings("x", None, {"g": ["ana", "ana"]})


# lines

TRICKY = '''\
"quoted key" = 1 # x = 2
a.b . "c.d" = 2
text = """
[not.a.table]
no = 3 \\""" still """"
raw = \'\'\'
it's # not a comment\'\'\'\'
list = [ # comment ] with = things
  1, "a # b", [
    2,
  ], { x = 3, y.z = [4] },
]
date = 1979-05-27 07:32:00 # with a space

[ table . "with ] bracket" ]
key = 'val" = 5'

[[rows]]
n = 1
[rows.sub]
m = 2
[[rows.deep]]
[[rows.deep]]
k = { a = 1, "b]}" = "}" }
[[rows]]
n = 3
[rows.sub]
m = 4
[[rows.deep]]
end = 0'''


def test_lines_of_tricky_toml() -> None:
    found = lines(TRICKY)
    expected: dict[tuple[str | int, ...], int] = {
        ("quoted key",): 1, ("a",): 2, ("a", "b"): 2, ("a", "b", "c.d"): 2, ("text",): 3, ("raw",): 6, ("list",): 8,
        ("list", 0): 9, ("list", 1): 9, ("list", 2): 9, ("list", 2, 0): 10, ("list", 3): 11, ("list", 3, "x"): 11,
        ("list", 3, "y", "z", 0): 11, ("date",): 13, ("table", "with ] bracket"): 15,
        ("table", "with ] bracket", "key"): 16, ("rows",): 18, ("rows", 0): 18, ("rows", 0, "n"): 19,
        ("rows", 0, "sub", "m"): 21, ("rows", 0, "deep", 0): 22, ("rows", 0, "deep", 1, "k", "b]}"): 24,
        ("rows", 1, "n"): 26, ("rows", 1, "sub", "m"): 28, ("rows", 1, "deep", 0, "end"): 30,
    }  # fmt: skip
    assert {path: found.get(path) for path in expected} == expected
    assert ("not", "a", "table") not in found
    assert ("no",) not in found


def test_lines_with_the_line_ends_of_windows() -> None:
    assert lines('a = 1\r\n[b]\r\nc = """x\r\ny"""\r\nd = 2\r\n')[("b", "d")] == 5


KEYS = st.sampled_from(["a", "b-c", "'d.e'", '"f # g"', '"h\\"]"', "1", '"="'])
SCALARS = st.sampled_from(
    ["1", "true", '"x # y"', "'[z'", '"""\n[t]\nu = 1\n"""', "'''\n}'''", "1979-05-27 07:32:00", "-inf"]
)


def _values(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    many = st.lists(inner, max_size=3).map(lambda items: "[ # ]\n " + "\n, ".join(items) + "\n]")
    tables = st.dictionaries(KEYS, inner, max_size=2)
    return many | tables.map(lambda d: "{ " + ", ".join(f"{k} = {v}" for k, v in d.items()) + " }")


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _paths(item, (*path, key))


@given(st.dictionaries(KEYS, st.recursive(SCALARS, _values, max_leaves=6), max_size=4))
def test_lines_finds_every_key_where_it_stands(pairs: dict[str, str]) -> None:
    text = ""
    starts = {}
    for index, (key, value) in enumerate(pairs.items()):
        text += f"\n[[t.x]] # {index}\n"
        starts[index] = text.count("\n") + 1
        text += f"{key} = {value}\n"
    found = lines(text)
    assert set(_paths(tomllib.loads(text))) <= set(found) | {("t",), ("t", "x")}
    for index, (row,) in enumerate(r.items() for r in tomllib.loads(text).get("t", {}).get("x", [])):
        assert found[("t", "x", index, row[0])] == starts[index]
        assert found[("t", "x", index)] == starts[index] - 1


def test_settings_that_name_their_defaults_are_put_in_force_once(folder: Path) -> None:
    """A default from a file is another object than the one in the program; it is no change."""
    import dualcontrol as dc

    (folder / "dualcontrol.toml").write_text(DESIGN.replace(', trainer = "sklearn"', ""), encoding="utf-8")
    versions = []
    for _ in range(3):
        with dc.open() as desk:
            versions.append(desk.control("refunds").version)
    assert versions == [1, 1, 1]


# docs

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    documented = re.findall(r"^### `([^`]+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(every_key())
    assert len(documented) == len(set(documented))


def _sections() -> list[tuple[str, str]]:
    parts = re.split(r"^### `([^`]+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [
        (key, re.split(r"^## ", body, flags=re.MULTILINE)[0])
        for key, body in zip(parts[1::2], parts[2::2], strict=True)
    ]


@pytest.mark.parametrize(("key", "body"), _sections())
def test_every_key_has_type_default_and_an_example_that_loads(key: str, body: str) -> None:
    assert re.search(r"^Type: .+\. Default: .+\.$", body, re.MULTILINE), key
    examples = re.findall(r"```toml\n(.*?)```", body, re.DOTALL)
    assert examples, key
    for example in examples:
        found = settings(example)
        assert "dualcontrol.toml" in str(found.origins.values()), key


def test_every_other_example_of_the_page_loads() -> None:
    for example in re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        settings(example)


def test_defaults_in_the_page_are_the_defaults() -> None:
    text = "[loop.x]\nguarantee.max_error = 0.1\nfeedback.retrain_every = 1\n"
    text += "respond_within = 60\ncapacity.reviewers = 3\nprobes.share = 0.05\n" + PROVIDER
    actual = {key: value for key, value, origin in masked(settings(text)) if origin == "default"}
    literals = [(key, re.search(r"Default: `([^`]+)`\.$", body, re.MULTILINE)) for key, body in _sections()]
    said = {key.replace("NAME", "x"): tomllib.loads(f"v = {found[1]}")["v"] for key, found in literals if found}
    assert said.pop("loop.x.feedback") == "off"
    assert said == {key: actual[key] for key in said}
    unsaid = {key for key, value in actual.items() if value is not None} - set(said)
    assert unsaid == {"loop.x.quorum.settle", "models"}


def test_a_default_that_is_stated_is_the_same_setting() -> None:
    """Whether as a word of a file, another object than the default, or left out: one version, and one digest."""
    default = LoopSettings(name="pay")
    stated: dict[str, Any] = {"risk_ceiling": "medium", "lease": "10m", "group": "reviewers", "effect_lease": "5m"}
    copies = {name: "".join([value[:2], value[2:]]) for name, value in stated.items()}
    assert LoopSettings(name="pay", quorum=Quorum(), **copies).digest == default.digest
    assert LoopSettings(name="pay", **{**copies, "risk_ceiling": "high"}).digest != default.digest
    assert LoopSettings(name="pay", labels=(1,)).digest != LoopSettings(name="pay", labels=(True,)).digest
