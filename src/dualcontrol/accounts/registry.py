"""The registry of accounts: invite, grant, group, link, remove, recover; each change is one transaction and an event.

What a change means for a loop is written into that loop's own stream in the same transaction, so that its ledger says
who could do what at each moment and no door can be behind another.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, get_args

from msgspec.structs import replace

from dualcontrol import events as ev
from dualcontrol.case import JSON, Case
from dualcontrol.commands import person as named
from dualcontrol.control import BY_TWO, Role
from dualcontrol.errors import AccountError, Pending, UnknownLoopError
from dualcontrol.events import Entry, Event
from dualcontrol.names import among, distinct, nearest, same
from dualcontrol.people import DECIDING, ROLES, Grant, proof_of
from dualcontrol.step import Steps
from dualcontrol.store import Tx
from dualcontrol.store.accounts import (
    Account,
    AccountBook,
    AccountKind,
    Group,
    Link,
    Purpose,
    begun,
    grants_of,
    secret_digest,
)

STREAM = "people"
DAY = 86_400_000_000
INVITATION, RECOVERY = 7 * DAY, DAY
Change = Callable[[Tx, AccountBook], Sequence[Event]]


class Invited(NamedTuple):
    """An account and the secret of the link by which its owner comes in, shown once.

    `waiting` are the cases of roles and groups that a second person has to approve first.
    """

    account: Account
    secret: str
    waiting: tuple[str, ...] = ()


class Approval(NamedTuple):
    """Who approved a change that takes two, and in which case."""

    by: str | None = None
    case_id: str | None = None


ALONE = Approval()  # one person's change
Second = Callable[[str, dict[str, JSON], str], Case]  # opens the case in which a second person approves a change


class Holdings(NamedTuple):
    """What ends with an account: claims that are held, tokens in force, open sessions, and groups."""

    claims: int
    tokens: int
    sessions: int
    groups: tuple[str, ...]


class Registry:
    """Every account of a desk, and the changes that an admin or the machine makes to them."""

    def __init__(self, steps: Steps, second: Second | None = None) -> None:
        self._steps = steps
        self._second = second

    # What there is

    def accounts(self) -> list[Account]:
        """Every account, removed ones too, by name."""
        with self._steps.store.queries.accounts() as book:
            return book.accounts()

    def groups(self) -> list[Group]:
        """Every group that accounts were put into."""
        with self._steps.store.queries.accounts() as book:
            return book.groups()

    def account(self, name: str) -> Account:
        """The account of this name; `AccountError` names the nearest one."""
        with self._steps.store.queries.accounts() as book:
            return known(book, name)

    def holdings(self, name: str) -> Holdings:
        """What would end with an account now; `AccountError` names the nearest one."""
        with self._steps.store.queries.accounts() as book:
            account = known(book, name)
            tokens = [token for token in book.tokens() if token.account == account.id and token.revoked_at is None]
            groups = tuple(group.name for group in book.groups() if among(account.name, group.people))
            return Holdings(len(book.held_by(account.name)), len(tokens), len(book.sessions(account.id)), groups)

    @property
    def begun(self) -> bool:
        """Whether there are accounts, beside names out of older cases: from then on names alone no longer do."""
        return begun(self.accounts())

    # Changes

    def set_up(self, name: str, password: str, *, alone: str | None = None) -> list[Account]:
        """The first admin of a desk and their second account, if any, with this hash of a password, as one human.

        Raises AccountError where the desk has been set up.
        """
        hats = [(named(name), grants_of([("admin", "")]))]
        if alone:
            hats.append((named(alone), grants_of((role, "") for role in ("reviewer", "lead", "policy"))))
        if alone and same(name, alone):
            raise AccountError("an admin decides nothing, so the account that reviews needs a name of its own")
        result: list[Account] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            if begun(book.accounts()):
                raise AccountError("this desk has its admin", hint="`dualcontrol users recover NAME` makes a new link.")
            result.clear()
            events: list[Event] = []
            for hat, grants in hats:
                earlier = unclaimed(book, hat)
                account = Account(
                    id=earlier.id if earlier else self._steps.new_id(), name=hat, state="active", password=password,
                    grants=grants, created_at=tx.now,
                )  # fmt: skip
                book.save_account(account)
                result.append(account)
                events += added(tx, account, "setup")
            if alone:
                events += joined(tx, book, result[0], result[1], "setup")
            return events

        self.change(change, hats[0][0])
        return result

    def invite(
        self, name: str, by: str, *, roles: Iterable[Grant] = (), groups: Sequence[str] = (), email: str | None = None
    ) -> Invited:
        """An account for a person, with the link that lets them choose a password; open for seven days.

        Raises AccountError for a name that is taken, and for roles that do not go together.
        """
        return self._add("person", name, by, roles=roles, groups=groups, email=email)

    def register(self, name: str, by: str, *, owner: str, loops: Sequence[str] = ()) -> Account:
        """An account for a service: it proposes and runs, and the person who answers for it approves none of it."""
        roles = [Grant(role="submitter", loop=loop) for loop in (loops or ("",))]
        return self._add("service", name, by, roles=roles, owner=owner).account

    def _add(
        self, kind: AccountKind, name: str, by: str, *, roles: Iterable[Grant], groups: Sequence[str] = (),
        email: str | None = None, owner: str = "",
    ) -> Invited:  # fmt: skip
        name, secret = named(name), secrets.token_urlsafe(32)
        grants = grants_of((grant.role, grant.loop) for grant in roles)
        result: list[Account] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            if kind == "service" and not owner:
                raise AccountError("a service has an owner, who answers for it: --owner NAME")
            earlier = unclaimed(book, name)
            account = Account(
                id=earlier.id if earlier else self._steps.new_id(), name=name, kind=kind, email=email,
                state="active" if kind == "service" else "invited", grants=grants,
                owner=known(book, owner).id if owner else "", created_at=tx.now,
            )  # fmt: skip
            fits_together(account)
            for grant in grants:
                known_loop(tx, grant.loop)
            book.save_account(account)
            result[:] = [account]
            events = added(tx, account, by)
            if kind == "person":
                book.save_link(self._link(tx, "invite", account, secret, by))
            return events

        waiting: list[str] = []
        asked = grants if kind == "person" else ()
        for grant in asked:
            fits_together(Account(id="", name=name, kind=kind, grants=asked))
            with waits(waiting):
                self._ask_second("grant_role", {"name": name, "role": grant.role, "loop": grant.loop}, by, grant.loop)
        if waiting:  # the account comes without what has to be approved
            grants = ()
        self.change(change, by)
        for group in groups:
            with waits(waiting):
                self.add_to_group(group, name, by)
        return Invited(result[0], secret, tuple(waiting))

    # Roles and groups; where a loop takes changes by two, a second person approves them first

    def grant(self, name: str, role: str, by: str, *, loop: str = "") -> Account:
        """Give a role, in one loop or in all; raises Pending where that takes a second person."""
        self._ask_second("grant_role", {"name": name, "role": known_role(role), "loop": loop}, by, loop)
        return self._regranted(name, role, by, loop, give=True)

    def revoke(self, name: str, role: str, by: str, *, loop: str = "") -> Account:
        """Take a role away; the last admin keeps theirs.  Raises Pending where that takes a second person."""
        self._ask_second("revoke_role", {"name": name, "role": known_role(role), "loop": loop}, by, loop)
        return self._regranted(name, role, by, loop, give=False)

    def _regranted(self, name: str, role: str, by: str, loop: str, *, give: bool) -> Account:
        result: list[Account] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            events, account = regranted(tx, book, name, Grant(role=known_role(role), loop=loop), by, give=give)
            result[:] = [account]
            return events

        self.change(change, by)
        return result[0]

    def set_group(self, group: str, people: Sequence[str] | None, by: str) -> None:
        """Say who belongs to a group, or with None give it back to the settings; may raise Pending."""
        listed = None if people is None else list(people)
        self._ask_second("set_group", {"group": named(group), "people": listed}, by, "")
        self.change(lambda tx, book: grouped(tx, book, group, people, by), by)

    def add_to_group(self, group: str, person: str, by: str) -> None:
        """Put somebody into a group; one that the settings declare is taken over with its people."""
        self.set_group(group, distinct([*self.members(group), self.account(person).name]), by)

    def take_from_group(self, group: str, person: str, by: str) -> None:
        """Take somebody out of a group; its open reviews go on to whoever is left, else to the arbiter."""
        before = self.members(group)
        if not among(person, before):
            raise AccountError(f"{person} is not of group {group!r}; of it are: {', '.join(before) or 'nobody'}")
        self.set_group(group, [name for name in before if not same(name, person)], by)

    def members(self, group: str) -> tuple[str, ...]:
        """Who is of a group now, by an admin or by the settings of the loops that know it."""
        stated = next((g for g in self.groups() if same(g.name, group)), None)
        if stated is not None:
            return stated.people
        names = [n for control in self._steps.store.queries.loops() for n in control.settings.groups.get(group, ())]
        known_names = [account.name for account in self.accounts() if account.state != "removed"]
        return tuple(name for name in distinct(names) if among(name, known_names))

    def _ask_second(self, action: str, args: dict[str, JSON], by: str, loop: str) -> None:
        """Ask a second person where a loop that the change concerns takes two: raise Pending, with the case of it.

        Until somebody can approve, who begins a desk is alone: the record says so, and the doctor.
        """
        concerned = [control for control in self._steps.store.queries.loops() if loop in ("", control.loop)]
        if self._second is None or not any(c.settings.changes == "two" for c in concerned if c.loop != BY_TWO):
            return
        accounts = self.accounts()
        author = next((account.behind for account in accounts if same(account.name, by)), "")
        able = [a for a in accounts if a.state == "active" and a.has("policy") and a.behind != author]
        if able:
            case = self._second(action, args, by)
            raise Pending(case.id, note="a second person has to approve this change")

    # One human, no account, a new password

    def link(self, name: str, other: str, by: str) -> None:
        """Say that two accounts are of one human, who then counts once and decides nothing that they proposed."""

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            one, two = known(book, name), known(book, other)
            if one.id == two.id:
                raise AccountError(f"{name} and {other} are one account already")
            return joined(tx, book, one, two, by)

        self.change(change, by)

    def remove(self, name: str, by: str) -> Account:
        """Close an account everywhere at once: roles, groups, claims, tokens, sessions and links end with it."""
        result: list[Account] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            account = known(book, name)
            if account.state == "removed":
                raise AccountError(f"the account of {account.name} was closed already")
            closed = replace(account, state="removed", grants=(), password=None, removed_at=tx.now)
            keeps_an_admin(book, closed)
            result[:] = [closed]
            book.save_account(closed)
            book.end_sessions(account_id=account.id)
            book.drop_links(account.id)
            for token in book.tokens():
                if token.account == account.id and token.revoked_at is None:
                    book.save_token(replace(token, revoked_at=tx.now))
            self._steps.give_back(tx, book.held_by(account.name))
            events: list[Event] = [ev.AccountRemoved(at=tx.now, by=by, person=account.name)]
            for group in book.groups():
                if among(account.name, group.people):
                    left = [person for person in group.people if not same(person, account.name)]
                    events += grouped(tx, book, group.name, left, by)
            return events

        self.change(change, by)
        return result[0]

    def recover(self, name: str, by: str, *, admin: bool = False) -> Invited:
        """A link by which an account gets a new password, made on the machine; its sessions end.

        With `admin` the account becomes admin as well, where no admin can sign in any more.
        """
        secret = secrets.token_urlsafe(32)
        result: list[Account] = []

        def change(tx: Tx, book: AccountBook) -> list[Event]:
            account = known(book, name)
            if account.state == "removed" or account.kind == "service":
                why = "was closed" if account.state == "removed" else "is that of a service"
                raise AccountError(f"the account of {account.name} {why}, and nobody signs in with it")
            events: list[Event] = [ev.AccountRecovered(at=tx.now, by=by, person=account.name)]
            if admin and not account.has("admin"):
                account = replace(account, grants=(*account.grants, Grant(role="admin")))
                fits_together(account)
                events.append(roles_changed(tx, account, by))
            account = replace(account, state="invited" if account.state == "named" else account.state)
            book.save_account(account)
            book.end_sessions(account_id=account.id)
            book.drop_links(account.id)
            book.save_link(self._link(tx, "recover", account, secret, by))
            result[:] = [account]
            return events

        self.change(change, by)
        return Invited(result[0], secret)

    # One change: the rows, the stream of people, and the streams of the loops that it concerns

    def change(self, change: Change, by: str) -> None:
        """Carry out one change of accounts in a transaction; tried again where somebody else was faster."""
        self._steps.retried(self._changed, change, by)
        for control in self._steps.store.queries.loops():  # what nobody may take any more goes to the arbiter
            if control.people is not None:
                self._steps.reseat(control)

    def _changed(self, change: Change, by: str) -> None:
        with self._steps.store.transaction() as tx:
            self.record(tx, change(tx, tx.accounts), by)

    def record(self, tx: Tx, events: Sequence[Event], by: str) -> None:
        """Write what happened to accounts into their stream, and what it means into each loop's."""
        if not events:
            return
        tx.append(Entry(stream=STREAM, seq=0, at=tx.now, actor=by, events=tuple(events), proof=proof_of(by)))
        for name in sorted(control.loop for control in self._steps.store.queries.loops()):
            if (control := tx.control(name)) is not None:
                self._steps.acquaint(tx, control, by)

    def _link(self, tx: Tx, purpose: Purpose, account: Account, secret: str, by: str) -> Link:
        life = RECOVERY if purpose == "recover" else INVITATION
        return Link(
            digest=secret_digest(secret), purpose=purpose, account=account.id, expires_at=tx.now + life, created_by=by
        )


