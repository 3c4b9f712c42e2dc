"""Takes a snapshot: the database's transaction is opened, the files are read, the export is drawn, and all is one commit."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from blake3 import blake3

from strongroom.errors import SnapshotError
from strongroom.model import Account, DatabaseCopy, Entry, FileType, Time
from strongroom.restores.beneath import LOOK, lstat
from strongroom.restores.remarks import Remarks
from strongroom.runs import times
from strongroom.webapps.base import App, Snapshot
from strongroom.webapps.snapshots import databases, lines
from strongroom.webapps.snapshots.databases import AppDatabases
from strongroom.webapps.snapshots.facts import Facts, Sealer, warned
from strongroom.webapps.snapshots.git import Git
from strongroom.webapps.snapshots.objects import Reader, Writer, present
from strongroom.webapps.snapshots.picture import entries_of, of_now
from strongroom.webapps.snapshots.repository import Repository
from strongroom.webapps.snapshots.stored import ATTRIBUTES, FACTS, FOLDER, KEPT, SEAL, load, snapshot_of

_FILE, _PROGRAM, _LINK = b"100644", b"100755", b"120000"
_EXECUTABLE = 0o100
# Names that git takes for its own, on whatever system: it would refuse to check them out.
_GITS = re.compile(r"\.git(?:$|[. :])|git~\d|\.git(?:modules|ignore|attributes)$", re.IGNORECASE)
_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_MOST_INDEX = 256 << 20


class Taken(NamedTuple):
    """A snapshot that was just made, with what stood there when it was: entries with inode and change time."""

    snapshot: Snapshot
    entries: list[Entry]


def take(
    account: Account,
    app: App,
    repository: Repository,
    git: Git,
    bases: AppDatabases,
    sealer: Sealer,
    label: str,
    without: str = "",
    *,
    safety: bool = False,
) -> Taken:
    """Make a snapshot and let the branch end in it. Raise SnapshotError; then the branch is where it was.

    ``without``: leave the database out, for this reason. ``safety``: it is of what a rollback is about to replace.
    """
    remarks = Remarks()
    patterns = of_now(app)
    target = None if without else bases.target(app, remarks)
    if without:
        bases.left_out(app, remarks, without)
    targets = [target] if target else []
    parent = repository.tip
    with Writer(git, _known(git, app, parent, sealer)) as writer, bases.opened(targets) as exports:
        begun = time.time()
        opened = min((export.opened for _, export in exports), default=None)
        entries = entries_of(account, app, patterns, writer.blob, remarks)
        _refuse_unread(app, entries, remarks)
        finished = time.time()
        beside: dict[bytes, str] = {}
        copies: list[DatabaseCopy] = []
        for each, export in exports:
            copy, pieces = databases.stored(each, export, writer.blob)
            copies.append(copy)
            beside |= {databases.FOLDER + b"/" + path: blob for path, blob in pieces.items()}
        digest = blake3()
        for number, piece in enumerate(lines.cut(lines.encode(entries, app.stored))):
            digest.update(piece)
            beside[ATTRIBUTES + b"/%06d" % number] = writer.blob(piece)
        facts = Facts(
            app=app.app,
            kind=app.kind,
            version=app.version,
            label=label,
            time=_moment(begun),
            attributes=digest.hexdigest(),
            opened=_moment(opened) if opened is not None else None,
            finished=_moment(finished),
            gap_seconds=round(max(0.0, finished - opened), 3) if opened is not None else 0.0,
            files=len(entries),
            size=sum(entry.size for entry in entries if entry.content is not None),
            databases=tuple(copies),
            caches=app.caches,
            uploads=app.uploads,
            apart=tuple(lines.written(inner.path) for inner in app.inner),
            status=remarks.status,
            safety=safety,
            warnings=warned(remarks.all()),
        )
        encoded = facts.encode()
        beside[FACTS] = writer.blob(encoded)
        beside[SEAL] = writer.blob(sealer.seal(app.app, encoded))
        files = dict(_tree(app, entries, beside, writer))
        commit = writer.commit(files, _message(facts), int(begun), parent)
    repository.set_tip(commit)
    _put_index(git, repository, commit, files)
    return Taken(snapshot_of(commit, facts, sealed=True), entries)


def _known(git: Git, app: App, parent: str | None, sealer: Sealer) -> set[str]:
    """The blobs of the snapshot before, as far as they are there: what has not changed is not written again."""
    if parent is None:
        return set()
    try:
        with Reader(git) as reader:
            before = load(reader.commit(parent), app, reader, sealer)
            if before is None:
                return set()
            blobs = before.blobs | {str(entry.content) for entry in before.entries() if entry.content is not None}
    except SnapshotError:
        # A snapshot that is damaged says nothing of what is there; the new one is written whole.
        return set()
    return present(git, blobs)


def _refuse_unread(app: App, entries: list[Entry], remarks: Remarks) -> None:
    """A rollback could not bring back what was not read, and would take its absence for an order to remove it."""
    if not entries or entries[0].path != app.stored:
        reasons = "; ".join(remark.message for remark in remarks.all()[:1])
        raise SnapshotError(f"{app.app}: the app's folder cannot be read: {reasons or 'it is gone'}")


def _tree(
    app: App, entries: Iterable[Entry], beside: dict[bytes, str], writer: Writer
) -> Iterator[tuple[bytes, tuple[bytes, str]]]:
    """What the commit has: the app's files under their own names, and what git forgets beside them."""
    for entry in entries:
        path = entry.path[len(app.stored) + 1 :]
        if entry.type is FileType.SYMLINK and entry.target:
            mode, blob = _LINK, writer.blob(entry.target)
        elif entry.type is FileType.FILE and entry.content is not None:
            mode, blob = _PROGRAM if entry.mode & _EXECUTABLE else _FILE, str(entry.content)
        else:
            continue
        if any(map(_is_gits, path.split(b"/"))):
            yield b"/".join((FOLDER, KEPT, blob.encode())), (_FILE, blob)
        else:
            yield path, (mode, blob)
    for name, blob in beside.items():
        yield FOLDER + b"/" + name, (_FILE, blob)


