"""People, their roles and groups, and the one question of who may do what.

Stages and doors ask `may`, and compare no name, role or group themselves.  A loop knows its people from its own events
(`Control.people`), so that the question costs no look-up.  Before the first account there is nobody to know: then any
name is taken, as far as its group allows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from dualcontrol.case import Actor, Case, Review, Value, is_high
from dualcontrol.control import BY_TWO, LEADS, READMIT, SECOND_REVIEW, SUSPEND, SUSPENDED, Control, Role
from dualcontrol.errors import (
    ClaimError,
    DualcontrolError,
    EligibilityError,
    EscalationError,
    RoleError,
    SamePersonError,
    ScopeError,
    StepUpError,
    SuspendedError,
    TrainingError,
)
from dualcontrol.layout import before
from dualcontrol.names import among, identity, own_pool, same

Verb = Literal[
    "overview", "read", "audit", "propose", "run", "withdraw", "claim", "answer", "escalate", "retract", "revoke",
    "resolve", "stop", "resume", "configure", "erase", "people", "sign",
]  # fmt: skip
Scope = Literal["propose", "read", "decide"]

ROLES: dict[Role, str] = {
    "submitter": "a service: proposes, runs what was decided, and reads",
    "reviewer": "answers cases",
    "lead": "answers cases, opens autopilot and loops again, and looks after what was lost",
    "policy": "policy owner: settings, thresholds and rules; decides no case",
    "auditor": "reads everything, evidence included, and changes nothing",
    "admin": "people, roles, groups and tokens; sees no case and decides none",
}
DECIDING: tuple[Role, ...] = ("reviewer", "lead")
# Every cell of the role matrix: who may do what.  What is not here, nobody may.
PERMITTED: dict[Verb, tuple[Role, ...]] = {
    "overview": ("submitter", "reviewer", "lead", "policy", "auditor", "admin"),
    "read": ("submitter", "reviewer", "lead", "policy", "auditor"),
    "audit": ("lead", "policy", "auditor"),
    "propose": ("submitter",),
    "run": ("submitter",),
    "withdraw": ("submitter", "lead"),
    "claim": DECIDING,
    "answer": DECIDING,
    "escalate": DECIDING,
    "retract": DECIDING,
    "revoke": DECIDING,
    "resolve": DECIDING,
    "stop": ("reviewer", "lead", "policy", "admin"),
    "resume": ("lead",),
    "configure": ("policy",),
    "erase": ("policy",),
    "people": ("admin",),
    "sign": ("reviewer", "lead", "policy", "auditor", "admin"),  # one's own sign-in, sessions and tokens
}
DECISIONS: tuple[Verb, ...] = ("claim", "answer", "escalate", "retract", "revoke", "resolve")
# What a token of each scope is good for; a session is good for all that its person's roles permit.
SCOPES: dict[Scope, frozenset[Verb]] = {
    "propose": frozenset({"overview", "propose", "run", "withdraw"}),
    "read": frozenset({"overview", "read", "audit"}),
    "decide": frozenset({"overview", "read", *DECISIONS, "stop", "resume", "configure"}),
}


class Grant(Value, frozen=True, kw_only=True):
    """A role that somebody has in one loop, or in all of them ("")."""

    role: Role
    loop: str = ""


class Principal(Value, frozen=True, kw_only=True):
    """Who asks at a door: the person behind a session or a token, and how far that reaches.

    `scopes` and `loops` bound what a token is good for, None bounds nothing.  `signed_in_at` and `stepped_up_at` are
    the moments, in microseconds, at which a password or a provider last vouched for this very person.
    """

    person: str
    grants: tuple[Grant, ...] = ()
    authenticated: str = "none"
    scopes: tuple[Scope, ...] | None = None
    loops: tuple[str, ...] | None = None
    account: str = ""
    signed_in_at: int | None = None
    stepped_up_at: int | None = None

    def roles(self, loop: str | None = None) -> frozenset[Role]:
        """The roles in a loop; without one, those in any."""
        return frozenset(grant.role for grant in self.grants if loop is None or grant.loop in ("", loop))


def may(
    who: str | Principal, verb: Verb, control: Control | None = None, case: Case | None = None, review_id: str = "", *,
    group: str | None = None,
) -> DualcontrolError | None:  # fmt: skip
    """Why somebody may not do this, as the error to raise; None where they may.

    `who` is a name, where Python holds the database, or who came in by a door.  Without `control` the question is asked
    of no loop in particular.  With a `case`: `review_id` is the review that is meant, `group` the one that it is
    escalated to; what state these have to be in is asked by the stages.
    """
    refusal = _beyond_scope(who, verb, control) if isinstance(who, Principal) else None
    review = case.review(review_id) if case is not None and review_id else None
    refusal = refusal or _without_role(who, verb, control, review.group if review else None)
    person = who.person if isinstance(who, Principal) else who
    if refusal is None and control is not None and verb in ("claim", "answer") and control.step_of(person) == SUSPENDED:
        refusal = SuspendedError(f"{person} takes no cases in loop {control.loop!r} until a lead lets them")
    if refusal is not None or case is None or control is None:
        return refusal
    return _not_in_case(person, verb, control, case, review_id, group)


def refuse(reason: DualcontrolError | None) -> None:
    """Raise the reason of `may`, where there is one."""
    if reason is not None:
        raise reason


def _beyond_scope(who: Principal, verb: Verb, control: Control | None) -> DualcontrolError | None:
    """The refusal of what a token is not good for."""
    if who.scopes is not None and not any(verb in SCOPES[scope] for scope in who.scopes):
        fits = [scope for scope, verbs in SCOPES.items() if verb in verbs]
        wanted = f"one with the scope {' or '.join(fits)}" if fits else "a session: no token does that"
        return ScopeError(f"this token is good for {' and '.join(who.scopes) or 'nothing'}; {verb} takes {wanted}")
    if who.loops is not None and control is None and verb in ("stop", "resume", "configure"):
        return ScopeError(f"this token is good only for {', '.join(who.loops)}, and this concerns every loop")
    if who.loops is not None and control is not None and control.loop not in who.loops:
        return ScopeError(f"this token is not good for loop {control.loop!r}, only for {', '.join(who.loops)}")
    return None


def _without_role(
    who: str | Principal, verb: Verb, control: Control | None, group: str | None = None
) -> DualcontrolError | None:  # fmt: skip
    """The refusal of what somebody's roles do not permit, of reviews of a group; a name is asked where accounts are."""
    if isinstance(who, Principal):
        roles, name = who.roles(control.loop if control else None), who.person
    else:
        if control is None or control.people is None:
            return None
        member, name = control.people.get(identity(who)), who
        if member is None and verb in ("withdraw", "erase", "stop"):
            return None  # who holds the database itself tidies up, and stops, under a name of their own
        if member is None:
            hint = "An admin lets people in: `dualcontrol users invite NAME --role reviewer`, or `users grant`."
            return EligibilityError(f"{who} has no role in loop {control.loop!r}", hint=hint)
        roles = frozenset(member.roles)
    permitted = permitted_roles(verb, control, group)
    if not roles.isdisjoint(permitted) and not ("admin" in roles and verb in DECISIONS):
        return None
    where = f" in loop {control.loop!r}" if control else ""
    has = " and ".join(role for role in ROLES if role in roles) or "no role"
    if "admin" in roles and verb in DECISIONS:
        return RoleError(f"{name} is admin{where}, and an admin decides nothing; a second account may")
    return RoleError(f"{name} has {has}{where}; {verb} takes {' or '.join(permitted) or 'a role that nobody has'}")


