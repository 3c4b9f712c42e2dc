"""A vault in a local folder.

Durability, step by step (invariant I4): bytes go to a temporary file, fsync, then link(2) to the final name, and the folder
is remembered; `barrier` fsyncs each remembered folder and those above it, whoever made them. A name is therefore never
visible with less than all of its bytes, and a crash before the barrier can only lose whole objects.

A spool's file is named for the hold it belongs to, so that what a killed run left in the making is told from what another
run is still writing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from strongroom.vault.errors import AbsentError, FullError, StorageError
from strongroom.vault.storage import Listed, Spool

TEMPORARY = "tmp/"
# A spool without a hold is a single small object on its way: after so long (seconds) its process is gone.
_STALE_SPOOL = 3600.0


@contextlib.contextmanager
def _reported(doing: str, path: str) -> Iterator[None]:
    """Turn the operating system's errors into one line that says what to do."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise  # these two are answers, and each caller knows which
    except OSError as error:
        advice = {
            errno.ENOSPC: "free some room there, then run again",
            errno.EDQUOT: "raise the quota there, then run again",
            errno.EROFS: "mount it writable, then run again",
            errno.EACCES: "run as a user who may, or change the folder's permissions",
        }.get(error.errno or 0, "check the disk")
        kind = FullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageError
        raise kind(f"cannot {doing} {path}: {os.strerror(error.errno or 0)}; {advice}") from error


