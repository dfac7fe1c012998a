"""Probes through the desk: of whom one is asked, what it is made of, and that nothing follows from it but a score."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

import dualcontrol as dc
from dualcontrol.case import Case
from dualcontrol.errors import ClaimError, EligibilityError, SettingsError
from dualcontrol.events import Answered, Audited, Concluded, Decided, EffectStarted, Opened, ProbeScored
from dualcontrol.testing import FakeClock, seeded_ids
from dualcontrol.vigilance import draw

TEAM = ("ana", "ben", "cleo")
LABELS = ["spam", "ham", "note"]
OFTEN = {"share": 0.5, "ladder": "off"}  # who is flagged goes on as before
CLOSED = {"max_error": 0.01, "pilot": 0, "launch": 0}  # never certified here, so that people answer everything


class Team:
    """A loop whose model is sometimes wrong, and people who know the truth, but for those who stamp what they see."""

    def __init__(self, url: str = "sqlite:///:memory:", stamps: tuple[str, ...] = (), **settings: Any) -> None:
        self.clock = FakeClock()
        self.desk = dc.open(
            url,
            clock=self.clock,
            new_id=seeded_ids(5),
            durability="process",
            groups={"team": list(TEAM), "bosses": ["dora"]},
        )  # fmt: skip
        self.settings = {"guarantee": {"max_error": 0.2, "pilot": 0, "launch": 0}, "probes": OFTEN} | settings
        self.loop = self.desk.loop(
            "mail", mode="labels", labels=LABELS, context="minimal", group="team", audit=0.1, **self.settings
        )
        self.stamps, self.number, self.probes = stamps, 0, list[Case]()
        self.answers: Counter[str] = Counter()

    def truth(self, question: str) -> str:
        return LABELS[int(question.split()[-1]) % 3]

    def propose(self, *, wrong: bool | None = None) -> Case:
        self.clock.tick(30.0)
        self.number += 1
        right = self.truth(f"mail {self.number}")
        wrong = self.number % 7 == 0 if wrong is None else wrong
        label = LABELS[(LABELS.index(right) + 1) % 3] if wrong else right
        others = [one for one in LABELS if one != label]
        return self.loop.propose(
            proposal=label, alternatives=others, input=f"mail {self.number}", confidence=0.6 if wrong else self.sure()
        )

    def sure(self) -> float:
        """Every third of the right proposals is one that autopilot leaves to people."""
        return 0.5 if self.number % 3 == 0 else 0.9

    def answer(self, claim: dc.Claim) -> Case:
        view = claim.view
        self.clock.tick(4.0)
        seen = view["proposal"]["value"] if view["proposal"] else None
        label = seen if seen is not None and claim.person in self.stamps else self.truth(view["input"])
        self.answers[claim.person] += 1
        return claim.label(label)

    def turn(self) -> list[str]:
        """Who comes first is another each time, so that each gets some of the cases."""
        return [TEAM[(self.number + place) % 3] for place in range(3)]

    def work(self) -> None:
        """Everybody answers what waits for them."""
        for person in self.turn():
            while (claim := self.desk.claim(person, "mail")) is not None:
                after = self.answer(claim)
                if after.kind == "probe":
                    self.probes.append(after)

    def days(self, cases: int) -> Team:
        for _ in range(cases):
            self.propose()
            self.work()
        return self

    def waiting(self, person: str, cases: int = 400) -> Case:
        """A probe that waits for this person."""
        for _ in range(cases):
            self.propose()
            for name in self.turn():
                while (claim := self.desk.claim(name, "mail")) is not None:
                    if claim.case.kind == "probe" and name == person:
                        claim.release()
                        return self.desk.case(claim.case.id)
                    self.answer(claim)
        raise AssertionError(f"no probe was drawn for {person} in {cases} cases")


def kinds(team: Team, case: Case) -> list[str]:
    return [type(event).__name__ for event in team.desk.events(case.id)]


@pytest.fixture(scope="module")
def stamped():
    """A team in which cleo approves whatever she is shown."""
    team = Team(stamps=("cleo",)).days(900)
    yield team
    team.desk.close()


def test_wrong_and_right_probes_are_asked_shown_and_blind_of_everybody(stamped):
    asked = Counter((p.scored.wrong, p.scored.blind) for p in stamped.probes)
    assert all(asked[wrong, blind] >= 3 for wrong in (True, False) for blind in (True, False)), asked
    assert {p.answered[0].actor.person for p in stamped.probes} == set(TEAM)
    assert {p.scored.how for p in stamped.probes} == {"replayed", "mutated"}


def test_what_a_probe_says_is_the_truth_of_the_case_that_it_was_made_of(stamped):
    for probe in stamped.probes:
        truth = stamped.truth(probe.input)
        assert probe.scored.wrong == (probe.proposal.value != truth)
        assert probe.content.get("answer_key")["right"] == truth
        assert probe.scored.rejected == (probe.answers[0].value != probe.proposal.value)


def test_whoever_stamps_misses_what_is_shown_and_nobody_else_does(stamped):
    missed = Counter(p.answered[0].actor.person for p in stamped.probes if p.scored.missed)
    assert set(missed) == {"cleo"}
    assert missed["cleo"] >= 10
    blind = [p for p in stamped.probes if p.scored.blind and p.answered[0].actor.person == "cleo"]
    assert blind
    assert not any(p.scored.missed for p in blind)
    figures = stamped.desk.prober.figures(stamped.loop.control)
    assert {flag.person for flag in figures.flags} == {"cleo"}
    assert figures.shown.people["cleo"].lower > 0.5
    assert figures.shown.people["ana"].estimate == 0.0


def test_a_label_that_was_put_in_place_of_the_right_one_is_never_asked_blind(stamped):
    assert not any(p.scored.blind and p.scored.how == "mutated" for p in stamped.probes)


def test_nobody_gets_a_case_that_they_know_nor_the_same_source_twice(stamped):
    seen: set[tuple[str, str]] = set()
    for probe in stamped.probes:
        person, source = probe.answered[0].actor.person, stamped.desk.case(probe.parent)
        assert person not in {review.person for review in source.reviews}
        assert (person, source.id) not in seen
        seen.add((person, source.id))


def test_at_most_the_declared_share_of_answers_goes_to_probes():
    team = Team(probes={"share": 0.04}, guarantee=CLOSED).days(500)
    assert 10 <= len(team.probes) <= 0.04 * sum(team.answers.values())
    team.desk.close()


def test_the_share_holds_at_every_moment_however_many_draws_fall(monkeypatch):
    """Every answer draws a probe here: what is declared is the only limit."""
    drawn = draw.draw
    monkeypatch.setattr(draw, "draw", lambda key, purpose, of: 0.0 if purpose == "probe" else drawn(key, purpose, of))
    team = Team(probes={"share": 0.1}, guarantee=CLOSED)
    for _ in range(150):
        team.propose()
        team.work()
        opened = team.desk.store.queries.probes_opened(team.loop.control.loop_id, 0)
        assert opened <= 0.1 * (sum(team.answers.values()) + 1)
    assert opened >= 8
    team.desk.close()


def test_a_loop_of_labels_asks_them_by_itself_and_one_of_actions_does_not():
    team = Team(probes=None, guarantee=CLOSED).days(300)
    assert len(team.probes) >= 5
    assert team.desk.loop("pay", context="minimal").settings.probe_share == 0.0
    none = Team(probes={"share": 0}).days(200)
    assert none.probes == []
    assert not list(none.desk.store.queries.cases(kind="probe").rows)
    for one in (team, none):
        one.desk.close()


def test_a_loop_of_numbers_asks_them_by_itself_too():
    """What people respond is compared with the proposal, in view or not; the model's own errors are the wrong ones."""
    with dc.open("sqlite:///:memory:", groups={"team": list(TEAM)}, clock=FakeClock(), new_id=seeded_ids(2)) as desk:
        loop = desk.loop(
            "sums", mode="fallback", schema={"type": "number"}, context="minimal", group="team",
            guarantee=CLOSED | {"blind": True}, quorum={"answers": 1},
        )  # fmt: skip
        assert loop.settings.probe_share == 0.05
        loop = desk.loop(
            "sums", mode="fallback", schema={"type": "number"}, context="minimal", group="team",
            guarantee=CLOSED, probes={"share": 0.5, "ladder": "off"},
        )  # fmt: skip
        probes = []
        for number in range(90):
            loop.propose(proposal=number + (number % 5 == 0), input=f"{number} + 0", confidence=0.6)
            for place in range(3):
                while (claim := desk.claim(TEAM[(number + place) % 3], "sums")) is not None:
                    after = claim.respond(int(claim.view["input"].split()[0]))
                    probes += [after] if after.kind == "probe" else []
        seen = Counter((p.scored.wrong, p.scored.rejected) for p in probes)
        assert set(seen) == {(True, True), (False, False)}
        assert min(seen.values()) >= 3
    assert dc.open("sqlite:///:memory:").loop("chat", mode="fallback").settings.probe_share == 0.0


