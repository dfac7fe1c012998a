"""Access: who is behind a request, by session or token, what forms carry, and the hosts this server answers to.

*Sessions* are a cookie with 32 random bytes and a row in the database: leaving, revoking and removing take effect in
every process at once.  *Tokens* go into ``Authorization: Bearer``: those of accounts, and the one that was configured
(``serve --token``, ``web.token``, or drawn at the start), which may propose and read.  The *entry token* stands in the
address that the server prints and works once: it makes the first admin, or opens the demo, which has people to switch
between and no accounts.  Wrong secrets are counted: see `attempts`.
"""

from __future__ import annotations

import getpass
import hmac
import ipaddress
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from dualcontrol.accounts.sign_in import WEEK, Pending, SignedIn, Subject
from dualcontrol.accounts.tokens import configured
from dualcontrol.control import Role
from dualcontrol.desk import Desk
from dualcontrol.errors import AccountError, SettingsError, SignInError, TooManyAttemptsError
from dualcontrol.names import identity, same
from dualcontrol.people import Grant, Principal
from dualcontrol.store.accounts import Account, SignIn, secret_digest
from dualcontrol.web.attempts import Attempts

SET_UP = 3_600_000_000  # microseconds for which the first browser may set the desk up
LEAST = 16  # characters of a token that somebody chose
LOCAL = ("127.0.0.1", "localhost", "[::1]")
ANYWHERE = ("0.0.0.0", "::", "[::]", "")
MAX_PERSON = 80
IN_DEMO: tuple[Role, ...] = ("reviewer", "lead", "policy", "auditor")


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as the door knows them: the person and what they may do, and the session, unless a token was sent."""

    principal: Principal
    session: SignIn | None = None
    token: str = ""  # the digest of one's own token

    @property
    def person(self) -> str:
        """The name under which they act."""
        return self.principal.person

    @property
    def shortcuts(self) -> bool:
        """Whether single keys decide on their pages."""
        return self.session is None or self.session.shortcuts

    @property
    def sets_up(self) -> bool:
        """Whether they may do nothing but make the first admin."""
        return self.principal.authenticated == "setup"


class Provider(Protocol):
    """Who vouches for people in this server's place: a provider of sign-in, known by the name that people know."""

    name: str

    def begin(self, redirect_uri: str, *, max_age: int | None = None, fresh: bool = False) -> Pending:
        """A sign-in whose answer comes to `redirect_uri`; with `fresh` people have to prove now who they are."""

    def finish(self, pending: Pending, query: Mapping[str, str]) -> Subject:
        """Who signed in, from the query that the browser came back with."""


