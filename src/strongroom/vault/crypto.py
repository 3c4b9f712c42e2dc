"""The primitives, from the `cryptography` library; nothing else here knows it.

It is imported when it is first used: a night's walk begins, and on a quiet account ends, before any key is needed, and the
import would hold it up.
"""

from __future__ import annotations

KEY_SIZE = 32


class Forged(Exception):
    """Something does not decrypt: damaged, altered, or under another key."""


class Cipher:
    """AES-256-GCM (NIST SP 800-38D) under one key."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._aead = AESGCM(key)

    def encrypt(self, nonce: bytes, plain: bytes, context: bytes) -> bytes:
        """Ciphertext and tag; ``context`` is authenticated with it."""
        return self._aead.encrypt(nonce, plain, context)

    def decrypt(self, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
        """The plaintext. Raise Forged."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead.decrypt(nonce, sealed, context)
        except InvalidTag as error:
            raise Forged("it does not decrypt") from error


def new_private() -> bytes:
    """A new X25519 private key (RFC 7748)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.generate().private_bytes_raw()


def public_of(private: bytes) -> bytes:
    """The public key of a private one."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def exchange(private: bytes, public: bytes) -> bytes:
    """The shared secret of two keys. Raise Forged for a public key that is none."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise Forged("it holds no public key") from error


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """A key of 32 bytes by HKDF-SHA256 (RFC 5869)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(hashes.SHA256(), KEY_SIZE, salt=salt, info=info).derive(secret)


def argon2id(passphrase: bytes, salt: bytes, *, memory: int, iterations: int, lanes: int) -> bytes:
    """A key of 32 bytes by Argon2id (RFC 9106); ``memory`` in KiB."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=salt, length=KEY_SIZE, iterations=iterations, lanes=lanes, memory_cost=memory)
    return kdf.derive(passphrase)
