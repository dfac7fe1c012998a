"""``users``: who is let in, with which roles; invitations, recovery, sessions, and what ends with an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

import typer

from dualcontrol.accounts.registry import Invited, known_role
from dualcontrol.case import JSON
from dualcontrol.cli.command import Acting, State, Yes, listing, os_user, verb
from dualcontrol.cli.groups import standing
from dualcontrol.cli.open import desk_of, settings_of
from dualcontrol.cli.read import usage
from dualcontrol.cli.screen import ago, facts, note, report, stamp, table
from dualcontrol.commands import person as named
from dualcontrol.desk import Desk
from dualcontrol.errors import AccountError
from dualcontrol.layout import some
from dualcontrol.names import among
from dualcontrol.people import ROLES, Grant
from dualcontrol.store.accounts import Account, SignIn
from dualcontrol.web.access import address

users_app = listing(
    "users",
    "Let people in and out, and say what each may do.\n\n"
    "Alone it lists them. Whoever can open the database is not asked to sign in here; each change is recorded under "
    "the system's user, or under --person.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of an account.")]
RoleName = Annotated[str, typer.Argument(metavar="ROLE", help=", ".join(ROLES) + ".")]
InLoop = Annotated[str, typer.Option("--loop", metavar="LOOP", help="Only in this loop; in all if not given.")]
Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="How people reach the console; web.host and web.port if not.")
]
COLUMNS = ("name", "kind", "state", "roles", "groups", "owner", "last sign-in", "sessions")


def acting(person: str | None) -> str:
    """Under whose name a change is recorded."""
    return named(person or os_user())


@verb(users_app, "list", "dualcontrol users", "dualcontrol users list --json")
def users(state: State) -> None:
    """List every account: kind, state, roles by loop, groups, last sign-in, and sessions.

    Somebody who is "named" stands in cases of before there were accounts, and has never signed in.
    """
    with desk_of(state) as desk:
        rows, now = plain_accounts(desk), desk.steps.now()
    cells = [
        (
            row["name"], row["kind"], row["state"], ", ".join(map(role_text, row["roles"])), ", ".join(row["groups"]),
            row["owner"] or "", ago(row["signed_in_at"], now) or "never", str(row["sessions"] or ""),
        )
        for row in rows
    ]  # fmt: skip
    shown = table(COLUMNS, cells, spare=("owner", "groups", "last sign-in", "kind"))
    begin = "There are no accounts, so any name is taken. `dualcontrol serve` makes the first admin."
    report(state.as_json, rows, shown if rows else begin)


@verb(
    users_app, "invite",
    "dualcontrol users invite ana --role reviewer --group support",
    "dualcontrol users invite lee --role lead@refunds --role reviewer --email lee@example.org",
)  # fmt: skip
def invite(
    state: State,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the person is called; no name is given twice.")],
    role: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE[@LOOP]", help="A role, in all loops or in one; may be repeated."),
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="GROUP", help="A group; may be repeated.")
    ] = None,
    email: Annotated[
        str | None,
        typer.Option("--email", metavar="ADDRESS", help="By which a provider of sign-in may know the person."),
    ] = None,
    url: Url = None,
    person: Acting = None,
) -> None:
    """Make an account for a person, and print the link by which they choose a password.

    The link works once and for seven days; it is shown nowhere else.
    """
    base = console_address(state, url)
    with desk_of(state, create=True) as desk:
        roles = [granted(desk, text) for text in role or ()]
        invited = desk.people.invite(name, acting(person), roles=roles, groups=tuple(group or ()), email=email)
        _report_link(state, desk, invited, base, "works once, for seven days")


@verb(users_app, "grant", "dualcontrol users grant ana lead --loop refunds")
def grant(state: State, name: Name, role: RoleName, loop: InLoop = "", person: Acting = None) -> None:
    """Give somebody a role; every door knows it at once."""
    with desk_of(state) as desk:
        if loop:
            desk.governing(loop)
        account = desk.people.grant(name, role, acting(person), loop=loop)
        _report_account(state, desk, account)


@verb(users_app, "revoke", "dualcontrol users revoke ana lead --loop refunds")
def revoke(state: State, name: Name, role: RoleName, loop: InLoop = "", person: Acting = None) -> None:
    """Take a role away; the last admin who can sign in keeps theirs."""
    with desk_of(state) as desk:
        if loop:
            desk.governing(loop)
        account = desk.people.revoke(name, role, acting(person), loop=loop)
        _report_account(state, desk, account)


@verb(users_app, "link", "dualcontrol users link ana ana-admin")
def link(
    state: State,
    name: Name,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another account of the same human.")],
    person: Acting = None,
) -> None:
    """Say that two accounts are of one human, who counts once from then on; this is not taken back."""
    with desk_of(state) as desk:
        desk.people.link(name, other, acting(person))
        _report_account(state, desk, desk.people.account(name))


@verb(users_app, "remove", "dualcontrol users remove ana", "dualcontrol users remove ana --yes --json")
def remove(state: State, name: Name, yes: Yes = False, person: Acting = None) -> None:
    """Close an account everywhere at once: its roles, groups, claims, tokens and sessions end.

    What it decided stays, and its name is never given again.
    """
    with desk_of(state) as desk:
        held, known = desk.people.holdings(name), desk.people.account(name).name
        ends = f"{some(held.claims, 'claim')}, {some(held.tokens, 'token')} and {some(held.sessions, 'session')}"
        if not yes:
            confirm(state, f"Close the account of {known}? {ends} end with it, and its name is never given again")
        account = desk.people.remove(name, acting(person))
    rows = [("closed", account.name), ("ended", ends)]
    rows += [("no more in", ", ".join(held.groups))] if held.groups else []
    report(state.as_json, {"name": account.name, "state": account.state, "ended": held._asdict()}, facts(rows))


@verb(users_app, "recover", "dualcontrol users recover root", "dualcontrol users recover ana --admin")
def recover(
    state: State,
    name: Name,
    admin: Annotated[
        bool, typer.Option("--admin", help="Make the account admin as well, where no admin can sign in any more.")
    ] = False,
    url: Url = None,
    person: Acting = None,
) -> None:
    """Print a link by which an account gets a new password; its sessions end.

    The way out when no admin can sign in. The link works once and for a day; it is shown nowhere else.
    """
    base = console_address(state, url)
    with desk_of(state) as desk:
        recovered = desk.people.recover(name, acting(person), admin=admin)
        _report_link(state, desk, recovered, base, "works once, for a day")


@verb(
    users_app, "sessions",
    "dualcontrol users sessions ana",
    "dualcontrol users sessions --end 5f0c2a91b3de",
    "dualcontrol users sessions ana --all",
)  # fmt: skip
def sessions(
    state: State,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only those of this account.")] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="ID", help="End this one.")] = None,
    every: Annotated[bool, typer.Option("--all", help="End all that would be listed.")] = False,
) -> None:
    """List where people are signed in, or end it."""
    if end is not None and every:
        raise usage("give --end ID for one session, or --all")
    with desk_of(state) as desk:
        names = {account.id: account.name for account in desk.people.accounts()}
        listed = desk.sign_ins.sessions(desk.people.account(name).id if name else None)
        ending = listed if every else [session for session in listed if session.id == end]
        if end is not None and not ending:
            raise AccountError(f"there is no session {end[:40]!r}", hint="`dualcontrol users sessions` lists them.")
        ended = sum(desk.sign_ins.end(digest=session.digest) for session in ending)
        now = desk.steps.now()
    if end is not None or every:
        return report(state.as_json, {"ended": ended}, f"{some(ended, 'session')} ended.")
    rows = [_session(session, names) for session in listed]
    cells = [
        (row["id"], row["name"], row["method"], ago(row["created_at"], now), ago(row["seen_at"], now), row["browser"])
        for row in rows
    ]
    shown = table(("id", "name", "by", "since", "last seen", "browser"), cells, whole=("id",), cut=("browser",))
    return report(state.as_json, rows, shown if rows else "Nobody is signed in.")


def _session(session: SignIn, names: dict[str, str]) -> dict[str, JSON]:
    return {
        "id": session.id, "name": names.get(session.account, session.person), "method": session.method,
        "created_at": session.created_at, "signed_in_at": session.signed_in_at,
        "stepped_up_at": session.stepped_up_at, "seen_at": session.seen_at, "expires_at": session.expires_at,
        "browser": session.agent,
    }  # fmt: skip


# An account in words and as JSON


def plain_accounts(desk: Desk) -> list[dict[str, JSON]]:
    """Every account as JSON, with its groups and how many sessions it has; no secret and no hash."""
    accounts, groups = desk.people.accounts(), standing(desk)
    by_id = {account.id: account.name for account in accounts}
    open_sessions = [session.account for session in desk.sign_ins.sessions()]
    return [
        {
            "name": account.name, "kind": account.kind, "state": account.state, "email": account.email,
            "roles": [{"role": grant.role, "loop": grant.loop} for grant in account.grants],
            "groups": [group.name for group in groups if among(account.name, group.people)],
            "owner": by_id.get(account.owner),
            "same_human": [a.name for a in accounts if a.behind == account.behind and a.id != account.id],
            "created_at": account.created_at, "signed_in_at": account.signed_in_at, "removed_at": account.removed_at,
            "sessions": open_sessions.count(account.id),
        }
        for account in accounts
    ]  # fmt: skip


def role_text(role: dict[str, str]) -> str:
    """A role with its loop, as in ``lead of refunds``; in all loops it stands alone."""
    return f"{role['role']} of {role['loop']}" if role["loop"] else role["role"]


def granted(desk: Desk, text: str) -> Grant:
    """The grant that ROLE or ROLE@LOOP means; an error names the nearest role or loop."""
    role, at, loop = text.partition("@")
    if at:
        desk.governing(loop)
    return Grant(role=known_role(role), loop=loop)


def confirm(state: State, question: str) -> None:
    """Ask whether to go on, on stderr; who says no, or nothing, ends the command."""
    if state.as_json:
        raise usage("with --json nobody is asked: say --yes")
    typer.confirm(question, abort=True, err=True)


def _report_account(state: State, desk: Desk, account: Account, *more: tuple[str, str], **plain: JSON) -> None:
    """What an account is now."""
    row = next(row for row in plain_accounts(desk) if row["name"] == account.name)
    rows = [("account", f"{row['name']} ({row['kind']}, {row['state']})")]
    rows += [("roles", ", ".join(map(role_text, row["roles"])) or "none")]
    rows += [
        (name, ", ".join(row[key])) for name, key in (("groups", "groups"), ("same human as", "same_human")) if row[key]
    ]
    report(state.as_json, row | plain, facts([*rows, *more]))
    warn_without_admin(desk.people.accounts())


def console_address(state: State, url: str | None) -> str:
    """How people reach the console, without a slash at its end: as given, else where `serve` would listen."""
    web = settings_of(state).web
    base = (url or address(web.host, web.port)).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise usage(f"--url begins with http:// or https://, unlike {base!r}")
    return base


def _report_link(state: State, desk: Desk, invited: Invited, base: str, life: str) -> None:
    """Print the one-time link of an account; here, and never again."""
    link, _ = desk.sign_ins.link(invited.secret)
    where = f"{base}/join?{urlencode({'token': invited.secret})}"
    rows = [("link", f"{life}, until {stamp(link.expires_at)}; hand it to nobody else")]
    _report_account(state, desk, invited.account, *rows, link=where, expires_at=link.expires_at)
    if not state.as_json:
        typer.echo(where)  # on one line, however narrow the terminal is


def warn_without_admin(accounts: Sequence[Account]) -> None:
    """Remark on stderr that nobody could let people in or out on the pages."""
    if not any(account.has("admin") and account.state in ("active", "invited") for account in accounts):
        note("nobody is admin: `dualcontrol users invite NAME --role admin`, or `users recover NAME --admin`")
