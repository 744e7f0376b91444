"""Hash and verify passwords (argon2id)."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

hasher = PasswordHasher()  # argon2id with the library's parameters (RFC 9106 §4)


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password."""
    return hasher.hash(normalize_password(password))


def verify_password(password_hash: str, password: str) -> bool:
    """Return True if `password_hash` is a hash of the password."""
    try:
        return hasher.verify(password_hash, normalize_password(password))
    except VerificationError:
        return False


def needs_rehash(password_hash: str) -> bool:
    """Return True if the hash was made with other parameters than today's."""
    return hasher.check_needs_rehash(password_hash)


def normalize_password(password: str) -> str:
    """Return one form for passwords that look the same (NIST SP 800-63B §5.1.1.2)."""
    return unicodedata.normalize("NFC", password)
