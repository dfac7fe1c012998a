"""Replay chooses a threshold under a promise, prices it, and tells groups apart, from files and from past cases."""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

import dualcontrol as dc
from dualcontrol.guarantee.curve import Price, ScoredRow, at
from dualcontrol.guarantee.offline import certify
from dualcontrol.testing import seeded_ids

PROMISE = ("--max-error", "0.05", "--confidence", "0.9")
PRICES = ("--minute-price", "0.5", "--minutes", "4", "--error-loss", "30")


def rows(count: int = 1500) -> list[dict]:
    """Proposals that are the more often right the more confident they are; group b is better."""
    noise = random.Random(4)
    made = []
    for _ in range(count):
        score, group = round(noise.betavariate(5, 1), 3), noise.choice("aab")
        wrong = noise.random() < (1 - score) * (0.6 if group == "a" else 0.1)
        made.append({"score": score, "truth": int(not wrong), "country": group})
    return made


@pytest.fixture
def files(folder: Path) -> dict[str, str]:
    """The same rows in all three formats."""
    table = rows()
    with (folder / "scored.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    (folder / "scored.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    pyarrow.parquet.write_table(pa.Table.from_pylist(table), folder / "scored.parquet")
    return {kind: f"scored.{kind}" for kind in ("csv", "jsonl", "parquet")}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_certified_threshold(run, files, kind):
    result = run("replay", files[kind], *PROMISE, "--json")
    table = rows()
    scores, wrong = [row["score"] for row in table], [1 - row["truth"] for row in table]
    expected = certify(scores, wrong, 0.05, 0.9)
    told = result.json
    assert result.code == 0
    assert (told["threshold"], told["n"]) == (expected.threshold, 1500)
    assert told["error_interval"] == pytest.approx(expected.error_interval)
    assert (told["coverage"], told["error"]) == pytest.approx((expected.coverage, expected.error))
    assert told["load"] == pytest.approx(1 - told["coverage"])
    assert told["error_interval"][1] <= 0.05
    assert (told["interval"], told["confidence"], told["cost"]) == ("clopper-pearson", 0.9, None)
    assert {"threshold", "load", "error", "interval", "coverage", "cost"} <= set(told["curve"][0])


def test_nothing_certified_is_exit_code_1_and_says_what_it_takes(run, files):
    result = run("replay", files["csv"], "--max-error", "0.001", "--json")
    assert (result.code, result.json["threshold"], result.json["load"], result.json["labels_needed"]) == (
        1,
        None,
        1.0,
        2995,
    )
    assert result.json["curve"], "the curve is there all the same"
    shown = run("replay", files["csv"], "--max-error", "0.001")
    assert shown.code == 1
    assert (
        "nothing certified for an error of at most 0.1 % with 95 % confidence: everything goes to humans" in shown.out
    )
    assert "it takes 2,995" in re.sub(r"\s+", " ", shown.out) or "takes 2,995" in re.sub(r"\s+", " ", shown.out)


def test_without_a_promise_nothing_is_certified_and_nothing_refused(run, files):
    told = run("replay", files["csv"], "--json")
    assert (told.code, told.json["threshold"], told.json["load"], told.json["interval"]) == (0, None, 1.0, "wilson")
    assert "--max-error chooses one" in told.json["reason"]
    named = run("replay", files["csv"], "--threshold", "0.9", "--json").json
    assert (named["threshold"], named["at"]["error"]) == (0.9, named["error"])


def test_a_named_threshold_is_the_only_one_tested(run, files):
    good = run("replay", files["csv"], "--threshold", "0.95", *PROMISE, "--json")
    assert (good.code, good.json["threshold"]) == (0, 0.95)
    bad = run("replay", files["csv"], "--threshold", "0.5", *PROMISE, "--json")
    assert (bad.code, bad.json["threshold"]) == (1, None)


def test_costs_are_minutes_and_errors_per_thousand_cases(run, files):
    told = run("replay", files["csv"], *PROMISE, *PRICES, "--json").json
    assert told["cost_unit"] == "per 1,000 cases"
    wrong = told["error"] * told["coverage"]
    assert told["cost"] == pytest.approx(1000 * (told["load"] * 4 * 0.5 + wrong * 30))
    assert told["cheapest"]["cost"] == min(point["cost"] for point in told["curve"])
    assert "cheapest of the curve: autopilot from" in run("replay", files["csv"], *PROMISE, *PRICES).out
    dear = ("--minute-price", "0", "--error-loss", "5")
    assert run("replay", files["csv"], *dear, "--json").json["cheapest"] == {
        "threshold": None,
        "load": 1.0,
        "cost": 0.0,
    }
    assert "everything to humans" in run("replay", files["csv"], *dear).out


def test_a_cheaper_point_without_certificate_says_so(run, files):
    out = run("replay", files["csv"], "--max-error", "0.02", "--minute-price", "10", "--error-loss", "1").out
    assert "its error is not certified" in out


def test_groups_have_their_own_error_and_no_promise(run, files):
    told = run("replay", files["csv"], *PROMISE, *PRICES, "--group", "country", "--json").json
    groups = told["groups"]
    assert list(groups) == ["a", "b"]
    assert sum(group["n"] for group in groups.values()) == told["n"]
    assert {group["threshold"] for group in groups.values()} == {told["threshold"]}
    assert groups["b"]["error"] < groups["a"]["error"]
    assert "the promise is for the whole" in told["note"]
    own = [ScoredRow(r["score"], bool(r["truth"])) for r in rows() if r["country"] == "b"]
    assert groups["b"]["cost"] == pytest.approx(at(own, told["threshold"], price=Price(2.0, 30.0)).cost)
    assert "the promise is for the whole" in run("replay", files["csv"], *PROMISE, "--group", "country").out


def test_a_group_with_too_few_rows_says_so(run, folder):
    table = [{**row, "country": "z" if i < 20 else "a"} for i, row in enumerate(rows())]
    (folder / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    groups = run("replay", "few.jsonl", *PROMISE, "--group", "country", "--json").json["groups"]
    assert groups["a"]["reason"] == ""
    assert groups["z"]["reason"].startswith("too few rows to say much")
    assert "too few rows" in re.sub(r"\s+", " ", run("replay", "few.jsonl", *PROMISE, "--group", "country").out)
    many = [{**row, "country": str(i)} for i, row in enumerate(rows(200))]
    (folder / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in many))
    refused = run("replay", "many.jsonl", "--group", "country")
    assert (refused.code, "200 values" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("score,truth\n0.9,1\nnan,1\n", "x.csv:3: score is 'nan', not a number from 0 to 1"),
        ("score,truth\n0.9,1\ninf,1\n", "x.csv:3: score is 'inf'"),
        ("score,truth\n0.9,1\n-0.1,1\n", "x.csv:3: score is '-0.1'"),
        ("score,truth\n.9,1\n.8,\n.7,1\n.6,\n", "csv:3: 2 rows of 4 without 'truth': empty, null or NaN in line 3, 5"),
        ("score,truth\n" + ".9,\n" * 9 + ".8,1\n", "9 rows of 10 without 'truth': empty, null or NaN in line 2, 3"),
        ("score,right\n0.9,1\n", "x.csv:1: there is no field 'truth'; there are: score, right"),
        ("", "holds no rows"),
        ("score,truth\n", "holds no rows"),
        ("score,truth\n0.9,1,2\n", "x.csv:2: more cells than the header names"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_by_line(run, folder, text, says):
    (folder / "x.csv").write_text(text)
    for given in ((), PROMISE):
        result = run("replay", "x.csv", *given)
        assert result.code == 2
        assert says in result.err
        assert "hint:" in result.err


@pytest.mark.parametrize("value", [float("nan"), None])
@pytest.mark.parametrize("name", ["score", "truth"])
def test_parquet_that_lacks_a_value_is_refused_by_row(run, folder, name, value):
    table = [{"score": 0.9, "truth": 1.0}, {"score": 0.8, "truth": 0.0}]
    table[1][name] = value
    pyarrow.parquet.write_table(pa.Table.from_pylist(table), folder / "x.parquet")
    result = run("replay", "x.parquet", *PROMISE)
    assert (result.code, f"x.parquet:2: 1 row of 2 without '{name}'" in result.err) == (2, True), result.err


def test_parquet_that_is_none_is_refused(run, folder):
    (folder / "x.parquet").write_text("no table")
    assert "x.parquet cannot be read" in run("replay", "x.parquet").err
    assert "missing.parquet cannot be read" in run("replay", "missing.parquet").err


def test_without_arrow_the_extra_is_named(folder):
    """In a process of its own, where pyarrow cannot be imported."""
    (folder / "x.parquet").write_bytes(b"PAR1")
    code = "import sys; sys.modules['pyarrow'] = None; from dualcontrol.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "replay", "x.parquet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "dualcontrol[arrow]"' in done.stderr


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--max-error", "0"), "An error of 0 cannot be certified by any number of labels"),
        (("--max-error", "1"), "max_error is a number between 0 and 1"),
        (("--max-error", "nan"), "max_error is a number between 0 and 1"),
        (("--max-error", "0.1", "--confidence", "0"), "confidence is a number between 0 and 1"),
        (("--max-error", "0.1", "--confidence", "1"), "Certainty cannot be had from data"),
        (("--confidence", "0.9"), "give both"),
        (("--minute-price", "1"), "a cost takes both"),
        (("--error-loss", "1"), "a cost takes both"),
        (("--group", "planet"), "there is no field 'planet'"),
        (("--score", "sure"), "there is no field 'sure'"),
    ],
)
def test_options_that_mean_nothing_are_refused(run, files, given, says):
    result = run("replay", files["jsonl"], *given)
    assert result.code == 2
    assert says in result.err
    assert run("replay", files["jsonl"], *given, "--json").json["error"]["exit_code"] == 2


def test_tied_scores_are_all_or_nothing_and_said_so(run, folder):
    (folder / "tied.csv").write_text("score,truth\n" + "0.8,1\n" * 200)
    told = run("replay", "tied.csv", *PROMISE, "--json").json
    assert (told["threshold"], told["coverage"]) == (0.8, 1.0)
    (folder / "tied.csv").write_text("score,truth\n" + "0.8,1\n0.8,0\n" * 100)
    result = run("replay", "tied.csv", *PROMISE)
    assert result.code == 1
    assert "every score is 0.8, so it is all rows or none" in result.out


def test_it_is_readable_in_80_columns(run, files, monkeypatch):
    monkeypatch.setattr("dualcontrol.cli.screen.PIPED", 80)
    for given in ((), PROMISE, (*PROMISE, *PRICES, "--group", "country"), ("--max-error", "0.001")):
        lines = run("replay", files["csv"], *given).out.splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) < 60


