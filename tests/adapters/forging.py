"""A provider of OpenID Connect on this machine that lies on request: what it says and signs can be changed in any part.

It checks what a real one does (the code once, PKCE, the address to go back to), so that only the named lie is wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

CLIENT = "desk"
RSA = [RSAKey.generate_key(2048, {"use": "sig", "kid": kid}) for kid in ("first", "second")]
CURVE = ECKey.generate_key("P-256", {"use": "sig", "kid": "curve"})


def encoded(data: bytes) -> str:
    """Base64 as tokens hold it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class ForgingProvider:
    """Serves discovery, keys and tokens; `pages` replaces what is answered at a path by a function of the handler."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.keys = [RSA[0]]
        self.signs: Callable[[Mapping[str, Any]], str] = self.signed
        self.discovery: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}  # over what an honest token says; None leaves one out
        self.token: dict[str, Any] = {}
        self.pages: dict[str, Callable[[Any], None]] = {}
        self.asked: list[str] = []
        self.bodies: list[dict[str, str]] = []
        self.credentials: list[str | None] = []
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Be down from now on."""
        self._server.shutdown()
        self._server.server_close()

    def authorize(self, url: str) -> dict[str, str]:
        """What a browser brings back that was sent to `url` and whose person said yes."""
        request = dict(parse_qsl(urlsplit(url).query))
        code = secrets.token_urlsafe(8)
        self._codes[code] = request
        return {"code": code, "state": request["state"]}

    def document(self) -> dict[str, Any]:
        """The discovery document."""
        honest = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
        }
        return changed(honest, self.discovery)

    def exchanged(self, body: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and answer of the token endpoint."""
        request = self._codes.pop(body.get("code", ""), None)
        challenge = encoded(hashlib.sha256(body.get("code_verifier", "").encode()).digest())
        if request is None or request["code_challenge"] != challenge or request["redirect_uri"] != body["redirect_uri"]:
            return 400, {"error": "invalid_grant", "error_description": "<script>alert(1)</script>"}
        now = self.clock() // 1_000_000
        honest = {
            "iss": self.issuer, "sub": "248289761001", "aud": CLIENT, "iat": now, "exp": now + 300,
            "nonce": request["nonce"], "auth_time": now, "preferred_username": "ana",
        }  # fmt: skip
        token = {"access_token": "opaque", "token_type": "Bearer", "id_token": self.signs(changed(honest, self.claims))}
        return 200, changed(token, self.token)

    def signed(self, claims: Mapping[str, Any], key: Any = None, **header: Any) -> str:
        """A token, signed with a key that need not be published."""
        key = key or self.keys[0]
        alg = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}[key.key_type]
        header = {"alg": alg, "kid": key.kid} | header
        content = json.dumps(dict(claims)).encode()
        return jws.serialize_compact(header, content, key, registry=JWSRegistry(algorithms=[header["alg"]]))


def changed(honest: Mapping[str, Any], lies: Mapping[str, Any]) -> dict[str, Any]:
    """What is honest but for the lies; None leaves out."""
    return {key: value for key, value in {**honest, **lies}.items() if value is not None}


def handler_of(provider: ForgingProvider) -> type[BaseHTTPRequestHandler]:
    """The handler of requests for one provider."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({"/.well-known/openid-configuration": provider.document, "/jwks": self.jwks})

        def do_POST(self) -> None:
            body = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            provider.bodies.append(body)
            provider.credentials.append(self.headers["Authorization"])
            self.answer({"/token": lambda: provider.exchanged(body)})

        def jwks(self) -> dict[str, Any]:
            return {"keys": [key.as_dict(private=False) for key in provider.keys]}

        def answer(self, pages: Mapping[str, Callable[[], Any]]) -> None:
            provider.asked.append(self.path)
            if self.path in provider.pages:
                return provider.pages[self.path](self)
            content = pages[self.path]()
            status, content = content if isinstance(content, tuple) else (200, content)
            self.reply(status, json.dumps(content).encode())

        def reply(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            pass

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the other side has had enough
                self.close_connection = True

    return Handler