class FolderSpool:
    """A temporary file in the vault's own file system."""

    def __init__(self, path: str, *, create: bool, fsync: Callable[[int], None] = os.fsync) -> None:
        self.path, self._fsync = path, fsync
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        with _reported("write", path):
            self._fd = os.open(path, flags, 0o600)

    def append(self, data: bytes) -> None:
        """Write all of ``data`` at the end."""
        view = memoryview(data)
        with _reported("write", self.path):
            while view:
                view = view[os.write(self._fd, view) :]

    def hasten(self) -> None:
        """See the port: Linux begins to write what is said not to be needed, and the journal then has it all at once."""
        with contextlib.suppress(OSError):  # a hint alone
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Make what was written durable."""
        with _reported("sync", self.path):
            self._fsync(self._fd)

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, and go on from there."""
        with _reported("write", self.path):
            os.ftruncate(self._fd, size)
            os.lseek(self._fd, size, os.SEEK_SET)

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Close and remove it."""
        self.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class FolderHold:
    """A locked file: the kernel lets go of the lock when the last process that holds it ends."""

    def __init__(self, path: str, fd: int, ended: Callable[[], None]) -> None:
        self._path, self._fd, self._ended = path, fd, ended

    def release(self) -> None:
        """End the hold and delete the object."""
        self._ended()
        with contextlib.suppress(OSError):  # what cannot be deleted is dead all the same, and swept by others
            os.unlink(self._path)
        self.abandon()

    def abandon(self) -> None:
        """Close our descriptor of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FolderStorage:
    """The storage port over one folder. ``fsync`` is there for tests to watch."""

    def __init__(self, root: str, *, fsync: Callable[[int], None] = os.fsync) -> None:
        self.root, self._fsync = os.path.abspath(root), fsync
        self._unsynced: set[str] = set()
        self._met: set[str] = set()
        self._held = ""

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _folder_of(self, path: str) -> str:
        """The folder of an object, made if it is not there.

        At first sight the folders above it are to be synced, even if it is there: a run that was killed may have made it.
        """
        folder = os.path.dirname(path)
        if folder in self._met:
            return folder
        missing = []
        above = folder
        while not os.path.isdir(above):
            missing.append(above)
            above = os.path.dirname(above)
        for path in reversed(missing):
            with _reported("make", path), contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            self._unsynced.add(os.path.dirname(path))
        above = folder
        while above != self.root:
            above = os.path.dirname(above)
            self._unsynced.add(above)
        self._met.add(folder)
        return folder

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """See the port."""
        path = self._path(name)
        try:
            with _reported("read", path):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    want = os.fstat(fd).st_size - offset if length is None else length
                    return os.pread(fd, max(want, 0), offset)
                finally:
                    os.close(fd)
        except FileNotFoundError as error:
            raise AbsentError(f"{name} is not in the vault at {self.root}") from error

    def put(self, name: str, source: bytes | Spool) -> None:
        """See the port."""
        self._place(name, source)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """See the port."""
        return self._place(name, data)

    def _place(self, name: str, source: bytes | Spool) -> bool:
        spool = source if not isinstance(source, bytes) else self._filled(source)
        path = self._path(name)
        folder = self._folder_of(path)
        try:
            spool.sync()
            with _reported("write", path):
                os.link(spool.path, path)
        except FileExistsError:
            return False
        finally:
            spool.discard()
        self._unsynced.add(folder)
        return True

    def _filled(self, data: bytes) -> Spool:
        spool = self.spool()
        try:
            spool.append(data)
        except StorageError:
            spool.discard()
            raise
        return spool

    def barrier(self) -> None:
        """See the port."""
        for folder in sorted(self._unsynced):
            self._sync_folder(folder)
        self._unsynced.clear()

    def distrust(self, prefix: str) -> None:
        """See the port: the folder, those below it, and the vault's own."""
        folder = self._path(prefix.rstrip("/"))
        if os.path.isdir(folder):
            self._unsynced.update((self.root, folder))
            with _reported("list", folder), os.scandir(folder) as entries:
                self._unsynced.update(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))

    def _sync_folder(self, folder: str) -> None:
        with _reported("sync", folder):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._fsync(fd)
            finally:
                os.close(fd)

    def list(self, prefix: str) -> list[Listed]:
        """See the port."""
        found: list[Listed] = []
        pending = [prefix.rstrip("/")]
        while pending:
            folder = pending.pop()
            try:
                with _reported("list", self._path(folder)), os.scandir(self._path(folder)) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(f"{folder}/{entry.name}")
                            continue
                        with contextlib.suppress(FileNotFoundError):
                            stat = entry.stat(follow_symlinks=False)
                            found.append(Listed(f"{folder}/{entry.name}", stat.st_size, stat.st_mtime))
            except FileNotFoundError:
                continue
        return found

    def delete(self, name: str) -> None:
        """See the port."""
        path = self._path(name)
        with _reported("delete", path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            self._unsynced.add(os.path.dirname(path))

    def now(self) -> float:
        """See the port: here it is the machine's clock."""
        return time.time()

    def spool(self, path: str | None = None) -> Spool:
        """See the port."""
        if path is not None:
            return FolderSpool(path, create=False, fsync=self._fsync)
        path = self._path(f"{TEMPORARY}{self._held}.{os.urandom(12).hex()}")
        self._folder_of(path)
        return FolderSpool(path, create=True, fsync=self._fsync)

    def hold(self, name: str, data: bytes) -> FolderHold:
        """See the port. The file is locked before it has its name: whoever sees the name sees the lock."""
        path = self._path(name)
        folder = self._folder_of(path)
        spool = self._filled(data)
        with _reported("write", path):
            fd = os.open(spool.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                spool.sync()
                os.link(spool.path, path)
                self._sync_folder(folder)
            except OSError:
                os.close(fd)
                raise
            finally:
                spool.discard()
        self._held = name.replace("/", "+")
        return FolderHold(path, fd, self._let_go)

    def _let_go(self) -> None:
        self._held = ""

    def alive(self, name: str) -> bool:
        """See the port."""
        try:
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def sweep_spools(self) -> int:
        """See the port."""
        freed = 0
        before = self.now() - _STALE_SPOOL
        alive: dict[str, bool] = {}
        for listed in self.list(TEMPORARY):
            holder = listed.name.removeprefix(TEMPORARY).partition(".")[0].replace("+", "/")
            if holder not in alive:
                alive[holder] = self.alive(holder) if holder else True
            if not alive[holder] or (not holder and listed.received < before):
                freed += listed.size
                self.delete(listed.name)
        return freed
