"""A desk over HTTP: the verbs of `dualcontrol.desk` for a program that has a token, and no database.

Desk, loop, gate and claim are those of a local desk; what differs lies below them: `RemoteSteps` sends the same
commands to a server, `Queries` reads there, `RemoteWaiters` waits there.  A request is repeated only where that does no
more than sending it once: a proposal has a key, the start of an effect an owner of its own, its end a fence.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import re
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import msgspec
from msgspec.structs import replace

from dualcontrol import commands as do
from dualcontrol import errors
from dualcontrol.case import JSON, Actor, Case, Content, Effect, Rendering, Review, plain
from dualcontrol.changes import WAITS
from dualcontrol.commands import checked
from dualcontrol.control import Control
from dualcontrol.desk import Claim, Desk, Loop, PlacedCall, case_id_of, exact, lasting, loop_name
from dualcontrol.errors import (
    AccessError,
    AnswerValueError,
    ClaimError,
    DualcontrolError,
    EffectError,
    NotFoundError,
    Paused,
    PayloadError,
    Pending,
    RecalledError,
    RequestError,
    SchemaError,
    SettingsError,
    StoreError,
    StoreUnavailableError,
    UnknownCaseError,
    UnknownLoopError,
    VerdictError,
)
from dualcontrol.keys import check_key
from dualcontrol.review.answer import AS_VERDICT
from dualcontrol.review.values import check_confidence
from dualcontrol.settings import confidential
from dualcontrol.step import Proposed, Steps, case_of_claim
from dualcontrol.stop import checked_reason
from dualcontrol.store import Store
from dualcontrol.verdicts import VERDICTS
from dualcontrol.wait import closed

TOKEN = "DUALCONTROL_TOKEN"
CONNECT, ANSWER = 5.0, 30.0  # seconds to reach the server, and for it to answer what it need not wait for
LONGEST_WAIT = 30  # seconds of one question for an outcome; the server's limit is 60
IDLE = 2.0  # seconds for which a connection is kept; servers close theirs after five, maybe while one is used
PAUSES = (0.1, 0.4, 1.6)  # seconds before a request is sent again
CATCH_UP = 1.0
LONGEST_OWNER = 180
LISTS = ("alternatives", "candidates", "scores")  # fields that may be sequences of any kind
CASE_ID = re.compile(r"[0-9A-Za-z._-]{1,80}")
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
HERE = "Open the desk with the URL of its database, where that can be reached; or use the console."


def connect(address: str, token: str | None = None) -> RemoteDesk:
    """The desk of a server, for whom the token stands for; without one, for that of `DUALCONTROL_TOKEN`.

    Raises SettingsError for an address at which others could read the token, and AccessError without a token.
    Nothing is sent yet.
    """
    parts = urlsplit(address)
    if parts.query or parts.fragment or not confidential(address):
        hint = "Give https://HOST; http is for this machine alone, since anybody on the way could read the token."
        raise SettingsError(f"a desk is not opened at {address.partition('?')[0]!r:.200}", hint=hint)
    token = os.environ.get(TOKEN) if token is None else token
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        hint = f"Give token=… or set {TOKEN}; an admin makes one with `dualcontrol keys new`."
        raise AccessError(f"the desk at {address} is opened with a token", hint=hint)
    return RemoteDesk(Server(address.rstrip("/"), token))


# The connection


class Server:
    """The API of a server: requests with a token, replies as JSON, refusals as the errors that they name."""

    client: httpx2.Client

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "dualcontrol"}
        self._headers = httpx2.Headers(headers)  # which show no token

    def begin(self) -> None:
        """Make the connections, before the first request; a forked process makes its own."""
        self.client = httpx2.Client(**self._options())

    def waiting(self) -> httpx2.AsyncClient:
        """Connections for a coroutine that waits."""
        return httpx2.AsyncClient(**self._options())

    def _options(self) -> dict[str, Any]:
        here = urlsplit(self.address).scheme == "http"  # this machine: no proxy is asked
        return {
            "base_url": f"{self.address}/api/v1", "headers": self._headers, "trust_env": not here,
            "verify": authorities(), "limits": httpx2.Limits(keepalive_expiry=IDLE),
            "timeout": httpx2.Timeout(ANSWER, connect=CONNECT),
        }  # fmt: skip

    def close(self) -> None:
        """Give the connections back."""
        self.client.close()

    def get(self, *path: str, **query: str) -> Any:
        """What is at an address."""
        return self.send("GET", *path, query=query, again=True)

    def send(
        self, method: str, *path: str, body: JSON = None, query: Mapping[str, str] | None = None, again: bool = False,
        **headers: str,
    ) -> Any:  # fmt: skip
        """The reply to a request; None where there is nothing to say.

        It is sent again after a pause where nothing has been sent, and with `again` also where its reply was lost or
        the database behind it was busy: then twice has to do no more than once.  Raises what the server does, and
        StoreUnavailableError where it does not answer.
        """
        request = self._request(method, path, body, query, headers)
        for pause in (*PAUSES, None):
            try:
                return self.read(self.client.send(self.client.build_request(**request)))
            except (httpx2.HTTPError, RuntimeError) as error:
                failure: DualcontrolError = self.unreached(error, again)
                if pause is None or self.client.is_closed or not (again or isinstance(error, NEVER_SENT)):
                    raise failure from error
            except StoreError:
                if pause is None or not again:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.0))
        raise AssertionError("the last attempt returns or raises")

    def _request(
        self, method: str, path: tuple[str, ...], body: JSON, query: Mapping[str, str] | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        """The parts of a request; header names are given with underscores."""
        url = "".join(f"/{quote(part, safe='')}" for part in path) + (f"?{urlencode(query)}" if query else "")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return {"method": method, "url": url, "headers": named}
        return {
            "method": method, "url": url, "content": json_bytes(body),
            "headers": {"Content-Type": "application/json", **named},
        }  # fmt: skip

    def read(self, response: httpx2.Response) -> Any:
        """What a reply says; raises the error of a refusal."""
        if response.status_code == 204:
            return None
        media = response.headers.get("content-type", "").partition(";")[0]
        try:
            value = json.loads(response.content) if media.endswith("json") else None
        except ValueError:
            value = None
        if response.is_success and isinstance(value, dict):
            return value
        if isinstance(value, dict) and isinstance(value.get("code"), str):
            raise refusal(value)
        if response.status_code >= 500:
            raise StoreUnavailableError(f"{self.address} answers with status {response.status_code}")
        hint = "Give the address that `dualcontrol serve` prints."
        raise RequestError(f"{self.address} does not answer as dualcontrol, status {response.status_code}", hint=hint)

    def unreached(self, error: Exception, again: bool = True) -> StoreUnavailableError:
        """The error for a server that does not answer; it says so where something may have been done all the same."""
        if self.client.is_closed:
            return StoreUnavailableError("the desk is closed", hint="Open another.")
        if again or isinstance(error, NEVER_SENT):
            hint = "Check the address and that `dualcontrol serve` runs there; nothing acknowledged is lost."
            return StoreUnavailableError(f"{self.address} cannot be reached: {type(error).__name__}", hint=hint)
        hint = "Look at the case before you send it again: it may have been done."
        return StoreUnavailableError(f"the reply of {self.address} was lost: {type(error).__name__}", hint=hint)


@functools.lru_cache(maxsize=1)
def authorities() -> ssl.SSLContext:
    """Whose certificates hold, read once, for that takes longer than a request."""
    return httpx2.create_ssl_context()


def json_bytes(value: JSON) -> bytes:
    """A body; integers exact, names in their order.  Raises PayloadError for what is not JSON, NaN among it."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(f"the content is not JSON: {error}") from error


