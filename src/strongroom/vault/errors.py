"""What can go wrong in a vault, as one tree.

VaultError              one line: what was wrong, with what, what to do
├── AbsentError         an object, chunk or snapshot is not there
├── DamagedError        bytes are there and are not what was stored
├── FormatError         made by a newer program, or not a vault
├── PassphraseError     no slot opens with this passphrase
├── BusyError           another sweeper is at work
├── SourceError         a folder to back up cannot be opened
└── StorageError        the storage refused: read-only, I/O error
    └── FullError       it has no room
"""

from __future__ import annotations


class VaultError(Exception):
    """Base of the tree; raise a leaf."""


class AbsentError(VaultError):
    """An object, chunk or snapshot is not there."""


class DamagedError(VaultError):
    """Bytes are there and are not what was stored: authentication, hash or structure is wrong."""


class FormatError(VaultError):
    """The vault needs a newer program, or this is no vault."""


class PassphraseError(VaultError):
    """No key slot opens with this passphrase."""


class BusyError(VaultError):
    """Another process does what only one may do at a time."""


class SourceError(VaultError):
    """A folder to back up cannot be opened."""


class StorageError(VaultError):
    """The storage refused: full, read-only, or an I/O error."""


class FullError(StorageError):
    """The storage has no room, or the quota is used up."""