# Nothing follows


def test_a_probe_ends_with_its_score_and_nothing_else(stamped):
    for probe in stamped.probes:
        events = stamped.desk.events(probe.id)
        unwanted = (Decided, Audited, EffectStarted)
        assert not any(isinstance(event, unwanted) for event in events), kinds(stamped, probe)
        assert not any(isinstance(e, Concluded) and e.by != "autopilot" for e in events)
        assert isinstance(events[-1], ProbeScored)
        assert probe.state == "closed"
        assert probe.decision is None
        assert probe.effect.state == "none"


def test_no_probe_is_evidence_or_an_example_or_in_a_time_or_in_the_load(stamped):
    ids, control, queries = {p.id for p in stamped.probes}, stamped.loop.control, stamped.desk.store.queries
    assert not ids & {row.case_id for row in stamped.loop.examples()}
    evidence = json.dumps(stamped.loop.evidence())
    live = len(queries.route_rows(control.loop_id))
    assert live == stamped.number
    assert not any(i in evidence for i in ids)
    assert len(queries.handling(control.loop_id, 0, 10_000)) == sum(stamped.answers.values()) - len(ids)
    assert sum(cases for _, _, cases, _ in queries.arrivals(control.loop_id, 0)) == stamped.number


def test_the_bound_is_the_same_with_probes_as_without():
    """The same stream, the same people: the same evidence, with every second answer drawing a probe and with none."""

    def events(share: float) -> list[Any]:
        team = Team(probes={"share": share}, guarantee=CLOSED).days(250)
        entries = team.desk.store.queries.entries(team.loop.stream, values=False)
        moves = [e.to_dict() for entry in entries for e in entry.events if type(e).__name__ == "ThresholdMoved"]
        labels = [{k: v for k, v in row.items() if k in ("wrong", "score", "y")} for row in team.loop.evidence()]
        team.desk.close()
        return [len(moves), labels]

    assert events(0.5) == events(0.0)


