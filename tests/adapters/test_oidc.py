"""Sign-in with OpenID Connect, against an independent provider and against one that lies."""

from __future__ import annotations

import base64
import gzip
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import identity_provider
import pytest
from adapters.forging import CLIENT, CURVE, RSA, ForgingProvider, encoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jws
from msgspec.structs import replace

from dualcontrol.accounts.sign_in import Pending, Subject
from dualcontrol.adapters import oidc
from dualcontrol.adapters.oidc import Provider
from dualcontrol.characters import hides
from dualcontrol.errors import ProviderError, SettingsError, SignInError
from dualcontrol.names import identity
from dualcontrol.settings import Oidc, confidential
from dualcontrol.testing import FakeClock

BACK = "http://127.0.0.1:8765/sign-in/answer"
SECRET = "s3cr3t-of-the-client"


@pytest.fixture(autouse=True, scope="module")
def _stay_on_this_machine() -> Iterator[None]:
    """No test sends anything beyond this machine, nor asks for another's address."""
    beyond: list[Any] = []
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def connected(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            beyond.append(address)
            raise OSError("beyond this machine")
        connect(self, address)

    def resolved(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None):
            beyond.append(host)
            raise OSError("beyond this machine")
        return resolve(host, *rest, **named)

    with pytest.MonkeyPatch.context() as network:
        network.setattr(socket.socket, "connect", connected)
        network.setattr(socket, "getaddrinfo", resolved)
        yield
    assert beyond == []


# An independent provider


@pytest.fixture(scope="module")
def independent() -> Iterator[str]:
    """The issuer of `oidc-provider-mock`."""
    with identity_provider.running() as issuer:
        yield issuer


def browse(url: str, **form: str) -> dict[str, str]:
    """What a browser brings back whose person fills in the form at `url`."""
    with httpx2.Client(follow_redirects=False, trust_env=False) as browser:
        assert browser.get(url).status_code == 200
        back = browser.post(url, data=form).headers["location"]
    assert back.startswith(BACK)
    return dict(parse_qsl(urlsplit(back).query))


def real(issuer: str, **settings: Any) -> Provider:
    return Provider(Oidc(issuer=issuer, client_id=CLIENT, client_secret=SECRET, **settings))


def test_a_person_signs_in_at_an_independent_provider(independent: str) -> None:
    provider = real(independent)
    pending = provider.begin(BACK)
    subject = provider.finish(pending, browse(pending.url, sub="ann-17"))
    assert replace(subject, auth_time=None) == Subject(
        issuer=independent, subject="ann-17", name="ann", email="ann@example.org", groups=("approvers",)
    )


def test_the_independent_provider_gives_a_code_once(independent: str) -> None:
    provider = real(independent)
    pending = provider.begin(BACK)
    answer = browse(pending.url, sub="ann-17")
    provider.finish(pending, answer)
    with pytest.raises(SignInError, match="invalid_grant"):
        provider.finish(pending, answer)


def test_a_person_says_no_at_the_independent_provider(independent: str) -> None:
    provider = real(independent)
    pending = provider.begin(BACK)
    answer = browse(pending.url, action="deny")
    assert answer["error"] == "access_denied"
    with pytest.raises(SignInError, match="access_denied"):
        provider.finish(pending, {"state": pending.state} | answer)


def test_scopes_decide_what_the_independent_provider_tells(independent: str) -> None:
    provider = real(independent, scopes=("openid",))
    pending = provider.begin(BACK)
    subject = provider.finish(pending, browse(pending.url, sub="ann-17"))
    assert (subject.name, subject.email) == ("ann-17", None)


def test_a_person_steps_up_at_the_independent_provider(independent: str) -> None:
    provider = real(independent)
    pending = provider.begin(BACK, fresh=True)
    subject = provider.finish(pending, browse(pending.url, sub="ann-17"))
    assert subject.auth_time is not None
    assert 0 <= subject.auth_time - pending.created_at + 1_000_000 < 60_000_000


# A provider that lies


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def idp(clock: FakeClock) -> Iterator[ForgingProvider]:
    forging = ForgingProvider(clock)
    yield forging
    forging.stop()


@pytest.fixture
def provider(idp: ForgingProvider, clock: FakeClock) -> Provider:
    return provider_of(idp, clock)


def provider_of(idp: ForgingProvider, clock: FakeClock, **settings: Any) -> Provider:
    return Provider(Oidc(**{"issuer": idp.issuer, "client_id": CLIENT} | settings), clock=clock)


def sign_in(idp: ForgingProvider, provider: Provider, **step_up: Any) -> Subject:
    pending = provider.begin(BACK, **step_up)
    return provider.finish(pending, idp.authorize(pending.url))


def refused(idp: ForgingProvider, provider: Provider, words: str, **step_up: Any) -> SignInError:
    with pytest.raises(SignInError, match=words) as caught:
        sign_in(idp, provider, **step_up)
    error = caught.value
    assert error.hint
    assert "\n" not in str(error)
    for sent in idp.bodies:
        assert not any(sent.get(key, "-") in f"{error} {error.details}" for key in ("code", "code_verifier"))
    return error


def test_an_honest_answer_passes(idp: ForgingProvider, provider: Provider, clock: FakeClock) -> None:
    """All refusals below differ from this in one part."""
    idp.claims = {"email": "ana@example.org", "email_verified": True, "groups": ["a", "b"], "acr": "gold"}
    assert sign_in(idp, provider) == Subject(
        issuer=idp.issuer, subject="248289761001", name="ana", email="ana@example.org", email_verified=True,
        groups=("a", "b"), auth_time=clock(), acr="gold",
    )  # fmt: skip


def test_the_request_says_what_the_standards_want(idp: ForgingProvider, provider: Provider) -> None:
    idp.discovery = {"authorization_endpoint": f"{idp.issuer}/authorize?p=policy"}
    pending = provider.begin(BACK)
    asked = dict(parse_qsl(urlsplit(pending.url).query))
    assert asked.pop("code_challenge") not in (pending.code_verifier, "")
    assert asked == {
        "p": "policy", "response_type": "code", "client_id": CLIENT, "redirect_uri": BACK, "state": pending.state,
        "scope": "openid profile email", "nonce": pending.nonce, "code_challenge_method": "S256",
    }  # fmt: skip
    assert len({pending.state, pending.nonce, pending.code_verifier}) == 3
    again = provider.begin(BACK)
    assert not {pending.state, pending.nonce, pending.code_verifier} & {again.state, again.nonce, again.code_verifier}


def test_a_pending_sign_in_can_be_kept_and_shows_no_secret(provider: Provider) -> None:
    pending = provider.begin(BACK, max_age=60)
    assert Pending.from_dict(json.loads(json.dumps(pending.to_dict()))) == pending
    for secret in (pending.state, pending.nonce, pending.code_verifier, pending.url):
        assert secret not in repr(pending)


# Signatures


def unsigned(claims: Any, **header: str) -> str:
    return f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(dict(claims)).encode())}"


