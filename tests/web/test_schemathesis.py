"""The API keeps what its OpenAPI description promises, for requests that nobody thought of.

Operations are run one by one: schemathesis' own pytest plugin does not work with pytest 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
import schemathesis
import web_cases
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from team import team

import dualcontrol as dc
from dualcontrol.web.app import create_app
from dualcontrol.web.attempts import Attempts

TOKENS = {"api": "fuzz-fuzz-fuzz-fuzz"}
DECIDING = ("/claims", "/revoke", "/resolve")  # what takes the token of a person
TAGS = ["answers", "cases", "claims", "effects", "events", "stop", "health", "inbox", "loops"]


@pytest.fixture(scope="module")
def described() -> Iterator[Any]:
    """The API of a console with a case of every mode, as its description tells it."""
    with dc.open("sqlite:///:memory:") as desk:
        web_cases.fill(desk)
        team(desk)
        app = create_app(desk, token=TOKENS["api"])
        app.state.access.attempts = Attempts(count(step=60).__next__)  # a minute an attempt: wrong tokens are 401
        TOKENS["ana"] = desk.tokens.issue("ana", "root", scopes=("decide", "read"))[1]
        yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=bearer(TOKENS["api"]))


def bearer(token: str) -> dict[str, str]:
    """The headers of a program that holds a token."""
    return {"Authorization": f"Bearer {token}", "Host": "localhost"}


def headers(case: Any) -> dict[str, str]:
    """Those of the program that proposes, or of ana's where a person decides."""
    decides = any(part in case.operation.path for part in DECIDING)
    return bearer(TOKENS["ana" if decides else "api"])


ROLES = {
    "nobody": None, "submitter": ("propose", "read"), "reviewer": ("decide", "read"), "lead": ("decide", "read"),
    "policy": ("decide", "read"), "auditor": ("read",), "admin": ("read",),
}  # fmt: skip


@pytest.fixture(scope="module")
def staffed() -> Iterator[tuple[Any, dict[str, dict[str, str]]]]:
    """The API of a desk with an account for each role, and the headers by which each comes in; nobody has none."""
    with dc.open("sqlite:///:memory:") as desk:
        web_cases.fill(desk)
        people = [role for role in ROLES if role not in ("nobody", "submitter", "admin")]
        team(desk, people, roles=())
        desk.people.register("submitter", "root", owner="lead")
        for role in people:
            desk.people.grant(role, role, "root")
        of_role = {"nobody": {"Host": "localhost"}}
        for role, scopes in ROLES.items():
            if scopes is not None:
                secret = desk.tokens.issue("root" if role == "admin" else role, "root", scopes=scopes)[1]
                of_role[role] = bearer(secret)
        app = create_app(desk, token="fuzz-fuzz-fuzz-fuzz")
        app.state.access.attempts = Attempts(count(step=60).__next__)
        yield schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers={"Host": "localhost"}), of_role


@pytest.mark.parametrize("role", [
    role if role in ("nobody", "reviewer") else pytest.param(role, marks=pytest.mark.slow) for role in ROLES
])  # fmt: skip
def test_as_each_role(staffed: tuple[Any, dict[str, dict[str, str]]], role: str) -> None:
    """With a token of each role and without any: every reply is one that is described, refusals included.

    Half of the loops that are named exist.
    """
    schema, of_role = staffed

    def asked(case: Any) -> None:
        loop = (case.path_parameters or {}).get("loop")
        if loop is not None and len(str(loop)) % 2:
            case.path_parameters["loop"] = "spam"
        excluded = [positive_data_acceptance, negative_data_rejection, ignored_auth]
        case.call_and_validate(headers=of_role[role], excluded_checks=excluded)

    assert fuzz(schema, 3 if role in ("nobody", "reviewer") else 12, asked) > 25


def fuzz(schema: Any, examples: int, check: Callable[[Any], None]) -> int:
    """Run every operation of a schema with so many examples, half of them wrong; returns how many there are."""
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # a request without parameters cannot be wrong
                _run(operation.as_strategy(generation_mode=mode), examples, check)
        count += 1
    return count


def _run(strategy: Any, examples: int, check: Callable[[Any], None]) -> None:
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def run(case: Any) -> None:
        check(case)

    run()


def as_described(case: Any) -> None:
    """Every check that schemathesis knows; what is wrong with a parameter that is not sent, nobody can refuse.

    A key is given once, in the body or as a header, which no description of the two can say.
    """
    if isinstance(case.body, dict) and case.body.get("key") is not None and "Idempotency-Key" in (case.headers or {}):
        del case.headers["Idempotency-Key"]
    unsent = any(value in (None, [], {}) for value in (case.query or {}).values())
    case.call_and_validate(headers=headers(case), excluded_checks=[negative_data_rejection] if unsent else [])


def of_a_loop(case: Any) -> None:
    """The same with a loop that exists in the place of the one that may have been what was wrong."""
    if "loop" in (case.path_parameters or {}):
        case.path_parameters["loop"] = "spam"
    case.call_and_validate(headers=headers(case), excluded_checks=[positive_data_acceptance, negative_data_rejection])


@pytest.mark.parametrize("tag", TAGS)
def test_as_described(described: Any, tag: str) -> None:
    """A short run for every change."""
    assert fuzz(described.include(tag=tag), 8, as_described) > 0


def test_proposals_to_a_loop(described: Any) -> None:
    """Proposals reach the loop, and who stops or opens it or its autopilot; what it refuses is a documented problem."""
    assert fuzz(described.include(path_regex="/loops/", method="POST"), 40, of_a_loop) == 8


@pytest.mark.slow
@pytest.mark.parametrize("tag", TAGS)
def test_as_described_at_length(described: Any, tag: str) -> None:
    """A long run."""
    assert fuzz(described.include(tag=tag), 60, as_described) > 0
