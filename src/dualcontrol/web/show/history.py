"""The ledger of a case as sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dualcontrol.case import JSON
from dualcontrol.web.show import words

Told = tuple[str, str]


def history(entries: Sequence[dict[str, JSON]]) -> list[dict[str, Any]]:
    """One row an entry: when, who, what in sentences, and the hash that chains it."""
    return [
        {**{k: entry[k] for k in ("seq", "at", "actor", "hash", "pos")}, "told": [told(e) for e in entry["events"]]}
        for entry in entries
    ]


def told(event: dict[str, JSON]) -> Told:
    """An icon and a sentence for one event; a kind without a sentence says its name."""
    icon, sentence = SENTENCES.get(str(event["kind"]), ("dot", lambda e: str(e["kind"])))
    return icon, sentence(event)


def _routed(e: dict[str, JSON]) -> str:
    where = {"autopilot": "Sent to autopilot", "human": "Sent to a human", "block": "Blocked"}[e["to"]]
    return f"{where}: {e['reason']}{' (drawn for an audit)' if e.get('audited') else ''}"


def _answered(e: dict[str, JSON]) -> str:
    if "verdict" not in e:
        return "Answered; hidden while others still have to answer"
    seconds = e.get("seconds")
    took = f" after {words.duration(int(float(seconds) * words.SECOND))}" if seconds and float(seconds) >= 1 else ""
    return f"{words.VERDICTS[e['verdict']]}{took}"


def _decided(e: dict[str, JSON]) -> str:
    by = {"unanimous": "all agree", "majority": "by majority", "arbiter": "by the arbiter", "veto": "by veto",
          "collect": "answers collected", "k": "enough agree"}  # fmt: skip
    wrong = {0: ", the proposal was right", 1: ", the proposal was wrong"}.get(e.get("wrong", -1), "")
    many = len(e.get("answers", ()))
    how = by.get(e["settled_by"], e["settled_by"]) if many > 1 else "one answer"
    return f"Decided: {words.VERDICTS[e['verdict']].lower()} ({how}{wrong})"


def _audited(e: dict[str, JSON]) -> str:
    found = {0: "the proposal was right", 1: "the proposal was wrong"}.get(e.get("wrong", -1), "no judgement")
    return f"Audited: {found}"


def _concluded(e: dict[str, JSON]) -> str:
    verdict = words.VERDICTS.get(e.get("verdict") or "", "goes through as proposed")
    return f"Outcome by {words.BY[e['by']]}: {verdict.lower()}"


def _timed_out(e: dict[str, JSON]) -> str:
    return f"The response time passed: {words.TIMEOUTS[e['how']]}"


def _resolved(e: dict[str, JSON]) -> str:
    return f"{e['by']} looked: it {'happened' if e['happened'] else 'did not happen and may run again'}"


def _escalated(e: dict[str, JSON]) -> str:
    said: dict[str, JSON] = next(iter(e.get("content", {}).values()), {})
    why = f": {said['rationale']}" if said.get("rationale") else ""
    return f"{words.VERDICTS[e['verdict']]}{' to ' + e['to'] if e.get('to') else ''}{why}"


SENTENCES: dict[str, tuple[str, Callable[[dict[str, JSON]], str]]] = {
    "Opened": ("inbox", lambda e: "Proposed" + (f" by {e['owner']}" if e.get("owner") else "")),
    "Routed": ("route", _routed),
    "Rerouted": ("route", lambda e: f"The edit asks for more: {e['reason']}"),
    "Joined": ("list", lambda e: "Another case asks the same; it is settled with this one"),
    "Parted": ("list", lambda e: "Settled with another case no longer: it is asked by itself"),
    "ReviewOpened": ("list", lambda e: f"{words.KINDS[e['review']]} opened for {e['group']}"),
    "AlarmRaised": ("alert", lambda e: f"Alarm: {e['reason']}"),
    "Claimed": ("user", lambda e: f"{e['person']} took the review"),
    "Released": ("undo", lambda e: "Given back to the queue"),
    "Extended": ("clock", lambda e: "Held longer"),
    "LeaseExpired": ("clock", lambda e: f"{e['person']}'s time ran out; open again"),
    "Committed": ("shield", lambda e: f"{e['person']} said what should happen, and saw the proposal then"),
    "Answered": ("check", _answered),
    "Passed": ("up", _escalated),
    "ReviewCancelled": ("x", lambda e: f"A review is no longer needed ({e['reason']})"),
    "Decided": ("check", _decided),
    "Retracted": ("undo", lambda e: f"{e['person']} took the decision back"),
    "Audited": ("shield", _audited),
    "TimedOut": ("clock", _timed_out),
    "Withdrawn": ("x", lambda e: f"Withdrawn by {e['by']}"),
    "Concluded": ("flag", _concluded),
    "Recalled": ("undo", lambda e: f"Back to people before its effect began: {e['reason']}"),
    "Revoked": ("x", lambda e: f"{e['actor']['person']} took the approval back"),
    "EffectStarted": ("play", lambda e: f"Started by {e['owner']} (fence {e['fence']})"),
    "EffectSucceeded": ("check", lambda e: "Ran: it succeeded"),
    "EffectFailed": ("alert", lambda e: "Ran: it failed" if e.get("ran", True) else "Failed before anything ran"),
    "EffectLost": ("alert", lambda e: "No result came back: nobody knows whether it happened"),
    "EffectResolved": ("shield", _resolved),
    "Erased": ("x", lambda e: f"Content erased by {e['by']}"),
}
