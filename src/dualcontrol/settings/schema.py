"""The keys of a settings file, each with the check that its declaration asks for: a table for every class of settings.

A value is checked and never converted: what does not fit is refused, with file, line and the nearest right name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from dualcontrol.case import ENCODER, RISK_LEVELS, Bounds, People, Quorum, Value, microseconds
from dualcontrol.control import CLASS, QUESTION, RUN, ContextLevel, Feedback, LoopSettings, ProperShare, Rule
from dualcontrol.guarantee.offline import HINTS, beyond
from dualcontrol.labels import label_name
from dualcontrol.learn.trainers import NONE, TRAINERS, known
from dualcontrol.names import identity, nearest, written
from dualcontrol.schema import flaw
from dualcontrol.settings.checks import check_loop
from dualcontrol.settings.place import MASK, MISSING, KeyPath, Place, Sources, masked_url

Check: TypeAlias = Callable[[Any, Place], Any]

CENTURY = 36_525 * 86_400_000_000
CONTEXT_FIELDS = ("input", "proposal", "rationale", "alternatives", "history")
MARKDOWN_FIELDS = (*CONTEXT_FIELDS, "meta", "answer")
SIGNAL_FIELDS = ("meta", "confidence", "risk", "scores", "segment")


# Checks of single values


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


def credential(value: Any, place: Place) -> str:
    """An id or a secret by which a provider knows this program; it is never shown."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or value != value.strip():
        raise place.error(f"{place.words} must be printable ASCII text without outer spaces, as the provider gave it")
    return secret(value, place)


def issuer(value: Any, place: Place) -> str:
    """The address of a provider of sign-in: https, or this machine."""
    address = text(value, place)
    if not confidential(address) or "?" in address:
        raise place.wrong("an address such as https://id.example.org, or http:// on this machine only", value)
    return address


def base_url(value: Any, place: Place) -> str:
    """The address under which people reach the console, without its last slash: a scheme and a host, no path."""
    address = text(value, place).rstrip("/")
    try:
        parts = urlsplit(address)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    clear = address.isascii() and address.isprintable() and not set(" @?#\\") & set(address)
    if not right or not clear or address.count("/") != 2:
        raise place.wrong("an address without a path, such as https://review.example.org", value)
    return address


LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


def confidential(address: str, *, beside: str | None = None) -> bool:
    """Whether nobody on the way reads what goes to an address: it is https, or of this machine.

    With `beside` it has to be of this machine exactly where that address is.
    """
    try:
        parts = urlsplit(address)
        here = bool(LOOPBACK.fullmatch(parts.hostname or ""))
        there = here if beside is None else bool(LOOPBACK.fullmatch(urlsplit(beside).hostname or ""))
        port = parts.port
    except ValueError:
        return False
    clear = address.isascii() and address.isprintable() and not set(" @#\\") & set(address)
    known = bool(parts.hostname) and port != 0 and here == there
    return clear and known and (parts.scheme == "https" or (parts.scheme == "http" and here))


def scopes(value: Any, place: Place) -> tuple[str, ...]:
    """What is asked of a provider, each a word; without ``openid`` it would say nothing of who signed in."""
    words = texts(value, place)
    strange = next((word for word in words if not re.fullmatch(r"[!#-\[\]-~]+", word)), None)
    if strange is not None:
        raise place.wrong("a list of single words", strange)
    if "openid" not in words:
        raise place.error(f"{place.words} has no 'openid', without which no provider says who signed in")
    return words


def flag(value: Any, place: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        near = value.casefold() if isinstance(value, str) and value.casefold() in ("true", "false") else None
        raise place.wrong("true or false", value, near)
    return value


IN_WORDS = {
    "[]": "from {low} to {high}", "()": "above {low} and below {high}",
    "[)": "of at least {low} and below {high}", "(]": "above {low} and at most {high}",
}  # fmt: skip
# What to do about a number beyond its bounds, where the bounds do not say it, by key.
ADVICE = {
    **HINTS,
    "miss_rate": "Who misses every error finds none, so that nothing could be certified; leave it out, or say 0.1.",
}


def number(kind: type[int] | type[float], bounds: Bounds, instead: str = "") -> Check:
    """A number within bounds; a percentage where a share is meant is answered with the share."""
    low, high, ends = bounds
    wanted = f"{instead}a {'whole ' if kind is int else ''}number {IN_WORDS[ends].format(low=low, high=high)}"

    def check(value: Any, place: Place) -> float:
        is_number = _is_number(value) and (kind is float or isinstance(value, int))
        excluded = (low,) * (ends[0] == "(") + (high,) * (ends[1] == ")")
        if not is_number or not low <= value <= high or value in excluded:
            near = value / 100 if kind is float and is_number and 1 < value <= 100 else None
            raise place.wrong(wanted, value, near, hint=ADVICE.get(str(place.path[-1])))
        return kind(value)

    return check


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, float) and math.isfinite(value)


