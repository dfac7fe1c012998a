"""Write docs/roles.md, who may do what, from the code that decides it; --check says whether it is fresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from write_cli_docs import write_or_check

from dualcontrol.people import PERMITTED, ROLES, SCOPES, Scope, Verb
from dualcontrol.web.app import API, addresses

PAGE = Path(__file__).resolve().parent.parent / "docs" / "roles.md"
MEANINGS: dict[Verb, str] = {
    "overview": "see which loops there are, and how much waits",
    "read": "see cases, as far as a review of them may be seen",
    "audit": "see the ledger, the evidence of a guarantee, who has which role, and what test cases say of each person",
    "propose": "open cases",
    "run": "start effects, and report how they ended",
    "withdraw": "say that nobody needs an answer",
    "claim": "take a review",
    "answer": "answer a review that one holds",
    "escalate": "pass a review to a group above",
    "retract": "take one's own answer back before it counts",
    "revoke": "take an approval back before its effect begins",
    "resolve": "say whether a lost effect happened",
    "stop": "send everything to people, or let nothing run",
    "resume": "open again what a person stopped; suspend reviewers, and readmit them",
    "configure": "change settings, thresholds and rules; train",
    "erase": "erase the content of a case",
    "people": "let people in and out; roles, groups and tokens",
    "sign": "one's own sign-in, sessions and tokens",
}
INTRODUCTION = """\
# Roles

<!-- Written by scripts/write_roles.py from dualcontrol.people; change that, then run it. -->

Who may do what, once there are accounts: at the API, on pages, in files, on the command line and in Python alike.
One function, [`people.may`](../src/dualcontrol/people.py), is asked at every door.
What no cell permits, nobody may.

An account has roles in one loop or in all of them.
The command line gives them: `dualcontrol users grant ana lead --loop refunds`; `dualcontrol users` lists them.

"""
BESIDE = """
Beside the table:

- Who is admin decides no case, whatever else they are; somebody who does both has two accounts, which are \
[linked](glossary.md).
- The proposer of a case decides nothing about it, nor does the owner of the service that proposed it; accounts of \
one human are one person.
- Decisions about changes that take two are those of policy owners.
- Whether somebody is suspended is decided by leads, never by that person.
- Where a person signs in, an answer that lets something of a high risk happen takes a sign-in of the last five \
minutes: [DC-STEP-UP](errors/DC-STEP-UP.md).
- What [test cases](oversight.md) say of people is for themselves, each their own, and for who may audit; before the \
first account everybody sees all. A test case that was answered is seen by who answered it and by who may audit.
- A program that holds the database may withdraw and erase under a name that has no account; under the name of an \
account it may what that account may.
- Before the first account any name is taken, as far as its group allows.
"""


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "| role | what it is for |\n|---|---|\n"]
    parts += [f"| {role} | {meaning} |\n" for role, meaning in ROLES.items()]
    parts += ["\n## What each role may do\n\n", *_matrix(), BESIDE, "\n## What a token may do\n\n", *_scopes()]
    parts += ["\n## What each address asks\n\n", *_addresses()]
    return "".join(parts)


def _matrix() -> Iterator[str]:
    yield f"| verb | what it is | {' | '.join(ROLES)} |\n|---|---|{'---|' * len(ROLES)}\n"
    for verb, roles in PERMITTED.items():
        cells = " | ".join("yes" if role in roles else "" for role in ROLES)
        yield f"| {verb} | {MEANINGS[verb]} | {cells} |\n"


def _scopes() -> Iterator[str]:
    yield (
        "A token may what its scope and the roles of its account both permit, in the loops that it was made for.\n"
        "No token has the scopes `propose` and `decide` at once, and the token of the settings (`web.token`) has "
        "`propose` and `read`.\n\n"
    )
    scopes: tuple[Scope, ...] = tuple(SCOPES)
    yield f"| verb | {' | '.join(scopes)} |\n|---|{'---|' * len(scopes)}\n"
    for verb in PERMITTED:
        cells = ["yes" if verb in SCOPES[scope] else "" for scope in scopes]
        if any(cells):
            yield f"| {verb} | {' | '.join(cells)} |\n"
    none = ", ".join(verb for verb in PERMITTED if not any(verb in verbs for verbs in SCOPES.values()))
    yield f"\nNo token does these: {none}.\n"
    yield "A token proves nobody's presence, so none lets something of a high risk happen.\n"


def _addresses() -> Iterator[str]:
    yield (
        "Each address says which verb it takes; one that says nothing is closed to everybody.\n"
        '"anybody" is whoever comes in there, signed in or to sign in; `sign` takes a session.\n\n'
        "| method | address | verb |\n|---|---|---|\n"
    )
    yield f"| GET | `{API}/openapi.json` | anybody |\n"
    for method, path, verb in addresses():
        yield f"| {method} | `{path}` | {verb or 'anybody'} |\n"


def main(arguments: list[str]) -> int:
    """Write the page of the roles, or check it."""
    stale = "docs/roles.md is not what dualcontrol.people says; run scripts/write_roles.py"
    return write_or_check(PAGE, page(), stale, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