# past cases

BARE = [
    "the loop has no guarantee, so that nobody was asked blind: people saw the proposals, a live certificate would "
    "count none of these answers, and here they are tested once",
    "errors that people let pass are not allowed for; --miss-rate 0.1 takes every tenth to be missed",
]
LOOP = """
[loop.mail]
mode = "labels"
labels = ["spam", "ham"]
context = "minimal"
group = "support"
threshold = 0.8
audit = {audit}
"""


def mails(folder: Path, audit: float, count: int, every: int = 1) -> list[tuple[float, str, bool]]:
    """Propose mails and label those that a human sees, but for each `every`-th; (confidence, language, right)."""
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write(LOOP.format(audit=audit))
    noise, made = random.Random(9), []
    with dc.open() as desk:
        loop = desk.loop("mail")
        for i in range(count):
            score, language = noise.random(), noise.choice(["de", "fr"])
            right = noise.random() > 0.1 * (1 - score)
            case = loop.propose(input=f"mail {i}", proposal="spam", confidence=score, meta={"language": language})
            made.append((score, language, right))
            if case.reviews and (every == 1 or i % every):
                desk.claim("ana", case=case).label("spam" if right else "ham")
    return made


def test_past_cases_are_evidence(run, folder):
    """All humans saw all: the exact test, and what is known is what was proposed."""
    made = mails(folder, 1.0, 120)
    result = run("replay", "--loop", "mail", "--max-error", "0.2", "--json")
    told = result.json
    expected = certify([score for score, _, _ in made], [not right for _, _, right in made], 0.2)
    assert (result.code, told["cases"], told["n"], told["interval"]) == (0, 120, 120, "clopper-pearson")
    assert (told["threshold"], told["error"]) == (expected.threshold, expected.error)
    assert told["moved"] == 0
    groups = run("replay", "--loop", "mail", "--threshold", "0.5", "--group", "language", "--json").json["groups"]
    assert {name: group["n"] for name, group in groups.items()} == {
        name: sum(language == name for _, language, _ in made) for name in ("de", "fr")
    }
    assert "segment, action, or a field of meta" in run("replay", "--loop", "mail", "--group", "planet").err
    shown = run("replay", "--loop", "mail", "--max-error", "0.2")
    assert "120 past cases of mail" in shown.out
    assert "certified for an error of at most 20 %" in shown.out