def permitted_roles(verb: Verb, control: Control | None, group: str | None = None) -> tuple[Role, ...]:
    """The roles that may do this; changes that take two are decided by policy owners, those about people by leads."""
    if control is not None and control.loop == BY_TWO and verb in DECISIONS:
        return ("lead",) if group == LEADS else ("policy",)
    return PERMITTED[verb]


def _not_in_case(
    person: str, verb: Verb, control: Control, case: Case, review_id: str, group: str | None
) -> DualcontrolError | None:  # fmt: skip
    """The refusal that follows from a case: who proposed it, who has worked on it, who holds what."""
    review = case.review(review_id)
    if verb == "retract":
        answer = next((a for a in case.answered if a.review_id == review_id), None)
        if answer is None or not same(answer.actor.person, person):
            return ClaimError(f"{person} has not given the answer of review {review_id}")
    elif verb == "revoke" and control.people is not None and _proposed(person, case, control):
        return EligibilityError(f"{person} proposed case {case.id}, and does not decide it")
    elif verb == "escalate" and group is not None:
        if group == arbiter_of(case, control) and among(person, control.members(group) or ()):
            return EscalationError(f"{person} is of group {group!r}, and nobody is above it")
    elif verb == "answer" and review is not None:
        if not same(person, review.person):
            return ClaimError(f"claim {review.claim_id} is not {person}'s")
        return None if control.people is None else _not_any_more(person, control, case, review_id)
    elif verb == "claim" and review is not None:
        return _not_to_claim(person, control, case, review_id)
    return None


