"""Tokens: what a program shows in place of a person, for some verbs, in some loops, for a time.

A token reads ``dc_<id>_<secret>``; only the digest of the whole is kept.  One that proposes never decides: no token has
both scopes, no service has a deciding role, and what was configured before there were accounts may propose and read.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import get_args

from msgspec.structs import replace

from dualcontrol import events as ev
from dualcontrol.accounts.registry import Registry, known
from dualcontrol.errors import AccountError
from dualcontrol.events import Event
from dualcontrol.people import DECIDING, Grant, Principal, Scope
from dualcontrol.step import Steps
from dualcontrol.store import Tx
from dualcontrol.store.accounts import Account, AccountBook, Token, secret_digest

PREFIX = "dc_"
QUARTER = 90 * 86_400_000_000
MINUTE = 60_000_000
CONFIGURED = "api"  # whom the token of the settings, or of `serve --token`, stands for


def configured() -> Principal:
    """Who brings the token that was configured: some program, which may propose and read."""
    return Principal(
        person=CONFIGURED, grants=(Grant(role="submitter"),), authenticated="token", scopes=("propose", "read")
    )


class Tokens:
    """The tokens of a desk's accounts."""

    def __init__(self, steps: Steps, registry: Registry) -> None:
        self._steps = steps
        self._registry = registry

    def issue(
        self, account: str, by: str, *, name: str = "", scopes: Sequence[str] = ("propose", "read"),
        loops: Sequence[str] | None = None, life: int | None = QUARTER,
    ) -> tuple[Token, str]:  # fmt: skip
        """A token of an account and its secret, which is shown once; `life` is in microseconds, None has no end.

        Raises AccountError for scopes that the account's roles do not carry, and for those that do not go together.
        """
        token_id = secrets.token_hex(4)
        secret = f"{PREFIX}{token_id}_{secrets.token_urlsafe(32)}"
        result: list[Token] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            holder = known(book, account)
            token = Token(
                id=token_id, digest=secret_digest(secret), account=holder.id, name=name, scopes=checked(holder, scopes),
                loops=None if loops is None else tuple(loops), created_at=tx.now, created_by=by,
                expires_at=None if life is None else tx.now + life,
            )  # fmt: skip
            book.save_token(token)
            result[:] = [token]
            return [ev.TokenIssued(
                at=tx.now, by=by, person=holder.name, token=token.id, scopes=token.scopes, loops=token.loops,
                until=token.expires_at,
            )]  # fmt: skip

        self._registry.change(change, by)
        return result[0], secret

    def revoke(self, token_id: str, by: str, *, of: str | None = None) -> Token:
        """End a token before its time; with `of` only one of that account's id."""
        result: list[Token] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            token = next((t for t in book.tokens() if t.id == token_id and of in (None, t.account)), None)
            if token is None or token.revoked_at is not None:
                raise AccountError(
                    f"there is no token {token_id[:20]!r} in force", hint="`dualcontrol keys` lists them."
                )
            result[:] = [replace(token, revoked_at=tx.now)]
            book.save_token(result[0])
            holder = book.account(token.account)
            return [ev.TokenRevoked(at=tx.now, by=by, person=holder.name if holder else "", token=token.id)]

        self._registry.change(change, by)
        return result[0]

    def listed(self, account_id: str | None = None) -> list[tuple[Token, Account | None]]:
        """Every token with its account, newest first."""
        with self._steps.store.queries.accounts() as book:
            accounts = {account.id: account for account in book.accounts()}
            listed = [token for token in book.tokens() if account_id in (None, token.account)]
            return [(token, accounts.get(token.account)) for token in listed]

    def lives(self, digest: str) -> bool:
        """Whether a token by its digest is still good for its account."""
        return self._good(digest) is not None

    def _good(self, digest: str) -> tuple[Token, Account] | None:
        """A token and its account; None where it was never given, has expired, was revoked, or its account ended."""
        with self._steps.store.queries.accounts() as book:
            token = book.token(digest)
            account = book.account(token.account) if token is not None else None
        if token is None or account is None or account.state != "active" or token.revoked_at is not None:
            return None
        return None if token.expires_at is not None and token.expires_at <= self._steps.now() else (token, account)

    def principal(self, secret: str) -> Principal | None:
        """Who brings this token, whose use is noted; None where it is not good."""
        good = self._good(secret_digest(secret)) if secret.startswith(PREFIX) else None
        if good is None:
            return None
        (token, account), now = good, self._steps.now()
        if now - (token.used_at or 0) > 10 * MINUTE:
            with self._steps.store.transaction(durable=False) as tx:
                current = tx.accounts.token(token.digest)
                if current is not None:
                    tx.accounts.save_token(replace(current, used_at=now))
        return Principal(
            person=account.name, grants=account.grants, authenticated="token", scopes=token.scopes, loops=token.loops,
            account=account.id,
        )  # fmt: skip


def checked(account: Account, scopes: Sequence[str]) -> tuple[Scope, ...]:
    """The scopes of a token, if its account's roles carry them."""
    known_scopes = get_args(Scope)
    unknown = next((scope for scope in scopes if scope not in known_scopes), None)
    if unknown is not None or not scopes:
        raise AccountError(f"a token has one or more of the scopes {', '.join(known_scopes)}, not {unknown!r}")
    wanted: tuple[Scope, ...] = tuple(scope for scope in known_scopes if scope in scopes)
    if "decide" in wanted and "propose" in wanted:
        raise AccountError("no token both proposes and decides", hint="Make two, for two accounts.")
    if "decide" in wanted and not any(account.has(role) for role in (*DECIDING, "policy")):
        raise AccountError(f"{account.name} is neither reviewer nor lead, so no token of theirs decides")
    if "propose" in wanted and not account.has("submitter"):
        raise AccountError(f"{account.name} is no service; a token that proposes is one of a service")
    if account.state != "active":
        raise AccountError(f"{account.name} has not signed in yet, or was removed; tokens are for active accounts")
    return wanted