def test_audited_cases_count_for_those_nobody_saw(run, folder):
    made = mails(folder, 0.3, 150)
    told = run("replay", "--loop", "mail", "--threshold", "0.8", "--json").json
    above = sum(score >= 0.8 for score, _, _ in made)
    assert told["interval"] == "betting"
    audited = told["at"]["autopilot"] if "at" in told else told["n"] - sum(score < 0.8 for score, _, _ in made)
    assert 0 < audited < above
    below = sum(score < 0.8 for score, _, _ in made)
    assert told["coverage"] == pytest.approx(audited / 0.3 / (audited / 0.3 + below))
    low, high = told["error_interval"]
    assert low <= told["error"] <= high
    asked = run("replay", "--loop", "mail", "--max-error", "0.4", "--json").json
    assert (asked["unanswered"], "nobody judged" in asked["reason"]) == (0, False), (
        "whom nobody asked, nobody kept waiting"
    )


def test_what_nobody_judged_counts_as_wrong_in_the_certificate(run, folder):
    mails(folder, 1.0, 100, every=3)
    told = run("replay", "--loop", "mail", "--max-error", "0.2", "--json")
    assert (told.code, told.json["threshold"], told.json["unanswered"], told.json["n"]) == (1, None, 34, 66)
    assert "34 that nobody judged count as wrong" in told.json["reason"]


