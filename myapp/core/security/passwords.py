"""Hash and verify passwords (argon2id)."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

hasher = PasswordHasher()  # argon2id with the library's parameters (RFC 9106 §4)


def hashed(password):
    """The argon2id hash of a password."""
    return hasher.hash(composed(password))


def verified(password_hash, password):
    """Whether the password is the one of this hash."""
    try:
        return hasher.verify(password_hash, composed(password))
    except VerificationError:
        return False


def needs_rehash(password_hash):
    """Return whether a hash was made with other parameters than today's."""
    return hasher.check_needs_rehash(password_hash)


def composed(password):
    """The one form of text that looks the same (NIST SP 800-63B §5.1.1.2)."""
    return unicodedata.normalize("NFC", password)