@functools.lru_cache(maxsize=1)
def known_errors() -> dict[str, Any]:
    """Every error by its code."""
    return {code: kind for code, kind in errors.kinds().items() if not issubclass(kind, Paused)}


def refusal(problem: dict[str, Any]) -> DualcontrolError:
    """The error that a server's refusal names; one of a newer server is the general one, with its code."""
    error: DualcontrolError = known_errors().get(problem["code"], DualcontrolError)(str(problem.get("detail", "")))
    if error.code != problem["code"]:
        vars(error)["code"] = problem["code"]
    error.hint = str(problem.get("hint", ""))
    members = ("type", "title", "status", "detail", "code", "hint")
    error.details = {name: value for name, value in problem.items() if name not in members}
    return error


# Values, as the server sends them


def case_in(reply: dict[str, Any]) -> Case:
    """The case of a reply; what people may not see of it is not there."""
    content: dict[str, Any] = {n: reply[n] for n in ("input", "rationale", "history") if reply[n] is not None}
    content |= {"candidates": reply["candidates"]} | ({"meta": reply["meta"]} if reply["meta"] else {})
    if reply["signal"].get("scores") is not None:
        content["scores"] = reply["signal"]["scores"]
    for answer in reply["answers"]:
        optional = {n: answer[n] for n in ("value", "rationale", "first") if answer[n] is not None}
        content[f"answer/{answer['review_id']}"] = {"value": None, **optional}
    case: Case = _decoded({**reply, "content": content}, Case)
    outcome = reply["outcome"]
    return case if outcome is None else replace(case, content=Content(_concluded(case, outcome), case.content.seals))


