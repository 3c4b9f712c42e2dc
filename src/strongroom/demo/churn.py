"""A night's changes: about one percent of the files, in every way files change."""

from __future__ import annotations

import os
import random
import stat

from strongroom.demo import oddities, wordpress
from strongroom.demo.server import Server
from strongroom.model import Frozen

_SHARE = 0.01


class Churn(Frozen):
    """How many files were changed, and how; ``behind`` are edits that put size and mtime back."""

    edited: int
    added: int
    deleted: int
    renamed: int
    behind: int
    attributes: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.edited + self.added + self.deleted + self.renamed + self.behind + self.attributes


def change(server: Server) -> Churn:
    """Change one percent of the accounts' files, WordPress's configuration among them; the same ones every time."""
    source = random.Random("a night")  # noqa: S311 - the same demo every time, no secrets
    shop = server.data(server.tenants[0]) + b"/"
    config = shop + wordpress.CONFIG
    files = [path for tenant in server.tenants[:3] for path in _files(server.data(tenant))]
    files = [path for path in files if not wordpress.needs(path.removeprefix(shop))]
    total = max(10, int(len(files) * _SHARE))
    chosen = source.sample(files, total)
    shares = (total // 2, total * 15 // 100, total * 15 // 100, total // 10)
    edited, deleted, renamed, behind = _cut(chosen, shares)
    for path in (config, *edited):
        _append(path, b"\n// changed at night %d\n" % source.randrange(10**6))
    for path in deleted:
        os.unlink(path)
    for path in renamed:
        os.rename(path, path + b".renamed")
    for path in behind:
        _overwrite_behind(path, source)
    added = [_add(path, source) for path in chosen[: total // 5]]
    attributes = _museum(server)
    return Churn(
        edited=len(edited) + 1,
        added=len(added),
        deleted=len(deleted),
        renamed=len(renamed),
        behind=len(behind),
        attributes=attributes,
    )


def _files(folder: bytes) -> list[bytes]:
    """Plain files with content, sorted, without what is no part of a backup."""
    found = []
    for path, folders, names in os.walk(folder):
        folders.sort()
        if path == folder + b"/var/lib":
            folders.clear()
        for name in sorted(names):
            info = os.lstat(path + b"/" + name)
            if stat.S_ISREG(info.st_mode) and info.st_size and info.st_nlink == 1:
                found.append(path + b"/" + name)
    return found


def _cut(paths: list[bytes], shares: tuple[int, ...]) -> list[list[bytes]]:
    parts, start = [], 0
    for share in shares:
        parts.append(paths[start : start + max(1, share)])
        start += max(1, share)
    return parts


def _append(path: bytes, content: bytes) -> None:
    with open(path, "ab") as stream:
        stream.write(content)


def _overwrite_behind(path: bytes, source: random.Random) -> None:
    """Change a byte and put the mtime back: size and mtime say nothing happened, only ctime tells."""
    before = os.stat(path)
    with open(path, "r+b") as stream:
        offset = source.randrange(before.st_size)
        byte = os.pread(stream.fileno(), 1, offset)[0]
        os.pwrite(stream.fileno(), bytes([byte ^ 0x20]), offset)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _add(path: bytes, source: random.Random) -> bytes:
    """A new file beside another, of the same owner."""
    added = os.path.dirname(path) + b"/new-%08x" % source.getrandbits(32)
    with open(added, "xb") as stream:
        stream.write(source.randbytes(source.randrange(100, 20_000)))
    owner = os.stat(os.path.dirname(path))
    os.chown(added, owner.st_uid, owner.st_gid)
    return added


def _museum(server: Server) -> int:
    """Where content stays and everything else changes: a mode, a broken hard link, a file that became a symlink."""
    odd = server.data(server.tenants[3]) + b"/" + oddities.ODD
    os.chmod(odd + b"/many/000", 0o600)
    with open(odd + b"/hard/again-file", "rb") as stream:
        content = stream.read()
    os.unlink(odd + b"/hard/again-file")
    _append(odd + b"/hard/again-file", content)
    os.unlink(odd + b"/many/001")
    os.symlink(b"002", odd + b"/many/001")
    return 3
