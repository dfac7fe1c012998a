"""The ledger of a case as sentences; names in them keep to themselves, whatever their script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from markupsafe import Markup

from dualcontrol.case import JSON, Actor
from dualcontrol.people import proof
from dualcontrol.web.shapes import EntryReply
from dualcontrol.web.show import words
from dualcontrol.web.show.literal import inline

MOST = 120  # entries on a page: the first and, where there are more, the last
FIRST = 20
WRONG = {0: "the proposal was right", 1: "the proposal was wrong"}
SETTLED = {
    "unanimous": "all agree", "majority": "by majority", "arbiter": "by the arbiter", "veto": "by veto",
    "collect": "answers collected", "k": "enough agree",
}  # fmt: skip


def history(entries: Sequence[EntryReply]) -> list[dict[str, Any]]:
    """One row an entry: when, who, how they were known, what in sentences, and the hash that chains it.

    `skipped` counts those left out before the last ones.
    """
    over = max(len(entries) - MOST, 0)
    rows = []
    for place, entry in enumerate([*entries[:FIRST], *entries[FIRST + over :]]):
        sentences = []
        for event in entry.events:
            icon, sentence = SENTENCES.get(str(event["kind"]), ("dot", lambda e: str(e["kind"])))
            sentences.append((icon, inline(sentence(event))))
        rows.append({
            "seq": entry.seq, "at": entry.at, "hash": entry.hash, "actor": words.brief(entry.actor, 60),
            "told": sentences, "proof": proof(entry.proof, entry.at) if entry.proof else "",
            "skipped": over if place == FIRST else 0,
        })  # fmt: skip
    return rows


def _with(form: str, *names: JSON) -> Markup:
    """A sentence with names in it."""
    return Markup(form).format(*(inline(words.brief(name, 300)) for name in names))


def _review_opened(e: dict[str, JSON]) -> str:
    kind = words.COMPARISON if e.get("against") else words.KINDS[e["review"]]
    return _with(f"{kind} opened for {{}}", e["group"])


def _routed(e: dict[str, JSON]) -> str:
    where = {"autopilot": "Sent to autopilot", "human": "Sent to a human", "block": "Blocked"}[e["to"]]
    return _with(f"{where}: {{}}{' (drawn for an audit)' if e.get('audited') else ''}", e["reason"])


def _answered(e: dict[str, JSON]) -> str:
    if "verdict" not in e:
        return "Answered; hidden while others still have to answer"
    seconds = float(e.get("seconds") or 0)
    took = f" after {words.duration(int(seconds * words.SECOND))}" if seconds >= 1 else ""
    return f"{words.VERDICTS[e['verdict']]}{took}, {_proof(e)}"


def _proof(e: dict[str, JSON]) -> str:
    """By which door and sign-in somebody acted; an actor of an older version says less."""
    return proof(msgspec.convert(e["actor"], Actor), e["at"])


def _escalated(e: dict[str, JSON]) -> str:
    content: dict[str, JSON] = next(iter(e.get("content", {}).values()), {})
    to = _with(" to {}", e["to"]) if e.get("to") else ""
    why = _with(": {}", content["rationale"]) if content.get("rationale") else ""
    return Markup("{}{}, {}{}").format(words.VERDICTS[e["verdict"]], to, _proof(e), why)


def _decided(e: dict[str, JSON]) -> str:
    wrong = f", {WRONG[e['wrong']]}" if e.get("wrong") in WRONG else ""
    how = SETTLED.get(e["settled_by"], e["settled_by"]) if len(e.get("answers", ())) > 1 else "one answer"
    return f"Decided: {words.VERDICTS[e['verdict']].lower()} ({how}{wrong})"


def _probe_scored(e: dict[str, JSON]) -> str:
    end = {True: "was turned down", False: "came through", None: "was answered by nobody"}[e.get("rejected")]
    return f"A test case: {WRONG[int(e['wrong'])]}, and it {end}"


def _concluded(e: dict[str, JSON]) -> str:
    verdict = words.VERDICTS.get(e.get("verdict") or "", "goes through as proposed")
    return f"Outcome by {words.BY[e['by']]}: {verdict.lower()}"


def _resolved(e: dict[str, JSON]) -> str:
    return _with(f"{{}} looked: it {'happened' if e['happened'] else 'did not happen and may run again'}", e["by"])


SENTENCES: dict[str, tuple[str, Callable[[dict[str, JSON]], str]]] = {
    "Opened": ("inbox", lambda e: _with("Proposed by {}", e["owner"]) if e.get("owner") else "Proposed"),
    "Routed": ("route", _routed),
    "Rerouted": ("route", lambda e: _with("The edit asks for more: {}", e["reason"])),
    "Joined": ("list", lambda e: "Another case asks the same; it is settled with this one"),
    "Parted": ("list", lambda e: "Settled with another case no longer: it is asked by itself"),
    "ReviewOpened": ("list", _review_opened),
    "AlarmRaised": ("alert", lambda e: _with("Alarm: {}", e["reason"])),
    "Claimed": ("user", lambda e: _with("{} took the review", e["person"])),
    "Released": ("undo", lambda e: "Given back to the queue"),
    "Extended": ("clock", lambda e: "Held longer"),
    "LeaseExpired": ("clock", lambda e: _with("{}'s time ran out; open again", e["person"])),
    "Committed": ("shield", lambda e: _with("{} said what should happen, and saw the proposal then", e["person"])),
    "Answered": ("check", _answered),
    "Passed": ("up", _escalated),
    "ReviewCancelled": ("x", lambda e: _with("A review is no longer needed ({})", e["reason"])),
    "Decided": ("check", _decided),
    "Retracted": ("undo", lambda e: _with("{} took the decision back", e["person"])),
    "Audited": ("shield", lambda e: f"Audited: {WRONG.get(e.get('wrong', -1), 'no judgement')}"),
    "ProbeScored": ("shield", _probe_scored),
    "TimedOut": ("clock", lambda e: f"The response time passed: {words.TIMEOUTS[e['how']]}"),
    "Withdrawn": ("x", lambda e: _with("Withdrawn by {}", e["by"])),
    "Concluded": ("flag", _concluded),
    "Recalled": ("undo", lambda e: _with("Back to people before its effect began: {}", e["reason"])),
    "Revoked": ("x", lambda e: _with("{} took the approval back, {}", e["actor"]["person"], _proof(e))),
    "EffectStarted": ("play", lambda e: _with("Started by {} (fence {})", e["owner"], e["fence"])),
    "EffectSucceeded": ("check", lambda e: "Ran: it succeeded"),
    "EffectFailed": ("alert", lambda e: "Ran: it failed" if e.get("ran", True) else "Failed before anything ran"),
    "EffectLost": ("alert", lambda e: "No result came back: nobody knows whether it happened"),
    "EffectResolved": ("shield", _resolved),
    "Erased": ("x", lambda e: _with("Content erased by {}", e["by"])),
}
