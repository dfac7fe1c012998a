"""Access: one API token, one single-use address, signed sessions, and the hosts this server answers to.

The scheme, whole: the *entry token* stands in the address that ``dualcontrol serve`` prints and works once, for the
browser that opens it first; the *API token* (``serve --token``, ``web.token``, or drawn at the start) goes into
``Authorization: Bearer`` and may be typed into the entry page as often as needed.  Both end with the process unless
the API token was configured.  Wrong ones are counted: see `attempts`.

A *session* is a signed cookie and a row in the database.  The key comes from the database's own secret (and the
configured ones), so that a restart signs nobody out; leaving takes the row away, so that no copy of the cookie opens
anything any more, in no process.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import ipaddress
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from itsdangerous import BadSignature, URLSafeTimedSerializer

from dualcontrol.errors import SettingsError, TooManyAttemptsError
from dualcontrol.store import Store
from dualcontrol.web.attempts import Attempts

WEEK = 7 * 24 * 3600
LEAST = 16  # characters of a token that somebody chose
LOCAL = ("127.0.0.1", "localhost", "[::1]")
ANYWHERE = ("0.0.0.0", "::", "[::]", "")
MAX_PERSON = 80


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the person they say they are, and how we know that they may ask."""

    person: str
    by: str
    session: str | None = None
    shortcuts: bool = True


class Access:
    """The keys to one server: what is accepted, and what is handed out in return."""

    def __init__(
        self, *, token: str | None, store: Store, secret: bytes, host: str, port: int, allowed: Sequence[str] = (),
        person: str = "",
    ) -> None:  # fmt: skip
        if token is not None and len(token) < LEAST:  # it could be guessed
            hint = 'Make one, for example with: python -c "import secrets; print(secrets.token_urlsafe(24))"'
            raise SettingsError(f"the token of the console must have at least {LEAST} characters", hint=hint)
        self.token = secrets.token_urlsafe(24) if token is None else token
        self.attempts = Attempts()
        self.entry = secrets.token_urlsafe(24)
        self.person = clean_person(person) or default_person()
        self.cookie = f"dualcontrol-{port}"
        self.any_address = host in ANYWHERE
        self.hosts = {h.casefold() for h in (*LOCAL, *allowed, *(() if self.any_address else (bracketed(host),)))}
        self._store = store
        self._key = hmac.digest(store.secret() + secret, f"web session\x00{token or ''}".encode(), "sha256")
        self._signer = URLSafeTimedSerializer(
            self._key, salt="session", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )
        self._lock = threading.Lock()
        self._entered = False

    # tokens

    def enter(self, token: str, client: str) -> bool:
        """Use the entry token up; True for the first who brings it, and for no other."""
        with self._lock:
            fits = not self._entered and same(token, self.entry)
            self._counted("address", client, right=fits)
            self._entered = self._entered or fits
        return fits

    def spend(self, token: str) -> None:
        """Use the entry token up for somebody who is in already: it lets nobody else in."""
        with self._lock:
            self._entered = self._entered or same(token, self.entry)

    def holds(self, token: str, client: str, door: str = "form") -> bool:
        """Whether this is the API token; `TooManyAttemptsError` where too many others were tried at this door."""
        right = same(token, self.token)
        self._counted(door, client, right=right)
        return right

    def _counted(self, door: str, client: str, *, right: bool) -> None:
        wait = self.attempts.wait(door, client, right=right)
        if wait:
            seconds = "a second" if wait == 1 else f"{wait} seconds"
            raise TooManyAttemptsError(
                f"too many wrong tokens were tried; the next is looked at in {seconds}", retry_after=wait
            )

    def bearer(self, header: str, client: str) -> Visitor | None:
        """The visitor behind an Authorization header, or None."""
        scheme, _, token = header.partition(" ")
        if scheme.casefold() != "bearer" or not self.holds(token.strip(), client, "bearer"):
            return None
        return Visitor(person=self.person, by="token")

    # sessions

    def issue(self, visitor: Visitor | None = None, **changes: Any) -> str:
        """A signed cookie for a new session, or for a visitor's own with changes."""
        session = visitor.session if visitor else None
        body = {
            "session": session or secrets.token_urlsafe(18),
            "person": visitor.person if visitor else self.person,
            "shortcuts": visitor.shortcuts if visitor else True,
            **changes,
        }
        if session is None:
            with self._store.transaction() as tx:
                tx.begin_session(_digest(body["session"]), body["person"], WEEK * 1_000_000)
        return str(self._signer.dumps(body))

    def session(self, cookie: str) -> Visitor | None:
        """The visitor behind a session cookie, or None when it is not ours or too old; `lives` asks the database."""
        try:
            body: Mapping[str, Any] = self._signer.loads(cookie, max_age=WEEK)
            shortcuts = bool(body.get("shortcuts", True))
            return Visitor(person=body["person"], by="session", session=body["session"], shortcuts=shortcuts)
        except (BadSignature, KeyError, TypeError, AttributeError):
            return None

    def lives(self, visitor: Visitor) -> bool:
        """Whether a visitor's session has not ended; a bearer has none to end."""
        return visitor.session is None or self._store.queries.session_lives(_digest(visitor.session))

    def end(self, visitor: Visitor) -> None:
        """End a session for every browser and process that knows its cookie."""
        if visitor.session is not None:
            with self._store.transaction() as tx:
                tx.end_session(_digest(visitor.session))

    def csrf(self, visitor: Visitor) -> str:
        """What a form of this session has to carry."""
        return hmac.digest(self._key, f"csrf\x00{visitor.session}".encode(), "sha256").hex()[:40]

    def meant(self, visitor: Visitor, csrf: str) -> bool:
        """Whether a form was made for this session; a bearer needs no proof, no browser adds its token by itself."""
        return visitor.session is None or same(csrf, self.csrf(visitor))

    def stamp(self, visitor: Visitor, name: str, at: int) -> str:
        """A moment, signed for this session and under a name."""
        sealed = hmac.digest(self._key, f"stamp\x00{visitor.session}\x00{name}\x00{at}".encode(), "sha256")
        return f"{at}.{sealed.hex()[:40]}"

    def stamped(self, visitor: Visitor, name: str, stamp: str) -> int | None:
        """The moment that a stamp of this session and name holds; None for any other."""
        at = stamp.partition(".")[0]
        known = at.isascii() and at.isdigit() and len(at) < 19 and same(stamp, self.stamp(visitor, name, int(at)))
        return int(at) if known else None

    # hosts

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


def _digest(session: str) -> str:
    """What the database knows of a session: nothing from which its cookie could be made."""
    return hashlib.sha256(session.encode()).hexdigest()


def same(secret: str, wanted: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(secret.encode("utf-8", "surrogatepass"), wanted.encode())


def bracketed(host: str) -> str:
    """A host as it stands in an address: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


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
