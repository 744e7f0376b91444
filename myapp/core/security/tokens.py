"""Signed tokens: JWT (RFC 7519) with algorithm, type, issuer and audience pinned.

An access token opens the doors for minutes; a refresh token gets the next pair, once.
"""

import secrets
import time
from hashlib import sha256

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

ALGORITHM = "HS256"
ACCESS = "at+jwt"  # RFC 9068 §2.1
REFRESH = "rt+jwt"
REFRESH_TTL = 30 * 24 * 60 * 60  # seconds


class Tokens:
    """What signs and checks.

    `secret` signs; tokens of the `former` secrets hold good until they have died.
    `issuer` is this deployment: another one's tokens are worth nothing here.
    """

    def __init__(self, secret, former, issuer):
        self._keys = KeySet([_key(text) for text in (secret, *former)])
        self._issuer = issuer
        self._claims = jwt.JWTClaimsRegistry(
            leeway=5,  # seconds that hosts' clocks may differ
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": issuer},
            sub={"essential": True},
            sid={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    def issue(self, kind, account_id, session_id, lifetime, **claims):
        """A token of this kind that lives for `lifetime` seconds."""
        key = self._keys.keys[0]
        now = int(time.time())
        claims |= {
            "iss": self._issuer,
            "aud": self._issuer,
            "sub": str(account_id),
            "sid": session_id,
            "jti": secrets.token_hex(8),
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
        }
        header = {"alg": ALGORITHM, "typ": kind, "kid": key.kid}
        return jwt.encode(header, claims, key)

    def read(self, kind, text):
        """The claims of a token of this kind; None where anything is wrong with it."""
        try:
            token = jwt.decode(text, self._keys, algorithms=[ALGORITHM])
            self._claims.validate(token.claims)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        fits = token.header.get("typ") == kind and type(token.claims["sid"]) is int
        return token.claims if fits else None


def _key(secret):
    # The name tells which key it was without telling the key.
    kid = sha256(b"kid:" + secret.encode()).hexdigest()[:8]
    return OctKey.import_key(secret, {"kid": kid})