def _concluded(case: Case, outcome: dict[str, Any]) -> dict[str, Any]:
    """The content of a case with that which its outcome alone tells."""
    content = dict(case.content.values)
    content |= {name: value for name, value in outcome["effect"].items() if name in ("result", "error")}
    source = case.settled.source if case.settled is not None else None
    decisive = content.get(f"answer/{source}", {})
    if outcome["rationale"] != decisive.get("rationale"):
        content["revoked"] = {"rationale": outcome["rationale"]}
    if source is not None and outcome["value"] != case.resolved_value():  # an edit that a second person approved
        part = "approved" if outcome["verdict"] == "approve" else "value"
        content[f"answer/{source}"] = {**decisive, part: outcome["value"]}
    return content


def _decoded(value: dict[str, Any], kind: Any) -> Any:
    try:
        return kind.from_dict(value)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise SchemaError(f"the server's {kind.__name__.lower()} is of another version: {error}") from error


def proposal_in(fields: Mapping[str, Any], command: do.Propose) -> dict[str, JSON]:
    """The body for a proposal, from the fields that its caller stated; the command says which key and run it has."""
    stated = {n: _listed(value) if n in LISTS else value for n, value in fields.items() if n not in ("key", "run")}
    if command.confidence is None:  # NaN, as programs write what they do not know
        stated.pop("confidence", None)
    stated |= {"key": command.key, "run": command.run}
    return {name: plain(value) for name, value in stated.items() if value is not None or name == "args"}


def _listed(value: Any) -> Any:
    """A sequence or mapping of any kind as a list or dict."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if value is not None else None


# What a desk asks for, as requests


class Elsewhere:
    """What a desk over HTTP does not have; whatever is asked of it is refused."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RequestError("this takes the database itself, and a token opens the desk over HTTP", hint=HERE)


class Queries(Elsewhere):
    """Cases and loops, read from the server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._names: dict[int, str] = {}

    def case(self, case_id: str) -> Case | None:
        """A case, or None where nobody knows it."""
        if not CASE_ID.fullmatch(case_id):
            return None
        try:
            return case_in(self._server.get("cases", case_id))
        except UnknownCaseError:
            return None

    def loops(self) -> list[Control]:
        """What governs each loop that the token may look at."""
        return [self.control(loop) for loop in self._server.get("loops")["loops"]]

    def control(self, reply: dict[str, Any]) -> Control:
        """What governs the loop of a reply."""
        control: Control = _decoded(reply["control"], Control)
        self._names[control.loop_id] = control.loop
        return control

    def of_run(self, loop_id: int, run: str) -> list[str]:
        """The cases that calls of a run have opened in a loop."""
        ids: list[str] = self._server.get("loops", self._names[loop_id], "cases", run=run)["case_ids"]
        return ids


class RemoteStore(Elsewhere):
    """Stands where a local desk has its database."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.queries = Queries(server)

    def close(self) -> None:
        """Give the connections back."""
        self._server.close()


