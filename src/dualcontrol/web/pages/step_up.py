"""The step-up: somebody who is signed in proves anew who they are, by password here or at the provider."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from msgspec.structs import replace

from dualcontrol.accounts.sign_in import SignedIn
from dualcontrol.errors import DualcontrolError, SignInError, TooManyAttemptsError
from dualcontrol.web.access import Visitor
from dualcontrol.web.attempts import client_of
from dualcontrol.web.deps import access_of, desk_of

PROOF = ("password", "username", "by")  # fields of a form that prove who sends it, and are shown and kept nowhere


def proven(request: Request, visitor: Visitor, password: str) -> SignedIn | DualcontrolError:
    """The visitor's session under a new secret, if this is their password; else why not.  Wrong ones are counted.

    The request goes on as theirs, stepped up.
    """
    if visitor.session is None or not visitor.session.account:
        return SignInError("only who has signed in can sign in again")
    try:
        access_of(request).proven(visitor.person, password, client_of(request.client))
        signed = desk_of(request).sign_ins.renewed(visitor.session, stepped_up=True)
    except (SignInError, TooManyAttemptsError) as error:
        return error
    principal = replace(visitor.principal, stepped_up_at=signed.session.stepped_up_at)
    request.scope["state"]["visitor"] = Visitor(principal=principal, session=signed.session)
    return signed


def ways(request: Request, visitor: Visitor, refused: DualcontrolError | str | None = None) -> dict[str, Any]:
    """How a visitor can prove who they are: by password, by the name of the provider, or neither."""
    provider = access_of(request).provider
    account = desk_of(request).people.account(visitor.person)
    return {
        "password": account.password is not None,
        "provider": provider.name if provider is not None and account.subjects else None,
        "refused": refused.message if isinstance(refused, DualcontrolError) else refused or "",
        "status": (refused.status if isinstance(refused, DualcontrolError) else SignInError.status) if refused else 200,
    }