def _not_to_claim(person: str, control: Control, case: Case, review_id: str) -> DualcontrolError | None:
    review = case.review(review_id)
    if review is None:
        return None
    if not person or not person.strip():
        return EligibilityError("a claim names the person who takes it")
    if _proposed(person, case, control):
        named = next((name for name in (case.owner, case.submitter) if same(name, person)), None)
        why = (
            "proposed"
            if named or control.people is None
            else f"is, or answers for, {case.submitter or case.owner}, who proposed"
        )
        return EligibilityError(f"{person} {why} case {case.id} and does not review it")
    if (refusal := _beyond_step(person, control, case, review)) is not None:
        return refusal
    if review.addressee is not None and not same(review.addressee, person):
        return EligibilityError(f"review {review.id} is meant for somebody else")
    if not belongs(person, review.group, control):
        return EligibilityError(f"{person} is not a member of group {review.group!r}")
    humans = humans_of((*review.excludes, *(r.person for r in case.reviews if r.id != review.id and r.person)), control)
    if human_of(person, control) in humans:
        return SamePersonError(f"{person} has already worked on case {case.id}")
    return None


def _beyond_step(person: str, control: Control, case: Case, review: Review) -> DualcontrolError | None:
    """The refusal that follows from somebody's step on the ladder, or of a case about themselves."""
    if control.loop == BY_TWO and case.action in (SUSPEND, READMIT) and case.proposal is not None:
        about = str(case.proposal.value.get("person", ""))
        if human_of(about, control) == human_of(person, control):
            return EligibilityError(f"case {case.id} is about {person}, who does not decide it")
    if control.in_training(person) and case.kind != "practice":
        return TrainingError(f"{person} has training cases to answer first in loop {control.loop!r}")
    if review.kind == "arbiter" and control.step_of(person) >= SECOND_REVIEW:
        why = "their own answers need a second person, and an arbiter's is final"
        return EligibilityError(f"{person} does not arbitrate in loop {control.loop!r}: {why}")
    return None


def _not_any_more(person: str, control: Control, case: Case, review_id: str) -> DualcontrolError | None:
    """The refusal of an answer by somebody who may have been linked, since they claimed, to who did the rest."""
    if _proposed(person, case, control):
        return EligibilityError(f"{person} is, or answers for, who proposed case {case.id}, and does not decide it")
    done = [r.person or "" for r in case.reviews if r.id != review_id and r.state in ("answered", "passed")]
    if human_of(person, control) in humans_of(done, control):
        return SamePersonError(f"{person} has already worked on case {case.id}, under another name")
    return None


def _proposed(person: str, case: Case, control: Control) -> bool:
    """Whether somebody proposed a case, or answers for the program that did."""
    return human_of(person, control) in humans_of((case.owner or "", case.submitter or ""), control)


# A fresh sign-in, where much depends on it


FRESH = 300_000_000  # microseconds: how long ago somebody may have proved who they are (RFC 9470, max_age)
UNPROVEN = ("none", "os", "demo")  # where nobody signs in: Python that holds the database, the machine, the demo


