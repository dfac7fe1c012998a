"""Every key there is, as tables that check what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dualcontrol.case import MODES
from dualcontrol.settings import kinds
from dualcontrol.settings.kinds import Check
from dualcontrol.settings.place import Path, Place


class Table:
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

    def __init__(self, item: Table, required: tuple[str, ...]) -> None:
        self.item = item
        self.required = required

    def __call__(self, value: Any, place: Place) -> list[dict[str, Any]]:
        """The checked tables in order."""
        rows = kinds.listed(value, place, "a list of tables")
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
        said = kinds.word("export", "off")(value, place)
        return {"trainer": "export"} if said == "export" else None
    if not isinstance(value, dict):
        raise place.wrong('"export", "off" or a table', value)
    return FEEDBACK(value, place)


GUARANTEE = Table(
    max_error=kinds.promised("max_error"), confidence=kinds.promised("confidence"), segments=kinds.distinct,
    score=kinds.word("confidence", "risk"), learn_from=kinds.whole(20, 1_000_000), pilot=kinds.whole(0, 1_000_000),
    launch=kinds.whole(0, 1_000_000), evidence=kinds.between, adjudicate=kinds.flag, blind=kinds.flag,
    miss_rate=kinds.missed, answer_within=kinds.duration,
)  # fmt: skip
CAPACITY = Table(
    reviewers=kinds.whole(1, kinds.MOST_PEOPLE), availability=kinds.positive, late=kinds.between,
)  # fmt: skip
FEEDBACK = Table(
    retrain_every=kinds.whole(1, 1_000_000_000), or_every=kinds.duration, trainer=kinds.trainer, holdout=kinds.between,
)  # fmt: skip
number = kinds.whole(1, kinds.MOST_PEOPLE)
QUORUM = Table(
    answers=number, of=number, settle=kinds.settle,
    veto=kinds.flag, ordered=kinds.flag, arbiter=kinds.text, blind=kinds.flag,
)  # fmt: skip
RULE = Table(
    name=kinds.text, when=kinds.text, route=kinds.word("human", "autopilot", "block"),
    risk=kinds.risk, quorum=QUORUM, group=kinds.text, respond_within=kinds.duration,
)  # fmt: skip
LOOP = Table(
    mode=kinds.word(*MODES),
    threshold=kinds.share,
    guarantee=GUARANTEE,
    risk_ceiling=kinds.risk,
    audit=kinds.share,
    human_actions=kinds.texts,
    autopilot_actions=kinds.texts,
    block_actions=kinds.texts,
    respond_within=kinds.duration,
    capacity=CAPACITY,
    on_timeout=kinds.word("reject", "hold", "escalate", "autopilot"),
    context=kinds.context,
    meta=kinds.texts,
    rationale=kinds.word("required", "optional"),
    markdown=kinds.markdown,
    group=kinds.text,
    quorum=QUORUM,
    labels=kinds.labels,
    schema=kinds.schema,
    start=kinds.word("shadow", "suggest", "gate"),
    feedback=feedback,
    lease=kinds.duration,
    undo=kinds.pause,
    approval_lasts=kinds.duration,
    dead_time=kinds.duration,
    on_unknown=kinds.word("ask", "retry"),
    effect_lease=kinds.duration,
    rule=Rows(RULE, ("name", "when", "route")),
)
SETTINGS = Table(
    database=Table(url=kinds.database_url, durability=kinds.word("power", "process")),
    web=Table(host=kinds.text, port=kinds.whole(0, 65_535), token=kinds.key_material),
    groups=Named(kinds.people),
    loop=Named(LOOP),
    secret=kinds.key_material,
    models=kinds.text,
)
SECRETS: tuple[Path, ...] = (("database", "url"), ("web", "token"), ("secret",))


def check_at(path: Path) -> Check | None:
    """The check of the key at a path, or None if there is no such key."""
    check: Check | None = SETTINGS
    for part in path:
        if check is feedback:
            check = FEEDBACK
        if isinstance(check, Table):
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
    return check.keys if isinstance(check, Table) else {}


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
