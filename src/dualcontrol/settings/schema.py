"""Every key there is, as tables that check what they hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from dualcontrol.case import ENCODER, RISK_LEVELS, Quorum, microseconds
from dualcontrol.control import Capacity, Feedback, Guarantee, LoopSettings, Rule
from dualcontrol.guarantee.offline import HINTS, beyond
from dualcontrol.learn.trainers import NONE, TRAINERS, known
from dualcontrol.names import identity, nearest, written
from dualcontrol.schema import flaw
from dualcontrol.settings.checks import check_loop
from dualcontrol.settings.place import MISSING, Given, Origin, Path, Place
from dualcontrol.verdicts import BY_MODE

# What a value may be: one check for each kind; nothing is converted, what does not fit is refused.


Check: TypeAlias = Callable[[Any, Place], Any]

CENTURY = 36_525 * 86_400_000_000
MOST_PEOPLE = 1_000
CONTEXT_FIELDS = ("input", "proposal", "rationale", "alternatives", "history")
MARKDOWN_FIELDS = (*CONTEXT_FIELDS, "meta", "answer")
SIGNAL_FIELDS = ("meta", "confidence", "risk", "scores", "segment")


def listed(value: Any, place: Place, wanted: str) -> list[Any]:
    """A list."""
    if isinstance(value, list):
        return value
    raise place.wrong(wanted, value)


def text(value: Any, place: Place) -> str:
    """Text that is not empty."""
    if not _is_text(value):
        raise place.wrong("text that is not empty", value)
    return str(value)


def _is_text(value: Any) -> bool:
    """Whether this is text that is not empty and that every database takes."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in value)


def secret(value: Any, place: Place) -> str:
    """Text that is never shown."""
    if not _is_text(value):
        raise place.error(f"{place.words} must be text that is not empty")
    return str(value)


def key_material(value: Any, place: Place) -> str:
    """A secret that is long enough that nobody guesses it."""
    if len(secret(value, place)) < 16:
        raise place.error(f"{place.words} must have at least 16 characters")
    return str(value)


def database_url(value: Any, place: Place) -> str:
    """The address of a SQLite or PostgreSQL database."""
    url = secret(value, place)
    try:
        scheme = urlsplit(url).scheme.partition("+")[0]
    except ValueError:
        raise place.error(f"{place.words} is not an address") from None
    if scheme not in ("sqlite", "postgresql", "postgres") or "://" not in url:
        near = nearest(scheme, ("sqlite", "postgresql")) if scheme else None
        raise place.error(
            f"{place.words} must begin with sqlite:/// or postgresql://, not {scheme or 'anything else'}",
            near=near,
        )
    return url