def proof_lacking(actor: Actor, risk: str | float | None, now: int) -> DualcontrolError | None:
    """Why somebody has to sign in again before a decision of this risk lets something happen; None where not."""
    if not is_high(risk) or actor.authenticated in UNPROVEN:
        return None
    if max(actor.signed_in_at or 0, actor.stepped_up_at or 0) >= now - FRESH:
        return None
    if actor.authenticated == "token":
        hint = "A token proves nobody's presence: answer on the page, or let a reviewer there reject or approve it."
        why = "a decision of this risk takes a person who has just signed in"
        return StepUpError(why, hint=hint, max_age=FRESH // 1_000_000)
    return StepUpError(f"{actor.person} signed in more than 5 minutes ago", max_age=FRESH // 1_000_000)


DOORS = {
    "web": "on a page", "http": "over HTTP", "cli": "on the command line", "import": "from a file",
    "python": "in Python", "changes": "by a change",
}  # fmt: skip
NOBODY = {"cli": "the command line", "import": "the command line"}
SIGN_INS = {
    "os": "as the user of this machine", "demo": "in the demo, where nobody signs in", "token": "by a token",
    "password": "signed in by password", "oidc": "signed in with the provider",
    "approval": "approved by a second person as a case of its own",
}  # fmt: skip


def proof(actor: Actor, at: int) -> str:
    """Through which door somebody acted at a moment (microseconds), by which sign-in, and when that was, in words."""
    door = DOORS.get(actor.via, f"by {actor.via}")
    if actor.authenticated == "none":
        return f"{door}; nobody signed in: {NOBODY.get(actor.via, 'Python')} held the database"
    how = SIGN_INS.get(actor.authenticated, f"signed in by {actor.authenticated}")
    if actor.signed_in_at is not None:
        how += f" {before(actor.signed_in_at, at)}"
    if actor.stepped_up_at is not None:
        how += f", and again {before(actor.stepped_up_at, at)}"
    return f"{door}, {how}"


# The door of a request, for the record


Door = Callable[[str], Actor | None]
_DOOR: ContextVar[Door | None] = ContextVar("door", default=None)


@contextmanager
def through(door: Door | None) -> Iterator[None]:
    """Let what is recorded within say how its actor was known; `door` knows a name, or does not.

    Of a context, not of a call, since what a person does at a door may write to several streams.
    """
    before_it = _DOOR.set(door)
    try:
        yield
    finally:
        _DOOR.reset(before_it)


def proof_of(name: str) -> Actor | None:
    """How the actor of an entry was known; None for the system, and where Python holds the database itself."""
    door = _DOOR.get()
    return None if door is None else door(name)


# Accounts and the humans behind them, and groups


def human_of(name: str, control: Control) -> str:
    """Who stands behind a name: accounts of one human are one, and a service is its owner."""
    key = identity(name)
    member = control.people.get(key) if control.people else None
    return (member.human if member else "") or key


def humans_of(names: Iterable[str], control: Control) -> frozenset[str]:
    """Who stands behind names; "" is nobody."""
    return frozenset(human_of(name, control) for name in names if name)


def belongs(person: str | None, group: str, control: Control) -> bool:
    """Whether a person may speak for a group: everybody for one that is open, else its members."""
    members = control.members(group)
    return members is None or among(person, members)


def pools_of(person: str | None, control: Control) -> list[tuple[int, str]]:
    """The pools of a loop that a person may take reviews from: open groups, and groups they belong to; else all.

    Who has training cases to answer takes from their own pool alone.
    """
    if person is None:
        return [(control.loop_id, group) for group in control.pools()]
    allowed: Callable[[str], bool] = lambda group: _without_role(person, "claim", control, group) is None  # noqa: E731
    groups = control.pools()
    if control.people is not None and control.loop == BY_TWO:
        groups = tuple(group for group in groups if allowed(group))
    elif control.people is not None and not allowed(""):
        return []
    if control.step_of(person) == SUSPENDED:
        return []
    own = [(control.loop_id, own_pool(person))] if control.settings.probe_share > 0.0 else []
    if control.in_training(person):
        return own
    return [*((control.loop_id, group) for group in groups if belongs(person, group, control)), *own]


def arbiter_of(case: Case, control: Control) -> str | None:
    """The group that arbitrates a case, where one is named."""
    return (case.route.quorum.arbiter if case.route else None) or control.settings.quorum.arbiter


def available(case: Case, group: str, control: Control, excludes: tuple[str, ...]) -> int | None:
    """How many people could take a review of this group; None when everybody could, whoever that is."""
    able = able_in(group, control)
    if able is None:
        return None
    out = humans_of((*excludes, case.owner or "", case.submitter or ""), control)
    return len(humans_of(able, control) - out)


def able_in(group: str, control: Control) -> tuple[str, ...] | None:
    """The members of a group whose roles let them answer; None when it is open to everybody, accounts or not.

    Nobody who is suspended is among them.
    """
    able, people = control.members(group), control.people
    if people is not None:
        permitted = frozenset(permitted_roles("claim", control, group))
        deciding = {k: m.name for k, m in people.items() if permitted.intersection(m.roles) and "admin" not in m.roles}
        named = tuple(deciding.values()) if able is None else able
        able = tuple(name for name in named if identity(name) in deciding)
    if able is None or not control.rungs:
        return able
    return tuple(name for name in able if control.step_of(name) != SUSPENDED)