# Changes within somebody else's transaction, and what holds of accounts


def regranted(
    tx: Tx, book: AccountBook, name: str, wanted: Grant, by: str, *, give: bool, approval: Approval = ALONE
) -> tuple[list[Event], Account]:  # fmt: skip
    """Give a role or take it away; nothing happens where it is so already."""
    account = known(book, name)
    if account.state == "removed":
        raise AccountError(f"the account of {account.name} was closed")
    known_loop(tx, wanted.loop)
    rest = tuple(grant for grant in account.grants if grant != wanted)
    if not give and rest == account.grants:
        where = f"of {wanted.loop}" if wanted.loop else "of all loops"
        raise AccountError(f"{account.name} is not {wanted.role} {where}")
    if give and rest != account.grants:
        return [], account
    changed = replace(account, grants=(*rest, wanted) if give else rest)
    fits_together(changed)
    keeps_an_admin(book, changed)
    book.save_account(changed)
    return [replace(roles_changed(tx, changed, by), approved_by=approval.by, case_id=approval.case_id)], changed


def grouped(
    tx: Tx, book: AccountBook, group: str, people: Sequence[str] | None, by: str, approval: Approval = ALONE
) -> list[Event]:  # fmt: skip
    """Say who belongs to a group; None gives it back to the settings."""
    group, names = named(group), None
    if people is None:
        book.drop_group(group)
    else:
        accounts = [known(book, name) for name in people]
        closed = next((account.name for account in accounts if account.state == "removed"), None)
        if closed is not None:
            raise AccountError(f"the account of {closed} was closed")
        names = distinct(account.name for account in accounts)
        book.save_group(Group(name=group, people=names))
    return [ev.GroupNamed(
        at=tx.now, by=by, person="", group=group, people=names, approved_by=approval.by, case_id=approval.case_id
    )]  # fmt: skip