def _is_gits(name: bytes) -> bool:
    if b"git" not in name.lower() and name.isascii():
        return False
    return _GITS.match(_UNSEEN.sub("", name.decode("utf-8", "replace"))) is not None


def _put_index(git: Git, repository: Repository, commit: str, files: Iterable[bytes]) -> None:
    """Let the owner's `git status` compare with the snapshot; what stands in the snapshot alone is not missed in the folder."""
    if lstat(repository.open(), b"index.lock") is not None:
        return
    index = os.path.join(git.scratch, "index")
    git.run("read-tree", commit, GIT_INDEX_FILE=index)
    ours = b"".join(path + b"\0" for path in files if path.startswith(FOLDER + b"/"))
    git.run(
        "-c", "core.bare=false", "update-index", "--skip-worktree", "-z", "--stdin",
        given=ours, GIT_INDEX_FILE=index, GIT_WORK_TREE=git.scratch,
    )  # fmt: skip
    fd = os.open(index, LOOK)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        # One name alone: nobody else's file was put in its place.
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > _MOST_INDEX:
            raise SnapshotError("git read-tree made no index")
        repository.put_index(file.read(_MOST_INDEX))


def _message(facts: Facts) -> str:
    what = [f"{facts.kind} {facts.version}".strip(), f"{facts.files:,} files and folders"]
    what += [f"{copy.engine}:{copy.name}" for copy in facts.databases]
    return f"{facts.label}\n\n{', '.join(what)}\n"


def _moment(seconds: float) -> str:
    whole, part = divmod(int(seconds * 1000), 1000)
    return times.iso(Time(whole, part * 1_000_000), 3)