class Access:
    """The keys to one server: what is accepted, and what is handed out in return."""

    def __init__(
        self, desk: Desk, *, token: str | None, host: str, port: int, allowed: Sequence[str] = (),
        people: Sequence[str] = (), provider: Provider | None = None, url: str | None = None,
    ) -> None:  # fmt: skip
        if token is not None and len(token) < LEAST:  # it could be guessed
            hint = 'Make one, for example with: python -c "import secrets; print(secrets.token_urlsafe(24))"'
            raise SettingsError(f"the token of the console must have at least {LEAST} characters", hint=hint)
        self.token = secrets.token_urlsafe(24) if token is None else token
        self.attempts = Attempts()
        self.entry = secrets.token_urlsafe(24)
        self.people = tuple(name for name in map(clean_person, people) if name)
        self.provider = provider
        self.url = url
        self.cookie = f"dualcontrol-{port}"
        self.cookie_of_provider = f"{self.cookie}-provider"
        self.any_address = host in ANYWHERE
        names = (*LOCAL, *allowed, *(() if self.any_address else (bracketed(host),)))
        if url is not None:
            names = (*names, bracketed(urlsplit(url).hostname or ""))
        self.hosts = {name.casefold() for name in names}
        if self.people and not is_loopback(host):
            raise SettingsError("the demo has no accounts, so it listens on this machine only, not on " + repr(host))
        if self.people and desk.people.begun:
            hint = "Serve it with `dualcontrol serve`, or give the demo a database of its own."
            raise SettingsError("this database has accounts, and the demo would let anybody act as them", hint=hint)
        self._desk = desk
        self._tokens, self._sign_ins, self._registry = desk.tokens, desk.sign_ins, desk.people
        self._key = hmac.digest(desk.store.secret() + desk.steps.secret, b"web session", "sha256")
        self._lock = threading.Lock()
        self._entered = False
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether the desk has been set up, so that people sign in."""
        if not self._begun:
            self._begun = self._registry.begun
        return self._begun

    # The printed address and tokens

    def enter(self, token: str, client: str) -> bool:
        """Use the entry token up; True for the first who brings it, and for no other."""
        with self._lock:
            fits = not self._entered and equal(token, self.entry)
            self._counted("address", client, right=fits)
            self._entered = self._entered or fits
        return fits

    def spend(self, token: str) -> None:
        """Use the entry token up for somebody who is in already: it lets nobody else in."""
        with self._lock:
            self._entered = self._entered or equal(token, self.entry)

    def entered(self, agent: str = "") -> SignedIn | None:
        """The session that the printed address gives: of the demo, or to set the desk up; None where people sign in."""
        if self.people:
            return self._sign_ins.begin(None, "demo", person=self.people[0], agent=agent)
        if self.begun:
            return None
        return self._sign_ins.begin(None, "setup", life=SET_UP, agent=agent)

    def bearer(self, header: str, client: str) -> Visitor | None:
        """The visitor behind an Authorization header, or None; `TooManyAttemptsError` after too many wrong ones."""
        scheme, _, token = header.partition(" ")
        if scheme.casefold() != "bearer":
            return None
        token = token.strip()
        principal = configured() if equal(token, self.token) else self._tokens.principal(token)
        self._counted("bearer", client, right=principal is not None)
        if principal is None:
            return None
        return Visitor(principal=principal, token=secret_digest(token) if principal.account else "")

    def _counted(self, door: str, client: str, *, right: bool) -> None:
        wait = self.attempts.wait(door, client, right=right)
        if wait:
            raise too_many(wait)

    # Sessions

    def sign_in(self, name: str, password: str, client: str, agent: str = "") -> SignedIn:
        """A new session by password; SignInError where it is wrong, TooManyAttemptsError where it was too often."""
        account = self.proven(name, password, client)
        return self._sign_ins.begin(account, "password", agent=agent)

    def proven(self, name: str, password: str, client: str) -> Account:
        """The account whose name and password these are; wrong ones are counted by client and by name."""
        doors = [("password", client)]
        if not self.attempts.proven(client):  # whoever has signed in from there before is not shut out by strangers
            doors.append((f"name/{identity(name)[:MAX_PERSON]}", "anybody"))
        for door, who in doors:  # before the password is hashed, which is dear
            if wait := self.attempts.closed(door, who):
                raise too_many(wait)
        try:
            account = self._sign_ins.by_password(name, password)
            self.attempts.wait("password", client, right=True)
            return account
        except SignInError:
            for door, who in doors:
                self.attempts.wait(door, who, right=False)
            raise

    def session(self, secret: str) -> Visitor | None:
        """The visitor behind a session cookie, read anew; None where it has ended or its account has."""
        known = self._sign_ins.session(secret) if secret else None
        if known is None:
            return None
        session, principal = known
        if session.method == "demo":
            if not self.people or not any(same(principal.person, name) for name in self.people):
                return None  # a demo's cookie opens nothing but a demo
            grants = tuple(Grant(role=role) for role in IN_DEMO)
            principal = msgspec.structs.replace(principal, grants=grants)
        elif session.method == "setup" and self.begun:
            return None
        return Visitor(principal=principal, session=session)

    def lives(self, visitor: Visitor) -> bool:
        """Whether a visitor's session has not ended, nor their token; the configured one ends with the server."""
        if visitor.session is None:
            return not visitor.token or self._tokens.lives(visitor.token)
        with self._desk.store.queries.accounts() as book:
            return book.session(visitor.session.digest) is not None

    def switched(self, visitor: Visitor, name: str) -> SignIn:
        """The session of a demo under another of its people; `AccountError` for anybody else, and elsewhere."""
        chosen = next((person for person in self.people if same(person, name)), None)
        if visitor.session is None or visitor.session.method != "demo" or chosen is None:
            raise AccountError("only the demo has people to switch between; sign in as who you are")
        return msgspec.structs.replace(visitor.session, person=chosen)

    def begins(self, client: str) -> None:
        """Count a sign-in that a stranger begins with the provider, each of which is kept for a while."""
        if wait := self.attempts.wait("provider", client, right=False):
            raise TooManyAttemptsError(
                f"too many sign-ins were begun from here; the next one in {wait} seconds", retry_after=wait
            )

    # What a form of a session carries

    def csrf(self, visitor: Visitor) -> str:
        """What a form of this session has to carry."""
        session = visitor.session.id if visitor.session else ""
        return hmac.digest(self._key, f"csrf\x00{session}".encode(), "sha256").hex()[:40]

    def meant(self, visitor: Visitor, csrf: str) -> bool:
        """Whether a form was made for this session; a bearer needs no proof, no browser adds its token by itself."""
        return visitor.session is None or equal(csrf, self.csrf(visitor))

    def stamp(self, visitor: Visitor, name: str, at: int) -> str:
        """A moment, signed for this session and under a name."""
        session = visitor.session.id if visitor.session else ""
        sealed = hmac.digest(self._key, f"stamp\x00{session}\x00{name}\x00{at}".encode(), "sha256")
        return f"{at}.{sealed.hex()[:40]}"

    def stamped(self, visitor: Visitor, name: str, stamp: str) -> int | None:
        """The moment that a stamp of this session and name holds; None for any other."""
        at = stamp.partition(".")[0]
        known = at.isascii() and at.isdigit() and len(at) < 19 and equal(stamp, self.stamp(visitor, name, int(at)))
        return int(at) if known else None

    # Hosts

    def base(self, scheme: str, host: str) -> str:
        """The address under which people reach this server: as configured, else as they asked for it."""
        return self.url or f"{scheme}://{host}"

    def answers_to(self, host: str) -> bool:
        """Whether a Host header names this server; a foreign name may be a DNS rebinding attack."""
        name = (host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]).casefold()
        if name in self.hosts or not self.any_address:
            return name in self.hosts
        try:
            ipaddress.ip_address(name.strip("[]"))  # a literal address cannot be rebound
        except ValueError:
            return False
        return True


def too_many(wait: int) -> TooManyAttemptsError:
    """The refusal after too many wrong secrets, with the seconds until one is looked at again."""
    seconds = "a second" if wait == 1 else f"{wait} seconds"
    return TooManyAttemptsError(
        f"too many wrong secrets were tried; the next is looked at in {seconds}", retry_after=wait
    )


def equal(secret: str, wanted: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), wanted.encode())


def bracketed(host: str) -> str:
    """A host as it stands in an address: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def address(host: str, port: int) -> str:
    """The address of the front page of a server that listens there."""
    return f"http://{socket.gethostname() if host in ANYWHERE else bracketed(host)}:{port}/"


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def clean_person(name: str) -> str:
    """A person's name as it is kept: printable, without outer spaces, not too long."""
    return "".join(c for c in name if c.isprintable()).strip()[:MAX_PERSON]


def default_person() -> str:
    """The name of the user who runs the server, or "you"."""
    try:
        name = clean_person(getpass.getuser())
    except (OSError, KeyError, ImportError):
        return "you"
    return "you" if name in ("", "root") else name


__all__ = ["WEEK", "Access", "Visitor", "address", "bracketed", "clean_person", "default_person"]