def with_secret(claims: Any, secret: bytes, **header: str) -> str:
    body = unsigned(claims, alg="HS256", **header)
    return f"{body}.{encoded(hmac.digest(secret, body.encode(), 'sha256'))}"


def test_a_forged_signature_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    idp.signs = lambda claims: idp.signed(claims, RSA[1], kid="first")
    refused(idp, provider, "bad_signature")


def test_a_changed_token_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    def raised(claims: Any) -> str:
        header, _, signature = idp.signed(claims).split(".")
        return ".".join((header, encoded(json.dumps({**claims, "sub": "admin"}).encode()), signature))

    idp.signs = raised
    refused(idp, provider, "bad_signature")


def test_an_unsigned_token_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    idp.signs = lambda claims: f"{unsigned(claims, alg='none', kid='first')}."
    refused(idp, provider, "none is not allowed")


@pytest.mark.parametrize("form", ["pem", "der", "modulus"])
def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    idp: ForgingProvider, provider: Provider, form: str
) -> None:
    known = {"pem": RSA[0].as_pem(private=False), "der": RSA[0].as_der(private=False)}
    known["modulus"] = RSA[0].as_dict(private=False)["n"].encode()
    idp.signs = lambda claims: with_secret(claims, known[form], kid="first")
    refused(idp, provider, "HS256 is not allowed")


