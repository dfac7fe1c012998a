"""Sign-in with OpenID Connect: the authorization code flow with PKCE, with the provider of the settings `[web.oidc]`.

`Provider.begin` gives the address to send a browser to, and `Provider.finish` makes a `Subject` of what it brings back.
The provider is asked over the network only while somebody signs in, and never waits for more than a few people at once:
whoever is signed in does not notice that it is down.

Whom a subject is in this program is for whoever calls: issuer and subject identify a person, a name does not.
"""

from __future__ import annotations

import hmac
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import httpx2
import msgspec
from authlib.integrations.httpx_client import OAuth2Client, OAuthError
from authlib.oauth2 import OAuth2Client as RequestBuilder
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, KeySet
from joserfc.jws import JWSRegistry

from dualcontrol.accounts.sign_in import Pending, Subject
from dualcontrol.characters import hides
from dualcontrol.errors import ProviderError, SettingsError, SignInError
from dualcontrol.names import identity, written
from dualcontrol.settings import Oidc, confidential

# Keys of providers are public, so that a token signed with a shared key, or not at all, is anybody's.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
LIFETIME = 600_000_000  # microseconds from the beginning of a sign-in to its end
KEPT = 3600.0  # seconds for which the provider's documents are not read again
PATIENCE = 5.0  # seconds for each part of a call: to connect, to begin the answer, to end it
MOST_BYTES = 1_048_576
CALLS = 8  # at once; each holds a thread that pages need as well
LONGEST_NAME = 80  # as the console takes them
NAME_CLAIMS = ("preferred_username", "name", "email", "sub")
Document = TypeVar("Document")


class Discovery(msgspec.Struct, frozen=True):
    """What is read of a provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Jwks(msgspec.Struct, frozen=True):
    """A provider's document of public keys."""

    keys: list[dict[str, Any]]


class Claims(msgspec.Struct, frozen=True):
    """The claims of an ID token that identify and date; their types are checked before anything is compared."""

    sub: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    nonce: str
    auth_time: int | float | None = None
    at_hash: str | None = None