@contextmanager
def waits(cases: list[str]) -> Iterator[None]:
    """Note the case of a change that waits for a second person, and go on."""
    try:
        yield
    except Pending as pending:
        cases.append(pending.case_id)


def known_loop(tx: Tx, loop: str) -> None:
    """Refuse a role in a loop that nobody defined; "" is all loops."""
    if loop and tx.control(loop) is None:
        raise UnknownLoopError(f"there is no loop {loop!r}", loop=loop)


def known(book: AccountBook, name: str) -> Account:
    """The account of this name; `AccountError` names the nearest one."""
    account = book.named(name)
    if account is None:
        names = [account.name for account in book.accounts() if account.state != "removed"]
        near = nearest(name, names)
        meant = f"did you mean {near!r}?" if near else f"there are: {', '.join(names) or 'none'}"
        raise AccountError(f"there is no account {name[:80]!r}; {meant}")
    return account


def unclaimed(book: AccountBook, name: str) -> Account | None:
    """The name out of older cases that a new account takes over; `AccountError` where the name is somebody's."""
    earlier = book.named(name)
    if earlier is None or earlier.state == "named":
        return earlier
    was = "was, and a name is never given again" if earlier.state == "removed" else "is"
    raise AccountError(f"the name {name!r} {was} that of another account", hint="Choose another name.")


