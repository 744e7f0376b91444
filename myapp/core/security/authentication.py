"""Authenticate a request: HTTP Basic, or Bearer with an access token.

The feature that owns accounts passes its look-up functions to `init_app`; this module
knows no table. Each process caches an account for at most one second, so a change takes
effect everywhere within a second, even without Redis.
"""

import secrets
import time
from collections.abc import Callable, Hashable
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol, TypeVar

import click
from flask import Flask, current_app, request

from ..data.session import unit_of_work
from ..errors import Problem
from . import rate_limit
from .login_throttle import LoginThrottle
from .passwords import hash_password, needs_rehash, verify_password
from .tokens import ACCESS_TOKEN_TYPE, TokenSigner

ACCOUNT_CACHE_SECONDS = 1.0  # seconds for which a cached account is used
# seconds for which a verified password is not hashed again
PASSWORD_CACHE_SECONDS = 300.0
MAX_CACHE_ENTRIES = 10_000  # entries of a cache; a full cache is cleared
CHALLENGES = ('Bearer realm="api"', 'Basic realm="api", charset="UTF-8"')


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Account(NamedTuple):
    """An active account, as the authentication needs it.

    `session_id`: the session of the token, if a token was used.
    """

    id: int
    username: str
    password_hash: str
    generation: int
    permissions: frozenset[str]
    session_id: int | None = None


class WithPassword(Protocol):
    """An Account, or a record with the same attributes."""

    @property
    def username(self) -> str: ...

    @property
    def password_hash(self) -> str: ...


ByUsername = Callable[[str], Account | None]
BySession = Callable[[int], Account | None]
KeepHash = Callable[[int, str, str], object]


class Authenticator:
    """The look-up functions, the tokens and the caches of one application."""

    def __init__(
        self,
        app: Flask,
        by_username: ByUsername,
        by_session: BySession,
        save_rehashed: KeepHash,
    ) -> None:
        self.lookups: dict[str, Callable[[Any], Account | None]] = {
            "username": by_username,
            "session_id": by_session,
        }
        self.save_rehashed = save_rehashed
        self.tokens = TokenSigner(
            app.config["JWT_SECRET_KEY"],
            app.config["JWT_FORMER_SECRET_KEYS"],
            app.config["JWT_ISSUER"],
        )
        self.login_throttle = LoginThrottle(app.extensions["rate_counter"])
        self.accounts: dict[tuple[str, Any], tuple[float, Account | None]] = {}
        self.passwords: dict[bytes, float] = {}  # keyed hash: valid until
        self.claims: dict[str, tuple[int, int]] = {}  # token: session id, expiry
        self.pepper = secrets.token_bytes(32)

    @cached_property
    def dummy_hash(self) -> str:
        """The hash that is verified for an unknown username, so that it takes as long."""
        return hash_password(secrets.token_hex(16))

    def account(self, **by: str | int) -> Account | None:
        """Return an active account by its `username`, or by the `session_id` of a session.

        Return None if there is none. The result may be one second old.
        """
        (key,) = by.items()
        now = time.monotonic()
        cached = self.accounts.get(key)
        if cached and now - cached[0] < ACCOUNT_CACHE_SECONDS:
            return cached[1]
        with unit_of_work(writes=False):
            account = self.lookups[key[0]](key[1])
        cache_put(self.accounts, key, (now, account))
        return account

    def by_password(self, username: str, password: str) -> Account | None:
        """Return the account with these credentials, or None.

        Raises 429 after too many failures.
        """
        account = self.account(username=username)
        password_hash = account.password_hash if account else self.dummy_hash
        # The cache holds a keyed hash, which is useless outside this process. It covers
        # `password_hash`, so a new password invalidates the entry.
        proof = blake2b(password.encode(), key=self.pepper, digest_size=32)
        proof.update(password_hash.encode())
        digest = proof.digest()
        now = time.monotonic()
        if account and self.passwords.get(digest, 0) > now:
            return account
        self.login_throttle.check(username, request.remote_addr)
        if not verify_password(password_hash, password) or account is None:
            self.login_throttle.record_failure(username, request.remote_addr)
            return None
        if needs_rehash(password_hash):
            with unit_of_work():
                self.save_rehashed(account.id, password_hash, hash_password(password))
            self.accounts.clear()
        else:
            cache_put(self.passwords, digest, now + PASSWORD_CACHE_SECONDS)
        self.login_throttle.record_success(username, request.remote_addr)
        return account

    def confirm_password(self, account: WithPassword, password: str) -> bool:
        """Return True if this is the account's password.

        Raises 429 after too many failures.
        """
        self.login_throttle.check(account.username, request.remote_addr)
        correct = verify_password(account.password_hash, password)
        if not correct:
            self.login_throttle.record_failure(account.username, request.remote_addr)
        return correct

    def by_token(self, text: str) -> Account | None:
        """Return the account of an access token, or None."""
        cached = self.claims.get(text)
        if cached is None:
            claims = self.tokens.read(ACCESS_TOKEN_TYPE, text)
            if claims is None:
                return None
            cached = (claims["sid"], claims["exp"])
            cache_put(self.claims, text, cached)
        session_id, expires = cached
        return self.account(session_id=session_id) if time.time() < expires else None


def init_app(
    app: Flask, by_username: ByUsername, by_session: BySession, save_rehashed: KeepHash
) -> None:
    """Set up authentication for `app`.

    `by_username` takes a username in any case, `by_session` the id of a session; they
    return the Account if it is active, else None. `save_rehashed` stores a new hash of the
    same password: it takes the account's id, the old hash and the new one.
    """
    app.extensions["authenticator"] = Authenticator(
        app, by_username, by_session, save_rehashed
    )


def authenticator() -> Authenticator:
    """Return the Authenticator of the current application."""
    return current_app.extensions["authenticator"]


def require_account(name: str) -> Account:
    """Return the active account that a command names. Raises ClickException."""
    account = authenticator().account(username=name)
    if account is None:
        raise click.ClickException(f"There is no active account named {name}.")
    return account


def clear_account_cache() -> None:
    """Clear the account cache of this process; those of others expire within a second."""
    authenticator().accounts.clear()


def cache_put(cache: dict[K, V], key: K, value: V) -> None:
    """Store a value; a full cache is cleared first."""
    if len(cache) >= MAX_CACHE_ENTRIES:
        cache.clear()
    cache[key] = value


def unauthorized() -> Problem:
    """Return the error for missing and for wrong credentials; it is the same for both."""
    return Problem(401, headers={"WWW-Authenticate": ", ".join(CHALLENGES)})


def authenticate_request(basic_only: bool) -> Account:
    """Return the account that this request authenticates as. Raises 401 or 429."""
    sent = request.authorization
    account = None
    if sent is None:
        pass
    elif sent.type == "bearer" and sent.token and not basic_only:
        account = authenticator().by_token(sent.token)
    elif sent.type == "basic" and (
        basic_only or not current_app.config["USE_TOKEN_AUTH"]
    ):
        account = authenticator().by_password(sent.username or "", sent.password or "")
    rate_limit.count_call(account)
    if account is None:
        raise unauthorized()
    return account
