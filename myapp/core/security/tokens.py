"""Signed tokens: JWT (RFC 7519) with algorithm, type, issuer and audience pinned.

An access token authenticates requests for some minutes. A refresh token is exchanged for
the next pair of tokens, once.
"""

import secrets
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

ALGORITHM = "HS256"
ACCESS_TOKEN_TYPE = "at+jwt"  # RFC 9068 §2.1
REFRESH_TOKEN_TYPE = "rt+jwt"
REFRESH_TTL_SECONDS = 30 * 24 * 60 * 60  # seconds


class TokenSigner:
    """Issues and reads tokens.

    `secret` signs new tokens. Tokens signed with one of the `former_secrets` secrets stay
    valid until they expire. `issuer` names this deployment; tokens of another one are
    refused.
    """

    def __init__(self, secret: str, former_secrets: Iterable[str], issuer: str) -> None:
        self._keys = KeySet([_key(text) for text in (secret, *former_secrets)])
        self._issuer = issuer
        self._claims = jwt.JWTClaimsRegistry(
            leeway=5,  # seconds that the clocks of two hosts may differ
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": issuer},
            sub={"essential": True},
            sid={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )

    def issue(
        self, kind: str, account_id: int, session_id: int, lifetime: int, **claims: Any
    ) -> str:
        """Return a token that is valid for `lifetime` seconds.

        `kind`: ACCESS_TOKEN_TYPE or REFRESH_TOKEN_TYPE. `claims`: further claims.
        """
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

    def read(self, kind: str, text: str) -> dict[str, Any] | None:
        """Return the claims of a token of this kind, or None if it is not valid."""
        try:
            token = jwt.decode(text, self._keys, algorithms=[ALGORITHM])
            self._claims.validate(token.claims)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        is_valid = token.header.get("typ") == kind and type(token.claims["sid"]) is int
        return token.claims if is_valid else None


def _key(secret: str) -> OctKey:
    # The key id identifies a key without revealing it.
    kid = sha256(b"kid:" + secret.encode()).hexdigest()[:8]
    return OctKey.import_key(secret, {"kid": kid})