class RemoteSteps(Elsewhere):
    """Carries commands out on the server; the same checks come first as on a local desk."""

    def __init__(self, store: RemoteStore, server: Server) -> None:
        self.store = store
        self.scores = Elsewhere()
        self._server = server
        self._sent: dict[type[do.Command], Callable[[Any], Case]] = {
            do.GiveAnswer: self._answer, do.Release: self._release, do.Extend: self._extend, do.Revoke: self._revoke,
            do.Withdraw: self._withdraw, do.ResolveEffect: self._resolve, do.StartEffect: self._start,
            do.FinishEffect: self._finish, do.Recall: self._recall,
        }  # fmt: skip

    def now(self) -> int:
        """This machine's time, in microseconds."""
        return time.time_ns() // 1000

    def caught_up(self, case_id: str) -> Case:
        """The case; what is due in it, the server does by itself."""
        return self._case(case_id)

    def case_of_key(self, loop: str, key: str) -> str | None:
        """The case that a key stands for, or None."""
        ids: list[str] = self._server.get("loops", loop, "cases", key=key)["case_ids"]
        return next(iter(ids), None)

    def run(self, command: do.Command) -> Case:
        """Carry out a command on its case; returns the case after it."""
        command = checked(command)
        send = self._sent.get(type(command))
        if send is None:
            raise RequestError(f"{type(command).__name__} is not sent over HTTP", hint=HERE)
        return send(command)

    def propose(self, loop: str, fields: Mapping[str, Any], command: do.Propose) -> Proposed:
        """Open the case of a proposal or find it again; one without a key is sent with a key that is drawn for it."""
        command = checked(command)
        check_key(command.key)
        key: dict[str, Any] = {} if command.key is not None else {"Idempotency_Key": secrets.token_hex(16)}
        body = proposal_in(fields, command)
        reply = self._server.send("POST", "loops", loop, "cases", body=body, again=True, **key)
        return Proposed(case_in(reply), None, True)

    def _case(self, case_id: str) -> Case:
        case = self.store.queries.case(case_id)
        if case is None:
            raise UnknownCaseError(f"there is no case {case_id}", case_id=case_id)
        return case

    # Reviews

    def _answer(self, command: do.GiveAnswer) -> Case:
        if command.verdict not in VERDICTS:
            raise VerdictError(f"there is no verdict {command.verdict!r:.80}; use one of {', '.join(VERDICTS)}")
        check_confidence(command.confidence)
        stated = {
            "verdict": command.verdict, "value": command.value, "rationale": command.rationale, "first": command.first,
            "reasons": list(command.reasons) or None, "confidence": command.confidence, "lasts": seconds(command.lasts),
            "person": command.actor.person or None,
        }  # fmt: skip
        match = {} if command.expected_seq is None else {"If_Match": f'"{command.expected_seq}"'}
        body = {name: value for name, value in stated.items() if value is not None}
        return case_in(self.at_claim("POST", command.claim_id, "answer", body=body, **match))

    def _release(self, command: do.Release) -> Case:
        self.at_claim("DELETE", command.claim_id)
        return self._case(case_of_claim(command.claim_id))

    def _extend(self, command: do.Extend) -> Case:
        self.at_claim("POST", command.claim_id, "extend", body={"time": seconds(command.time)}, again=True)
        return self._case(case_of_claim(command.claim_id))

    def at_claim(self, method: str, claim_id: str, *path: str, **request: Any) -> Any:
        """The reply to a request about a claim; ClaimError where there is none of that id, or it is another's."""
        unknown = ClaimError(f"claim {claim_id} is not held")
        if not CASE_ID.fullmatch(claim_id):
            raise unknown
        try:
            return self._server.send(method, "claims", claim_id, *path, **request)
        except NotFoundError:
            raise unknown from None

    # Cases and their effects

    def _revoke(self, command: do.Revoke) -> Case:
        body = {"person": command.actor.person, "rationale": command.rationale}
        return case_in(self._at_case(command, "revoke", body))

    def _withdraw(self, command: do.Withdraw) -> Case:
        return case_in(self._at_case(command, "withdraw", {"by": command.by}))

    def _resolve(self, command: do.ResolveEffect) -> Case:
        by = {} if command.by == "operator" else {"by": command.by}  # the name that stands for nobody in particular
        body = {"happened": command.happened, "result": command.result, **by}
        return case_in(self._at_case(command, "effect/resolve", body))

    def _start(self, command: do.StartEffect) -> Case:
        """Take the effect, under an owner that no other request has: by it a start is known whose reply was lost."""
        owner = f"{command.owner[:LONGEST_OWNER]}#{secrets.token_hex(4)}"
        case = self._case(command.case_id)
        body = {"owner": owner, "runs": command.runs, "asks": command.asks}
        body = {name: value for name, value in body.items() if value is not None}
        try:
            reply = self._at_case(command, "effect/start", body, again=True)
        except RecalledError:
            return self._case(command.case_id)
        except EffectError:
            now = self._case(command.case_id)
            went_back = case.concluded is not None and now.concluded is None  # and the reply that said so was lost
            if went_back or (now.effect.owner == owner and now.effect.state == "started"):
                return now
            raise
        if case.concluded is None or case.resolved_value() != reply["value"]:  # it has changed in between
            case = self._case(command.case_id)
        return replace(case, effect=Effect(state="started", fence=reply["fence"], owner=owner, until=reply["until"]))

    def _finish(self, command: do.FinishEffect) -> Case:
        body = {"fence": command.fence, "succeeded": command.succeeded, "ran": command.ran, "kept": command.kept}
        more = {"result": command.result, "error": command.error}
        body |= {name: value for name, value in more.items() if value is not None}
        return case_in(self._at_case(command, "effect/finish", body, again=True))

    def _recall(self, command: do.Recall) -> Case:
        return case_in(self._at_case(command, "effect/recall", {"reason": command.reason}))

    def _at_case(self, command: Any, path: str, body: JSON, *, again: bool = False) -> Any:
        if not CASE_ID.fullmatch(command.case_id):
            raise UnknownCaseError(f"there is no case {command.case_id!r:.80}")
        return self._server.send("POST", "cases", command.case_id, *path.split("/"), body=body, again=again)


