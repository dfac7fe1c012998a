"""Checks of accounts: the rows against the stream `people`, what loops know of them, and what needs somebody's care."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from dualcontrol import events as ev
from dualcontrol.control import BY_TWO, Control
from dualcontrol.doctor.database import OK, PROBLEM, WARNING, Finding
from dualcontrol.events import Entry, Unknown
from dualcontrol.layout import lasted, some
from dualcontrol.names import among, identity
from dualcontrol.people import DOORS, Grant
from dualcontrol.store import Store
from dualcontrol.store.accounts import Account, Group, Token, begun, grants_of, news_for

STREAM = "people"
DAY = 86_400_000_000
SOON, LONG = 14 * DAY, 90 * DAY
RESTORE = "Stop all programs, keep a copy of the database, and compare its tables of accounts with a backup."
NEWER = "Upgrade dualcontrol to check what its accounts may do."


class Book(msgspec.Struct, frozen=True):
    """The rows of accounts, groups and tokens in one consistent view, and what governs each loop."""

    accounts: Sequence[Account]
    groups: Sequence[Group]
    tokens: Sequence[Token]
    loops: Sequence[Control]
    entries: Sequence[Entry]


def accounts(store: Store, unproven: Mapping[str, int]) -> Iterator[Finding]:
    """Findings on accounts; `unproven` counts by door the answers since there are any for which nobody signed in."""
    book = _book(store)
    problems = list(recorded(book)) or list(known_by_loops(book))
    if problems:  # programs go on writing: what has changed while it was read is compared once more
        book = _book(store)
        problems = [*recorded(book), *known_by_loops(book)]
    yield from problems
    if not begun(book.accounts):
        if not problems:
            yield Finding("accounts", OK, "there are no accounts: any name is taken, as far as its group allows")
        return
    now = store.queries.now()
    cares = [*people(book), *tokens(book, now), *signatures(unproven)]
    yield from cares
    if not problems:
        alive = [account for account in book.accounts if account.state in ("active", "invited")]
        yield Finding("accounts", OK, f"{some(len(alive), 'account')}: rows, roles and tokens are what the entries say")


def _book(store: Store) -> Book:
    with store.queries.accounts() as book:
        rows = book.accounts(), book.groups(), book.tokens()
    return Book(*rows, store.queries.loops(), store.queries.entries(STREAM, values=False))


# The rows against the entries


class Recorded:
    """What the entries of the stream `people` make of accounts, groups and tokens; keys are identities and ids."""

    def __init__(self, book: Book) -> None:
        self.ids = {
            identity(account.name): account.id for account in book.accounts
        }  # older names have no entry of theirs
        self.touched: set[str] = set()
        self.added: dict[str, ev.AccountAdded] = {}
        self.removed: set[str] = set()
        self.roles: dict[str, tuple[Grant, ...]] = {}
        self.humans: dict[str, str] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self.tokens: dict[str, ev.TokenIssued] = {}
        self.revoked: set[str] = set()
        for event in (event for entry in book.entries for event in entry.events):
            if isinstance(event, ev.AccountEvent):
                self.touched.add(identity(event.person))
                self._take(event, identity(event.person))

    def _take(self, event: ev.AccountEvent, key: str) -> None:
        match event:
            case ev.AccountAdded():
                self.added[key], self.roles[key], self.ids[key] = event, (), event.account
            case ev.RolesChanged():
                self.roles[key] = grants_of(event.roles)
            case ev.AccountRemoved():
                self.removed.add(key)
                self.roles[key] = ()
                self.revoked |= {name for name, token in self.tokens.items() if identity(token.person) == key}
            case ev.AccountsLinked():
                gone = self.human(identity(event.other))
                self.humans |= {other: event.human for other in self.ids if self.human(other) in (gone, event.human)}
            case ev.GroupNamed():
                self.groups.pop(identity(event.group), None)
                if event.people is not None:
                    self.groups[identity(event.group)] = event.people
            case ev.TokenIssued():
                self.tokens[event.token] = event
            case ev.TokenRevoked():
                self.revoked.add(event.token)

    def human(self, key: str) -> str:
        """Who stands behind an account: what its links say, else its own id."""
        return self.humans.get(key, self.ids.get(key, ""))


def recorded(book: Book) -> Iterator[Finding]:
    """Rows of accounts, groups and tokens that are not what the stream `people` makes of them."""
    if any(isinstance(event, Unknown) for entry in book.entries for event in entry.events):
        yield Finding("accounts", WARNING, "the stream `people` holds an event that this version does not know", NEWER)
        return
    entries = Recorded(book)
    rows = {identity(account.name): account for account in book.accounts}
    for key in sorted({*entries.added, *entries.roles, *rows}):
        wrong = _account(rows.get(key), entries, key)
        if wrong:
            name = rows[key].name if key in rows else entries.added[key].person if key in entries.added else key
            yield Finding("accounts", PROBLEM, f"the account of {name}: {wrong}", RESTORE)
    stated = {identity(group.name): group.people for group in book.groups}
    for name in sorted({*stated, *entries.groups}):
        if stated.get(name) != entries.groups.get(name):
            yield Finding("accounts", PROBLEM, f"the people of group {name!r} are not what the entries say", RESTORE)
    holders = {account.id: account.name for account in book.accounts}
    ledger, kept = entries.tokens, {token.id: token for token in book.tokens}
    for token_id in sorted({*ledger, *kept}):
        wrong = _token(kept.get(token_id), ledger.get(token_id), token_id in entries.revoked, holders)
        if wrong:
            yield Finding("accounts", PROBLEM, f"token {token_id}: {wrong}", RESTORE)


def _account(row: Account | None, entries: Recorded, key: str) -> str:
    """What is wrong with the row of an account; nothing where the entries make it so."""
    added = entries.added.get(key)
    if row is None:
        return "it has entries and no row"
    if row.state != "named" and key not in entries.touched:
        return "it has a row, and no entry let it in"
    if (row.state == "removed") != (key in entries.removed):
        return f"its row says {row.state}, the entries say otherwise"
    if added is not None and (row.kind, row.id) != (added.account_kind, added.account):
        return "its row is that of another account"
    if key in entries.roles and set(row.grants) != set(entries.roles[key]):
        return f"its row has the roles {_roles(row.grants)}, the entries say {_roles(entries.roles[key])}"
    if row.behind != entries.human(key):
        return "its row says that another human is behind it"
    return ""


def _roles(grants: Sequence[Grant]) -> str:
    return ", ".join(grant.role + (f" of {grant.loop}" if grant.loop else "") for grant in grants) or "none"


def _token(row: Token | None, issued: Any, revoked: bool, holders: Mapping[str, str]) -> str:
    """What is wrong with the row of a token; nothing where the entries make it so."""
    if row is None:
        return "" if revoked else "it was issued, and has no row"
    if issued is None:
        return "it has a row, and no entry issued it"
    if revoked and row.revoked_at is None:
        return "it was revoked, and its row is in force"
    same = (holders.get(row.account), row.scopes, row.loops, row.expires_at)
    return (
        "" if same == (issued.person, issued.scopes, issued.loops, issued.until) else "its row is not what was issued"
    )


def known_by_loops(book: Book) -> Iterator[Finding]:
    """Loops that know other roles or groups than the rows have: what they decide by is not what an admin said."""
    stated = {group.name: group.people for group in book.groups}
    keys = {identity(account.name) for account in book.accounts}
    for control in book.loops:
        unheard = [member.name for member in news_for(control, book.accounts)]
        unheard += [m.name for key, m in (control.people or {}).items() if m.roles and key not in keys]
        if names := ", ".join(unheard):
            yield Finding(
                "accounts", PROBLEM, f"loop {control.loop} knows other roles than the accounts have: {names}", RESTORE
            )
        if control.groups != stated:
            differ = sorted(n for n in {*control.groups, *stated} if control.groups.get(n) != stated.get(n))
            what = f"loop {control.loop} knows other people of groups than an admin said: {', '.join(differ)}"
            yield Finding("accounts", PROBLEM, what, RESTORE)


# What is sound and still needs somebody's care


def people(book: Book) -> Iterator[Finding]:
    """No admin, too few who approve, names that never signed in, services without owner, groups without accounts."""
    alive = [account for account in book.accounts if account.state in ("active", "invited")]
    if not any(account.has("admin") and account.state == "active" for account in alive):
        hint = (
            "`dualcontrol users recover NAME --admin` makes a link; else `dualcontrol users invite NAME --role admin`."
        )
        yield Finding("accounts", WARNING, "no admin can sign in", hint)
    for account in book.accounts:
        if account.state == "named" and account.grants:
            what = f"{account.name} stands in earlier cases and has never signed in, and may still decide in Python"
            hint = (
                f"`dualcontrol users invite {account.name}` lets the person in; `users remove {account.name}` ends it."
            )
            yield Finding("accounts", WARNING, what, hint)
    owners = {account.id: account for account in book.accounts}
    for account in (a for a in alive if a.kind == "service"):
        owner = owners.get(account.owner)
        if owner is None or owner.state == "removed":
            gone = f": the account of {owner.name} was closed" if owner else ""
            hint = (
                f"Give its tokens back, `dualcontrol users remove {account.name}`, and register another with an owner."
            )
            yield Finding("accounts", WARNING, f"nobody answers for the service {account.name}{gone}", hint)
    by_two = [c.loop for c in book.loops if c.settings.changes == "two" and c.loop != BY_TWO]
    owners_of_policy = {account.behind for account in alive if account.state == "active" and account.has("policy")}
    if by_two and len(owners_of_policy) < 2:
        what = f"{', '.join(by_two)} takes changes by two, and {len(owners_of_policy)} of two policy owners can sign in"
        yield Finding("accounts", WARNING, what, "`dualcontrol users invite NAME --role policy` lets another one in.")
    names = [account.name for account in book.accounts if account.state != "removed"]
    for group in dict.fromkeys(group for control in book.loops for group in control.settings.groups):
        stated = [control for control in book.loops if group not in control.groups]
        declared = dict.fromkeys(name for control in stated for name in control.settings.groups.get(group, ()))
        without = [name for name in declared if not among(name, names)]
        if without:
            what = f"the settings name people of group {group} who have no account: {', '.join(without)}"
            yield Finding("accounts", WARNING, what, "Invite them, `dualcontrol users invite NAME`, or take them out.")


def tokens(book: Book, now: int) -> Iterator[Finding]:
    """Tokens that end soon, and those that nobody has used for long."""
    names = {account.id: account.name for account in book.accounts}
    for token in book.tokens:
        if token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
            continue
        of = f"token {token.id} of {names.get(token.account, 'nobody')}"
        if token.expires_at is not None and token.expires_at <= now + SOON:
            rest = lasted((token.expires_at - now) // 1_000_000)
            hint = f"Make another, `dualcontrol keys new {names.get(token.account, 'NAME')}`, and revoke this one."
            yield Finding("accounts", WARNING, f"{of} expires in {rest}", hint)
        if (token.used_at or token.created_at) <= now - LONG:
            since = f"for {lasted((now - token.used_at) // 1_000_000)}" if token.used_at else "ever"
            yield Finding(
                "accounts", WARNING, f"{of} was not used {since}", f"`dualcontrol keys revoke {token.id}` ends it."
            )


def signatures(unproven: Mapping[str, int]) -> Iterator[Finding]:
    """Answers since there are accounts that name a person for whom nobody signed in."""
    if unproven:
        doors = ", ".join(f"{count} {DOORS.get(via, f'by {via}')}" for via, count in sorted(unproven.items()))
        what = f"{some(sum(unproven.values()), 'answer')} since there are accounts, and nobody signed in: {doors}"
        hint = "Whoever opens the database answers in any member's name: let people sign in, and give programs tokens."
        yield Finding("accounts", WARNING, what, hint)
