"""What is measured of a loop's people: all of it for who may see how others are measured, else one's own figures."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from dualcontrol.control import Control
from dualcontrol.desk import Desk, Loop
from dualcontrol.people import may
from dualcontrol.vigilance.standing import Oversight
from dualcontrol.web.access import Visitor
from dualcontrol.web.deps import Here, LoopName, Who, asks
from dualcontrol.web.reply import reply
from dualcontrol.web.shapes import OversightReply, replies

router = APIRouter(prefix="/loops", tags=["loops"])


@router.get("/{loop}/oversight", responses=replies(OversightReply, 404))
@asks("read")
def oversight(loop: LoopName, desk: Here, visitor: Who) -> Response:
    """What test cases say of the human step: certificate, team, people, context levels, flags; or one's own figures."""
    return reply(as_reply(measured(desk, desk.governing(loop), visitor)))


def measured(desk: Desk, control: Control, visitor: Visitor) -> Oversight:
    """What a visitor may see of it."""
    sees_all = may(visitor.principal, "audit", control) is None
    return Loop(desk, control).oversight(None if sees_all else visitor.person)


def as_reply(view: Oversight) -> OversightReply:
    """It as a reply."""
    return OversightReply(**{name: getattr(view, name) for name in view.__struct_fields__})
