"""Overrides: a person's value laid over the one that file and program declare, until it is dropped.

Pure, as a stage is: each function gives the events of a change, or the error that refuses it.  `lay` checks values as a
file's are checked; whoever makes the desk injects it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from dualcontrol.case import ENCODER, JSON, Value, plain
from dualcontrol.commands import known_as, person
from dualcontrol.control import GROUPS, Control, LoopSettings, Override
from dualcontrol.errors import (
    ConflictError,
    NotFoundError,
    OverrideError,
    RequestError,
    SamePersonError,
    SettingsError,
)
from dualcontrol.events import Event, OverrideDropped, PolicyChanged, SettingOverridden
from dualcontrol.evolve import governed_by
from dualcontrol.names import nearest, same
from dualcontrol.question import asked

Lay = Callable[[LoopSettings, Mapping[str, JSON]], LoopSettings]  # settings with other values by key, checked
ANY: Any = msgspec.UNSET  # no matter which value is in force
FILE = "settings"  # who drops an override that the file has caught up with
SHOWN = 120  # signs of a value in a message


class Change(NamedTuple):
    """What a person wants of a setting; `instead_of` is the value that they saw in force, where they saw one."""

    key: str
    by: str
    value: JSON = None
    approved_by: str | None = None
    case_id: str | None = None
    instead_of: JSON = ANY


def change(key: str, by: str, value: JSON = None, approved_by: str | None = None, instead_of: JSON = ANY) -> Change:
    """A change by a person; raises for a key that is no text, for no person, and for one person in two parts."""
    author, approver = person(by), None if approved_by is None else person(approved_by)
    if same(author, approver):
        raise SamePersonError(f"{author} cannot approve a change of their own")
    return Change(key_of(known_as(key, SettingsError, "a setting")), author, value, approver, None, instead_of)


def key_of(text: str) -> str:
    """The key of a setting as it is kept; a file says `rule` for rules."""
    return "rules" if text == "rule" else text


def governed(control: Control | None, settings: LoopSettings, at: int, lay: Lay) -> list[Event]:
    """The events by which declared settings come into force; none where nothing else is declared than before.

    Overrides stay over them.  One that is declared by now is dropped; `OverrideError` where what lies under an override
    is declared otherwise than when it was laid.
    """
    if control is not None and control.declared.digest == settings.digest:
        return []
    if control is None or not control.overrides:
        return [PolicyChanged(**_parts(control, at, settings))]
    agreed = []
    for key, override in control.overrides.items():
        value = _json(settings.setting(key))
        if value == _json(control.settings.setting(key)):
            agreed.append(key)
        elif value != _json(control.declared.setting(key)):
            raise _contradicted(control, key, override, value)
    effective = _together(settings, control.overrides, lay, control.loop)
    events: list[Event] = [PolicyChanged(base=_text(settings), **_parts(control, at, effective))]
    for key in agreed:
        control = governed_by(control, events[-1])
        parts = _parts(control, at, _without(control, key, lay))
        events.append(OverrideDropped(key=key, by=FILE, reason="the settings say the same by now", **parts))
    return events


def overridden(control: Control, at: int, wanted: Change, lay: Lay) -> Sequence[Event]:
    """Lay a value over the declared one; none where it is in force already.

    Raises SettingsError for a value that a file could not have, RequestError for the one that is declared, and
    ConflictError where another value is in force by now than the author saw.
    """
    key = wanted.key
    effective = lay(control.declared, {**_values(control.overrides), key: plain(wanted.value)})
    value, current, declared = (_json(of.setting(key)) for of in (effective, control.settings, control.declared))
    _unchanged(control, wanted)
    if value == declared:
        drop = f"Drop the override: {_command(control.loop, key)}." if key in control.overrides else ""
        raise RequestError(
            f"{key} of loop {control.loop!r} is {_short(declared)} in the settings themselves",
            hint=drop or "There is nothing to override.",
        )
    if value == current:
        return []
    event = SettingOverridden(
        key=key, value=value, before=declared, by=wanted.by, approved_by=wanted.approved_by, case_id=wanted.case_id,
        **_parts(control, at, effective),
    )  # fmt: skip
    return [event]


def dropped(control: Control, at: int, wanted: Change, lay: Lay) -> Sequence[Event]:
    """Let a setting be as it is declared again; NotFoundError where nothing lies over it."""
    key, known = wanted.key, control.overrides
    if key not in known:
        near = nearest(key, known)
        rest = f"did you mean {near!r}?" if near else f"overridden are: {', '.join(sorted(known)) or 'none'}"
        raise NotFoundError(
            f"{key[:80]!r} of loop {control.loop!r} is not overridden; {rest}",
            hint="`dualcontrol policy show LOOP` lists every setting and what lies over it.", nearest=near,
        )  # fmt: skip
    _unchanged(control, wanted)
    event = OverrideDropped(
        key=key, by=wanted.by, approved_by=wanted.approved_by, case_id=wanted.case_id,
        **_parts(control, at, _without(control, key, lay)),
    )  # fmt: skip
    return [event]


def _unchanged(control: Control, wanted: Change) -> None:
    """Refuse a change of a value that is another by now than its author saw."""
    key, current = wanted.key, control.settings.setting(wanted.key)
    if wanted.instead_of is not ANY and _json(plain(wanted.instead_of)) != _json(current):
        raise ConflictError(
            f"{key} of loop {control.loop!r} is {_short(_json(current))} by now{_by(control.overrides.get(key))}",
            hint="Nothing was changed; look at the value in force, and change that one if it is still wanted.",
            key=key, current=current,
        )  # fmt: skip


class SettingRow(Value, frozen=True, kw_only=True, omit_defaults=False):
    """One setting of a loop: its value in force, what file and program declare, and the override where one is laid."""

    key: str
    value: JSON
    declared: JSON
    override: Override | None = None


def settings_of_loop(control: Control) -> list[SettingRow]:
    """Every setting of a loop in the order of the docs, its groups last."""
    keys = [name for name in LoopSettings.__struct_fields__ if name not in ("name", "groups")]
    groups = dict.fromkeys((*control.declared.groups, *control.settings.groups))
    return [
        SettingRow(
            key=key, value=control.settings.setting(key), declared=control.declared.setting(key),
            override=control.overrides.get(key),
        )
        for key in (*keys, *(f"{GROUPS}{name}" for name in groups))
    ]  # fmt: skip


def _without(control: Control, key: str, lay: Lay) -> LoopSettings:
    """The settings in force once this override is dropped."""
    left = {name: override for name, override in control.overrides.items() if name != key}
    return _together(control.declared, left, lay, control.loop)


def _values(overrides: Mapping[str, Override]) -> dict[str, JSON]:
    return {key: msgspec.json.decode(override.value) for key, override in overrides.items()}


def _together(settings: LoopSettings, overrides: Mapping[str, Override], lay: Lay, loop: str) -> LoopSettings:
    """The settings with overrides laid over them; OverrideError where they do not go together."""
    try:
        return lay(settings, _values(overrides)) if overrides else settings
    except SettingsError as error:
        laid = ", ".join(f"{key} = {_short(of.value)}{_by(of)}" for key, of in overrides.items())
        raise OverrideError(
            f"the settings of loop {loop!r} do not go with what is laid over them ({laid}): {error.message}",
            hint=f"Drop an override, {_command(loop, next(iter(overrides)))}, or change the settings file.",
        ) from error


def _contradicted(control: Control, key: str, override: Override, value: str) -> OverrideError:
    """What file, override and the file of before say, and the two ways out."""
    loop, before = control.loop, _json(control.declared.setting(key))
    return OverrideError(
        f"{key} of loop {loop!r} is {_short(value)} in the settings and was {_short(before)} when "
        f"{override.by} laid {_short(override.value)} over it",
        hint=f"Drop the override, {_command(loop, key)}, or let the settings say {_short(before)} again.",
        loop=loop, key=key, declared=msgspec.json.decode(value), before=msgspec.json.decode(before),
        override=msgspec.json.decode(override.value), by=override.by,
    )  # fmt: skip


def _command(loop: str, key: str) -> str:
    return f"`dualcontrol policy drop {loop} {key} --person YOU`"


def _by(override: Override | None) -> str:
    return "" if override is None else f" by {override.by}"


def _parts(control: Control | None, at: int, settings: LoopSettings) -> dict[str, Any]:
    """What every event says by which these settings come into force."""
    version = 1 if control is None else control.version + 1
    changed = asked(control, settings)
    return {
        "version": version, "at": at, "digest": settings.digest, "settings": _text(settings),
        "relabelled": changed.answers, "asks": changed.words,
    }  # fmt: skip


def _text(settings: LoopSettings) -> str:
    return ENCODER.encode(settings.to_dict()).decode()


def _json(value: JSON) -> str:
    """A value as its JSON text, by which two are compared: 1 is not true."""
    try:
        return ENCODER.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        raise RequestError("the value of a setting is JSON") from None


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
