"""Who is calling, and whether they may.

HTTP Basic, or Bearer with an access token. The slice that owns accounts hands this file a
look-up (`init_app`); it knows no table. What decides who may do what is remembered for a
second at most.
"""

import secrets
import time
from functools import wraps
from hashlib import blake2b
from typing import NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import current_app, g, request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from .db import unit_of_work
from .docs import describes, problem_response
from .problems import Problem

TRUSTED = 1.0  # seconds for which an account is taken to be as it was read
REMEMBERED = 300.0  # seconds for which a password that was right is not hashed again
MOST = 10_000  # entries of a cache; more, and it starts afresh
AUDIENCE = "access"
CHALLENGES = ('Bearer realm="devices"', 'Basic realm="devices", charset="UTF-8"')

hasher = PasswordHasher()  # argon2id with the library's parameters (RFC 9106 §4)


class Account(NamedTuple):
    """What the guard knows of an account."""

    id: int
    username: str
    password_hash: str


class Guard:
    """The look-up and the caches of one application."""

    def __init__(self, look_up, secret):
        self.look_up = look_up
        self.key = OctKey.import_key(secret)
        self.accounts = {}
        self.passwords = {}
        self.tokens = {}
        self.pepper = secrets.token_bytes(32)
        # An unknown name costs what a wrong password costs.
        self.decoy = hasher.hash(secrets.token_hex(16))

    def account(self, **by):
        """The account with this `id` or `username`, or None; a second old at most."""
        (wanted,) = by.items()
        now = time.monotonic()
        known = self.accounts.get(wanted)
        if known and now - known[0] < TRUSTED:
            return known[1]
        with unit_of_work(writes=False):
            account = self.look_up(**by)
        remember(self.accounts, wanted, (now, account))
        return account

    def by_password(self, username, password):
        """The account whose credentials these are, or None."""
        account = self.account(username=username)
        hashed = account.password_hash if account else self.decoy
        # Not the password is kept, but a keyed hash that is worth nothing elsewhere; a
        # changed password changes `hashed`, so what was remembered counts no more.
        proof = blake2b(password.encode(), key=self.pepper, digest_size=32)
        proof.update(hashed.encode())
        proof = proof.digest()
        now = time.monotonic()
        if account and self.passwords.get(proof, 0) > now:
            return account
        try:
            hasher.verify(hashed, password)
        except VerificationError:
            return None
        if account:
            remember(self.passwords, proof, now + REMEMBERED)
        return account

    def by_token(self, token):
        """The account that an access token speaks for, or None."""
        now = time.time()
        known = self.tokens.get(token)
        if known is None:
            try:
                claims = jwt.decode(token, self.key, algorithms=["HS256"])
                CLAIMS.validate(claims.claims)
                known = (int(claims.claims["sub"]), claims.claims["exp"])
            except (JoseError, ValueError, TypeError):
                return None
            remember(self.tokens, token, known)
        account_id, expires = known
        return self.account(id=account_id) if now < expires else None


CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "myapp"},
    aud={"essential": True, "value": AUDIENCE},
    sub={"essential": True},
    exp={"essential": True},
    iat={"essential": True},
)


def init_app(app, look_up):
    """Guard `app`.

    `look_up(id=…)` and `look_up(username=…)` answer with an Account, or None.
    """
    app.extensions["guard"] = Guard(look_up, app.config["JWT_SECRET_KEY"])


def remember(cache, key, value):
    """Keep `value`; a cache that has grown too large starts afresh."""
    if len(cache) >= MOST:
        cache.clear()
    cache[key] = value


def access_token(account):
    """A fresh access token for `account`, and the seconds that it lives."""
    lifetime = current_app.config["JWT_TTL"] * 60
    now = int(time.time())
    claims = {
        "iss": "myapp",
        "aud": AUDIENCE,
        "sub": str(account.id),
        "iat": now,
        "exp": now + lifetime,
    }
    key = current_app.extensions["guard"].key
    return jwt.encode({"alg": "HS256", "typ": "at+jwt"}, claims, key), lifetime


def caller(basic_only=False):
    """The account that this request speaks for. Raises 401.

    `basic_only`: a token is no way in here.
    """
    guard = current_app.extensions["guard"]
    sent = request.authorization
    account = None
    if sent is None:
        pass
    elif sent.type == "bearer" and sent.token and not basic_only:
        account = guard.by_token(sent.token)
    elif sent.type == "basic" and (
        basic_only or not current_app.config["USE_TOKEN_AUTH"]
    ):
        account = guard.by_password(sent.username or "", sent.password or "")
    if account is None:
        raise Problem(401, headers={"WWW-Authenticate": ", ".join(CHALLENGES)})
    return account


def requires(basic_only=False):
    """Let known callers in only; the verb finds the account as `g.caller`."""

    def decorator(verb):
        @wraps(verb)
        def wrapper(*args, **kwargs):
            g.caller = caller(basic_only)
            return verb(*args, **kwargs)

        wrapper.guarded = True
        ways = [{"basic": []}] if basic_only else [{"basic": []}, {"bearer": []}]
        return describes(
            wrapper,
            security=ways,
            responses={"401": problem_response("No credentials, or wrong ones.")},
        )

    return decorator