# The key


def test_the_key_is_committed_before_the_answer_and_can_be_checked_after():
    team = Team()
    case = team.waiting("ana")
    queries = team.desk.store.queries
    opened = queries.entries(f"case/{case.id}", values=False)[0]
    (event,) = [e for e in opened.events if isinstance(e, Opened)]
    seal = event.content.seals["answer_key"]
    assert "wrong" not in json.dumps(event.to_dict()).replace("answer_key", "")
    claim = team.desk.claim("ana", case=case.id)
    after = team.answer(claim)
    (entry, *_), key = queries.entries(f"case/{case.id}", values=False), after.content.get("answer_key")
    assert entry.hash == opened.hash
    assert after.content.seals["answer_key"] == seal
    assert key["wrong"] == after.scored.wrong
    assert key["person"] == "ana"
    assert key["source"] == after.parent
    team.desk.close()


def test_a_key_that_was_changed_afterwards_is_noticed(tmp_path):
    team = Team(f"sqlite:///{tmp_path}/dc.db")
    case = team.waiting("ana")
    team.answer(team.desk.claim("ana", case=case.id))
    team.desk.close()
    import sqlite3

    with sqlite3.connect(tmp_path / "dc.db") as database:
        slot = "case_id = ? and slot = 'answer_key'"
        (body,) = database.execute(f"select body from payloads where {slot}", (case.id,)).fetchone()
        swaps = {'"wrong":true': '"wrong":false', '"wrong":false': '"wrong":true'}
        other = next(body.replace(old, new) for old, new in swaps.items() if old in body)
        assert other != body
        database.execute(f"update payloads set body = ? where {slot}", (other, case.id))
    database.close()
    from dualcontrol.doctor import examine

    with dc.open(f"sqlite:///{tmp_path}/dc.db") as desk:
        assert any(case.id in str(finding) for finding in examine(desk.store, secret=desk.steps.secret))


