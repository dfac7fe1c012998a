"""Accounts, tokens, sessions and one-time links in SQL: a few columns to look for, and the value itself as JSON."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from sqlalchemy import BigInteger, bindparam, delete, select
from sqlalchemy.engine import Dialect as SqlDialect

from dualcontrol.case import ENCODER, Value, decoder
from dualcontrol.names import identity
from dualcontrol.store.accounts import Account, Group, Link, SignIn, Token
from dualcontrol.store.sql.dialect import Session, Write
from dualcontrol.store.sql.schema import accounts, groups, links, reviews, sessions, subjects, tokens
from dualcontrol.store.sql.statements import Statements, literal

V = TypeVar("V", bound=Value)
_ACCOUNT, _GROUP, _TOKEN = decoder(Account), decoder(Group), decoder(Token)
_SESSION, _LINK = decoder(SignIn), decoder(Link)


class AccountStatements(Statements):
    """What reads and writes accounts."""

    def __init__(self, dialect: SqlDialect) -> None:
        super().__init__(dialect)
        now: Any = bindparam("now", type_=BigInteger)
        self.account = self._add(select(accounts.c.body).where(accounts.c.id == bindparam("account")), "account")
        named = select(accounts.c.body).where(accounts.c.identity == bindparam("named"))
        self.named = self._add(named, "named")
        self.accounts = self._add(select(accounts.c.body).order_by(accounts.c.identity))
        of_subject = select(accounts.c.body).join(subjects, subjects.c.account_id == accounts.c.id)
        is_it = (subjects.c.issuer == bindparam("at"), subjects.c.subject == bindparam("who"))
        self.of_subject = self._add(of_subject.where(*is_it).order_by(accounts.c.identity), "at", "who")
        self.groups = self._add(select(groups.c.body).order_by(groups.c.identity))
        self.drop_group = self._add(delete(groups).where(groups.c.identity == bindparam("named")), "named")
        self.new_group = self._insert(groups, ("identity", "body"))
        self.drop_account = self._add(delete(accounts).where(accounts.c.id == bindparam("account")), "account")
        self.new_account = self._insert(accounts, ("id", "identity", "body"))
        self.drop_subjects = self._add(delete(subjects).where(subjects.c.account_id == bindparam("account")), "account")
        self.new_subject = self._insert(subjects, ("issuer", "subject", "account_id"))

        self.token = self._add(select(tokens.c.body).where(tokens.c.digest == bindparam("secret")), "secret")
        self.tokens = self._add(select(tokens.c.body).order_by(tokens.c.created_at.desc(), tokens.c.digest))
        self.drop_token = self._add(delete(tokens).where(tokens.c.digest == bindparam("secret")), "secret")
        self.new_token = self._insert(tokens, ("digest", "account_id", "created_at", "body"))

        alive = select(sessions.c.body).where(sessions.c.expires_at > now)
        self.sessions = self._add(alive.order_by(sessions.c.created_at.desc(), sessions.c.digest), "now")
        one = select(sessions.c.body).where(sessions.c.digest == bindparam("secret"), sessions.c.expires_at > now)
        self.session = self._add(one, "secret", "now")
        self.drop_session = self._add(delete(sessions).where(sessions.c.digest == bindparam("secret")), "secret")
        ended = delete(sessions).where(sessions.c.account_id == bindparam("account"))
        self.drop_sessions = self._add(ended, "account")
        self.forget_sessions = self._add(delete(sessions).where(sessions.c.expires_at <= now), "now")
        self.new_session = self._insert(sessions, ("digest", "account_id", "created_at", "expires_at", "body"))

        usable = select(links.c.body).where(links.c.digest == bindparam("secret"), links.c.expires_at > now)
        self.link = self._add(usable, "secret", "now")
        self.drop_link = self._add(delete(links).where(links.c.digest == bindparam("secret")), "secret")
        self.drop_links = self._add(delete(links).where(links.c.account_id == bindparam("account")), "account")
        self.forget_links = self._add(delete(links).where(links.c.expires_at <= now), "now")
        self.new_link = self._insert(links, ("digest", "account_id", "expires_at", "body"))

        held = select(reviews.c.case_id, reviews.c.claim_id).where(
            reviews.c.state == literal("claimed"), reviews.c.person == bindparam("holder")
        )
        self.held = self._add(held.order_by(reviews.c.case_id), "holder")
        worked = select(reviews.c.person, reviews.c.loop_id).distinct().where(reviews.c.person.is_not(None))
        self.workers = self._add(worked.order_by(reviews.c.person, reviews.c.loop_id))


class SqlAccounts:
    """Accounts and what belongs to them, over one session of the database."""

    def __init__(self, statements: AccountStatements, session: Session) -> None:
        self._sql, self._session = statements, session

    def account(self, account_id: str) -> Account | None:
        """An account by its id."""
        return self._one(_ACCOUNT, self._sql.account, account_id)

    def named(self, name: str) -> Account | None:
        """An account by its name, however that is spelled."""
        return self._one(_ACCOUNT, self._sql.named, identity(name))

    def of_subject(self, issuer: str, subject: str) -> list[Account]:
        """The accounts of a provider's subject, which are of one human."""
        return [_ACCOUNT.decode(body) for (body,) in self._session.all(self._sql.of_subject, (issuer, subject))]

    def accounts(self) -> list[Account]:
        """Every account, removed ones too, by name."""
        return [_ACCOUNT.decode(body) for (body,) in self._session.all(self._sql.accounts)]

    def save_account(self, account: Account) -> None:
        """Write an account and its subjects; raises `Conflict` where the name is another's."""
        sql, row = self._sql, (account.id, identity(account.name), ENCODER.encode(account).decode())
        of_providers = [Write(sql.new_subject, ((*pair, account.id),)) for pair in account.subjects]
        dropped = [Write(sql.drop_account, ((account.id,),)), Write(sql.drop_subjects, ((account.id,),))]
        self._session.write(*dropped, Write(sql.new_account, (row,)), *of_providers)

    def groups(self) -> list[Group]:
        """Every group that accounts were put into, by name."""
        return [_GROUP.decode(body) for (body,) in self._session.all(self._sql.groups)]

    def save_group(self, group: Group) -> None:
        """Write a group."""
        row = (identity(group.name), ENCODER.encode(group).decode())
        self._session.write(Write(self._sql.drop_group, (row[:1],)), Write(self._sql.new_group, (row,)))

    def drop_group(self, name: str) -> None:
        """Forget a group, so that the settings speak for it again."""
        self._session.write(Write(self._sql.drop_group, ((identity(name),),)))

    def token(self, digest: str) -> Token | None:
        """A token by the digest of its secret."""
        return self._one(_TOKEN, self._sql.token, digest)

    def tokens(self) -> list[Token]:
        """Every token, newest first."""
        return [_TOKEN.decode(body) for (body,) in self._session.all(self._sql.tokens)]

    def save_token(self, token: Token) -> None:
        """Write a token."""
        row = (token.digest, token.account, token.created_at, ENCODER.encode(token).decode())
        self._session.write(Write(self._sql.drop_token, ((token.digest,),)), Write(self._sql.new_token, (row,)))

    def session(self, digest: str) -> SignIn | None:
        """A session by the digest of its secret, if it has time left."""
        return self._one(_SESSION, self._sql.session, digest, self._session.now)

    def sessions(self, account_id: str | None = None) -> list[SignIn]:
        """The sessions of an account, or all, newest first."""
        listed = [_SESSION.decode(body) for (body,) in self._session.all(self._sql.sessions, (self._session.now,))]
        return [session for session in listed if account_id in (None, session.account)]

    def save_session(self, session: SignIn) -> None:
        """Write a session; forgets those that are over."""
        sql, body = self._sql, ENCODER.encode(session).decode()
        row = (session.digest, session.account, session.created_at, session.expires_at, body)
        self._session.write(
            Write(sql.drop_session, ((session.digest,),)), Write(sql.forget_sessions, ((self._session.now,),)),
            Write(sql.new_session, (row,)),
        )  # fmt: skip

    def end_sessions(self, *, account_id: str | None = None, digest: str | None = None) -> int:
        """End the sessions of an account, or the one; returns how many."""
        if digest is not None:
            return self._session.write(Write(self._sql.drop_session, ((digest,),)))
        return self._session.write(Write(self._sql.drop_sessions, ((account_id,),)))

    def link(self, digest: str) -> Link | None:
        """A one-time link by the digest of its secret, if it has time left."""
        return self._one(_LINK, self._sql.link, digest, self._session.now)

    def save_link(self, link: Link) -> None:
        """Write a link; forgets those that are over."""
        row = (link.digest, link.account, link.expires_at, ENCODER.encode(link).decode())
        forgotten = Write(self._sql.forget_links, ((self._session.now,),))
        self._session.write(Write(self._sql.drop_link, ((link.digest,),)), forgotten, Write(self._sql.new_link, (row,)))

    def take_link(self, digest: str) -> Link | None:
        """The link, used up: nobody gets it again."""
        link = self.link(digest)
        used = self._session.write(Write(self._sql.drop_link, ((digest,),)))
        return link if used == 1 else None  # two who read it at once do not both take it away

    def drop_links(self, account_id: str) -> None:
        """Take back every link of an account."""
        self._session.write(Write(self._sql.drop_links, ((account_id,),)))

    def held_by(self, name: str) -> list[tuple[str, str]]:
        """(case id, claim id) of every claim that somebody holds."""
        return [(row[0], row[1]) for row in self._session.all(self._sql.held, (identity(name),))]

    def workers(self) -> list[tuple[str, int]]:
        """(identity of a name, loop id) of everybody who has held a review."""
        return [(row[0], row[1]) for row in self._session.all(self._sql.workers)]

    def _one(self, kind: msgspec.json.Decoder[V], sql: str, *arguments: Any) -> V | None:
        row = self._session.one(sql, arguments)
        return None if row is None else kind.decode(row[0])