def constant(value: Any, place: Place) -> Any:
    """A text, a number or a flag."""
    if isinstance(value, bool) or _is_number(value) or isinstance(value, str):
        return value
    raise place.wrong("a text, a number, true or false", value)


def promise(value: Any, place: Place) -> float:
    """A share that can be promised: not 0, not 1, and not so small that no number of labels carries it."""
    share = float(check_of(ProperShare)(value, place))
    name = str(place.path[-1])
    reason = beyond(name, share)
    if reason is not None:
        raise place.error(f"{place.words} is {value!r}: {reason}", hint=HINTS[name])
    return share


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
    return float(number(float, Bounds(0, 1), f"{_either(tuple(RISK_LEVELS))}, or ")(value, place))


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


def segments(value: Any, place: Place) -> tuple[str, ...]:
    """The segments that get a certificate of their own, each named once."""
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
        return str(word(*get_args(ContextLevel))(value, place))
    fields = texts(value, place)
    for field in fields:
        head = field.partition(".")[0]
        if head not in CONTEXT_FIELDS + SIGNAL_FIELDS:
            near = nearest(head, CONTEXT_FIELDS + SIGNAL_FIELDS)
            raise place.error(f"{place.words} names an unknown field {field!r}", near=near)
    if not fields:
        raise place.wrong("minimal, standard, full or a list of at least one field", value)
    return fields


def independent_by(value: Any, place: Place) -> str:
    """What makes cases one piece of evidence: the question, the run, or a field of input or meta by its dotted path."""
    field = text(value, place)
    if field in (QUESTION, RUN):
        return field
    head, *rest = field.split(".")
    if head not in ("input", "meta"):
        near = nearest(head, (QUESTION, RUN, "input", "meta"))
        raise place.wrong('"question", "run", or a field such as "meta.conversation" or "input.customer"', value, near)
    if not rest or not all(rest):
        raise place.error(f"{place.words} is {field!r}: name the field, such as {head}.conversation")
    return field


def per(value: Any, place: Place) -> str:
    """What gets a certificate of its own: each class that is proposed, or each value of a field of meta."""
    field = text(value, place)
    return field if field == CLASS else meta_field(field, place, f'"{CLASS}", or a field such as "meta.country"')


def meta_fields(value: Any, place: Place) -> tuple[str, ...]:
    """Fields of meta by their dotted paths, each named once."""
    wanted = 'fields of meta, such as ["meta.country"]'
    fields = tuple(meta_field(field, place, wanted) for field in texts(value, place))
    twice = next((field for at, field in enumerate(fields) if field in fields[:at]), None)
    if twice is not None:
        raise place.error(f"{place.words} names {twice!r} twice")
    return fields


def meta_field(field: str, place: Place, wanted: str) -> str:
    """One field of meta by its dotted path."""
    head, *rest = field.split(".")
    if head != "meta":
        raise place.wrong(wanted, field, nearest(head, (CLASS, "meta")))
    if not rest or not all(rest):
        raise place.error(f"{place.words} is {field!r}: name the field, such as meta.country")
    return field


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
    return int(check_of(People)(value, place))


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


TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def schema(value: Any, place: Place) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12); the error names the part that is wrong."""
    if not isinstance(value, dict):
        raise place.wrong("a table that holds a JSON Schema", value)
    _canonical(value, place)
    wrong = flaw(value)
    if wrong is None:
        return value
    at = place
    for part in wrong.path:
        at = at.child(part)
    near = None
    if wrong.path[-1:] == ("type",) and isinstance(wrong.instance, str):
        near = nearest(wrong.instance, TYPES)
    inner = f" at {'.'.join(str(p) for p in wrong.path)}" if wrong.path else ""
    raise at.error(f"{place.words} is not a JSON Schema{inner}: {wrong.message}", near=near)


# Settings beside those of loops, and all of them together


class Database(Value, frozen=True, kw_only=True):
    """Where the records lie, and what an acknowledged step survives."""

    url: Annotated[str, "database_url"] = "sqlite:///dualcontrol.db"
    durability: Literal["power", "process"] = "power"

    def __repr__(self) -> str:
        return f"Database(url={masked_url(self.url)!r}, durability={self.durability!r})"


class Oidc(Value, frozen=True, kw_only=True):
    """The OpenID Connect provider that people sign in with, and what is read from its answer; `leeway` in seconds."""

    issuer: Annotated[str, "issuer"]
    client_id: Annotated[str, "credential"]
    client_secret: Annotated[str, "credential"] | None = None
    name: str = "single sign-on"
    scopes: Annotated[tuple[str, ...], "scopes"] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    leeway: Annotated[int, Bounds(0, 600)] = 60

    def __repr__(self) -> str:
        return f"Oidc(issuer={self.issuer!r}, client_id={self.client_id!r}, name={self.name!r})"


class Web(Value, frozen=True, kw_only=True):
    """Where the console listens, and the token that opens it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Bounds(0, 65_535)] = 8765
    token: Annotated[str, "key_material"] | None = None
    url: Annotated[str, "base_url"] | None = None
    oidc: Oidc | None = None

    def __repr__(self) -> str:
        token = MASK if self.token else None
        return f"Web(host={self.host!r}, port={self.port!r}, token={token!r}, url={self.url!r}, oidc={self.oidc!r})"


class Settings(Value, frozen=True, kw_only=True):
    """Every setting in force, checked, and where each came from."""

    database: Database = Database()
    loops: dict[str, LoopSettings] = {}
    groups: dict[str, tuple[str, ...]] = {}
    web: Web = Web()
    secret: str | None = None
    models: str | None = None
    origins: dict[str, str] = {}

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in ("database", "loops", "groups", "web", "models"))
        return f"Settings({', '.join(shown)}, secret={MASK if self.secret else None!r})"


# Tables of settings, made from the types that declare them


class TomlTable:
    """A table with known keys; checks each and refuses any other.

    `kind` is the class of its values, and `words` are those that stand for a whole table.
    """

    def __init__(
        self, keys: Mapping[str, Check], kind: type[Value] = Value, words: Mapping[str, Any] | None = None
    ) -> None:
        self.keys = keys
        self.kind = kind
        self.words = words or {}
        self.required = [field.name for field in msgspec.structs.fields(kind) if field.required]

    def __call__(self, value: Any, place: Place) -> Any:
        """The checked values by key; for a word, what it stands for."""
        if self.words and isinstance(value, str):
            return self.words[word(*self.words)(value, place)]
        if not isinstance(value, dict):
            raise place.wrong(
                ", ".join(map(json.dumps, self.words)) + " or a table" if self.words else "a table", value
            )
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

    def __init__(self, item: TomlTable) -> None:
        self.item = item

    def __call__(self, value: Any, place: Place) -> list[dict[str, Any]]:
        """The checked tables in order."""
        rows = []
        for index, row in enumerate(listed(value, place, "a list of tables")):
            here = place.child(index)
            rows.append(self.item(row, here))
            missing = next((key for key in self.item.required if key not in rows[-1]), None)
            if missing is not None:
                needed = ", ".join(self.item.required)
                raise here.error(f"{here.table} has no {missing!r}: a {self.item.kind.__name__.lower()} needs {needed}")
        return rows


CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        base_url, constant, context, credential, database_url, duration, independent_by, issuer, key_material, labels,
        markdown, meta_fields, pause, people, per, promise, risk, schema, scopes, segments, settle, trainer,
    )
}  # fmt: skip
PLAIN: dict[Any, Check] = {str: text, bool: flag, tuple[str, ...]: texts}
FEEDBACK_WORDS = {"export": {"trainer": "export"}, "off": None}


def check_of(declared: Any) -> Check:
    """The check that a declared type asks for: by its bounds, its words, its fields, or the check that it names."""
    kind, *details = get_args(declared) or [declared]
    if get_origin(declared) is Annotated:
        return CHECKS[details[0]] if isinstance(details[0], str) else number(kind, details[0])
    if get_origin(declared) in (Union, UnionType):  # with None, which is how Python says that nothing is given
        return check_of(kind)
    if get_origin(declared) is Literal:
        return word(kind, *details)
    if isinstance(kind, type) and issubclass(kind, Value):
        table = table_of(kind)
        return Rows(table) if get_origin(declared) is tuple else table
    return PLAIN[declared]