# Ends without an answer


@pytest.mark.parametrize("how", ["abstain", "escalate"])
def test_who_passes_a_probe_on_ends_it_and_it_says_nothing_of_them(how):
    team = Team(quorum={"arbiter": "bosses"})  # a group of one
    case = team.waiting("ben")
    claim = team.desk.claim("ben", case=case.id)
    after = claim.abstain() if how == "abstain" else claim.escalate()
    assert after.state == "closed"
    assert after.scored.rejected is None
    assert after.scored.missed is None
    assert [review.state for review in after.reviews] == ["passed"]
    assert not team.desk.prober.figures(team.loop.control).probes or all(
        probe.case_id != case.id for probe in team.desk.prober.figures(team.loop.control).probes
    )
    team.desk.close()


def test_a_probe_whose_time_runs_out_ends_without_a_score():
    team = Team(respond_within="1h", on_timeout="reject")
    case = team.waiting("ben")
    assert case.due_at is not None
    team.clock.tick(7200.0)
    team.desk.sweep()
    after = team.desk.case(case.id)
    assert after.state == "closed"
    assert after.scored.rejected is None
    assert after.outcome is None
    assert team.desk.claim("ben", "mail") is None
    team.desk.close()


def test_an_erased_probe_ends_quietly_and_its_key_is_gone():
    team = Team()
    case = team.waiting("ana")
    team.desk.erase(case.id)
    assert team.desk.case(case.id).content.get("answer_key") is None
    assert team.desk.claim("ana", "mail") is None
    team.days(20)
    team.desk.close()


def test_erasing_a_case_erases_what_was_made_of_it():
    team = Team()
    case = team.waiting("ana")
    team.answer(team.desk.claim("ana", case=case.id))
    other = team.waiting("ben")
    for probe in (case, other):
        team.desk.erase(probe.parent, by="lee")
        assert team.desk.case(probe.id).erased
        assert team.desk.case(probe.parent).erased
        assert team.desk.store.queries.entries(f"case/{probe.id}")[0].events[0].content.values == {}
    assert team.desk.claim("ben", "mail") is None
    team.desk.close()


# For one person alone


def test_nobody_else_can_take_it_or_sees_it_in_their_queue():
    team = Team()
    case = team.waiting("ana")
    for person in ("ben", "cleo"):
        with pytest.raises(EligibilityError, match="somebody else"):
            team.desk.claim(person, case=case.id)
        assert team.desk.claim(person, "mail") is None
    claim = team.desk.claim("ana", "mail")
    assert claim.case.id == case.id
    with pytest.raises(ClaimError):
        team.desk.answer(claim.id, "label", "spam", person="ben")
    team.desk.close()


def test_one_waits_for_a_person_at_a_time():
    team = Team()
    case = team.waiting("ana")
    for _ in range(60):
        team.propose()
        for person in ("ana", "ben", "cleo"):
            while (claim := team.desk.claim(person, "mail")) is not None:
                if claim.case.id == case.id:
                    claim.extend("10h")
                    continue
                team.answer(claim)
    open_ones = [row.id for row in team.desk.store.queries.cases(kind="probe", state="open").rows]
    assert open_ones.count(case.id) == 1
    mine = [i for i in open_ones if any(r.addressee == "ana" for r in team.desk.case(i).reviews)]
    assert mine == [case.id]
    team.desk.close()