def test_a_shared_key_among_the_public_ones_signs_nothing(idp: ForgingProvider, provider: Provider) -> None:
    shared = {"kty": "oct", "k": encoded(b"0123456789abcdef"), "kid": "shared"}
    keys = json.dumps({"keys": [shared, RSA[0].as_dict(private=False)]}).encode()
    idp.pages["/jwks"] = lambda handler: handler.reply(200, keys)
    idp.signs = lambda claims: with_secret(claims, b"0123456789abcdef", kid="shared")
    refused(idp, provider, "not allowed|No key")


def test_a_token_of_an_elliptic_curve_passes(idp: ForgingProvider, provider: Provider) -> None:
    idp.keys = [CURVE, RSA[0]]
    assert sign_in(idp, provider).name == "ana"


def test_a_new_key_is_read_once_and_then_known(idp: ForgingProvider, provider: Provider) -> None:
    sign_in(idp, provider)
    idp.keys = [RSA[1], RSA[0]]
    assert sign_in(idp, provider).name == "ana"
    sign_in(idp, provider)
    assert idp.asked.count("/jwks") == 2
    assert idp.asked.count("/.well-known/openid-configuration") == 1


def test_a_withdrawn_key_signs_nothing_once_the_new_one_is_known(idp: ForgingProvider, provider: Provider) -> None:
    sign_in(idp, provider)
    idp.keys = [RSA[1]]
    sign_in(idp, provider)
    idp.signs = lambda claims: idp.signed(claims, RSA[0])
    refused(idp, provider, "No key for kid")


def test_keys_that_cannot_be_read_do_not_matter(idp: ForgingProvider, provider: Provider) -> None:
    odd = [{"kty": "AKP", "kid": "q"}, {"kty": "RSA", "n": "!", "e": 5}, {}, RSA[0].as_dict(private=False)]
    idp.pages["/jwks"] = lambda handler: handler.reply(200, json.dumps({"keys": odd}).encode())
    assert sign_in(idp, provider).name == "ana"


def test_a_key_for_encryption_signs_nothing(idp: ForgingProvider, provider: Provider) -> None:
    keys = [RSA[0].as_dict(private=False), {**RSA[1].as_dict(private=False), "use": "enc"}]
    idp.pages["/jwks"] = lambda handler: handler.reply(200, json.dumps({"keys": keys}).encode())
    idp.signs = lambda claims: idp.signed(claims, RSA[1])
    refused(idp, provider, "No key for kid")


# Claims


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://other.example.org"}, "iss"),
        ({"iss": None}, "iss"),
        ({"iss": ["https://other.example.org"]}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": ["other", "third"]}, "aud"),
        ({"aud": [CLIENT, "other"]}, "azp"),
        ({"aud": None}, "aud"),
        ({"azp": "other"}, "azp"),
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"nonce": None}, "no ID token"),
        ({"nonce": ""}, "nonce"),
        ({"sub": None}, "no ID token"),
        ({"sub": ""}, "no ID token"),
        ({"sub": 5}, "no ID token"),
        ({"sub": "a" * 256}, "no ID token"),
        ({"sub": "ana\u202e"}, "cannot be shown"),
        ({"sub": "ana\n"}, "cannot be shown"),
        ({"sub": "\u3164"}, "cannot be shown"),
        ({"sub": "\ud800"}, "cannot be shown"),
        ({"exp": None}, "exp"),
        ({"exp": "never"}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"iat": None}, "iat"),
        ({"at_hash": "of another token"}, "at_hash"),
        ({"at_hash": {}}, "no ID token"),
        ({"auth_time": True}, "no ID token"),
        ({"auth_time": float("nan")}, "in the future"),
        ({"auth_time": float("inf")}, "in the future"),
        ({"auth_time": 10**300}, "in the future"),
    ],
)
def test_a_wrong_claim_is_refused(idp: ForgingProvider, provider: Provider, claims: dict[str, Any], words: str) -> None:
    idp.claims = claims
    refused(idp, provider, words)


def test_several_audiences_with_this_program_as_the_party_pass(idp: ForgingProvider, provider: Provider) -> None:
    idp.claims = {"aud": [CLIENT, "other"], "azp": CLIENT}
    assert sign_in(idp, provider).name == "ana"


