"""``keys``: the tokens that programs show in the place of people; the secret of one is printed once."""

from __future__ import annotations

from typing import Annotated

import typer

from dualcontrol.accounts.tokens import checked
from dualcontrol.case import JSON
from dualcontrol.cli.command import Acting, State, listing, os_user, verb
from dualcontrol.cli.open import desk_of
from dualcontrol.cli.read import usage
from dualcontrol.cli.screen import ago, facts, report, stamp, table
from dualcontrol.commands import person as named
from dualcontrol.desk import Desk, lasting
from dualcontrol.errors import AccountError
from dualcontrol.names import same
from dualcontrol.people import Grant
from dualcontrol.store.accounts import Account, Token

keys_app = listing(
    "keys",
    "Make and end the tokens that programs show in the place of people.\n\n"
    "Alone it lists them. No token both proposes and decides. Whoever can open the database is not asked to sign in "
    "here; each change is recorded under the system's user, or under --person.",
)
COLUMNS = ("id", "name", "account", "scopes", "loops", "expires", "last used", "state")
OF_SERVICES, OF_PEOPLE = ("propose", "read"), ("read",)


@verb(keys_app, "list", "dualcontrol keys", "dualcontrol keys list --all --json")
def keys(
    state: State,
    every: Annotated[bool, typer.Option("--all", help="Also those that have expired or were revoked.")] = False,
) -> None:
    """List the tokens: whose, good for what, in which loops, until when, and last used; never the secret."""
    with desk_of(state) as desk:
        now = desk.steps.now()
        rows = [plain_token(token, account, now) for token, account in desk.tokens.listed()]
    rows = [row for row in rows if every or row["state"] == "in force"]
    cells = [
        (
            row["id"], row["name"], row["account"], ", ".join(row["scopes"]), _loops(row["loops"]),
            ago(row["expires_at"], now) or "never", ago(row["used_at"], now) or "never", row["state"],
        )
        for row in rows
    ]  # fmt: skip
    shown = table(COLUMNS, cells, whole=("id",), spare=("state", "name", "loops"))
    report(state.as_json, rows, shown if rows else "There are no tokens." if every else "No token is in force.")


@verb(
    keys_app, "new",
    "dualcontrol keys new refund-bot --service --owner ana --loop refunds",
    "dualcontrol keys new ana --scope decide --loop refunds --expires 30d",
)  # fmt: skip
def new(
    state: State,
    account: Annotated[str, typer.Argument(metavar="NAME", help="The account that the token stands for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", metavar="SCOPE",
            help="propose, read or decide; may be repeated. If not given: propose and read for a service, else read.",
        ),
    ] = None,
    loop: Annotated[
        list[str] | None, typer.Option("--loop", metavar="LOOP", help="Only in this loop; may be repeated.")
    ] = None,
    expires: Annotated[str, typer.Option("--expires", metavar="TIME", help='Such as "90d", or "never".')] = "90d",
    label: Annotated[str, typer.Option("--name", metavar="TEXT", help="What it is for, in the list.")] = "",
    service: Annotated[
        bool, typer.Option("--service", help="Register a service of this name if there is none; needs --owner.")
    ] = False,
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="PERSON", help="Who answers for the service.")
    ] = None,
    person: Acting = None,
) -> None:  # fmt: skip
    """Make a token and print its secret, which is shown once and nowhere else."""
    if owner is not None and not service:
        raise usage("--owner is for a --service")
    life = None if expires.strip().casefold() == "never" else lasting(expires)
    by, loops = named(person or os_user()), tuple(loop or ())
    with desk_of(state) as desk:
        for name in loops:
            desk.governing(name)
        holder = _holder(desk, account, owner, loops, tuple(scope or ()), by, service=service)
        scopes = tuple(scope or (OF_SERVICES if holder.kind == "service" else OF_PEOPLE))
        token, secret = desk.tokens.issue(
            holder.name, by, name=label, scopes=scopes, loops=loops or None, life=life
        )  # fmt: skip
        plain = plain_token(token, holder, desk.steps.now())
    rows = [
        ("token", token.id), ("account", holder.name), ("good for", ", ".join(token.scopes)),
        ("loops", _loops(plain["loops"])), ("until", stamp(token.expires_at) or "it is revoked"), ("secret", secret),
        ("", "shown once; programs send it as Authorization: Bearer …"),
    ]  # fmt: skip
    report(state.as_json, plain | {"secret": secret}, facts(rows))


def _holder(
    desk: Desk, name: str, owner: str | None, loops: tuple[str, ...], scopes: tuple[str, ...], by: str, *, service: bool
) -> Account:  # fmt: skip
    """The account that a token is for; a service that is new is registered, once the token could be its own."""
    known = next((account for account in desk.people.accounts() if same(account.name, name)), None)
    if known is not None and service and known.kind != "service":
        raise AccountError(f"{known.name} is a person, and no service", hint="Choose another name for the service.")
    if known is not None or not service:
        return known or desk.people.account(name)
    if owner is None:
        raise usage("a new service has somebody who answers for it: --owner PERSON")
    meant = Account(id="", name=named(name), kind="service", state="active", grants=(Grant(role="submitter"),))
    checked(meant, scopes or OF_SERVICES)
    return desk.people.register(name, by, owner=owner, loops=loops)


@verb(keys_app, "revoke", "dualcontrol keys revoke 9f86d081")
def revoke(
    state: State,
    token: Annotated[str, typer.Argument(metavar="ID", help="The id of a token, as the list shows it.")],
    person: Acting = None,
) -> None:
    """End a token; whoever sends it is refused from then on."""
    with desk_of(state) as desk:
        ended = desk.tokens.revoke(token, named(person or os_user()))
        holder = next((account for of, account in desk.tokens.listed() if of.id == ended.id), None)
        plain = plain_token(ended, holder, desk.steps.now())
    rows = [("revoked", ended.id), ("account", str(plain["account"]))]
    report(state.as_json, plain, facts(rows))


def plain_token(token: Token, account: Account | None, now: int) -> dict[str, JSON]:
    """A token as JSON, without its secret and without the digest of it."""
    over = token.expires_at is not None and token.expires_at <= now
    return {
        "id": token.id, "name": token.name, "account": account.name if account else "", "scopes": list(token.scopes),
        "loops": None if token.loops is None else list(token.loops), "created_at": token.created_at,
        "created_by": token.created_by, "expires_at": token.expires_at, "used_at": token.used_at,
        "revoked_at": token.revoked_at,
        "state": "revoked" if token.revoked_at is not None else "expired" if over else "in force",
    }  # fmt: skip


def _loops(loops: JSON) -> str:
    """The loops of a token in words."""
    return "all" if loops is None else ", ".join(loops)