def test_no_probe_is_asked_while_load_is_shed_or_the_loop_is_stopped():
    team = Team()
    team.days(60)
    before = len(team.probes)
    team.desk.stop("ana", "a drill")
    team.days(30)
    assert len(team.probes) == before
    team.desk.close()


# Settings


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ({"share": 0.9}, "0.5"),
        ({"share": "often"}, "share"),
        ({"shares": 0.1}, "share"),
        ({"corruptions": [{"field": "amount", "cue": "x"}]}, "takes one of"),
        ({"corruptions": [{"field": "amount", "cue": "x", "times": 2, "swap": True}]}, "takes one of"),
        ({"corruptions": [{"field": "amount", "times": 2}]}, "a corruption needs field, cue"),
        ({"corruptions": [{"cue": "x", "times": 2}]}, "a corruption needs field, cue"),
        ({"corruptions": [{"field": "amount", "cue": "x", "to": [1]}]}, "a text, a number, true or false"),
        ({"corruptions": "all"}, "a list of tables"),
    ],
)  # fmt: skip
def test_mistakes_in_the_settings_are_named(probes, words):
    with dc.open("sqlite:///:memory:") as desk, pytest.raises(SettingsError, match=words):
        desk.loop("pay", probes=probes)


def test_every_answer_of_an_action_loop_may_draw_a_corrupted_one():
    """A refund of ten times the amount, declared: the two who agreed on the right one never see it."""
    corruption = {"field": "amount", "times": 10, "cue": "the amount is ten times the invoice"}
    with dc.open("sqlite:///:memory:", groups={"team": [*TEAM, "dora"]}, clock=FakeClock()) as desk:
        loop = desk.loop(
            "pay", context="minimal", group="team", quorum={"answers": 2},
            probes={"share": 0.5, "corruptions": [corruption]},
        )  # fmt: skip
        probes = []
        for number in range(240):
            loop.propose(action="refund", args={"amount": 10 + number, "to": "x"}, input=f"invoice of {10 + number}")
            for place in range(4):
                person = (*TEAM, "dora")[(number + place) % 4]
                while (claim := desk.claim(person, "pay")) is not None:
                    amount = claim.view["proposal"]["value"]["amount"]
                    right = amount == int(claim.view["input"].split()[-1])
                    after = claim.approve() if right else claim.reject()
                    probes += [after] if after.kind == "probe" else []
        wrong = [p for p in probes if p.scored.wrong]
        assert len(wrong) >= 3
        assert all(p.scored.how == "mutated" and p.scored.rejected for p in wrong)
        assert all(not p.scored.rejected for p in probes if not p.scored.wrong)
        for probe in wrong:
            assert probe.proposal.value["amount"] == 10 * int(probe.input.split()[-1])
            assert probe.content.get("answer_key")["cue"] == corruption["cue"]
            assert not any(isinstance(e, EffectStarted) for e in desk.events(probe.id))
            assert not probe.wants_effect


def test_it_holds_on_every_database_and_after_a_restart(database_url):
    if ":memory:" in database_url:
        pytest.skip("a database in memory ends with its process")
    team = Team(database_url)
    case = team.waiting("cleo")
    team.desk.close()
    again = Team(database_url)
    again.number = team.number
    again.clock.tick(86_400.0)
    before = again.desk.prober.figures(again.loop.control)
    after = again.answer(again.desk.claim("cleo", case=case.id))
    assert after.kind == "probe"
    assert after.scored is not None
    assert len(again.desk.prober.figures(again.loop.control).probes) == len(before.probes) + 1
    assert next(e for e in again.desk.events(case.id) if isinstance(e, Answered)).actor.person == "cleo"
    queries, loop_id = again.desk.store.queries, again.loop.control.loop_id
    known = {probe.id: probe.seq for probe in queries.probes(loop_id, 0)}
    assert list(queries.probes(loop_id, 0, known)) == []  # what is known as it is, is not read again
    assert [probe.id for probe in queries.probes(loop_id, 0, {**known, case.id: after.seq - 1})] == [case.id]
    sheet = again.desk.prober._sheets["mail"].record
    assert {case_id: seq for case_id, seq in sheet._known.items() if case_id in known} == known
    again.desk.close()
