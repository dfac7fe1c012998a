"""Sign-in: passwords (argon2id), links that work once, subjects of a provider, sessions, and the step-up.

A session is a secret of 32 random bytes in a browser and a row by its digest; each sign-in makes a new one, so that
nobody can be made to use one that somebody else knows.  Whoever is behind a session is read anew for every request:
what was taken from a person is gone at once.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec.structs import replace

from dualcontrol import events as ev
from dualcontrol.accounts.registry import Registry, joined
from dualcontrol.case import JSON, Value
from dualcontrol.errors import AccountError, SignInError
from dualcontrol.events import Event
from dualcontrol.names import identity, same
from dualcontrol.people import Principal
from dualcontrol.step import Steps
from dualcontrol.store import Tx
from dualcontrol.store.accounts import Account, AccountBook, Link, SignIn, secret_digest

WEEK = 7 * 86_400_000_000
MINUTE = 60_000_000
SHORTEST, LONGEST = 10, 200  # characters of a password
AT_ONCE = threading.BoundedSemaphore(2)  # hashes of 64 MiB each, so that many sign-ins do not take all memory
_HASHER = PasswordHasher()
WRONG = "the name or the password is wrong"


class SignedIn(NamedTuple):
    """A new session: its secret, which only the browser keeps, and its row."""

    secret: str
    session: SignIn


class Pending(Value, frozen=True, kw_only=True):
    """A sign-in that has begun: kept on the server for the browser that began it, and used once.

    `url` is where the browser goes, `created_at` in microseconds UTC, `max_age` in seconds.
    """

    url: str
    redirect_uri: str
    state: str
    nonce: str
    code_verifier: str
    created_at: int
    max_age: int | None = None

    def __repr__(self) -> str:  # the rest are secrets
        return f"Pending(redirect_uri={self.redirect_uri!r}, created_at={self.created_at!r}, max_age={self.max_age!r})"


class Subject(Value, frozen=True, kw_only=True):
    """Who signed in, as the provider says; issuer and subject never change for a person, all else may.

    `auth_time` is when they proved who they are, in microseconds UTC, and `acr` how; None where it is not told.
    """

    issuer: str
    subject: str
    name: str
    email: str | None = None
    email_verified: bool = False
    groups: tuple[str, ...] = ()
    auth_time: int | None = None
    acr: str | None = None


class SignIns:
    """How people prove who they are, and the sessions that follow."""

    def __init__(self, steps: Steps, registry: Registry) -> None:
        self._steps = steps
        self._registry = registry

    def set_up(self, name: str, password: str, *, alone: str | None = None) -> list[Account]:
        """The first admin of a desk; `alone` is the second account of one who reviews as well, with the same password.

        Both are one human.  Raises AccountError where the desk has been set up, and for a password that is guessed.
        """
        checked_password(password, alone or "")
        return self._registry.set_up(name, hash_of(checked_password(password, name)), alone=alone)

    # Proving who one is

    def by_password(self, name: str, password: str) -> Account:
        """The account of a name with its password; one SignInError for all that is wrong, in about the same time."""
        with self._steps.store.queries.accounts() as book:
            account = book.named(name)
        hashed = account.password if account is not None and account.state == "active" else None
        right = matches(hashed or _nobodys(), password)
        if account is None or hashed is None or not right:
            raise SignInError(WRONG)
        if _HASHER.check_needs_rehash(hashed):
            with self._steps.store.transaction() as tx:
                tx.accounts.save_account(replace(account, password=hash_of(password)))
        return account

    def link(self, secret: str) -> tuple[Link, Account | None]:
        """A link that can still be used, and whose it is; nothing is used up by looking."""
        with self._steps.store.queries.accounts() as book:
            link = book.link(secret_digest(secret))
            account = book.account(link.account) if link is not None and link.account else None
        if link is None or (account is not None and account.state == "removed"):
            raise SignInError("this link was used already, is too old, or was never given")
        return link, account

    def choose_password(self, secret: str, password: str) -> Account:
        """Use an invitation or a recovery up: the account has this password from now on."""
        _, account = self.link(secret)
        if account is None:
            raise SignInError("this link is for something else")
        hashed = hash_of(checked_password(password, account.name))
        return self._joined(secret, "password", lambda book, joining: replace(joining, password=hashed))

    def by_subject(self, who: Subject, *, invitation: str = "", name: str = "") -> Account:
        """The account of a provider's subject; with the secret of an invitation the subject becomes one of it.

        Somebody who was invited by an address that the provider has verified needs no link.  `name` chooses where one
        subject has several accounts.
        """
        if invitation:
            return self._joined(invitation, "oidc", lambda book, joining: with_subject(book, joining, who))
        with self._steps.store.queries.accounts() as book:
            own = [account for account in book.of_subject(who.issuer, who.subject) if account.state == "active"]
            by_address = [
                account for account in book.accounts()
                if account.state == "invited" and account.email and who.email_verified
                and account.email.casefold() == (who.email or "").casefold()
            ]  # fmt: skip
        if own:
            return next((account for account in own if same(account.name, name)), own[0])
        if len(by_address) == 1:
            return self.bind(by_address[0], who)
        raise SignInError(
            "the provider knows you, but nobody here has invited you, or your account was closed",
            hint="Ask an admin for an invitation, and open its link.",
        )

    def _joined(self, secret: str, method: str, proof: Callable[[AccountBook, Account], Account]) -> Account:
        """Use a link up: its account is active with this proof, and older links and sessions of it end."""
        result: list[Account] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            link = book.take_link(secret_digest(secret))
            account = book.account(link.account) if link is not None else None
            if account is None or account.state == "removed":
                raise SignInError("this link was used already, is too old, or was never given")
            proven = proof(book, account)
            result[:] = [replace(proven, state="active", signed_in_at=tx.now)]
            book.save_account(result[0])
            book.drop_links(account.id)
            book.end_sessions(account_id=account.id)
            events: list[Event] = [ev.AccountJoined(at=tx.now, by=account.name, person=account.name, method=method)]
            for issuer, subject in proven.subjects:
                for other in book.of_subject(issuer, subject):
                    if other.id != account.id:  # one subject is one person, whatever the accounts are called
                        events += joined(tx, book, book.account(account.id) or proven, other, "provider")
            return events

        self._registry.change(change, "sign-in")
        return result[0]

    def bind(self, account: Account, who: Subject) -> Account:
        """A provider's subject becomes one of an account, of which links and sessions of before end."""
        secret = secrets.token_urlsafe(32)
        with self._steps.store.transaction() as tx:
            tx.accounts.save_link(Link(
                digest=secret_digest(secret), purpose="invite", account=account.id, expires_at=tx.now + MINUTE,
                created_by="provider",
            ))  # fmt: skip
        return self._joined(secret, "oidc", lambda book, joining: with_subject(book, joining, who))

    def set_password(self, account_id: str, password: str) -> None:
        """The password of an account that is signed in, in place of the one before."""
        with self._steps.store.transaction() as tx:
            account = tx.accounts.account(account_id)
            if account is None or account.state != "active":
                raise SignInError(WRONG)
            hashed = hash_of(checked_password(password, account.name))
            tx.accounts.save_account(replace(account, password=hashed))

    # Sessions

    def begin(
        self, account: Account | None, method: str, *, agent: str = "", person: str = "", life: int = WEEK,
        proven_at: int | None = None,
    ) -> SignedIn:  # fmt: skip
        """A new session; without an account it is that of the demo, or of somebody who sets the desk up.

        `proven_at` is when its person last proved who they are, where that was not now: 0 where nobody knows.
        """
        secret = secrets.token_urlsafe(32)
        with self._steps.store.transaction() as tx:
            session = SignIn(
                digest=secret_digest(secret), id=secrets.token_hex(6), account=account.id if account else "",
                person=person, method=method, agent=agent[:120], created_at=tx.now,
                signed_in_at=tx.now if proven_at is None else min(proven_at, tx.now),
                seen_at=tx.now, expires_at=tx.now + life,
            )  # fmt: skip
            if account is not None:
                current = tx.accounts.account(account.id)
                if current is None or current.state != "active":
                    raise SignInError(WRONG)
                tx.accounts.save_account(replace(current, signed_in_at=tx.now))
            tx.accounts.save_session(session)
        return SignedIn(secret, session)

    def session(self, secret: str) -> tuple[SignIn, Principal] | None:
        """The session of a secret and who is behind it now; None where it ended, or its account did."""
        with self._steps.store.queries.accounts() as book:
            session = book.session(secret_digest(secret))
            account = book.account(session.account) if session is not None and session.account else None
            now = self._steps.now()
        if session is None:
            return None
        if now - session.seen_at > 10 * MINUTE:
            self.update(replace(session, seen_at=now))
        if not session.account:
            principal = Principal(person=session.person, authenticated=session.method)
        elif account is None or account.state != "active":
            return None
        else:
            principal = Principal(
                person=account.name, grants=account.grants, authenticated=session.method, account=account.id,
                signed_in_at=session.signed_in_at or None, stepped_up_at=session.stepped_up_at,
            )  # fmt: skip
        return session, principal

    def update(self, session: SignIn) -> None:
        """Write a session that is still there."""
        with self._steps.store.transaction(durable=False) as tx:
            if tx.accounts.session(session.digest) is not None:
                tx.accounts.save_session(session)

    def renewed(
        self, session: SignIn, *, stepped_up: bool = False, at: int | None = None, method: str | None = None
    ) -> SignedIn:  # fmt: skip
        """The same session under a new secret, after its person proved anew who they are: `at` that moment, or now."""
        secret = secrets.token_urlsafe(32)
        with self._steps.store.transaction() as tx:
            if tx.accounts.end_sessions(digest=session.digest) != 1:
                raise SignInError("this session has ended")
            fresh = replace(
                session, digest=secret_digest(secret), method=method or session.method,
                stepped_up_at=min(at or tx.now, tx.now) if stepped_up else session.stepped_up_at,
            )  # fmt: skip
            tx.accounts.save_session(fresh)
        return SignedIn(secret, fresh)

    def end_others(self, session: SignIn) -> int:
        """End all sessions of an account but the one at hand; returns how many."""
        with self._steps.store.transaction() as tx:
            others = [other for other in tx.accounts.sessions(session.account) if other.id != session.id]
            return sum(tx.accounts.end_sessions(digest=other.digest) for other in others)

    def sessions(self, account_id: str | None = None) -> list[SignIn]:
        """The sessions of an account, or all, newest first."""
        with self._steps.store.queries.accounts() as book:
            return book.sessions(account_id)

    def end(self, *, digest: str | None = None, account_id: str | None = None) -> int:
        """End one session, or all of an account; returns how many."""
        with self._steps.store.transaction() as tx:
            return tx.accounts.end_sessions(digest=digest, account_id=account_id)

    # What waits for a provider's answer

    def remember(self, key: str, body: JSON, life: int = 10 * MINUTE) -> None:
        """Keep what belongs to a sign-in under way, for one use, under a secret that only its browser knows."""
        with self._steps.store.transaction(durable=False) as tx:
            tx.accounts.save_link(
                Link(digest=secret_digest(key), purpose="provider", expires_at=tx.now + life, body=body)
            )

    def recall(self, key: str) -> JSON:
        """What was kept, once; None where it was used, is too old, or never was."""
        with self._steps.store.transaction(durable=False) as tx:
            link = tx.accounts.take_link(secret_digest(key))
        return None if link is None or link.purpose != "provider" else link.body


