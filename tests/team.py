"""A desk with accounts: an admin, people with roles, and clients that send each person's own token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from httpx2 import Headers
from msgspec.structs import replace
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.accounts.registry import added
from dualcontrol.accounts.sign_in import hash_of
from dualcontrol.people import FRESH, Grant
from dualcontrol.store.accounts import Account

NAMES = ("ana", "ben", "cleo", "dora", "eva", "eve", "lee", "zoe", "Zoë")
ROLES = ("reviewer", "lead", "policy")


def team(desk: dc.Desk, names: Sequence[str] = NAMES, roles: Sequence[str] = ROLES) -> None:
    """Accounts that have signed in, with these roles in every loop; `root` is the admin.

    Without passwords, since hashing one takes long on purpose: they come in by sessions and tokens made for them.
    """
    accounts = [Account(id=desk.steps.new_id(), name="root", state="active", grants=(Grant(role="admin"),))]
    grants = tuple(Grant(role=role) for role in roles)  # type: ignore[arg-type]
    accounts += [Account(id=desk.steps.new_id(), name=name, state="active", grants=grants) for name in names]

    def change(tx: Any, book: Any) -> list[Any]:
        for account in accounts:
            book.save_account(account)
        return [event for account in accounts for event in added(tx, account, "root")]

    desk.people.change(change, "root")


PASSWORD = "four words or so"


def passwords(desk: dc.Desk, *names: str) -> None:
    """Give accounts a password; all of them the same, which is hashed once."""
    hashed = hash_of(PASSWORD)
    for name in names:
        account = replace(desk.people.account(name), password=hashed)
        with desk.store.transaction() as tx:
            tx.accounts.save_account(account)


def session(desk: dc.Desk, name: str) -> str:
    """The secret of a session of somebody who has just signed in."""
    return desk.sign_ins.begin(desk.people.account(name), "password").secret


def long_ago(desk: dc.Desk, name: str) -> None:
    """Let somebody's sign-ins be too old for what much depends on."""
    with desk.store.transaction() as tx:
        for each in tx.accounts.sessions(desk.people.account(name).id):
            old = replace(each, signed_in_at=each.signed_in_at - 2 * FRESH, stepped_up_at=None)
            tx.accounts.save_session(old)


def csrf(client: TestClient) -> str:
    """What a form of a browser's session carries."""
    access = client.app.state.access  # type: ignore[attr-defined]
    return str(access.csrf(access.session(client.cookies[access.cookie])))


class People(TestClient):
    """A client of the API that acts as whoever a body names, or holds the claim of an address, by their own token.

    What nobody in particular asks is sent with the token that was configured.
    """

    def __init__(self, app: Any, desk: dc.Desk, **options: Any) -> None:
        super().__init__(app, **options)
        self.desk = desk
        self._tokens: dict[str, str] = {}
        self._holders: dict[str, str] = {}

    def token(self, name: str) -> str:
        """A token of somebody that decides and reads."""
        if name not in self._tokens:
            self._tokens[name] = self.desk.tokens.issue(name, "root", scopes=("decide", "read"))[1]
        return self._tokens[name]

    def request(self, method: str, url: Any, **options: Any) -> Any:  # type: ignore[override]
        """Send a request, with the token of who acts unless the headers bring one."""
        path, body = str(url), options.get("json")
        headers = Headers(options.pop("headers", None))  # which may name one twice
        who = self._acting(path, body if isinstance(body, dict) else {})
        if who is not None and "authorization" not in headers:
            with suppress(dc.errors.DualcontrolError):  # nobody's: the configured token has to be refused
                headers["Authorization"] = f"Bearer {self.token(who)}"
        reply = super().request(method, url, headers=headers, **options)
        if who is not None and path.endswith("/claims") and reply.status_code == 201:
            self._holders[reply.json()["id"]] = who
        return reply

    def _acting(self, path: str, body: dict[str, Any]) -> str | None:
        stated = body.get("person") or body.get("by")
        if claim := re.search(r"/claims/([^/?]+)", path):
            return self._holders.get(claim[1], "ana")
        if path.endswith("/claims") or re.search(r"/(revoke|resolve|autopilot/\w+|stop|resume|settings/[^/]+)$", path):
            return stated if isinstance(stated, str) else "ana"
        return None
