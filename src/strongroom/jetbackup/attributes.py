"""What of an account's files JetBackup is not known to keep: ACLs, other extended attributes, whiteouts of its overlay.

They are written down when a configuration is made, as a sidecar of those entries alone that have any, and put back on what
stands there after a restore. What comes back was in a store, where anybody may have changed it: so nothing is put back that
gives rights beyond the account (no owner, no mode, no capability), and only by descriptor, on what is the account's own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from strongroom.clients.sidecar import Row, Sidecar, joined, write
from strongroom.clients.vault_survey import Sight, Survey
from strongroom.errors import SourceError
from strongroom.model import Account, FileType, text
from strongroom.panel.folder import Folder
from strongroom.restores.attributes import read_xattrs, xattr_path
from strongroom.restores.beneath import check_name

_DATA = "data"
_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
_OPAQUE = b"trusted.overlay.opaque"
_WHITEOUT = (0, 0)
_BILLION = 1_000_000_000
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def keep(account: Account, path: bytes) -> None:
    """Write down an account's attributes into a new file. Raise SourceError where its folder is gone."""
    write(path, _rows(account))


def _rows(account: Account) -> Iterator[Row]:
    survey = _survey(account)
    for sight in survey.look():
        try:
            found = read_xattrs(xattr_path(sight.fd, sight.name) if sight.name else sight.fd)
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone since
        except OSError as error:
            raise SourceError(f"{text(sight.path)}: its attributes cannot be read: {error.strerror}") from None
        kept = tuple(sorted((name, value) for name, value in found.items() if _comes_back(name)))
        row = survey.stat_row(sight)
        if kept or _is_whiteout(row):
            yield Row(path=row.path, kind=row.kind, mtime=row.mtime, rdev=row.rdev, xattrs=kept)


class PutBack:
    """Puts attributes back; ``count`` is how many entries had to be changed, ``remarks`` what could not be done."""

    def __init__(self, account: Account, sidecar: Sidecar) -> None:
        self._account, self._sidecar = account, sidecar
        self.count = 0
        self.remarks: list[str] = []

    def run(self) -> None:
        """Put all of them back. Raise SourceError, ClientError."""
        survey = _survey(self._account)
        missing = []
        for path, row, sight in joined(self._sidecar.rows(), survey.look()):
            if row is None:
                continue
            if sight is None:
                missing += [row] if _is_whiteout(row) else []
                continue
            # A folder has one name; a file with several may be another's.
            if row.kind != sight.kind or (sight.kind is FileType.FILE and survey.foreign(sight)):
                continue
            try:
                self.count += _put(row, sight)
            except OSError as error:
                self.remarks.append(f"{text(path)}: its attributes were not put back: {error.strerror}")
        for row in missing:
            try:
                self._hide(row)
            except OSError as error:
                self.remarks.append(f"{text(row.path)}: its whiteout was not put back: {error.strerror}")

    def _hide(self, row: Row) -> None:
        """Make a whiteout again where nothing stands, in a folder that is reached without a link."""
        tree, *parts, name = row.path.split(b"/")
        for part in (*parts, name):
            check_name(part)
        top = next(each.path for each in self._account.locations if each.tree == tree.decode())
        with Folder.at(top) as folder:
            below = folder.folder(*parts)
        if below is not None:
            with below:
                folder_times = os.fstat(below.descriptor)
                os.mknod(name, stat.S_IFCHR, os.makedev(*_WHITEOUT), dir_fd=below.descriptor)
                time = row.mtime[0] * _BILLION + row.mtime[1]
                os.utime(name, ns=(time, time), dir_fd=below.descriptor, follow_symlinks=False)
                os.utime(below.descriptor, ns=(folder_times.st_atime_ns, folder_times.st_mtime_ns))
                self.count += 1


def _survey(account: Account) -> Survey:
    own = tuple(each for each in account.locations if each.tree == _DATA and each.select is None)
    return Survey(own, account.users, ())


def _comes_back(name: bytes) -> bool:
    return name in _ACLS or name == _OPAQUE or name.startswith(b"user.")


def _is_whiteout(row: Row) -> bool:
    return row.kind == FileType.CHAR and row.rdev == _WHITEOUT


def _put(row: Row, sight: Sight) -> bool:
    """Put one entry's attributes back, as far as it has others; whether it had. Raise OSError."""
    if sight.kind not in (FileType.FILE, FileType.DIR):
        return False
    if not sight.name:
        return _set(sight.fd, row)
    fd = os.open(sight.name, _LOOK, dir_fd=sight.fd)
    try:
        status = os.fstat(fd)
        same = (status.st_dev, status.st_ino) == (sight.status.st_dev, sight.status.st_ino)
        return same and status.st_nlink == sight.status.st_nlink and _set(fd, row)
    finally:
        os.close(fd)


def _set(fd: int, row: Row) -> bool:
    present = read_xattrs(fd)
    other = [(name, value) for name, value in row.xattrs if _comes_back(name) and present.get(name) != value]
    for name, value in other:
        os.setxattr(fd, name, value)
    return bool(other)
