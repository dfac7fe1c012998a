"""People for programs: who may do what, to be read and checked by an auditor's token; nothing is changed here.

Letting people in and out is done on the pages and on the command line.  No token is good for it: one that leaked would
make its bearer's own account admin, and an account that a program gives itself is what separation of duties forbids.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol.desk import Desk
from dualcontrol.names import among
from dualcontrol.store.accounts import Account
from dualcontrol.web.deps import Here, Who, asks, visible
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import PeoplePage, PersonReply, replies

router = APIRouter(prefix="/people", tags=["people"])


def directory(desk: Desk) -> PeoplePage:
    """Every account and group of a desk; no address and nothing secret."""
    accounts, groups = desk.people.accounts(), groups_of(desk)
    return PeoplePage(people=[_person(account, accounts, groups) for account in accounts], groups=groups)


def groups_of(desk: Desk) -> dict[str, list[str]]:
    """Who belongs to each group: as an admin said, else as the settings of the loops do."""
    groups = {group.name: list(group.people) for group in desk.people.groups()}
    for control in desk.loops():
        for name, members in control.settings.groups.items():
            groups.setdefault(name, list(members))
    return dict(sorted(groups.items()))


def _person(account: Account, accounts: list[Account], groups: dict[str, list[str]]) -> PersonReply:
    return PersonReply(
        id=account.id, name=account.name, kind=account.kind, state=account.state, roles=list(account.grants),
        groups=[name for name, members in groups.items() if among(account.name, members)],
        owner=next((other.name for other in accounts if other.id == account.owner), ""),
        same_human=[other.name for other in accounts if other.id != account.id and other.behind == account.behind],
        created_at=account.created_at, signed_in_at=account.signed_in_at, removed_at=account.removed_at,
    )  # fmt: skip


@router.get("", responses=replies(PeoplePage, 403))
@asks("audit")
def listed(desk: Here, visitor: Who) -> Response:
    """Every account with its roles in the loops that this token may audit, and every group."""
    page, loops = directory(desk), {"", *(control.loop for control in visible(desk, visitor, "audit"))}
    for person in page.people:
        person.roles = [grant for grant in person.roles if grant.loop in loops]
    return reply(page)