def test_rules_have_the_last_word_over_past_cases(run, folder):
    """Cases that today's rules decide by themselves say nothing about a threshold."""
    mails(folder, 1.0, 40)
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write('\n[[loop.mail.rule]]\nname = "french"\nwhen = \'meta.language == "fr"\'\nroute = "human"\n')
    told = run("replay", "--loop", "mail", "--threshold", "0.5", "--json").json
    assert told["cases"] == 40
    assert 0 < told["n"] < 40


def test_past_cases_of_which_nothing_is_known(run, refund):
    refund()
    quiet = run("replay", "--loop", "refunds", "--json")
    assert (quiet.code, quiet.json["n"], quiet.json["curve"], quiet.json["unanswered"]) == (0, 0, [], 1)
    asked = run("replay", "--loop", "refunds", "--max-error", "0.05", "--json")
    assert (asked.code, asked.json["threshold"], asked.json["labels_needed"]) == (1, None, 59)
    assert "nothing is known of its error" in run("replay", "--loop", "refunds", "--max-error", "0.05").out


# past cases under a guarantee

PROMISED = """
[loop.mail]
mode = "labels"
labels = ["spam", "ham"]
context = "minimal"
group = "support"
audit = 0.05
guarantee = { max_error = 0.1, pilot = 50, launch = 0, adjudicate = false, miss_rate = 0.0 }
"""


