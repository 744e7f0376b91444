"""Authenticate a request: HTTP Basic, or Bearer with an access token.

The feature that owns accounts passes the look-ups to `init_app`; this module knows no
table. An account is remembered for a second at most in each process, so a change takes
effect everywhere within a second, without Redis.
"""

import secrets
import time
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import click
from flask import current_app, request

from ..data.session import unit_of_work
from ..errors import Problem
from . import rate_limit
from .login_throttle import Slowdown
from .passwords import hashed, needs_rehash, verified
from .tokens import ACCESS, Tokens

TRUSTED = 1.0  # seconds for which an account is taken to be as it was read
REMEMBERED = 300.0  # seconds for which a password that was right is not hashed again
MOST = 10_000  # entries of a cache; more, and it starts afresh
CHALLENGES = ('Bearer realm="api"', 'Basic realm="api", charset="UTF-8"')


class Account(NamedTuple):
    """What the guard knows of an account that may come in.

    `session_id`: of the session that its token belongs to, where there is one.
    """

    id: int
    username: str
    password_hash: str
    generation: int
    permissions: frozenset
    session_id: int | None = None


class Guard:
    """The look-up, the tokens and the caches of one application."""

    def __init__(self, app, by_username, by_session, keep_hash):
        self.look_up = {"username": by_username, "session_id": by_session}
        self.keep_hash = keep_hash
        self.tokens = Tokens(
            app.config["JWT_SECRET_KEY"],
            app.config["JWT_FORMER_SECRET_KEYS"],
            app.config["JWT_ISSUER"],
        )
        self.slowdown = Slowdown(app.extensions["limits"])
        self.accounts = {}
        self.passwords = {}
        self.claims = {}
        self.pepper = secrets.token_bytes(32)

    @cached_property
    def decoy(self):
        """A hash of nobody's: an unknown name is to cost what a wrong password costs."""
        return hashed(secrets.token_hex(16))

    def account(self, **by):
        """The account with this `username`, or with this live `session_id`; None if there
        is none that may come in. A second old at most."""
        (wanted,) = by.items()
        now = time.monotonic()
        known = self.accounts.get(wanted)
        if known and now - known[0] < TRUSTED:
            return known[1]
        with unit_of_work(writes=False):
            account = self.look_up[wanted[0]](wanted[1])
        remember(self.accounts, wanted, (now, account))
        return account

    def by_password(self, username, password):
        """The account whose credentials these are, or None. Raises 429 after failures."""
        account = self.account(username=username)
        known = account.password_hash if account else self.decoy
        # Not the password is kept, but a keyed hash that is worth nothing elsewhere; a
        # changed password changes `known`, so what was remembered counts no more.
        proof = blake2b(password.encode(), key=self.pepper, digest_size=32)
        proof.update(known.encode())
        proof = proof.digest()
        now = time.monotonic()
        if account and self.passwords.get(proof, 0) > now:
            return account
        self.slowdown.check(username, request.remote_addr)
        if not verified(known, password) or account is None:
            self.slowdown.failed(username, request.remote_addr)
            return None
        if needs_rehash(known):
            with unit_of_work():
                self.keep_hash(account.id, known, hashed(password))
            self.accounts.clear()
        else:
            remember(self.passwords, proof, now + REMEMBERED)
        self.slowdown.succeeded(username, request.remote_addr)
        return account

    def confirm(self, account, password):
        """Whether that is the account's password. Raises 429 after failures."""
        self.slowdown.check(account.username, request.remote_addr)
        right = verified(account.password_hash, password)
        if not right:
            self.slowdown.failed(account.username, request.remote_addr)
        return right

    def by_token(self, text):
        """The account that an access token speaks for, or None."""
        known = self.claims.get(text)
        if known is None:
            claims = self.tokens.read(ACCESS, text)
            if claims is None:
                return None
            known = (claims["sid"], claims["exp"])
            remember(self.claims, text, known)
        session_id, expires = known
        return self.account(session_id=session_id) if time.time() < expires else None


def init_app(app, by_username, by_session, keep_hash):
    """Guard `app`.

    `by_username` and `by_session` take a name in any case, or a session's id, and answer
    with the Account that may come in by it, or None. `keep_hash` takes an account's id,
    its hash, and the same password hashed anew, since that hash is of weaker parameters.
    """
    app.extensions["guard"] = Guard(app, by_username, by_session, keep_hash)


def guard():
    """The Guard of this application."""
    return current_app.extensions["guard"]


def named_account(name):
    """The account that a command names. Raises ClickException where none may come in."""
    account = guard().account(username=name)
    if account is None:
        raise click.ClickException(f"There is no account {name} that may come in.")
    return account


def forget_accounts():
    """Look at every account anew, in this process; others do within a second."""
    guard().accounts.clear()


def remember(cache, key, value):
    """Keep `value`; a cache that has grown too large starts afresh."""
    if len(cache) >= MOST:
        cache.clear()
    cache[key] = value


def unauthorized():
    """The one answer to everybody whose credentials are missing or wrong."""
    return Problem(401, headers={"WWW-Authenticate": ", ".join(CHALLENGES)})


def caller(basic_only):
    """The account that this request speaks for. Raises 401."""
    sent = request.authorization
    account = None
    if sent is None:
        pass
    elif sent.type == "bearer" and sent.token and not basic_only:
        account = guard().by_token(sent.token)
    elif sent.type == "basic" and (
        basic_only or not current_app.config["USE_TOKEN_AUTH"]
    ):
        account = guard().by_password(sent.username or "", sent.password or "")
    rate_limit.count(account)
    if account is None:
        raise unauthorized()
    return account