class Provider:
    """The provider of the settings; `clock` gives microseconds UTC.

    `SettingsError` where its address is neither https nor of this machine; nothing is sent before a sign-in begins.
    """

    def __init__(self, settings: Oidc, *, clock: Callable[[], int] | None = None) -> None:
        if not confidential(settings.issuer):
            raise SettingsError(f"the issuer {settings.issuer!r} must be an https address, or one of this machine")
        self.settings = settings
        self.name = settings.name
        self._now = clock or (lambda: time.time_ns() // 1000)
        self._calls = threading.BoundedSemaphore(CALLS)
        self._discovery: tuple[float, Discovery] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def begin(self, redirect_uri: str, *, max_age: int | None = None, fresh: bool = False) -> Pending:
        """A sign-in whose answer comes to `redirect_uri`; `ProviderError` where the provider cannot be used.

        `max_age` is how many seconds ago people may have proved who they are; with `fresh` they have to do so now.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        max_age = 0 if fresh else max_age
        request = RequestBuilder(
            None, self.settings.client_id, redirect_uri=redirect_uri, scope=" ".join(self.settings.scopes),
            code_challenge_method="S256",
        )  # fmt: skip
        url, _ = request.create_authorization_url(
            self._described().authorization_endpoint, state, verifier, nonce=nonce,
            prompt="login" if fresh else None, max_age=None if max_age is None else str(max_age),
        )  # fmt: skip
        return Pending(
            url=url, redirect_uri=redirect_uri, state=state, nonce=nonce, code_verifier=verifier,
            created_at=self._now(), max_age=max_age,
        )  # fmt: skip

    def finish(self, pending: Pending, query: Mapping[str, str]) -> Subject:
        """Who signed in, from the query that the browser came back with.

        `SignInError` where it does not show that, `ProviderError` where the provider cannot be used.
        """
        self._check_answer(pending, query)
        token = self._exchange(pending, query["code"])
        signed = self._verified(token.get("id_token"))
        claims = self._checked(signed, pending, token.get("access_token"))
        return self._subject(claims, signed.claims)

    # The answer, before anything is asked about it

    def _check_answer(self, pending: Pending, query: Mapping[str, str]) -> None:
        """Refuse an answer that is late, of another browser or of another provider, or that says no."""
        if abs(self._now() - pending.created_at) > LIFETIME:
            raise SignInError("the sign-in took more than ten minutes")
        if not same_secret(pending.state, query.get("state", "")):
            raise SignInError("this answer is not of the sign-in that this browser began")
        sender = query.get("iss")
        if sender != self.settings.issuer and (
            sender is not None or self._described().authorization_response_iss_parameter_supported
        ):
            raise SignInError("this answer is not from the provider of the settings")
        if "error" in query:
            raise refusal(query["error"])
        if not query.get("code"):
            raise SignInError("the answer of the provider holds no code")

    def _exchange(self, pending: Pending, code: str) -> dict[str, Any]:
        """What the provider gives for a code."""
        described = self._described()
        with self._network() as client:
            client.token_endpoint_auth_method = self._client_auth(described)
            client.register_compliance_hook("access_token_response", self._json_object)
            try:
                token: dict[str, Any] = client.fetch_token(
                    described.token_endpoint, grant_type="authorization_code", code=code,
                    redirect_uri=pending.redirect_uri, code_verifier=pending.code_verifier,
                )  # fmt: skip
            except OAuthError as error:
                raise refusal(error.error) from None
        return token

    def _client_auth(self, described: Discovery) -> str:
        """How this program says who it is: as the standard prefers, or as the provider does."""
        if self.settings.client_secret is None:
            return "none"
        methods = described.token_endpoint_auth_methods_supported
        post = "client_secret_basic" not in methods and "client_secret_post" in methods
        return "client_secret_post" if post else "client_secret_basic"

    # The ID token

    def _verified(self, id_token: Any) -> jwt.Token:
        """The ID token, signed by a key of the provider; where none that is known fits, they are read again once."""
        if not isinstance(id_token, str):
            raise SignInError("the provider gave no ID token", hint="Keep 'openid' in web.oidc.scopes.")
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        try:
            try:
                return jwt.decode(id_token, self._key_set(), registry=registry)
            except (InvalidKeyIdError, BadSignatureError):
                return jwt.decode(id_token, self._key_set(again=True), registry=registry)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise SignInError(f"the ID token was refused: {reason(error)}") from None

    def _checked(self, signed: jwt.Token, pending: Pending, access_token: Any) -> Claims:
        """The claims of an ID token that is for this program, of this sign-in, of now, and as young as was asked."""
        now, leeway = self._now() / 1_000_000, self.settings.leeway
        expected = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
        }
        context = {"nonce": pending.nonce, "client_id": self.settings.client_id, "access_token": access_token}
        try:
            claims = msgspec.convert(signed.claims, Claims)
            CodeIDToken(signed.claims, signed.header, expected, context).validate(now=now, leeway=leeway)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            clock = "compare the clock of this machine with the provider's"
            hint = f"Begin again from the sign-in page; where it happens to everybody, {clock}."
            raise SignInError(f"the ID token was refused: {reason(error)}", hint=hint) from None
        if claims.auth_time is not None and not 0 <= claims.auth_time <= now + leeway:
            raise SignInError("the ID token was refused: it says that the person signed in in the future")
        if pending.max_age is not None:
            begun = pending.created_at / 1_000_000
            if claims.auth_time is None:
                hint = "Have the provider send the claim auth_time."
                raise SignInError("the provider does not say when the person signed in", hint=hint)
            if claims.auth_time < begun - pending.max_age - leeway:
                raise SignInError("the provider sent an earlier sign-in, and a new one was asked for")
        return claims

    def _subject(self, claims: Claims, profile: Mapping[str, Any]) -> Subject:
        """The subject of checked claims; what cannot be shown or kept counts as not said."""
        if text(claims.sub) is None:
            raise SignInError("the provider identifies this person by characters that cannot be shown")
        groups = profile.get(self.settings.groups_claim)
        items = groups if isinstance(groups, list) else [groups]
        return Subject(
            issuer=self.settings.issuer,
            subject=claims.sub,
            name=name_of(profile, self.settings.name_claim),
            email=text(profile.get("email")),
            email_verified=profile.get("email_verified") is True,
            groups=tuple(group for group in map(text, items) if group is not None),
            auth_time=None if claims.auth_time is None else int(claims.auth_time * 1_000_000),
            acr=text(profile.get("acr")),
        )

    # The provider's documents

    def _described(self) -> Discovery:
        """The provider's discovery document, read again once an hour."""
        if self._discovery is None or self._discovery[0] < time.monotonic():
            issuer = self.settings.issuer
            document = self._read(f"{issuer.rstrip('/')}/.well-known/openid-configuration", Discovery)
            if document.issuer != issuer:
                hint = "Correct web.oidc.issuer, down to the last slash, if that is the provider you mean."
                raise ProviderError(f"{issuer} calls itself {document.issuer[:200]!r}", hint=hint)
            for address in (document.authorization_endpoint, document.token_endpoint, document.jwks_uri):
                if not confidential(address, beside=issuer):
                    raise ProviderError(f"{issuer} names the address {address[:200]!r}, which is not safe to use")
            self._discovery = (time.monotonic() + KEPT, document)
        return self._discovery[1]

    def _key_set(self, *, again: bool = False) -> KeySet:
        """The provider's public keys, read again once an hour and where `again` is asked."""
        if again or self._keys is None or self._keys[0] < time.monotonic():
            keys = []
            for data in self._read(self._described().jwks_uri, Jwks).keys:
                try:
                    if data.get("kty") in ("RSA", "EC"):
                        keys.append(JWKRegistry.import_key(data))
                except (JoseError, ValueError, TypeError):
                    continue  # one key that cannot be read is no reason to refuse the others
            if not keys:
                raise ProviderError(f"{self.settings.issuer} publishes no key that could sign an ID token")
            self._keys = (time.monotonic() + KEPT, KeySet(keys))
        return self._keys[1]

    # The network

    def _read(self, address: str, kind: type[Document]) -> Document:
        """A document of the provider."""
        with self._network() as client:
            response = client.request("GET", address, withhold_token=True)
        if response.status_code != 200:
            raise ProviderError(f"{self.settings.issuer} answered with status {response.status_code}")
        return self._decoded(response, kind)

    def _json_object(self, response: httpx2.Response) -> httpx2.Response:
        """An answer of the token endpoint, which is a JSON object whether it grants or refuses."""
        if response.status_code not in (200, 400, 401):
            raise ProviderError(f"{self.settings.issuer} answered with status {response.status_code}")
        self._decoded(response, dict[str, Any])
        return response

    def _decoded(self, response: httpx2.Response, kind: type[Document]) -> Document:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            problem = f"{self.settings.issuer} answered with something that no provider of OpenID Connect answers"
            raise ProviderError(problem) from None

    @contextmanager
    def _network(self) -> Iterator[OAuth2Client]:
        """A client for one exchange with the provider; a `ProviderError` says what went wrong on the way.

        Redirects are not followed, and proxies of the environment are not for addresses of this machine.
        """
        issuer = self.settings.issuer
        if not self._calls.acquire(blocking=False):
            raise ProviderError(f"{CALLS} people wait for {issuer} at this moment")
        try:
            with OAuth2Client(
                self.settings.client_id, self.settings.client_secret, verify=authorities(), timeout=PATIENCE,
                follow_redirects=False,
                trust_env=not confidential("http://localhost", beside=issuer),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                event_hooks={"response": [bounded]},
            ) as client:  # fmt: skip
                yield client
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ProviderError(f"{issuer} cannot be reached: {str(error)[:200] or type(error).__name__}") from None
        finally:
            self._calls.release()


@lru_cache(maxsize=1)
def authorities() -> ssl.SSLContext:
    """Whose certificates hold, read once, for that takes longer than a call: those of `SSL_CERT_FILE` if it is set."""
    return httpx2.create_ssl_context()


class Bounded(httpx2.SyncByteStream):
    """The body of an answer, which ends with an error where it takes more room or time than an honest one needs."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size, end = 0, time.monotonic() + PATIENCE
        for part in self._stream:
            size += len(part)
            if size > MOST_BYTES:
                raise httpx2.ReadError("the answer is larger than 1 MiB")
            if time.monotonic() > end:
                raise httpx2.ReadTimeout("the answer does not end")
            yield part

    def close(self) -> None:
        """End the answer."""
        self._stream.close()


def bounded(response: httpx2.Response) -> None:
    """Bound the body of an answer before it is read; one that is compressed nevertheless could be of any size."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.ReadError("the answer is compressed")
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = Bounded(response.stream)


def same_secret(one: str, other: str) -> bool:
    """Whether two texts are equal, compared in a time that does not tell how far they are."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


# What people can do about it, by the error codes of OAuth 2.0 and OpenID Connect.
HINTS = {
    "access_denied": "You or the provider said no; begin again, or ask whoever runs the provider to let you in.",
    "invalid_client": "Whoever runs this console compares web.oidc.client_id and client_secret with the provider's.",
    "invalid_grant": "Begin again from the sign-in page; an answer of the provider is good once, and soon too late.",
    "redirect_uri_mismatch": "Whoever runs this console registers its address with the provider.",
    "unauthorized_client": "Whoever runs this console lets it use the authorization code flow at the provider.",
    "invalid_scope": "Whoever runs this console removes from web.oidc.scopes what the provider does not know.",
}


def refusal(code: Any) -> SignInError:
    """The error for a provider that refuses; only a code is passed on of what it says: the rest could be anything."""
    if not isinstance(code, str) or not re.fullmatch(r"[a-zA-Z_]{1,40}", code):
        return SignInError("the provider refused")
    return SignInError(f"the provider refused: {code}", hint=HINTS.get(code))


def reason(error: Exception) -> str:
    """Why an ID token does not hold, without its content."""
    if isinstance(error, ExpiredTokenError):
        return "the token has expired"
    if isinstance(error, JoseError):
        return str(error.description or error.error).replace("'", "").rstrip(".")[:200]
    return "it is no ID token"


def text(value: Any) -> str | None:
    """A text of one line that can be shown and kept; None for all else."""
    if not isinstance(value, str) or not identity(value) or set("\n\t") & set(value) or hides(value):
        return None
    return value


def name_of(claims: Mapping[str, Any], first: str) -> str:
    """What a person is called: by the first claim that can be a name, for lack of any by their identifier."""
    for claim in (first, *NAME_CLAIMS):
        name = text(claims.get(claim))
        if name is not None and len(name) <= LONGEST_NAME:
            return written(name)
    return written(claims["sub"])[:LONGEST_NAME]