@pytest.mark.parametrize(
    ("skew", "leeway", "passes"),
    [(59, 60, True), (61, 60, False), (-359, 60, True), (-361, 60, False), (1, 0, False), (0, 0, True)],
)
def test_a_clock_that_is_wrong_passes_within_the_leeway(
    idp: ForgingProvider, clock: FakeClock, skew: int, leeway: int, passes: bool
) -> None:
    """The provider's clock is before or behind ours; its tokens last for five minutes."""
    idp.clock = lambda: clock() + skew * 1_000_000
    idp.claims = {"auth_time": None}
    provider = provider_of(idp, clock, leeway=leeway)
    if passes:
        assert sign_in(idp, provider).name == "ana"
    else:
        hint = refused(idp, provider, "expired" if skew < 0 else "issued in the future").hint
        assert "clock" in hint


def test_a_token_that_is_not_valid_yet_is_refused(idp: ForgingProvider, provider: Provider, clock: FakeClock) -> None:
    idp.claims = {"nbf": clock() // 1_000_000 + 61}
    refused(idp, provider, "not yet valid")


@pytest.mark.parametrize("id_token", [None, "", "a.b", "a.b.c.d.e", "a.b.c", 5, "é.é.é", "." * 100_000, "e30.e30.e30"])
def test_what_is_no_token_is_refused(idp: ForgingProvider, provider: Provider, id_token: Any) -> None:
    idp.token = {"id_token": id_token}
    refused(idp, provider, "ID token")


def test_a_token_whose_content_is_no_object_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    for content in (b"[]", b"null", b"{", b"\xff", b"[" * 90_000):
        token = jws.serialize_compact({"alg": "RS256", "kid": "first"}, content, RSA[0])
        idp.signs = lambda claims, token=token: token  # type: ignore[misc]
        refused(idp, provider, "ID token")


# Which browser, and once


def test_an_answer_is_good_once(idp: ForgingProvider, provider: Provider) -> None:
    pending = provider.begin(BACK)
    answer = idp.authorize(pending.url)
    provider.finish(pending, answer)
    with pytest.raises(SignInError, match="invalid_grant") as caught:
        provider.finish(pending, answer)
    assert "script" not in str(caught.value) + str(caught.value.details)


def test_an_answer_of_another_browser_is_refused_before_anything_is_asked(
    idp: ForgingProvider, provider: Provider
) -> None:
    mine, theirs = provider.begin(BACK), provider.begin(BACK)
    for state in (theirs.state, "", mine.state[:-1], "é", "\ud800"):
        with pytest.raises(SignInError, match="this browser"):
            provider.finish(mine, idp.authorize(theirs.url) | {"state": state})
    with pytest.raises(SignInError, match="this browser"):
        provider.finish(mine, {"code": "x"})
    assert "/token" not in idp.asked


def test_a_code_of_another_sign_in_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    """Somebody hands a person the code of their own sign-in, with the person's state."""
    mine, theirs = provider.begin(BACK), provider.begin(BACK)
    with pytest.raises(SignInError, match="invalid_grant"):
        provider.finish(mine, idp.authorize(theirs.url) | {"state": mine.state})


def test_a_wrong_verifier_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    pending = provider.begin(BACK)
    wrong = Pending(**{**pending.to_dict(), "code_verifier": "x" * 43})
    with pytest.raises(SignInError, match="invalid_grant"):
        provider.finish(wrong, idp.authorize(pending.url))


@pytest.mark.parametrize(("seconds", "passes"), [(599, True), (601, False), (-601, False)])
def test_a_sign_in_lasts_ten_minutes(
    idp: ForgingProvider, provider: Provider, clock: FakeClock, seconds: int, passes: bool
) -> None:
    pending = provider.begin(BACK)
    clock.tick(seconds)
    if passes:
        assert provider.finish(pending, idp.authorize(pending.url)).name == "ana"
    else:
        with pytest.raises(SignInError, match="ten minutes"):
            provider.finish(pending, idp.authorize(pending.url))


def test_an_answer_of_another_provider_is_refused(idp: ForgingProvider, provider: Provider) -> None:
    pending = provider.begin(BACK)
    assert provider.finish(pending, idp.authorize(pending.url) | {"iss": idp.issuer}).name == "ana"
    with pytest.raises(SignInError, match="not from the provider"):
        provider.finish(pending, idp.authorize(pending.url) | {"iss": "https://other.example.org"})


def test_a_provider_that_promises_its_name_has_to_give_it(idp: ForgingProvider, provider: Provider) -> None:
    idp.discovery = {"authorization_response_iss_parameter_supported": True}
    refused(idp, provider, "not from the provider")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("<b>call 555</b>", "the provider refused"),
        ("", "the provider refused"),
        ("e" * 41, "the provider refused"),
    ],
)
def test_a_provider_that_says_no_is_quoted_by_code_only(
    idp: ForgingProvider, provider: Provider, error: str, shown: str
) -> None:
    pending = provider.begin(BACK)
    with pytest.raises(SignInError) as caught:
        provider.finish(pending, {"state": pending.state, "error": error, "error_description": "call 555"})
    assert caught.value.message.endswith(shown)
    assert "555" not in str(caught.value)


