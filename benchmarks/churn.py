"""What happens on a made-up server between two nights: edits, new files, deletions, renames, from a seed and a day."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

from benchmarks.matter import Matter
from benchmarks.tree import KEEPSAKE, Tree, matter
from strongroom.model import Frozen


class Churn(Frozen):
    """How many files a day touched."""

    files: int
    edited: int
    added: int
    deleted: int
    renamed: int


def churn(tree: Tree, day: int, fraction: float = 0.01) -> Churn:
    """Touches that fraction of the files, evenly spread: of ten, six are edited, two added, one deleted, one renamed.

    What is chosen depends on seed, day and the tree as it is, so the days have to come in order. Files with several
    names, files with holes and the keepsakes are left alone.
    """
    rng = Random(f"{tree.seed} day {day}")
    source = matter(tree.seed)
    kept = {f"{tree.home()}/{name}/shadow{KEEPSAKE}".encode() for name in tree.names()}
    roots = [f"{tree.home()}/{name}/shadow".encode() for name in tree.names()]
    files = [path for root in roots for path in _files(root) if path not in kept]
    counts = [0, 0, 0, 0]
    for index, path in enumerate(rng.sample(files, round(len(files) * fraction))):
        kind = (0, 1, 0, 2, 0, 3, 0, 1, 0, 0)[index % 10]
        (_edit, _add, _delete, _rename)[kind](path, rng, source, day)
        counts[kind] += 1
    edited, added, deleted, renamed = counts
    return Churn(files=len(files), edited=edited, added=added, deleted=deleted, renamed=renamed)


def _files(folder: bytes) -> Iterator[bytes]:
    """The plain files below a folder, always in the same order."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            if status.st_nlink == 1 and status.st_blocks * 512 >= status.st_size:
                yield entry.path


def _edit(path: bytes, rng: Random, source: Matter, day: int) -> None:
    """Half of the edits replace some bytes, the others add some."""
    patch = b"/* day %d */" % day + source.text(rng, rng.randrange(10, 500))
    fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        size = os.fstat(fd).st_size
        os.pwrite(fd, patch, rng.randrange(size + 1) if rng.random() < 0.5 else size)
    finally:
        os.close(fd)


def _add(path: bytes, rng: Random, source: Matter, day: int) -> None:
    """A new file beside the one chosen, with its owner."""
    status = os.stat(path)
    new = os.path.dirname(path) + b"/day%d-%08x.php" % (day, rng.getrandbits(32))
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(fd, source.php(rng, min(100_000, int(rng.lognormvariate(8.0, 1.4)))))
        os.fchown(fd, status.st_uid, status.st_gid)
    finally:
        os.close(fd)


def _delete(path: bytes, rng: Random, source: Matter, day: int) -> None:
    os.unlink(path)


def _rename(path: bytes, rng: Random, source: Matter, day: int) -> None:
    os.rename(path, os.path.dirname(path) + b"/moved%d-%08x" % (day, rng.getrandbits(32)))
