"""The folder beside a target where things are built before they are put in place, and kept when they are replaced.

It belongs to root alone (0700) and lies on the target's own mount, so that what is built in it comes into place by one
rename, and no tenant reaches what is in it meanwhile. While a restore is at work it holds a lock on the folder. A file
``replaced`` in it says, for each thing that was taken out of the target, under which name it is kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat

from blake3 import blake3

from strongroom.errors import BusyError, RestoreError
from strongroom.model import text
from strongroom.restores.beneath import FOLDER, open_folder, remove
from strongroom.restores.renameat2 import exchange

_PREFIX = b".strongroom-restore-"
_JOURNAL = b"replaced"
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")


class Staging:
    """One staging folder, open and locked."""

    def __init__(self, parent: int, name: bytes) -> None:
        """Make the folder ``name`` in an open folder, which stays open as long as this."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError as error:
            raise RestoreError(f"{text(name)} is there already; look at what it holds, then remove it") from error
        self._parent = os.dup(parent)
        self.name = name
        self.fd = open_folder(parent, name)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A default ACL or a set-group-id bit above would otherwise come down on everything that is built here.
        for acl in _ACLS:
            try:
                os.removexattr(self.fd, acl)
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                    raise
        os.fchmod(self.fd, 0o700)
        _insist_on_exchange(self.fd, name, parent)
        status = os.fstat(self.fd)
        self.identity = (status.st_dev, status.st_ino)
        self._journal = -1
        self._names = 0
        self.kept = 0

    def fresh(self) -> bytes:
        """A name that nothing in here has."""
        self._names += 1
        return b"n%d" % self._names

    def will_keep(self, name: bytes, path: bytes) -> None:
        """Write down, before it happens, that what stands at a stored path will be kept here under ``name``."""
        if self._journal < 0:
            how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._journal = os.open(_JOURNAL, how, 0o600, dir_fd=self.fd)
        os.write(self._journal, name + b" " + path + b"\0")
        self.kept += 1

    def discard(self, name: bytes) -> None:
        """Remove something that was built here or is kept here."""
        remove(self.fd, name)

    def dissolve(self) -> None:
        """Remove everything in here, and the folder itself, unless somebody moved it away."""
        for name in os.listdir(self.fd):
            remove(self.fd, os.fsencode(name))
        status = os.stat(self.name, dir_fd=self._parent, follow_symlinks=False)
        if (status.st_dev, status.st_ino) == self.identity:
            above = os.fstat(self._parent)
            os.rmdir(self.name, dir_fd=self._parent)
            # The folder it was in may be the account's own, and has its time already.
            os.utime(self._parent, ns=(above.st_atime_ns, above.st_mtime_ns))

    def close(self) -> None:
        """Close the descriptors, and with them the lock; what is in the folder stays."""
        for fd in (self._journal, self.fd, self._parent):
            if fd >= 0:
                os.close(fd)
        self._journal = self.fd = self._parent = -1


def _insist_on_exchange(fd: int, name: bytes, parent: int) -> None:
    """Raise RestoreError, with the new folder gone again, where two names cannot change places in one step."""
    probes = (b"one", b"other")
    for probe in probes:
        os.mkdir(probe, 0o700, dir_fd=fd)
    try:
        exchange(fd, probes[0], fd, probes[1])
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        remove(parent, name)
        raise RestoreError(
            "the file system cannot let two names change places (renameat2), so nothing can be put in place safely; "
            "restore with --to on another file system, and copy from there"
        ) from error
    for probe in probes:
        os.rmdir(probe, dir_fd=fd)


def staging_name(account: str, restore: str) -> bytes:
    """What the staging folder of one restore of one account is called."""
    return _PREFIX + b"%s-%s" % (_safe(account), _safe(restore))


def clear_leftovers(parent: int, account: str) -> list[bytes]:
    """Look for staging folders that a killed restore of this account left, and remove those that kept nothing.

    Returns the names of those that hold what was replaced: they are an administrator's to look at and remove. Raises
    BusyError when one is in use.
    """
    mine = re.compile(re.escape(_PREFIX + _safe(account)) + rb"-[0-9A-Za-z]+")
    found = (os.fsencode(name) for name in os.listdir(parent))
    return [name for name in sorted(found) if mine.fullmatch(name) and not _cleared(parent, name)]


def _cleared(parent: int, name: bytes) -> bool:
    try:
        fd = os.open(name, FOLDER, dir_fd=parent)
    except OSError:
        return True
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o700:
            # Not made by a restore: somebody's own folder with such a name.
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError("another restore of this account is at work; wait for it to end") from error
        names = [os.fsencode(each) for each in os.listdir(fd)]
        if _JOURNAL in names:
            return False
        for each in names:
            remove(fd, each)
        os.rmdir(name, dir_fd=parent)
        return True
    finally:
        os.close(fd)


def _safe(word: str) -> bytes:
    """A word as a part of a file's name: itself or, with what is odd in one or too long, what is left of it and a hash."""
    if re.fullmatch(r"[\w.@-]{1,100}", word, re.ASCII):
        return word.encode()
    plain = re.sub(r"[^\w.@-]+", "-", word, flags=re.ASCII)[:40]
    return f"{plain}.{blake3(word.encode('utf-8', 'surrogateescape')).hexdigest(8)}".encode()
