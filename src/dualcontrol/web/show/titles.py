"""What a case is called: a short line that a human would say, never image data, lists of numbers or JSON."""

from __future__ import annotations

import re
from typing import Any

from dualcontrol.case import JSON, Case
from dualcontrol.web.show.content import DEEPEST, IMAGE, content_of, is_chat
from dualcontrol.web.show.words import brief

LONGEST = 70
SHORT = 60
SMALL = 8_000
ASKERS = {"user", "human", "customer"}
MARKS = re.compile(r"^\s*(?:#+|>|[-*])\s+|`+|\*\*", re.MULTILINE)
UNNAMED = {
    "approval": "Decide this",
    "labels": "Label this",
    "preference": "Which is better?",
    "fallback": "Answer this",
}


def title(case: Case) -> str:
    """The action, else the first text of what a human is asked about, as the caller wrote it."""
    if case.action:
        return case.action
    said = spoken(case.input) or UNNAMED[case.mode]
    return f"Which is better: {said}" if case.mode == "preference" and said not in UNNAMED.values() else said


def subject(case: Case, most: int = 110) -> str:
    """What the action would act on, or the label that is proposed; nothing where the title says what there is."""
    proposal = case.proposed_value()
    if case.mode == "labels" and case.proposal is not None:
        return f"proposed: {brief(proposal, most)}"
    shown = proposal["args"] if case.action and isinstance(proposal, dict) else None
    return brief(shown, most) if shown else ""


def picture(value: JSON) -> str:
    """The small picture that a value is, or holds, to stand beside its title; empty when there is none."""
    held = [value, *value.values()] if isinstance(value, dict) else [value]
    found = [str(item["$image"]) if _is_picture(item) else item for item in held]
    return next((f for f in found if isinstance(f, str) and len(f) <= SMALL and IMAGE.fullmatch(f)), "")


def spoken(value: JSON, depth: int = 0) -> str:
    """One line that names a value; empty when it holds no text."""
    if isinstance(value, str):
        return "" if value.startswith("data:") else brief(MARKS.sub("", value), LONGEST)
    if depth > DEEPEST:
        return ""
    if isinstance(value, list):
        return _first(_latest(value) if is_chat(value) else value, depth)
    return _named(value, depth) if isinstance(value, dict) else ""


def _latest(turns: list[Any]) -> list[JSON]:
    """What was said in a talk, latest first; before all else what was said by whoever asks."""
    asking = [turn for turn in turns if str(turn["role"]).casefold() in ASKERS]
    return [content_of(turn) for turn in reversed([*turns, *asking])]


def _named(value: dict[str, JSON], depth: int) -> str:
    """A picture by its words; else the talk or picture in it, its short texts, its long ones."""
    if "$image" in value:
        return brief(value.get("alt") or "Image", LONGEST)
    telling = [v for v in value.values() if _is_picture(v) or (isinstance(v, list) and v and is_chat(v))]
    texts = [v for v in value.values() if isinstance(v, str) and v.strip() and not v.startswith("data:")]
    short = " · ".join(brief(MARKS.sub("", v), LONGEST) for v in texts if len(v) <= SHORT and "\n" not in v)
    inner = [v for v in value.values() if isinstance(v, dict | list)]
    return _first(telling, depth) or brief(short, LONGEST) or _first([*texts, *inner], depth)


def _is_picture(value: JSON) -> bool:
    return isinstance(value, dict) and "$image" in value


def _first(values: list[JSON], depth: int) -> str:
    return next((line for value in values if (line := spoken(value, depth + 1))), "")
