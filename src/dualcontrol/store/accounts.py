"""Accounts as they are kept: people, services, groups, sessions, tokens and one-time links, and the port to them.

Of every secret only its SHA-256 is kept, of a password its argon2id hash.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from dualcontrol.case import JSON, Value
from dualcontrol.control import Control, Member
from dualcontrol.names import identity
from dualcontrol.people import Grant, Scope

AccountKind = Literal["person", "service"]
AccountState = Literal["named", "invited", "active", "removed"]
Purpose = Literal["setup", "invite", "recover", "provider"]


class Account(Value, frozen=True, kw_only=True):
    """Somebody who may be let in, or a service.

    `state` is "named" for a name out of older cases that never signed in.  `human` is shared by accounts of one person;
    `owner` is who answers for a service; `subjects` are (issuer, subject) pairs at providers; times are microseconds.
    """

    id: str
    name: str
    kind: AccountKind = "person"
    state: AccountState = "invited"
    email: str | None = None
    password: str | None = None
    human: str = ""
    owner: str = ""
    grants: tuple[Grant, ...] = ()
    subjects: tuple[tuple[str, str], ...] = ()
    created_at: int = 0
    removed_at: int | None = None
    signed_in_at: int | None = None

    def has(self, role: str) -> bool:
        """Whether the account has a role anywhere."""
        return any(grant.role == role for grant in self.grants)

    @property
    def behind(self) -> str:
        """Who stands behind it: what its accounts share, else its own id."""
        return self.human or self.id


class Group(Value, frozen=True, kw_only=True):
    """Who belongs to a group, as an admin said: names of accounts.  With none it is empty, not open to everybody."""

    name: str
    people: tuple[str, ...] = ()


class Token(Value, frozen=True, kw_only=True):
    """What a program shows in place of a person: for an account, good for some verbs, in some loops, for a time."""

    id: str
    digest: str
    account: str
    name: str
    scopes: tuple[Scope, ...]
    loops: tuple[str, ...] | None = None
    created_at: int = 0
    created_by: str = ""
    expires_at: int | None = None
    used_at: int | None = None
    revoked_at: int | None = None


class SignIn(Value, frozen=True, kw_only=True):
    """A browser's session: whose, by which method, and when that person last proved who they are.

    `account` is "" while the desk is set up, and in the demo, whose sessions carry a plain name in `person`.
    """

    digest: str
    id: str
    account: str = ""
    person: str = ""
    method: str = ""
    agent: str = ""
    shortcuts: bool = True
    created_at: int = 0
    signed_in_at: int = 0
    stepped_up_at: int | None = None
    seen_at: int = 0
    expires_at: int = 0


class Link(Value, frozen=True, kw_only=True):
    """An address that works once: an invitation, a recovery, the set-up, or the way back from a provider."""

    digest: str
    purpose: Purpose
    account: str = ""
    expires_at: int = 0
    created_by: str = ""
    body: JSON = None


def secret_digest(secret: str) -> str:
    """What is kept of a secret of 32 random bytes: nothing from which it could be made."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class AccountBook(Protocol):
    """Accounts and what belongs to them, in one transaction or in one consistent view."""

    def account(self, account_id: str) -> Account | None:
        """An account by its id."""

    def named(self, name: str) -> Account | None:
        """An account by its name, however that is spelled."""

    def of_subject(self, issuer: str, subject: str) -> list[Account]:
        """The accounts of a provider's subject, which are of one human."""

    def accounts(self) -> list[Account]:
        """Every account, removed ones too, by name."""

    def save_account(self, account: Account) -> None:
        """Write an account and its subjects; raises `Conflict` where the name is another's."""

    def groups(self) -> list[Group]:
        """Every group that accounts were put into, by name."""

    def save_group(self, group: Group) -> None:
        """Write a group."""

    def drop_group(self, name: str) -> None:
        """Forget a group, so that the settings speak for it again."""

    def token(self, digest: str) -> Token | None:
        """A token by the digest of its secret."""

    def tokens(self) -> list[Token]:
        """Every token, newest first."""

    def save_token(self, token: Token) -> None:
        """Write a token."""

    def session(self, digest: str) -> SignIn | None:
        """A session by the digest of its secret, if it has time left."""

    def sessions(self, account_id: str | None = None) -> list[SignIn]:
        """The sessions of an account, or all, newest first."""

    def save_session(self, session: SignIn) -> None:
        """Write a session; forgets those that are over."""

    def end_sessions(self, *, account_id: str | None = None, digest: str | None = None) -> int:
        """End the sessions of an account, or the one; returns how many."""

    def link(self, digest: str) -> Link | None:
        """A one-time link by the digest of its secret, if it has time left."""

    def save_link(self, link: Link) -> None:
        """Write a link; forgets those that are over."""

    def take_link(self, digest: str) -> Link | None:
        """The link, used up: nobody gets it again."""

    def drop_links(self, account_id: str) -> None:
        """Take back every link of an account."""

    def held_by(self, name: str) -> list[tuple[str, str]]:
        """(case id, claim id) of every claim that somebody holds."""

    def workers(self) -> list[tuple[str, int]]:
        """(identity of a name, loop id) of everybody who has held a review."""


def grants_of(pairs: Any) -> tuple[Grant, ...]:
    """Grants from (role, loop) pairs, each once, in the order of roles."""
    return tuple(dict.fromkeys(Grant(role=role, loop=loop) for role, loop in pairs))


def begun(accounts: Iterable[Account]) -> bool:
    """Whether there is an account beside names out of older cases: from then on names alone no longer do."""
    return any(account.state != "named" for account in accounts)


def news_for(control: Control, accounts: Sequence[Account]) -> tuple[Member, ...]:
    """What a loop is to know of accounts and does not know yet: who has roles in it, and who has none any more."""
    if not begun(accounts):
        return ()
    by_id = {account.id: account for account in accounts}
    behind = {a.id: by_id[a.owner].behind if a.owner in by_id else a.behind for a in accounts}
    shared = Counter(behind.values())
    changed = []
    for account in accounts:
        roles = tuple(dict.fromkeys(g.role for g in account.grants if g.loop in ("", control.loop)))
        before = (control.people or {}).get(identity(account.name))
        if not roles and before is None:
            continue  # the loop has nothing to do with them
        human = behind[account.id] if shared[behind[account.id]] > 1 else ""
        member = Member(name=account.name, roles=roles, human=human)
        if member != before:
            changed.append(member)
    return tuple(changed)