def promised(folder: Path, count: int, error: float = 0.15, settings: str = PROMISED) -> float | None:
    """Mails under a guarantee, answered by whoever is asked; the threshold that it has certified."""
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write(settings)
    noise = random.Random(5)
    with dc.open(secret="5eed" * 16, new_id=seeded_ids(count)) as desk:
        loop = desk.loop("mail")
        for i in range(count):
            score = round(noise.random(), 3)
            right = noise.random() > error * (1 - score)
            case = loop.propose(input=f"mail {i}", proposal="spam", confidence=score)
            if case.reviews:
                desk.claim("ana", case=case).label("spam" if right else "ham")
        loop.certify()
        return loop.guarantee()[0].threshold


def test_what_a_guarantee_has_certified_a_replay_certifies(run, folder):
    """Its first cases were seen whole, those on autopilot by rare audits: each counts by what was in force for it."""
    own = promised(folder, 700)
    assert own is not None
    told = run("replay", "--loop", "mail", "--max-error", "0.1", "--json")
    assert (told.code, told.json["interval"]) == (0, "certificate"), told.json["reason"]
    assert told.json["threshold"] == own
    assert told.json["remarks"] == ["this is what the loop's own guarantee has certified, by the same answers"]
    shown = run("replay", "--loop", "mail", "--max-error", "0.1")
    assert "the loop's own guarantee has certified" in shown.err
    [other] = run("replay", "--loop", "mail", "--max-error", "0.2", "--json").json["remarks"]
    assert other.startswith(f"the loop's own guarantee has certified {own:.4g} for an error of at most 10 %")
    assert "own guarantee" not in run("replay", "--loop", "mail", "--threshold", "0.5").err


def test_under_a_guarantee_the_test_does_not_depend_on_whether_it_has_opened(run, folder):
    """Else labels would choose which test they are put to, and two chances of being wrong would add up."""
    assert promised(folder, 60, 0.9) is None
    told = run("replay", "--loop", "mail", "--max-error", "0.2", "--json").json
    assert (told["n"], told["interval"], told["remarks"]) == (60, "certificate", [])


def test_why_a_replay_and_a_guarantee_say_otherwise(run, folder):
    """Errors that the guarantee takes to be missed, and epochs that it counts no more."""
    settings = PROMISED.replace("miss_rate = 0.0", "miss_rate = 0.5")
    promised(folder, 60, settings=settings)
    toml = folder / "dualcontrol.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("max_error = 0.1", "max_error = 0.2"), encoding="utf-8")
    promised(folder, 20, settings="")
    told = run("replay", "--loop", "mail", "--max-error", "0.2", "--json").json
    assert told["remarks"] == ["the errors are of 2 epochs, of which the loop's own guarantee counts the last only"]
    assert told["reason"].startswith("20 answers show how the scores lie, and are no evidence")
    named = run("replay", "--loop", "mail", "--threshold", "0.5", "--max-error", "0.2", "--json").json
    assert named["reason"].endswith("people are taken to miss 50 % of errors, so 10 % are tested")


def test_what_nobody_could_be_asked_about_counts_as_wrong(run, folder):
    """Below the threshold people saw all, above it none: what they saw is not like what ran."""
    made = mails(folder, 0.0, 150)
    above = sum(score >= 0.8 for score, _, _ in made)
    told = run("replay", "--loop", "mail", "--max-error", "0.3")
    assert (told.code, "nothing certified" in told.out) == (1, True)
    says = f"{above} that nobody could be asked about (blocked, or on autopilot without audits) count as wrong"
    assert says in " ".join(told.out.split())
    looked = run("replay", "--loop", "mail", "--threshold", "0.5", "--json").json
    assert looked["n"] == 150 - above
    assert looked["remarks"] == [
        f"{above} cases that nobody could be asked about (blocked, or on autopilot without audits) are left out"
    ]