def test_an_answer_without_a_code_is_refused(provider: Provider) -> None:
    pending = provider.begin(BACK)
    for answer in ({}, {"code": ""}):
        with pytest.raises(SignInError, match="no code"):
            provider.finish(pending, {"state": pending.state, **answer})


# Step-up


def test_a_fresh_sign_in_asks_for_one_and_wants_its_time(
    idp: ForgingProvider, provider: Provider, clock: FakeClock
) -> None:
    asked = dict(parse_qsl(urlsplit(provider.begin(BACK, fresh=True).url).query))
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert sign_in(idp, provider, fresh=True).auth_time == clock()
    idp.claims = {"auth_time": clock() // 1_000_000 - 59}
    assert sign_in(idp, provider, fresh=True).name == "ana"
    idp.claims = {"auth_time": clock() // 1_000_000 - 61}
    refused(idp, provider, "an earlier sign-in", fresh=True)
    idp.claims = {"auth_time": None}
    refused(idp, provider, "does not say when", fresh=True)


def test_an_age_is_measured_from_the_beginning_of_the_sign_in(
    idp: ForgingProvider, provider: Provider, clock: FakeClock
) -> None:
    idp.claims = {"auth_time": clock() // 1_000_000 - 360}
    pending = provider.begin(BACK, max_age=300)
    assert dict(parse_qsl(urlsplit(pending.url).query))["max_age"] == "300"
    clock.tick(120)
    assert provider.finish(pending, idp.authorize(pending.url)).name == "ana"
    idp.claims = {"auth_time": pending.created_at // 1_000_000 - 361}
    with pytest.raises(SignInError, match="an earlier sign-in"):
        provider.finish(pending, idp.authorize(pending.url))


def test_a_time_of_the_future_is_refused(idp: ForgingProvider, provider: Provider, clock: FakeClock) -> None:
    """Else it would be fresh for ever."""
    idp.claims = {"auth_time": clock() // 1_000_000 + 61}
    refused(idp, provider, "in the future", fresh=True)
    refused(idp, provider, "in the future")


def test_without_step_up_an_old_sign_in_passes(idp: ForgingProvider, provider: Provider) -> None:
    idp.claims = {"auth_time": 0.5}
    assert sign_in(idp, provider).auth_time == 500_000


# The client


def test_a_secret_goes_as_the_provider_takes_it(idp: ForgingProvider, clock: FakeClock) -> None:
    sign_in(idp, provider_of(idp, clock, client_secret=SECRET))
    assert idp.credentials == ["Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()]
    assert "client_secret" not in idp.bodies[0]
    idp.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"]}
    sign_in(idp, provider_of(idp, clock, client_secret=SECRET))
    assert (idp.credentials[1], idp.bodies[1]["client_secret"]) == (None, SECRET)


def test_a_program_without_a_secret_names_itself(idp: ForgingProvider, provider: Provider) -> None:
    sign_in(idp, provider)
    assert (idp.credentials, idp.bodies[0]["client_id"]) == ([None], CLIENT)
    assert "client_secret" not in idp.bodies[0]


def test_a_wrong_secret_is_told_without_it(idp: ForgingProvider, clock: FakeClock) -> None:
    idp.pages["/token"] = lambda handler: handler.reply(401, b'{"error": "invalid_client"}')
    error = refused(idp, provider_of(idp, clock, client_secret=SECRET), "invalid_client")
    assert "web.oidc.client_id" in error.hint
    assert SECRET not in str(error)


# Providers that cannot be used


def unusable(act: Callable[[], Any], words: str) -> ProviderError:
    with pytest.raises(ProviderError, match=words) as caught:
        act()
    assert (caught.value.code, caught.value.status) == ("DC-PROVIDER", 503)
    assert len(str(caught.value)) < 700
    return caught.value


def test_nothing_is_asked_before_somebody_signs_in(idp: ForgingProvider, clock: FakeClock) -> None:
    provider = provider_of(idp, clock)
    assert idp.asked == []
    provider.begin(BACK)
    assert idp.asked == ["/.well-known/openid-configuration"]


def test_a_provider_that_is_down_at_the_beginning(idp: ForgingProvider, provider: Provider) -> None:
    idp.stop()
    error = unusable(lambda: provider.begin(BACK), "cannot be reached: .*refused")
    assert "password" in error.hint


def test_a_provider_that_goes_down_before_the_end(idp: ForgingProvider, provider: Provider) -> None:
    pending = provider.begin(BACK)
    answer = idp.authorize(pending.url)
    idp.stop()
    unusable(lambda: provider.finish(pending, answer), "cannot be reached")


def test_a_provider_that_comes_back_is_used_at_once(idp: ForgingProvider, provider: Provider) -> None:
    idp.pages["/.well-known/openid-configuration"] = lambda handler: handler.reply(500, b"down")
    unusable(lambda: provider.begin(BACK), "status 500")
    idp.pages.clear()
    assert sign_in(idp, provider).name == "ana"


RUBBISH = [
    b"",
    b"<html>Sign in to the Wi-Fi</html>",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"issuer": 5}',
]


@pytest.mark.parametrize("body", RUBBISH)
@pytest.mark.parametrize("page", ["/.well-known/openid-configuration", "/jwks"])
def test_rubbish_is_no_document(idp: ForgingProvider, provider: Provider, page: str, body: bytes) -> None:
    idp.pages[page] = lambda handler: handler.reply(200, body, Content_Type="text/html")
    unusable(lambda: sign_in(idp, provider), "something that no provider")


@pytest.mark.parametrize("body", [body for body in RUBBISH if not body.startswith(b"{")])
def test_rubbish_is_no_token(idp: ForgingProvider, provider: Provider, body: bytes) -> None:
    idp.pages["/token"] = lambda handler: handler.reply(200, body)
    unusable(lambda: sign_in(idp, provider), "something that no provider")


@pytest.mark.parametrize("keys", [[], [{"kty": "oct", "k": encoded(b"0123456789abcdef"), "kid": "first"}]])
def test_a_provider_without_a_public_key_cannot_be_used(
    idp: ForgingProvider, provider: Provider, keys: list[dict[str, str]]
) -> None:
    idp.pages["/jwks"] = lambda handler: handler.reply(200, json.dumps({"keys": keys}).encode())
    unusable(lambda: sign_in(idp, provider), "no key")


@pytest.mark.parametrize("error", [{}, 5, ["x"], None, "a\nb"])
def test_an_error_that_is_no_code_is_not_quoted(idp: ForgingProvider, provider: Provider, error: Any) -> None:
    idp.pages["/token"] = lambda handler: handler.reply(400, json.dumps({"error": error}).encode())
    assert refused(idp, provider, "refused").message in ("the provider refused", "the provider refused: oauth_error")


@pytest.mark.parametrize("page", ["/.well-known/openid-configuration", "/jwks", "/token"])
def test_a_huge_answer_is_not_read(idp: ForgingProvider, provider: Provider, page: str) -> None:
    sent: list[int] = []

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(400):
            sent.append(handler.wfile.write(b" " * 262_144))

    idp.pages[page] = endless
    unusable(lambda: sign_in(idp, provider), "larger than 1 MiB")
    assert sum(sent) < 50_000_000


@pytest.mark.parametrize("page", ["/.well-known/openid-configuration", "/jwks", "/token"])
def test_a_compressed_answer_is_not_unpacked(idp: ForgingProvider, provider: Provider, page: str) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    idp.pages[page] = lambda handler: handler.reply(200, bomb, Content_Encoding="gzip")
    unusable(lambda: sign_in(idp, provider), "compressed")


@pytest.mark.parametrize("begins", [True, False])
@pytest.mark.parametrize("page", ["/.well-known/openid-configuration", "/jwks", "/token"])
def test_a_slow_answer_is_not_waited_for(
    idp: ForgingProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch, page: str, begins: bool
) -> None:
    """Silence, and a body that comes in drops."""
    monkeypatch.setattr(oidc, "PATIENCE", 0.3)
    enough = threading.Event()

    def slow(handler: Any) -> None:
        if begins:
            handler.send_response(200)
            handler.end_headers()
        while not enough.wait(0.1):
            if begins:
                handler.wfile.write(b" ")

    idp.pages[page] = slow
    start = time.monotonic()
    unusable(lambda: sign_in(idp, provider), "cannot be reached")
    assert time.monotonic() - start < 2
    enough.set()


def test_a_silent_provider_holds_few_threads(
    idp: ForgingProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are told at once, so that pages which need no provider find a thread."""
    answer = threading.Event()
    idp.pages["/.well-known/openid-configuration"] = lambda handler: answer.wait(10) and None
    waiting = [
        threading.Thread(target=lambda: unusable(lambda: provider.begin(BACK), "reached")) for _ in range(oidc.CALLS)
    ]
    for thread in waiting:
        thread.start()
    while len(idp.asked) < oidc.CALLS:
        time.sleep(0.01)
    start = time.monotonic()
    unusable(lambda: provider.begin(BACK), "8 people wait")
    assert time.monotonic() - start < 1
    answer.set()
    for thread in waiting:
        thread.join()
    idp.pages.clear()
    assert sign_in(idp, provider).name == "ana"


@pytest.mark.parametrize("page", ["/.well-known/openid-configuration", "/jwks", "/token"])
def test_a_redirect_is_not_followed(idp: ForgingProvider, provider: Provider, page: str) -> None:
    idp.pages[page] = lambda handler: handler.reply(307, b"{}", Location="http://192.0.2.1/steal")
    unusable(lambda: sign_in(idp, provider), "status 307")


@pytest.mark.parametrize("name", ["https://other.example.org", "{issuer}/", ""])
def test_a_provider_that_calls_itself_otherwise_is_refused(idp: ForgingProvider, provider: Provider, name: str) -> None:
    idp.discovery = {"issuer": name.replace("{issuer}", idp.issuer)}
    error = unusable(lambda: provider.begin(BACK), "calls itself")
    assert "last slash" in error.hint


@pytest.mark.parametrize("key", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "address",
    [
        "http://192.0.2.1/x", "https://192.0.2.1/x", "http://127.0.0.1.example.org/x", "http://127.0.0.1@192.0.2.1/x",
        "http://192.0.2.1\\@127.0.0.1/x", "//192.0.2.1/x", "/x", "", "javascript:alert(1)", "file:///etc/passwd",
        "http://127.0.0.1:99999/", "http://[::1", "http://127.0.0.1/\r\nx: y", "http://127.0.0.1/ x",
    ],
)  # fmt: skip
def test_an_address_beyond_this_machine_is_refused(
    idp: ForgingProvider, provider: Provider, key: str, address: str
) -> None:
    """The provider is of this machine, so that its addresses are."""
    idp.discovery = {key: address}
    unusable(lambda: provider.begin(BACK), "not safe to use")


def test_proxies_of_the_environment_are_not_for_this_machine(
    idp: ForgingProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    assert sign_in(idp, provider).name == "ana"


@pytest.mark.parametrize("issuer", ["http://id.example.org", "http://192.0.2.1", "ftp://127.0.0.1", "127.0.0.1", ""])
def test_an_issuer_that_others_can_read_along_is_refused(issuer: str) -> None:
    with pytest.raises(SettingsError, match="https"):
        Provider(Oidc(issuer=issuer, client_id=CLIENT))


def test_an_address_is_of_this_machine_just_if_the_issuer_is() -> None:
    assert confidential("https://keys.example.com/jwks?v=1", beside="https://id.example.org")
    assert not confidential("https://localhost/token", beside="https://id.example.org")
    assert not confidential("http://localhost/token", beside="https://id.example.org")
    assert confidential("http://[::1]:80/token", beside="http://localhost:9")


# What people are called


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "Ana Lima"}, "Ana Lima"),
        ({"preferred_username": "  Ana   Lima "}, "Ana Lima"),
        ({"preferred_username": "Ana", "name": "Other"}, "Ana"),
        ({"preferred_username": None, "name": "Ana"}, "Ana"),
        ({"preferred_username": "", "name": "Ana"}, "Ana"),
        ({"preferred_username": " \u00a0 ", "name": "Ana"}, "Ana"),
        ({"preferred_username": "\u200b", "name": "Ana"}, "Ana"),
        ({"preferred_username": "root\u202egro", "name": "Ana"}, "Ana"),
        ({"preferred_username": "ana\x1b[2J", "name": "Ana"}, "Ana"),
        ({"preferred_username": "ana\nadmin", "name": "Ana"}, "Ana"),
        ({"preferred_username": "a" * 10_000, "name": "Ana"}, "Ana"),
        ({"preferred_username": "a" * 81, "name": "Ana"}, "Ana"),
        ({"preferred_username": 7, "name": ["x"], "email": "ana@example.org"}, "ana@example.org"),
        ({"preferred_username": "\ud800", "name": {}, "email": None}, "248289761001"),
        ({"preferred_username": None, "sub": "x" * 255}, "x" * 80),
        ({"preferred_username": "حانیه\u200cها"}, "حانیه\u200cها"),
    ],
)
def test_a_name_is_the_first_that_can_be_one(
    idp: ForgingProvider, provider: Provider, claims: dict[str, Any], name: str
) -> None:
    idp.claims = claims
    assert sign_in(idp, provider).name == name


def test_a_look_alike_is_another_name(idp: ForgingProvider, provider: Provider) -> None:
    """Whether somebody may be called so is for accounts to say."""
    idp.claims = {"preferred_username": "аna"}
    name = sign_in(idp, provider).name
    assert name == "аna"
    assert identity(name) != identity("ana")


def test_claims_are_read_by_the_names_of_the_settings(idp: ForgingProvider, clock: FakeClock) -> None:
    idp.claims = {"upn": "ana@corp", "https://example.org/roles": "leads", "groups": ["other"]}
    provider = provider_of(idp, clock, name_claim="upn", groups_claim="https://example.org/roles")
    subject = sign_in(idp, provider)
    assert (subject.name, subject.groups) == ("ana@corp", ("leads",))


@pytest.mark.parametrize(
    ("groups", "read"),
    [(None, ()), ([], ()), ({"a": 1}, ()), (["a", 5, "", None, "b\u202e", "b"], ("a", "b")), ("a", ("a",))],
)
def test_groups_are_texts_that_can_be_shown(
    idp: ForgingProvider, provider: Provider, groups: Any, read: tuple[str, ...]
) -> None:
    idp.claims = {"groups": groups}
    assert sign_in(idp, provider).groups == read


@pytest.mark.parametrize("verified", ["true", 1, "false", None, {}])
def test_an_email_is_verified_by_true_alone(idp: ForgingProvider, provider: Provider, verified: Any) -> None:
    idp.claims = {"email": "ana@example.org", "email_verified": verified}
    assert not sign_in(idp, provider).email_verified


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # beside other work texts come slowly
@given(st.dictionaries(st.sampled_from(("upn", *oidc.NAME_CLAIMS[:-1])), st.text() | st.integers() | st.none()))
def test_a_name_can_be_shown_and_kept_whatever_a_provider_says(claims: dict[str, Any]) -> None:
    name = oidc.name_of({**claims, "sub": "248289761001"}, "upn")
    assert 0 < len(name) <= oidc.LONGEST_NAME
    assert identity(name)
    assert not hides(name)
    assert name.encode()