def seconds(time: int | None) -> float | None:
    """A duration in microseconds as seconds; None stays None."""
    return None if time is None else time / 1_000_000


# Waiting


class Patience:
    """How long somebody still waits, in questions of at most half a minute."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout
        self.ask()

    def ask(self) -> dict[str, Any]:
        """How the next question is asked."""
        self._asked = time.monotonic()
        self._wait = LONGEST_WAIT if self._end is None else max(0, min(LONGEST_WAIT, int(self._end - self._asked)))
        timeout = httpx2.Timeout(self._wait + ANSWER, connect=CONNECT)
        return {"headers": {"Prefer": f"wait={self._wait}"}, "timeout": timeout}

    def rest(self) -> float | None:
        """Seconds until the next question, after one that brought no outcome; None when the time is over."""
        now = time.monotonic()
        left = CATCH_UP if self._end is None else self._end - now
        waited = self._wait > 0 and now - self._asked >= self._wait  # else it was answered at once: do not press
        return None if left <= 0 else 0.0 if waited else min(left, CATCH_UP if self._wait else CATCH_UP / 5)


OUTAGE = (httpx2.HTTPError, RuntimeError, StoreError)


class RemoteWaiters:
    """Waits for outcomes at the server; one that is away meanwhile is asked again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._closed = False

    def close(self) -> None:
        """Let nobody wait on."""
        self._closed = True

    def wait(self, case_id: str, timeout: float | None) -> bool:
        """Block until the case has an outcome or `timeout` seconds have passed; says whether it has one."""
        patience = Patience(timeout)
        while True:
            try:
                reply = self._server.client.get(f"/cases/{case_id}", **patience.ask())
                if self._server.read(reply)["outcome"] is not None:
                    return True
            except OUTAGE as error:
                self._goes_on(case_id, error)
            rest = patience.rest()
            if rest is None:
                return False
            time.sleep(rest)

    async def wait_async(self, case_id: str, timeout: float | None) -> bool:
        """The same for a coroutine; no thread is held while it waits."""
        patience = Patience(timeout)
        async with self._server.waiting() as client:
            while True:
                try:
                    reply = await client.get(f"/cases/{case_id}", **patience.ask())
                    if self._server.read(reply)["outcome"] is not None:
                        return True
                except OUTAGE as error:
                    self._goes_on(case_id, error)
                rest = patience.rest()
                if rest is None:
                    return False
                await asyncio.sleep(rest)

    def _goes_on(self, case_id: str, error: Exception) -> None:
        """Wait on while the server is away; raises where the desk was closed meanwhile."""
        if self._closed:
            raise closed(case_id) from error
        if isinstance(error, RuntimeError):  # of no request
            raise error