def known_role(role: str) -> Role:
    """A role by its name; `AccountError` names the nearest one."""
    wanted = role.casefold().replace("policy owner", "policy").replace("policy-owner", "policy")
    for name in get_args(Role):
        if name == wanted:
            return name  # type: ignore[no-any-return]
    near = nearest(role, ROLES)
    raise AccountError(f"there is no role {role!r}; {f'did you mean {near!r}?' if near else ', '.join(ROLES)}")


def fits_together(account: Account) -> None:
    """Refuse roles that one account may not hold together: who proposes or keeps accounts does not decide."""
    roles = {grant.role for grant in account.grants}
    deciding = [role for role in DECIDING if role in roles]
    if account.kind == "service" and roles - {"submitter", "auditor"}:
        raise AccountError(f"{account.name} is a service: it may submit and read, and decides nothing")
    if account.kind == "person" and "submitter" in roles:
        raise AccountError(f"{account.name} is a person: proposing is for services, `dualcontrol keys new`")
    if any(grant.role == "admin" and grant.loop for grant in account.grants):
        raise AccountError(
            f"{account.name} cannot be admin of one loop: an admin keeps the accounts of all",
            hint="Give the role in all loops, or give another one.",
        )
    if "admin" in roles and deciding:
        raise AccountError(
            f"an admin decides nothing, so {account.name} cannot be {deciding[0]} as well",
            hint="Give the other role to a second account, and link both: `dualcontrol users link`.",
        )


