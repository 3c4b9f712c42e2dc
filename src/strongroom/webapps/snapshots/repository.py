"""The repository folder ``.git`` of an app: made, found, removed; its branch read and moved without git.

It is the owner's and 0700, so that the web server, which is somebody else, cannot read it, with a file that tells Apache to
serve nothing of it besides. What is in it is the tenant's to change at any moment, so each file is reached by descriptor.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Collection, Sequence
from contextlib import suppress
from enum import Enum

from strongroom.errors import SnapshotError
from strongroom.panel.folder import Folder
from strongroom.restores.beneath import lstat, open_folder, remove
from strongroom.restores.renameat2 import rename_new
from strongroom.webapps.snapshots.git import BRANCH
from strongroom.webapps.snapshots.objects import is_id
from strongroom.webapps.snapshots.place import Place

NAME = b".git"
# What a folder with snapshots has, as the panel looks for it too.
MARK = NAME + b"/HEAD"
# What Strongroom makes in an app's folder for a moment is called so, and is never part of a snapshot.
OURS = b".strongroom-"
_REF = BRANCH.encode().split(b"/")
_PACKED = b"packed-refs"
_SHALLOW = b"shallow"
_MOST_PACKED = 4 << 20
_MOST_REF = 4096
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_CONFIG = b"""[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = false
[advice]
\tdetachedHead = false
"""
_DENIED = b"Require all denied\n"


class State(Enum):
    """What stands at an app's ``.git``: nothing, a repository with our branch, or somebody else's."""

    NONE = 0
    OURS = 1
    FOREIGN = 2


def tip(folder: Folder) -> str | None:
    """The newest commit of our branch of the repository in an app's open folder; None where there is none."""
    said = folder.read(NAME, *_REF, limit=_MOST_REF)
    if said is not None:
        name = said.strip()
        return name.decode() if is_id(name) else None
    packed = folder.read(NAME, _PACKED, limit=_MOST_PACKED) or b""
    for line in packed.split(b"\n"):
        name, _, reference = line.partition(b" ")
        if reference == BRANCH.encode() and is_id(name):
            return name.decode()
    return None


class Repository:
    """The repository of one open app; `folder` is its descriptor between `open` and `close`."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._fd = -1

    @property
    def state(self) -> State:
        """What stands there."""
        with Folder(os.dup(self._place.fd)) as folder:
            if folder.stat(NAME) is None:
                return State.NONE
            ours = folder.holds_folder(NAME) and (
                tip(folder) is not None or folder.read(NAME, b"HEAD", limit=_MOST_REF) == _head()
            )
            return State.OURS if ours else State.FOREIGN

    @property
    def tip(self) -> str | None:
        """The newest commit of our branch."""
        with Folder(os.dup(self._place.fd)) as folder:
            return tip(folder)

    @property
    def shallow(self) -> set[str]:
        """The commits that history ends with: what came before them is not there any more."""
        with Folder(os.dup(self._place.fd)) as folder:
            said = folder.read(NAME, _SHALLOW, limit=_MOST_PACKED) or b""
        return {name.decode() for name in said.split() if is_id(name)}

    def put_shallow(self, commits: Collection[str]) -> None:
        """Let history end with these."""
        self._replace(self.open(), _SHALLOW, "".join(f"{name}\n" for name in sorted(commits)).encode())

    def open(self) -> int:
        """The descriptor of ``.git``. Raise SnapshotError when it is no folder."""
        if self._fd < 0:
            try:
                self._fd = open_folder(self._place.fd, NAME)
            except OSError as error:
                raise SnapshotError(
                    f"the repository .git cannot be opened: {error.strerror}; is it a folder, and not a link?"
                ) from None
        return self._fd

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def create(self, ignored: Sequence[str]) -> None:
        """Make an empty one; ``ignored`` are patterns for the owner's own git."""
        patterns = "".join(f"{pattern}\n" for pattern in ignored).encode("utf-8", "surrogateescape")
        with _Untouched(self._place.fd):
            name = OURS + secrets.token_hex(8).encode()
            os.mkdir(name, 0o700, dir_fd=self._place.fd)
            fd = open_folder(self._place.fd, name)
            try:
                self._fill(fd, patterns)
                rename_new(self._place.fd, name, self._place.fd, NAME)
            except BaseException:
                with suppress(OSError):
                    self._clear(name)
                raise
            finally:
                os.close(fd)

    def remove(self) -> None:
        """Take the repository away, with all that is in it."""
        self.close()
        with _Untouched(self._place.fd):
            holder = OURS + secrets.token_hex(8).encode()
            os.mkdir(holder, 0o700, dir_fd=self._place.fd)
            fd = open_folder(self._place.fd, holder)
            try:
                os.fchmod(fd, 0o700)
                rename_new(self._place.fd, NAME, fd, b"gone")
                remove(fd, b"gone")
            finally:
                os.close(fd)
                os.rmdir(holder, dir_fd=self._place.fd)

    def set_tip(self, commit: str) -> None:
        """Let our branch end in a commit, durably."""
        fd = os.dup(self.open())
        try:
            for part in _REF[:-1]:
                below = open_folder(fd, part)
                os.close(fd)
                fd = below
            self._replace(fd, _REF[-1], commit.encode() + b"\n")
            os.fsync(fd)
        except OSError as error:
            raise SnapshotError(f"the repository's branch cannot be moved: {error.strerror}") from None
        finally:
            os.close(fd)

    def put_index(self, content: bytes) -> None:
        """Give the owner's git its index: what `git status` compares with."""
        self._replace(self.open(), b"index", content)

    def sweep(self) -> None:
        """Remove what a killed command of ours or of git's left: folders of root's in the app, half-written packs."""
        for name in os.listdir(self._place.fd):
            found = os.fsencode(name)
            if found.startswith(OURS) and (status := lstat(self._place.fd, found)) and status.st_uid == os.geteuid():
                with _Untouched(self._place.fd), suppress(OSError):
                    self._clear(found)
        self._sweep_repository()

    def _clear(self, name: bytes) -> None:
        """Remove a folder that is root's alone, so that nobody else reaches what is in it meanwhile."""
        fd = open_folder(self._place.fd, name)
        try:
            os.fchown(fd, os.geteuid(), -1)
            os.fchmod(fd, 0o700)
            for inner in os.listdir(fd):
                remove(fd, os.fsencode(inner))
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=self._place.fd)

    def _sweep_repository(self) -> None:
        with suppress(OSError, SnapshotError):
            for name in os.listdir(self.open()):
                if os.fsencode(name).startswith(OURS):
                    os.unlink(name, dir_fd=self.open())
            objects = open_folder(self.open(), b"objects")
            try:
                packs = open_folder(objects, b"pack")
            finally:
                os.close(objects)
            try:
                for name in os.listdir(packs):
                    # fast-import names its packs so until they are whole; no other command of ours is at work here.
                    if name.startswith(("tmp_pack_", "tmp_idx_")):
                        os.unlink(name, dir_fd=packs)
            finally:
                os.close(packs)

    def _fill(self, fd: int, patterns: bytes) -> None:
        for path in (b"objects", b"objects/info", b"objects/pack", b"refs", b"refs/heads", b"refs/tags", b"info"):
            os.mkdir(path, 0o700, dir_fd=fd)
            below = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            try:
                self._own(below, 0o700)
            finally:
                os.close(below)
        files = {b"HEAD": _head(), b"config": _CONFIG, b"info/exclude": patterns, b".htaccess": _DENIED}
        for path, content in files.items():
            self._write(fd, path, content)
        self._own(fd, 0o700)

    def _own(self, fd: int, mode: int) -> None:
        """Make something the owner's alone: the default ACL of the folder above came down on it."""
        for acl in _ACLS:
            try:
                os.removexattr(fd, acl)
            except OSError as error:
                if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                    raise
        os.fchmod(fd, mode)
        os.fchown(fd, self._place.user.uid, self._place.user.gid)

    def _write(self, fd: int, path: bytes, content: bytes) -> None:
        made = os.open(path, _NEW, 0o600, dir_fd=fd)
        with open(made, "wb") as file:
            self._own(made, 0o600)
            file.write(content)
            file.flush()
            os.fsync(made)

    def _replace(self, fd: int, name: bytes, content: bytes) -> None:
        draft = OURS + secrets.token_hex(8).encode()
        self._write(self.open(), draft, content)
        os.rename(draft, name, src_dir_fd=self.open(), dst_dir_fd=fd)


class _Untouched:
    """Keeps a folder's times as they were, whatever is made in it meanwhile."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None:
        self._status = os.fstat(self._fd)

    def __exit__(self, *exception: object) -> None:
        os.utime(self._fd, ns=(self._status.st_atime_ns, self._status.st_mtime_ns))


def _head() -> bytes:
    return f"ref: {BRANCH}\n".encode()