def with_subject(book: AccountBook, account: Account, who: Subject) -> Account:
    """The account with a subject of a provider."""
    return replace(account, subjects=tuple(dict.fromkeys((*account.subjects, (who.issuer, who.subject)))))


# Passwords


OBVIOUS = ("password", "passwort", "12345", "qwert", "letmein", "dualcontrol", "administrator")


def checked_password(password: str, name: str) -> str:
    """A password that may be chosen; `AccountError` says what it lacks (NIST SP 800-63B: length, no composition)."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountError(f"a password has {SHORTEST} to {LONGEST} characters", hint="Take four words, for example.")
    folded = identity(password).replace(" ", "")
    own = identity(name).replace(" ", "")
    rest = folded.replace(own, "") if own else folded
    for word in OBVIOUS:
        rest = rest.replace(word, "")
    if len(rest) < 6 or len(set(folded)) < 5:
        raise AccountError("this password is easily guessed", hint="Take four words that have nothing to do with you.")
    return password


def hash_of(password: str) -> str:
    """The argon2id hash of a password (RFC 9106), with its parameters and salt."""
    with AT_ONCE:
        return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


def matches(hashed: str, password: str) -> bool:
    """Whether a password has this hash."""
    try:
        with AT_ONCE:
            return _HASHER.verify(hashed, password.encode("utf-8", "surrogatepass")[: 4 * LONGEST])
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys() -> str:
    """The hash that a password is compared with where there is none, so that time tells nobody who has an account."""
    return hash_of(secrets.token_urlsafe(32))
