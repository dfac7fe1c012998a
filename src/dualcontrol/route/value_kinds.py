"""Kinds of values that parts of a rule can have, as far as its words tell; two may be true or false."""

from __future__ import annotations

ANY, BOOL = "anything", "true or false"
NUMBER, TEXT, BYTES, LIST, MAP, TYPE, TIME = "a number", "text", "bytes", "a list", "a map", "a type", "a time"
VALUE = "a value"  # of one of the kinds above
SOMETIMES = "sometimes "  # before a kind: true or false in other cases
ROOTS = {"action": TEXT, "args": MAP, "input": "the whole input", "signal": MAP, "meta": MAP}
SIGNAL = {"confidence": NUMBER, "risk": VALUE, "requires_approval": BOOL, "segment": TEXT, "scores": "the scores"}
NAMED = {"true": BOOL, "false": BOOL, "null": "null"}
TYPES = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
CALLS = {
    "has": BOOL, "contains": BOOL, "startsWith": BOOL, "endsWith": BOOL, "matches": BOOL, "size": NUMBER,
    "int": NUMBER, "uint": NUMBER, "double": NUMBER, "string": TEXT, "bytes": BYTES, "type": TYPE,
    "timestamp": TIME, "duration": TIME,
}  # fmt: skip


def is_other(kind: str) -> bool:
    """Whether what is of this kind is never true or false, or sometimes not."""
    return kind not in (ANY, BOOL)


def of_name(name: str) -> str:
    """The kind of a name that no macro binds."""
    return ROOTS.get(name) or NAMED.get(name) or (TYPE if name in TYPES else ANY)


def of_call(name: str, given: list[str]) -> str:
    """The kind of what a function or a method gives back."""
    if name == "dyn" and len(given) == 1:
        return given[0]
    return NUMBER if name.startswith("get") else CALLS.get(name, ANY)


def of_string(text: str) -> str:
    """The kind of a string as it is written, with its prefix."""
    return BYTES if text.lstrip("rR")[:1] in "bB" else TEXT


def either(one: str, other: str) -> str:
    """The kind of a choice between two."""
    others = [kind for kind in (one, other) if is_other(kind)]
    if not others:
        return BOOL if one == other == BOOL else ANY
    kinds = {kind.removeprefix(SOMETIMES) for kind in others}
    kind = kinds.pop() if len(kinds) == 1 else VALUE
    never = len(others) == 2 and not any(kind.startswith(SOMETIMES) for kind in others)
    return kind if never else SOMETIMES + kind
