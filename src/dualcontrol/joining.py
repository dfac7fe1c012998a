"""While there is relief, a new case joins one that asks the same: finding that one, and those that wait with it.

A leader is locked before any of its followers, by whoever changes both.
"""

from __future__ import annotations

from dualcontrol.case import Case, is_high
from dualcontrol.commands import Propose
from dualcontrol.control import Control
from dualcontrol.errors import ReadOnlyError
from dualcontrol.route.capacity import JOINED
from dualcontrol.store import Tx

AT_ONCE = 100  # followers that are settled in their leader's transaction; what is beyond is left to the sweep


def may_join(command: Propose, control: Control) -> bool:
    """Whether a proposal can join another or be joined: only where capacity is declared can there be relief."""
    live = (command.kind, command.origin) == ("live", "live") and control.settings.start != "shadow"
    return live and control.settings.capacity is not None and not is_high(command.risk)


def leader_of(tx: Tx, control: Control, likeness: str | None) -> Case | None:
    """The case that one of this likeness may join, locked; None where there is no relief, and nothing is looked up."""
    if likeness is None or control.relief < JOINED:
        return None
    found = tx.alike(control.loop_id, likeness)
    return None if found is None else _readable(tx, found)


def followers(tx: Tx, leader: Case) -> list[Case]:
    """The cases that are to be done with their leader, locked in the order of their ids."""
    if not leader.followers or leader.concluded is None:
        return []
    found = (_readable(tx, case_id) for case_id in tx.followers(leader.id)[:AT_ONCE])
    return [case for case in found if case is not None]


def _readable(tx: Tx, case_id: str) -> Case | None:
    """A case that this version can change; what a newer one wrote is left to it."""
    try:
        case = tx.load(case_id)
    except ReadOnlyError:
        return None
    return case if case is not None and case.read_only is None else None