def keeps_an_admin(book: AccountBook, changed: Account) -> None:
    """Refuse a change after which nobody could be let in or out any more."""
    others = [a for a in book.accounts() if a.id != changed.id and a.state != "removed" and a.has("admin")]
    was = book.account(changed.id)
    if was is not None and was.has("admin") and not changed.has("admin"):
        able = [a for a in others if a.state == "active"]
        if not able:
            raise AccountError(
                f"{changed.name} is the last admin who can sign in",
                hint="Make another one first: `dualcontrol users invite NAME --role admin`.",
            )


def added(tx: Tx, account: Account, by: str) -> list[Event]:
    """What stands in the ledger of a new account."""
    owner = tx.accounts.account(account.owner) if account.owner else None
    return [
        ev.AccountAdded(
            at=tx.now, by=by, person=account.name, account=account.id, account_kind=account.kind,
            human=account.behind if account.human else "", owner=owner.name if owner else "",
        ),
        *([roles_changed(tx, account, by)] if account.grants else []),
    ]  # fmt: skip


def roles_changed(tx: Tx, account: Account, by: str) -> ev.RolesChanged:
    """The roles of an account as they are from here on."""
    roles = tuple((grant.role, grant.loop) for grant in account.grants)
    return ev.RolesChanged(at=tx.now, by=by, person=account.name, roles=roles)


def joined(tx: Tx, book: AccountBook, one: Account, two: Account, by: str) -> list[Event]:
    """Make two accounts, and all that are linked to either, those of one human."""
    human, gone = one.behind, two.behind
    if human == gone:
        return []
    for account in book.accounts():
        if account.behind in (human, gone):
            book.save_account(replace(account, human=human))
    return [ev.AccountsLinked(at=tx.now, by=by, person=one.name, other=two.name, human=human)]