def table_of(kind: type[Value], without: tuple[str, ...] = ()) -> TomlTable:
    """The table that a class of settings is written as: a key for every field, in a file `rule` for `rules`."""
    fields = get_type_hints(kind, include_extras=True).items()
    keys = {{"rules": "rule"}.get(name, name): check_of(hint) for name, hint in fields if name not in without}
    return TomlTable(keys, kind, FEEDBACK_WORDS if kind is Feedback else None)


LOOP = table_of(LoopSettings, without=("name", "groups"))
SETTINGS = TomlTable({
    "database": table_of(Database), "web": table_of(Web), "groups": Named(people), "loop": Named(LOOP),
    "secret": key_material, "models": text,
})  # fmt: skip


def check_at(path: KeyPath) -> Check | None:
    """The check of the key at a path, or None if there is no such key."""
    check: Check | None = SETTINGS
    for part in path:
        if isinstance(check, TomlTable):
            check = check.keys.get(str(part))
        elif isinstance(check, Named):
            check = check.item
        else:
            return None
    return check


def keys_of(check: Check | None) -> Mapping[str, Check]:
    """The keys that a table knows; none if this is not a table."""
    return check.keys if isinstance(check, TomlTable) else {}


def every_key(check: Check = SETTINGS, path: str = "") -> Iterator[str]:
    """Every key in dotted form, with NAME where the user chooses the name."""
    if isinstance(check, Rows):
        check = check.item
    if isinstance(check, Named):
        yield from every_key(check.item, f"{path}NAME.")
        return
    if not isinstance(check, TomlTable) or check.words:
        yield path.removesuffix(".")
    for key, item in keys_of(check).items():
        yield from every_key(item, f"{path}{key}.")


def build_web(sources: Sources, values: Mapping[str, Any]) -> Web:
    """The settings of the console from its checked keys; a provider without an address or a client id is refused."""
    provider = values.get("oidc")
    if provider is None:
        return Web(**values)
    place = Place(sources, ("web", "oidc"))
    missing = next((key for key in table_of(Oidc).required if key not in provider), None)
    if missing is not None:
        raise place.error(f"{place.table} has no {missing!r}: a provider of sign-in needs issuer and client_id")
    return Web(**{**values, "oidc": Oidc(**provider)})


# The settings of one loop: checked keys become values, then what the keys say together is checked.


SETTLE = {"approval": "unanimous", "labels": "majority", "preference": "collect", "fallback": "unanimous"}


def build_loop(sources: Sources, name: str, groups: Mapping[str, tuple[str, ...]]) -> LoopSettings:
    """The settings of a loop from what the sources say; any mistake is refused.

    What a quorum leaves open follows from the loop's mode, and what that of a rule leaves open is as in the loop's.
    """
    place = Place(sources, ("loop", name))
    check_name(name, place)
    tree = sources.get(place.path)
    values = LOOP({} if tree is MISSING else tree, place)
    quorum = {"settle": SETTLE[values.get("mode", "approval")], **values.pop("quorum", {})}
    rules = values.pop("rule", ())
    for rule in rules:
        if "quorum" in rule:
            rule["quorum"] = Quorum(**{**quorum, **rule["quorum"]})
    for key, check in LOOP.keys.items():
        if isinstance(check, TomlTable) and values.get(key) is not None:
            complete = {*check.required} <= {*values[key]}
            for part, listing in check.keys.items():
                if isinstance(listing, Rows) and part in values[key]:
                    values[key][part] = tuple(listing.item.kind(**row) for row in values[key][part])
            values[key] = check.kind(**values[key]) if complete else None  # refused below, where it says what is wrong
    guarantee, declared = values.get("guarantee"), values.get("labels")
    if guarantee is not None and guarantee.per == CLASS and not guarantee.segments and declared:
        values["guarantee"] = replace(guarantee, segments=tuple(map(label_name, declared)))
    loop = LoopSettings(
        name=name, quorum=Quorum(**quorum), rules=tuple(Rule(**rule) for rule in rules), groups=dict(groups), **values
    )
    check_loop(loop, place)
    return loop