def flag(value: Any, place: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        near = value.casefold() if isinstance(value, str) and value.casefold() in ("true", "false") else None
        raise place.wrong("true or false", value, near)
    return value


def whole(low: int, high: int) -> Check:
    """A whole number from `low` to `high`."""
    wanted = f"a whole number from {low} to {high}"

    def check(value: Any, place: Place) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise place.wrong(wanted, value)
        if not low <= value <= high:
            raise place.wrong(wanted, value)
        return value

    return check


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def _percent(value: Any) -> float | None:
    return value / 100 if _is_number(value) and 1 < value <= 100 else None


def share(value: Any, place: Place) -> float:
    """A number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise place.wrong("a number from 0 to 1", value, _percent(value))
    return float(value)


def between(value: Any, place: Place) -> float:
    """A number above 0 and below 1."""
    if not _is_number(value) or not 0 < value < 1:
        raise place.wrong("a number above 0 and below 1", value, _percent(value))
    return float(value)


def promised(name: str) -> Check:
    """A share that can be promised: not 0, not 1, and not so small that no number of labels carries it."""

    def check(value: Any, place: Place) -> float:
        if not _is_number(value) or not 0 < value < 1:
            raise place.wrong("a number above 0 and below 1", value, _percent(value), hint=HINTS[name])
        said = beyond(name, value)
        if said is not None:
            raise place.error(f"{place.words} is {value!r}: {said}", hint=HINTS[name])
        return float(value)

    return check


NONE_FOUND = "Who misses every error finds none, so that nothing could be certified; leave it out, or say 0.1."


def missed(value: Any, place: Place) -> float:
    """A share that is not the whole: who misses every error finds none."""
    if not _is_number(value) or not 0 <= value < 1:
        raise place.wrong("a number of at least 0 and below 1", value, _percent(value), hint=NONE_FOUND)
    return float(value)


def positive(value: Any, place: Place) -> float:
    """A number above 0, and at most 1."""
    if not _is_number(value) or not 0 < value <= 1:
        raise place.wrong("a number above 0 and at most 1", value, _percent(value))
    return float(value)


def word(*words: str) -> Check:
    """One of a few words."""

    def check(value: Any, place: Place) -> str:
        if not isinstance(value, str) or value not in words:
            near = nearest(value, words) if isinstance(value, str) else None
            raise place.wrong(_either(words), value, near)
        return value

    return check


def _either(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"


def risk(value: Any, place: Place) -> str | float:
    """A risk level, or a number from 0 to 1."""
    if isinstance(value, str):
        return str(word(*RISK_LEVELS)(value, place))
    if not _is_number(value) or not 0 <= value <= 1:
        raise place.wrong(f"{_either(tuple(RISK_LEVELS))}, or a number from 0 to 1", value, _percent(value))
    return float(value)


def duration(value: Any, place: Place) -> str | int | float:
    """A time longer than nothing: a number of seconds or text such as ``15m``."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            if 0 < (microseconds(value) or 0) <= CENTURY:
                return value
        except (ValueError, OverflowError):
            pass
    raise place.wrong('a time such as "90s", "15m", "8h" or "7d", or a number of seconds, above 0', value)


def pause(value: Any, place: Place) -> str | int | float:
    """A time that may be nothing."""
    return value if _is_number(value) and value == 0 else duration(value, place)


def texts(value: Any, place: Place) -> tuple[str, ...]:
    """A list of texts that are not empty."""
    items = listed(value, place, 'a list of texts, such as ["one", "two"]')
    for item in items:
        if not _is_text(item):
            raise place.wrong("a list of texts that are not empty", item)
    return tuple(items)


def distinct(value: Any, place: Place) -> tuple[str, ...]:
    """A list of texts, each named once."""
    names = texts(value, place)
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise place.error(f"{place.words} names {twice!r} twice: each segment has one certificate")
    return names


def people(value: Any, place: Place) -> tuple[str, ...]:
    """The members of a group, each named once."""
    names = tuple(map(written, texts(value, place)))
    keys = [identity(name) for name in names]
    if "" in keys:
        raise place.wrong("names with a sign that can be seen", value)
    twice = next((i for i, key in enumerate(keys) if key in keys[:i]), None)
    if twice is not None:
        first = names[keys.index(keys[twice])]
        which = f"{first!r} twice" if first == names[twice] else f"{first!r} and {names[twice]!r}, one person,"
        raise place.error(f"{place.words} names {which}: a quorum counts persons, not entries")
    return names


def context(value: Any, place: Place) -> str | tuple[str, ...]:
    """A context level, or a list of required fields; ``input.customer`` names a field of a field."""
    if isinstance(value, str):
        return str(word("minimal", "standard", "full")(value, place))
    fields = texts(value, place)
    for field in fields:
        head = field.partition(".")[0]
        if head not in CONTEXT_FIELDS + SIGNAL_FIELDS:
            near = nearest(head, CONTEXT_FIELDS + SIGNAL_FIELDS)
            raise place.error(f"{place.words} names an unknown field {field!r}", near=near)
    if not fields:
        raise place.wrong("minimal, standard, full or a list of at least one field", value)
    return fields


def markdown(value: Any, place: Place) -> tuple[str, ...]:
    """The fields that hold markdown, each named once; ``input.mail`` names a field of a field."""
    fields = texts(value, place)
    for at, field in enumerate(fields):
        head, *rest = field.split(".")
        if head not in MARKDOWN_FIELDS:
            near = "proposal" if head in ("args", "arguments") else nearest(head, MARKDOWN_FIELDS)
            raise place.error(f"{place.words} names an unknown field {field!r}", near=near)
        if not all(rest):
            raise place.error(f"{place.words} names {field!r}, in which a name between dots is empty")
        if field in fields[:at]:
            raise place.error(f"{place.words} names {field!r} twice")
    return fields


def settle(value: Any, place: Place) -> str | int:
    """How equal answers settle: a word, or how many must agree."""
    if isinstance(value, str):
        if value in ("unanimous", "majority", "collect"):
            return value
        near = nearest(value, ("unanimous", "majority", "collect"))
        wanted = "unanimous, majority or collect, or the number of equal answers that settle, such as 2"
        raise place.wrong(wanted, value, near)
    return int(whole(1, MOST_PEOPLE)(value, place))


def trainer(value: Any, place: Place) -> str:
    """A trainer of ours, none, or one of the user's own."""
    name = text(value, place)
    if known(name):
        return name
    names = (*sorted(TRAINERS), *NONE)
    raise place.wrong(f'{", ".join(names)}, or "module:attribute" of your own', value, nearest(name, names))


def labels(value: Any, place: Place) -> tuple[Any, ...]:
    """A list of JSON values, each once."""
    items = listed(value, place, 'a list, such as ["spam", "ham"]')
    seen: set[str] = set()
    for item in items:
        shape = _canonical(item, place)
        if shape in seen:
            raise place.error(f"{place.words} has {shape} twice")
        seen.add(shape)
    if not items:
        raise place.error(f"{place.words} must name at least one label")
    return tuple(items)


def _canonical(value: Any, place: Place) -> str:
    try:
        ENCODER.encode(value)
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        raise place.wrong("JSON values (no dates, no infinity)", value) from None


def schema(value: Any, place: Place) -> dict[str, Any]:
    """A JSON Schema."""
    if not isinstance(value, dict):
        raise place.wrong("a table that holds a JSON Schema", value)
    _canonical(value, place)
    check_schema(value, place)
    return value


class TomlTable:
    """A table with known keys; checks each and refuses any other."""

    def __init__(self, **keys: Check) -> None:
        self.keys = keys

    def __call__(self, value: Any, place: Place) -> dict[str, Any]:
        """The checked values by key."""
        if not isinstance(value, dict):
            raise place.wrong("a table", value)
        for key in value:
            if key not in self.keys:
                raise place.unknown(key, self.keys)
        return {k: check(value[k], place.child(k)) for k, check in self.keys.items() if k in value}


class Named:
    """A table whose keys are names that the user chooses."""

    def __init__(self, item: Check) -> None:
        self.item = item

    def __call__(self, value: Any, place: Place) -> dict[str, Any]:
        """The checked values by name."""
        if not isinstance(value, dict):
            raise place.wrong("a table", value)
        for name in value:
            check_name(name, place.child(name))
        return {name: self.item(item, place.child(name)) for name, item in value.items()}


def check_name(name: str, place: Place) -> None:
    """Refuse a name that no address or page could carry."""
    if not name.strip() or name != name.strip() or "/" in name or not name.isprintable():
        raise place.error(f"{name!r} cannot be a name: no empty text, no outer spaces, no slash, nothing unprintable")


class Rows:
    """A list of tables: ``[[loop.NAME.rule]]``."""

    def __init__(self, item: TomlTable, required: tuple[str, ...]) -> None:
        self.item = item
        self.required = required

    def __call__(self, value: Any, place: Place) -> list[dict[str, Any]]:
        """The checked tables in order."""
        rows = listed(value, place, "a list of tables")
        return [self._row(row, place.child(i)) for i, row in enumerate(rows)]

    def _row(self, value: Any, place: Place) -> dict[str, Any]:
        row = self.item(value, place)
        for key in self.required:
            if key not in row:
                raise place.error(f"{place.table} has no {key!r}: a rule needs {', '.join(self.required)}")
        return row


def feedback(value: Any, place: Place) -> dict[str, Any] | None:
    """``export``, ``off``, or a table that says when to train what."""
    if isinstance(value, str):
        said = word("export", "off")(value, place)
        return {"trainer": "export"} if said == "export" else None
    if not isinstance(value, dict):
        raise place.wrong('"export", "off" or a table', value)
    return FEEDBACK(value, place)


GUARANTEE = TomlTable(
    max_error=promised("max_error"), confidence=promised("confidence"), segments=distinct,
    score=word("confidence", "risk"), learn_from=whole(20, 1_000_000), pilot=whole(0, 1_000_000),
    launch=whole(0, 1_000_000), evidence=between, adjudicate=flag, blind=flag,
    miss_rate=missed, answer_within=duration,
)  # fmt: skip
CAPACITY = TomlTable(
    reviewers=whole(1, MOST_PEOPLE), availability=positive, late=between,
)  # fmt: skip
FEEDBACK = TomlTable(
    retrain_every=whole(1, 1_000_000_000), or_every=duration, trainer=trainer, holdout=between,
)  # fmt: skip
number = whole(1, MOST_PEOPLE)
QUORUM = TomlTable(
    answers=number, of=number, settle=settle,
    veto=flag, ordered=flag, arbiter=text, blind=flag,
)  # fmt: skip
RULE = TomlTable(
    name=text, when=text, route=word("human", "autopilot", "block"),
    risk=risk, quorum=QUORUM, group=text, respond_within=duration,
)  # fmt: skip
LOOP = TomlTable(
    mode=word(*BY_MODE),
    threshold=share,
    guarantee=GUARANTEE,
    risk_ceiling=risk,
    audit=share,
    human_actions=texts,
    autopilot_actions=texts,
    block_actions=texts,
    respond_within=duration,
    capacity=CAPACITY,
    on_timeout=word("reject", "hold", "escalate", "autopilot"),
    context=context,
    meta=texts,
    rationale=word("required", "optional"),
    markdown=markdown,
    group=text,
    quorum=QUORUM,
    labels=labels,
    schema=schema,
    start=word("shadow", "suggest", "gate"),
    feedback=feedback,
    lease=duration,
    undo=pause,
    approval_lasts=duration,
    dead_time=duration,
    on_unknown=word("ask", "retry"),
    effect_lease=duration,
    rule=Rows(RULE, ("name", "when", "route")),
)
SETTINGS = TomlTable(
    database=TomlTable(url=database_url, durability=word("power", "process")),
    web=TomlTable(host=text, port=whole(0, 65_535), token=key_material),
    groups=Named(people),
    loop=Named(LOOP),
    secret=key_material,
    models=text,
)
SECRETS: tuple[Path, ...] = (("database", "url"), ("web", "token"), ("secret",))


def check_at(path: Path) -> Check | None:
    """The check of the key at a path, or None if there is no such key."""
    check: Check | None = SETTINGS
    for part in path:
        if check is feedback:
            check = FEEDBACK
        if isinstance(check, TomlTable):
            check = check.keys.get(str(part))
        elif isinstance(check, Named):
            check = check.item
        else:
            return None
    return check


def keys_of(check: Check | None) -> Mapping[str, Check]:
    """The keys that a table knows; none if this is not a table."""
    if check is feedback:
        return FEEDBACK.keys
    return check.keys if isinstance(check, TomlTable) else {}


def every_key(check: Check = SETTINGS, path: str = "") -> Iterator[str]:
    """Every key in dotted form, with NAME where the user chooses the name."""
    if isinstance(check, Rows):
        check = check.item
    if isinstance(check, Named):
        yield from every_key(check.item, f"{path}NAME.")
        return
    keys = keys_of(check)
    if not keys or check is feedback:
        yield path.removesuffix(".")
    for key, item in keys.items():
        yield from every_key(item, f"{path}{key}.")


# Whether the JSON Schema of a loop is one.


TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def check_schema(schema: dict[str, Any], place: Place) -> None:
    """Refuse what is not a JSON Schema (draft 2020-12), naming the part that is wrong."""
    wrong = flaw(schema)
    if wrong is None:
        return
    at = place
    for part in wrong.path:
        at = at.child(part)
    near = None
    if wrong.path[-1:] == ("type",) and isinstance(wrong.instance, str):
        near = nearest(wrong.instance, TYPES)
    inner = f" at {'.'.join(str(p) for p in wrong.path)}" if wrong.path else ""
    raise at.error(f"{place.words} is not a JSON Schema{inner}: {wrong.message}", near=near)


# The settings of one loop: checked keys become values, then what the keys say together is checked.


SETTLE = {"approval": "unanimous", "labels": "majority", "preference": "collect", "fallback": "unanimous"}


def build_loop(given: Given, name: str, groups: Mapping[str, tuple[str, ...]]) -> LoopSettings:
    """The settings of a loop from what was given; any mistake is refused."""
    place = Place(given, ("loop", name))
    check_name(name, place)
    tree = given.get(place.path)
    loop = _loop(name, LOOP({} if tree is MISSING else tree, place), dict(groups))
    check_loop(loop, place)
    return loop


def _loop(name: str, said: dict[str, Any], groups: dict[str, tuple[str, ...]]) -> LoopSettings:
    quorum = {"settle": SETTLE[said.get("mode", "approval")], **said.pop("quorum", {})}
    rules = tuple(_rule(row, quorum) for row in said.pop("rule", ()))
    guarantee, feedback = said.pop("guarantee", None), said.pop("feedback", None)
    capacity = said.pop("capacity", None)
    return LoopSettings(
        name=name,
        quorum=Quorum(**quorum),
        rules=rules,
        groups=groups,
        guarantee=Guarantee(**guarantee) if guarantee and "max_error" in guarantee else None,
        capacity=Capacity(**capacity) if capacity is not None else None,
        feedback=Feedback(**feedback) if feedback is not None else None,
        **said,
    )


def _rule(row: dict[str, Any], quorum: dict[str, Any]) -> Rule:
    """A rule; what its quorum leaves open is as in the loop's quorum."""
    own = row.pop("quorum", None)
    return Rule(**row, quorum=None if own is None else Quorum(**{**quorum, **own}))


def lay_base(given: Given, name: str, base: LoopSettings) -> None:
    """Lay settings that were built before under what comes next; defaults stay open to be defaults again."""
    origin = Origin(f"settings of loop {name!r}")
    given.merge({"loop": {name: _tree(base)}}, lambda _: origin)


def _tree(base: LoopSettings) -> dict[str, Any]:
    tree = _changed(base, LoopSettings(name=base.name))
    for key in ("name", "groups", "rules", "quorum"):
        tree.pop(key, None)
    quorum = _changed(base.quorum, Quorum(settle=SETTLE[base.mode]))
    if quorum:
        tree["quorum"] = quorum
    if base.rules:
        tree["rule"] = [_rule_tree(rule, base.quorum) for rule in base.rules]
    return {key: _listed(value) for key, value in tree.items()}


def _rule_tree(rule: Rule, quorum: Quorum) -> dict[str, Any]:
    tree = _changed(rule, None)
    if rule.quorum is not None:
        tree["quorum"] = _changed(rule.quorum, quorum)
    return tree


def _changed(value: msgspec.Struct, other: msgspec.Struct | None) -> dict[str, Any]:
    """The fields of a value that are not None and not as in another."""
    fields = msgspec.structs.asdict(value)
    rest = msgspec.structs.asdict(other) if other is not None else {}
    return {k: v for k, v in fields.items() if v is not None and (k not in rest or v != rest[k])}


def _listed(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {k: _listed(v) for k, v in msgspec.structs.asdict(value).items() if v is not None}
    return list(value) if isinstance(value, tuple) else value
