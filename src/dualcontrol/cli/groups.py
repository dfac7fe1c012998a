"""``groups``: who belongs to a group, by the settings or by what an admin said in their place."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import typer

from dualcontrol.cli.command import Acting, State, listing, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.screen import facts, note, report, table
from dualcontrol.commands import person as named
from dualcontrol.desk import Desk
from dualcontrol.errors import AccountError
from dualcontrol.names import nearest, same

groups_app = listing(
    "groups",
    "Say who belongs to a group, in the place of the settings.\n\n"
    "Alone it lists them. A group that is changed here no longer follows the settings, until it is given back. Whoever "
    "can open the database is not asked to sign in here; each change is recorded under the system's user, or --person.",
)
GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="The name of a group.")]
Member = Annotated[str, typer.Argument(metavar="NAME", help="The name of an account.")]


class Standing(NamedTuple):
    """A group: its people, whether accounts or the settings say so, what the settings say, and which loops ask it."""

    name: str
    people: tuple[str, ...]
    by: str
    settings: tuple[str, ...] | None
    loops: tuple[str, ...]


def standing(desk: Desk) -> list[Standing]:
    """Every group with people, by name; one that is open to everybody is in no list."""
    stated = {group.name: group.people for group in desk.people.groups()}
    declared: dict[str, tuple[str, ...]] = {}
    asking: dict[str, list[str]] = {}
    for control in desk.loops():
        declared |= control.settings.groups
        for name in control.asked():
            asking.setdefault(name, []).append(control.loop)
    return [
        Standing(
            name, stated.get(name, declared.get(name, ())), "accounts" if name in stated else "settings",
            declared.get(name), tuple(asking.get(name, ())),
        )
        for name in sorted({*stated, *declared})
    ]  # fmt: skip


@verb(groups_app, "list", "dualcontrol groups", "dualcontrol groups list --json")
def groups(state: State) -> None:
    """List every group: its people, who says so, and what the settings say."""
    with desk_of(state) as desk:
        rows = standing(desk)
    cells = [
        (
            row.name, ", ".join(row.people) or "nobody", row.by,
            "" if row.by == "settings" or row.settings is None else ", ".join(row.settings) or "nobody",
            ", ".join(row.loops),
        )
        for row in rows
    ]  # fmt: skip
    columns = ("group", "people", "by", "settings say", "loops")
    shown = table(columns, cells, whole=("by",), spare=("loops",))
    report(state.as_json, [row._asdict() for row in rows], shown if rows else "No group has people of its own.")


@verb(groups_app, "set", "dualcontrol groups set support ana ben cleo")
def set_people(
    state: State,
    group: GroupName,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Accounts; with none the group is empty.")
    ] = None,
    person: Acting = None,
) -> None:
    """Say who belongs to a group; open reviews of an empty one go to the arbiter."""
    with desk_of(state) as desk:
        desk.people.set_group(group, names or (), named(person or os_user()))
        _report(state, desk, group)


@verb(groups_app, "add", "dualcontrol groups add support ana")
def add(state: State, group: GroupName, name: Member, person: Acting = None) -> None:
    """Put somebody into a group; one that the settings declare is taken over with its people."""
    with desk_of(state) as desk:
        desk.people.add_to_group(group, name, named(person or os_user()))
        _report(state, desk, group)


@verb(groups_app, "take", "dualcontrol groups take support ana")
def take(state: State, group: GroupName, name: Member, person: Acting = None) -> None:
    """Take somebody out of a group."""
    with desk_of(state) as desk:
        desk.people.take_from_group(group, name, named(person or os_user()))
        _report(state, desk, group)


@verb(groups_app, "give-back", "dualcontrol groups give-back support")
def give_back(state: State, group: GroupName, person: Acting = None) -> None:
    """Let the settings speak for a group again."""
    with desk_of(state) as desk:
        stated = [known.name for known in desk.people.groups()]
        if not any(same(group, name) for name in stated):
            near = nearest(group, stated)
            raise AccountError(
                f"the settings speak for group {group!r} already" + (f"; did you mean {near!r}?" if near else ""),
                hint="`dualcontrol groups` lists who speaks for which.",
            )
        desk.people.set_group(group, None, named(person or os_user()))
        _report(state, desk, group)


def _report(state: State, desk: Desk, name: str) -> None:
    """What a group is now."""
    absent = Standing(name, (), "settings", None, ())
    row = next((row for row in standing(desk) if same(row.name, name)), absent)
    people = ", ".join(row.people) or ("nobody" if row.by == "accounts" or row.settings is not None else "everybody")
    rows = [("group", row.name), ("people", people), ("by", row.by)]
    if row.by == "accounts" and row.settings is not None:
        rows.append(("settings say", ", ".join(row.settings) or "nobody"))
    report(state.as_json, row._asdict(), facts(rows))
    if not row.loops:
        near = nearest(name, [asked for control in desk.loops() for asked in control.asked()])
        note(f"no loop asks group {name!r}" + (f"; did you mean {near!r}?" if near else ""))