def unreached(folder: Path, audit: float) -> None:
    """Mails none of which reaches the threshold, all of them right."""
    with (folder / "dualcontrol.toml").open("a", encoding="utf-8") as file:
        file.write(LOOP.format(audit=audit).replace("threshold = 0.8", "threshold = 1.0"))
    noise = random.Random(2)
    with dc.open() as desk:
        for i in range(80):
            case = desk.loop("mail").propose(input=f"mail {i}", proposal="spam", confidence=0.99 * noise.random())
            desk.claim("ana", case=case).label("spam")


def test_without_audits_people_may_have_seen_all_the_same(run, folder):
    """Where no case reached the threshold, nobody was left out."""
    unreached(folder, 0.0)
    told = run("replay", "--loop", "mail", "--max-error", "0.1", "--json")
    assert (told.code, told.json["n"], told.json["interval"]) == (0, 80, "clopper-pearson")
    assert told.json["remarks"] == BARE


def test_which_test_is_made_hangs_on_the_settings_and_not_on_what_came(run, folder):
    unreached(folder, 0.5)
    assert run("replay", "--loop", "mail", "--max-error", "0.1", "--json").json["interval"] == "betting"


def test_audits_that_begin_later_are_evidence_by_themselves(run, folder):
    made = mails(folder, 0.0, 100)
    below = sum(score < 0.8 for score, _, _ in made)
    toml = folder / "dualcontrol.toml"
    toml.write_text(toml.read_text(encoding="utf-8").split("\n[loop.mail]")[0], encoding="utf-8")
    mails(folder, 1.0, 120)
    told = run("replay", "--loop", "mail", "--max-error", "0.2", "--json")
    assert (told.code, told.json["n"], told.json["interval"]) == (0, 120, "clopper-pearson")
    assert told.json["remarks"] == [
        f"{100 - below} cases that nobody could be asked about (blocked, or on autopilot without audits) are left out",
        f"{below} cases that humans were asked about meanwhile are no evidence for a certificate either, since they "
        "are not like all",
        *BARE,
    ]


def test_where_audits_began_and_found_nothing_yet_that_is_said(run, folder):
    mails(folder, 0.0, 40)
    toml = folder / "dualcontrol.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("audit = 0.0", "audit = 0.5"), encoding="utf-8")
    with dc.open() as desk:
        desk.loop("mail").propose(input="one more", proposal="spam", confidence=0.5)
    told = run("replay", "--loop", "mail", "--max-error", "0.4", "--json")
    assert (told.code, told.json["threshold"]) == (1, None)
    assert "no judged case is of a time in which people could have been asked about every case" in told.json["reason"]


def test_what_a_rule_let_through_counts_by_its_audits(run, folder):
    """The rule is gone, so that the threshold would speak; what was drawn then is drawn."""
    toml = folder / "dualcontrol.toml"
    plain = toml.read_text(encoding="utf-8")
    rule = '\n[[loop.mail.rule]]\nname = "french"\nwhen = \'meta.language == "fr"\'\nroute = "autopilot"\n'
    settings = LOOP.format(audit=0.5).replace("threshold = 0.8\n", "")
    toml.write_text(plain + settings + rule, encoding="utf-8")
    with dc.open() as desk:
        for i in range(120):
            meta = {"language": "fr" if i % 2 else "de"}
            case = desk.loop("mail").propose(input=f"mail {i}", proposal="spam", confidence=i / 120, meta=meta)
            if case.reviews:
                desk.claim("ana", case=case).label("spam")
    toml.write_text(plain + settings, encoding="utf-8")
    told = run("replay", "--loop", "mail", "--max-error", "0.5", "--json")
    assert (told.json["interval"], told.json["remarks"]) == ("betting", BARE)
    assert 60 < told.json["n"] < 120


