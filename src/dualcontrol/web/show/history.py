"""The ledger of a case as sentences; names in them keep to themselves, whatever their script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from dualcontrol.case import JSON
from dualcontrol.web.show import words
from dualcontrol.web.show.literal import inline

Told = tuple[str, Markup]
MOST = 120  # entries on a page: the first and, where there are more, the last
FIRST = 20


def history(entries: Sequence[dict[str, JSON]]) -> list[dict[str, Any]]:
    """One row an entry: when, who, what in sentences, and the hash that chains it; `skipped` before the last ones."""
    over = max(len(entries) - MOST, 0)
    shown = [*entries[:FIRST], *entries[FIRST + over :]] if over else entries
    rows = [
        {
            **{k: entry[k] for k in ("seq", "at", "hash", "pos")},
            "actor": words.brief(entry["actor"], 60),
            "told": [told(e) for e in entry["events"]],
        }
        for entry in shown
    ]
    return [row | {"skipped": over if place == FIRST else 0} for place, row in enumerate(rows)]


def told(event: dict[str, JSON]) -> Told:
    """An icon and a sentence for one event; a kind without a sentence says its name."""
    icon, sentence = SENTENCES.get(str(event["kind"]), ("dot", lambda e: str(e["kind"])))
    return icon, inline(sentence(event))


def _said(form: str, *names: JSON) -> Markup:
    """A sentence with names in it."""
    return Markup(form).format(*(inline(words.brief(name, 300)) for name in names))


def _routed(e: dict[str, JSON]) -> str:
    where = {"autopilot": "Sent to autopilot", "human": "Sent to a human", "block": "Blocked"}[e["to"]]
    return _said(f"{where}: {{}}{' (drawn for an audit)' if e.get('audited') else ''}", e["reason"])


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
    return _said(f"{{}} looked: it {'happened' if e['happened'] else 'did not happen and may run again'}", e["by"])


def _escalated(e: dict[str, JSON]) -> str:
    said: dict[str, JSON] = next(iter(e.get("content", {}).values()), {})
    to = _said(" to {}", e["to"]) if e.get("to") else ""
    why = _said(": {}", said["rationale"]) if said.get("rationale") else ""
    return Markup("{}{}{}").format(words.VERDICTS[e["verdict"]], to, why)


SENTENCES: dict[str, tuple[str, Callable[[dict[str, JSON]], str]]] = {
    "Opened": ("inbox", lambda e: _said("Proposed by {}", e["owner"]) if e.get("owner") else "Proposed"),
    "Routed": ("route", _routed),
    "Rerouted": ("route", lambda e: _said("The edit asks for more: {}", e["reason"])),
    "Joined": ("list", lambda e: "Another case asks the same; it is settled with this one"),
    "Parted": ("list", lambda e: "Settled with another case no longer: it is asked by itself"),
    "ReviewOpened": ("list", lambda e: _said(f"{words.KINDS[e['review']]} opened for {{}}", e["group"])),
    "AlarmRaised": ("alert", lambda e: _said("Alarm: {}", e["reason"])),
    "Claimed": ("user", lambda e: _said("{} took the review", e["person"])),
    "Released": ("undo", lambda e: "Given back to the queue"),
    "Extended": ("clock", lambda e: "Held longer"),
    "LeaseExpired": ("clock", lambda e: _said("{}'s time ran out; open again", e["person"])),
    "Committed": ("shield", lambda e: _said("{} said what should happen, and saw the proposal then", e["person"])),
    "Answered": ("check", _answered),
    "Passed": ("up", _escalated),
    "ReviewCancelled": ("x", lambda e: _said("A review is no longer needed ({})", e["reason"])),
    "Decided": ("check", _decided),
    "Retracted": ("undo", lambda e: _said("{} took the decision back", e["person"])),
    "Audited": ("shield", _audited),
    "TimedOut": ("clock", _timed_out),
    "Withdrawn": ("x", lambda e: _said("Withdrawn by {}", e["by"])),
    "Concluded": ("flag", _concluded),
    "Recalled": ("undo", lambda e: _said("Back to people before its effect began: {}", e["reason"])),
    "Revoked": ("x", lambda e: _said("{} took the approval back", e["actor"]["person"])),
    "EffectStarted": ("play", lambda e: _said("Started by {} (fence {})", e["owner"], e["fence"])),
    "EffectSucceeded": ("check", lambda e: "Ran: it succeeded"),
    "EffectFailed": ("alert", lambda e: "Ran: it failed" if e.get("ran", True) else "Failed before anything ran"),
    "EffectLost": ("alert", lambda e: "No result came back: nobody knows whether it happened"),
    "EffectResolved": ("shield", _resolved),
    "Erased": ("x", lambda e: _said("Content erased by {}", e["by"])),
}