# The desk


class RemoteDesk(Desk):
    """All loops that a token opens at a server; made by `dualcontrol.open` with an address.

    What takes the database itself (accounts, sweeps, training, export) is refused.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        store = RemoteStore(server)
        super().__init__(cast(Store, store), cast(Steps, RemoteSteps(store, server)))

    def __repr__(self) -> str:
        return f"RemoteDesk({self.server.address!r})"

    def _begin(self) -> None:
        self.server.begin()
        self.runs.renew()
        parts: Any = (RemoteWaiters(self.server), Elsewhere(), Elsewhere())
        self._waiters, self.certifier, self.riskiness = parts

    def loop(self, name: str, **settings: Any) -> RemoteLoop:
        """A loop by name, as the server knows it; its settings are the server's, and none can be given here.

        Raises UnknownLoopError for a loop that nobody defined, and ScopeError for one that the token does not open.
        """
        if settings:
            hint = f"Set it in [loop.{name}] of the server's dualcontrol.toml; `dualcontrol policy set` lays over it."
            raise RequestError(f"{next(iter(settings))} is a setting, and settings are the server's", hint=hint)
        return RemoteLoop(self, self.governing(do.known_as(name, UnknownLoopError, "a loop")))

    def control(self, name: str) -> Control | None:
        """What governs a loop now, or None when nobody defined it."""
        try:
            return self._queries.control(self.server.get("loops", do.known_as(name, UnknownLoopError, "a loop")))
        except NotFoundError:
            return None

    @property
    def _queries(self) -> Queries:
        return cast(Queries, self.store.queries)

    @property
    def _remote(self) -> RemoteSteps:
        return cast(RemoteSteps, self.steps)

    @exact
    def claim(
        self, person: str | None = None, loop: str | Loop | None = None, *, case: Case | str | None = None,
        lease: str | float | None = None,
    ) -> RemoteClaim | None:  # fmt: skip
        """Take the next review for whom the token stands for, or None when there is nothing they may do.

        `person`, if given, is who that is; a token claims for nobody else.  With `case`, a review of that very case.
        """
        body = {
            "person": None if person is None else do.person(person), "loop": loop_name(loop),
            "case": None if case is None else case_id_of(case), "lease": seconds(lasting(lease)),
        }  # fmt: skip
        body = {name: value for name, value in body.items() if value is not None}
        reply = self.server.send("POST", "claims", body=body)
        return None if reply is None else self._claim(reply)

    def claimed(self, claim_id: str) -> RemoteClaim:
        """The claim that an id stands for."""
        return self._claim(self._remote.at_claim("GET", do.known_as(claim_id, ClaimError, "a claim"), again=True))

    def commit(self, claim_id: str, should: str, to: JSON = None) -> RemoteClaim:
        """Say whether a hidden action should happen ("happen" or "not") and to whom; the claim then shows it."""
        checked(do.Commit(case_id="", claim_id=claim_id, should=should, to=to))
        if should not in AS_VERDICT:
            raise AnswerValueError(f'should is "happen" or "not", not {should!r:.80}')
        body = {"should": should, "to": to}
        return self._claim(self._remote.at_claim("POST", claim_id, "commit", body=body, again=True))

    def _claim(self, reply: dict[str, Any]) -> RemoteClaim:
        return RemoteClaim(self, self.case(reply["case_id"]), reply)

    def _answered(self, after: Case) -> None:
        """The server counts what an answer is evidence of."""

    @exact
    def stop(
        self, by: str, because: str, *, loop: str | Loop | None = None, via: str = "http",
        authenticated: str = "token", actor: Actor | None = None,
    ) -> list[Control]:  # fmt: skip
        """The emergency stop, of one loop or of all and every later one; returns what governs them now.

        `by` is whom the token stands for.
        """
        return self._halted("stop", by, because, loop, again=True)

    @exact
    def resume(
        self, by: str, because: str, *, loop: str | Loop | None = None, via: str = "http",
        authenticated: str = "token", actor: Actor | None = None,
    ) -> list[Control]:  # fmt: skip
        """Open a stopped loop again, or without `loop` all that were stopped together; returns what governs them now.

        Raises NotStoppedError where nothing is stopped that way, and Pending where a second person has to approve it.
        """
        return self._halted("resume", by, because, loop, again=False)

    def _halted(
        self, verb: Literal["stop", "resume"], by: str, because: str, loop: str | Loop | None, *, again: bool
    ) -> list[Control]:
        body = {"person": do.person(by), "because": checked_reason(because, verb)}
        name = loop_name(loop)
        path = [verb] if name is None else ["loops", name, verb]
        reply = self.server.send("POST", *path, body=body, again=again)
        if "control" not in reply and "loops" not in reply:  # a case, which a second person has to approve
            raise Pending(reply["id"], note=WAITS)
        return [self._queries.control(each) for each in (reply["loops"] if name is None else [reply])]


class RemoteLoop(Loop):
    """One AI task under human control, at a server."""

    desk: RemoteDesk

    def fingerprint(self, proposal: do.Propose, fields: Mapping[str, Any]) -> str:
        body = proposal_in(fields, checked(proposal))
        text: str = self.desk.server.send("POST", "loops", self.name, "fingerprint", body=body, again=True)[
            "fingerprint"
        ]
        return text

    def _opened(self, call: PlacedCall, start: do.StartEffect | None = None) -> Proposed:
        """The case of a call; its effect is taken by a request of its own."""
        return self.desk._remote.propose(self.name, call.fields, call.command)


class RemoteClaim(Claim):
    """A review held at a server by whom the token stands for."""

    desk: RemoteDesk

    def __init__(self, desk: RemoteDesk, case: Case, reply: dict[str, Any]) -> None:
        super().__init__(desk, case, _decoded(reply["review"], Review))
        self.id, self.person = reply["id"], reply["person"]
        self._view: dict[str, JSON] = reply["view"]

    @property
    def view(self) -> dict[str, JSON]:
        """What this reviewer may see."""
        return self._view

    @exact
    def commit(self, should: str, to: JSON = None, *, rendered: Rendering | None = None) -> RemoteClaim:
        """Say whether a hidden action should happen ("happen" or "not") and to whom; from then on it is shown here."""
        shown = self.desk.commit(self.id, should, to)
        self.case, self.review, self._view = shown.case, shown.review, shown.view
        return self

    def release(self) -> Case:
        """Give it back."""
        return self.desk.release(self.id)