@pytest.mark.parametrize("after", [mails, unreached])
def test_a_loop_that_watched_first_is_judged_by_what_came_after(run, folder, after):
    """Shadow cases take nothing from those that people were asked about later."""
    toml = folder / "dualcontrol.toml"
    plain = toml.read_text(encoding="utf-8")
    with toml.open("a", encoding="utf-8") as file:
        file.write(LOOP.format(audit=1.0) + 'start = "shadow"\n')
    with dc.open() as desk:
        for i in range(30):
            desk.loop("mail").propose(input=f"mail {i}", proposal="spam", confidence=i / 30)
    toml.write_text(plain, encoding="utf-8")
    after(folder, 0.0) if after is unreached else after(folder, 1.0, 120)
    told = run("replay", "--loop", "mail", "--max-error", "0.2", "--json")
    assert (told.code, told.json["n"], told.json["interval"]) == (
        0,
        80 if after is unreached else 120,
        "clopper-pearson",
    )
    assert told.json["remarks"] == [
        "30 cases went in the shadow, where nobody is asked, and are left out",
        *BARE,
    ]


# one look


WATCHED = PROMISED.replace("launch = 0", "launch = 100000").replace("audit = 0.05", "audit = 1.0")


def test_one_look_says_what_it_certified_and_is_not_taken_twice(run, folder):
    promised(folder, 160, settings=WATCHED)
    told = run("replay", "--loop", "mail", "--once", "150", "--json")
    assert told.json["note"].startswith("One look: it holds for these labels once.")
    assert (told.json["labels"], told.json["max_error"], told.json["again"]) == (150, 0.1, False)
    assert told.code == int(told.json["threshold"] is None)
    again = run("replay", "--loop", "mail", "--once", "150")
    assert "this look was taken before: this is its answer, and no second look" in again.err
    assert "Do not look at them again" in again.out
    if told.json["threshold"] is not None:
        assert f"autopilot from {told.json['threshold']!r}" in again.out
    other = run("replay", "--loop", "mail", "--once", "140")
    assert (other.code, "a look was taken at the labels of 'mail' already" in other.err) == (1, True), other.err
    shown = run("guarantee", "mail", "--history")
    assert "one look" in shown.out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--once", "10"), "give a file of scores and truths, or --loop LOOP"),
        (("--loop", "mail", "--once", "10", "--threshold", "0.5"), "it takes no other option"),
        (("--loop", "mail", "--once", "10", "--miss-rate", "0.1"), "it takes no other option"),
        (("--loop", "mail", "--segment", "eu"), "--segment names what --once looks at"),
        (("scored.csv", "--miss-rate", "0.1"), "--miss-rate is a share from 0 on and below 1"),
        (("--loop", "mail", "--miss-rate", "1"), "--miss-rate is a share from 0 on and below 1"),
    ],
)
def test_options_of_a_look_that_mean_nothing_are_refused(run, files, given, says):
    refused = run("replay", *given)
    assert (refused.code, says in " ".join(refused.err.split())) == (2, True), refused.err


def test_what_people_may_miss_counts_in_a_loop_without_a_guarantee(run, folder):
    mails(folder, 1.0, 150)
    bare = run("replay", "--loop", "mail", "--max-error", "0.2", "--json").json
    told = run("replay", "--loop", "mail", "--max-error", "0.2", "--miss-rate", "0.5", "--json").json
    assert (bare["threshold"] or 1.0) < (told["threshold"] or 1.0)
    assert "people are taken to miss 50 % of errors, so 10 % are tested" in told["reason"]
    assert BARE[1] not in told["remarks"]
    same = run("replay", "--loop", "mail", "--threshold", "0.5", "--max-error", "0.9", "--json").json
    wider = run(
        "replay", "--loop", "mail", "--threshold", "0.5", "--max-error", "0.9", "--miss-rate", "0.5", "--json"
    ).json
    assert wider["error_interval"][1] == pytest.approx(min(1.0, 2 * same["error_interval"][1]))
