"""restic: a repository of snapshots, each of which stands alone.

Snapshots carry the set's name as a tag, and are found by it. Exit status 3 of a backup means that some files could not be read;
each of them is named by an error on restic's standard error.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec

from strongroom.clients import box, opening, storage_size
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.named_sets import missing, names_of
from strongroom.clients.sidecar import Row
from strongroom.clients.snapshots import Snapshot, expanded, moment
from strongroom.clients.tool import TAIL, AbsentError, Held, Order, Saved, Trouble
from strongroom.config import Config
from strongroom.config.values import Repository
from strongroom.errors import AwayError, ClientError
from strongroom.model import Damage, FileType, Level, Pruned, Verification

_TAG = "strongroom"
_SOME_UNREAD = 3
_SPECIAL = re.compile(rb"([*?\[\]\\])")
_KINDS = {
    "file": FileType.FILE,
    "dir": FileType.DIR,
    "symlink": FileType.SYMLINK,
    "fifo": FileType.FIFO,
    "chardev": FileType.CHAR,
    "dev": FileType.BLOCK,
}
_BITS = ((1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000))
_WRONG_KEY = b"wrong password or no key found"
_NOTHING_THERE = (b"unable to open config file", b"Is there a repository at the following location")
_UNDECODED = rb"\ufffd"
_NO_TEXT = re.compile("[\udc80-\udcff]")
_NOT_OPENED = b"unable to open repository"


class _Message(msgspec.Struct):
    message_type: str = ""
    item: str = ""
    during: str = ""
    error: msgspec.Raw = msgspec.Raw(b"null")
    data_added: int = 0


class _Snapshot(msgspec.Struct):
    id: str
    time: str = ""
    hostname: str = ""
    paths: list[str] = []
    tags: list[str] | None = None


class _Node(msgspec.Struct):
    path: str = ""
    type: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: str = ""
    ctime: str = ""


class ResticTool:
    """The port `Tool` over restic; a set's handle is its name."""

    driver = "restic"
    levels: tuple[Level, ...] = (Level.FULL, Level.INCREMENTAL)
    alone = True
    replays = False
    merges = False
    partial = True
    keeps: tuple[str, ...] = ("acl", "xattr", "hardlinks", "nanoseconds", "devices")
    encrypted = True

    def __init__(self, settings: Repository, cache: bytes) -> None:
        self._settings = settings
        self.remote = not settings.url.startswith("/")
        self._environ = {"RESTIC_PROGRESS_FPS": "0.01"}
        self._common = ["--repo", settings.url, "--cache-dir", os.fsdecode(cache)]

    @classmethod
    def open(cls, config: Config, name: str) -> ForeignClient:
        """The client that a table of the configuration describes."""
        settings, folder = opening.repository(config, name)
        return opening.adopting(config, name, cls(settings, folder + b"/cache"), settings.url + "/snapshots")

    def version(self) -> str | None:
        """See the port."""
        if shutil.which("restic") is None:
            return None
        found = re.search(rb"restic (\S+)", box.run(["restic", "version"]).out)
        return found.group(1).decode() if found else "unknown"

    def _run(
        self, *words: str | bytes, view: box.View | None = None, allowed: Sequence[int] = (0,),
        output: IO[bytes] | None = None,
    ) -> box.Ended:  # fmt: skip
        if self._settings.passphrase_file is None:
            raise ClientError("restic always encrypts: set passphrase_file in the client's table")
        with box.handed(opening.passphrase(self._settings.passphrase_file)) as secret:
            password = ["--password-file", f"/dev/fd/{secret}"]
            arguments = ["restic", *self._common, *password, *words]
            ended = box.run(arguments, environ=self._environ, view=view, descriptors=[secret], output=output)
        if ended.status not in allowed:
            raise self._failed(words[0], ended)
        return ended

    def _failed(self, word: str | bytes, ended: box.Ended) -> ClientError:
        if _WRONG_KEY in ended.err:
            return AwayError(f"the passphrase does not open the restic repository {self._settings.url}")
        if any(told in ended.err for told in _NOTHING_THERE):
            return AbsentError(
                f"there is no restic repository at {self._settings.url}: mount its disk, or back up first"
            )
        kind = AwayError if _NOT_OPENED in ended.err else ClientError
        return kind(f"restic {os.fsdecode(word)} ended with status {ended.status}: {ended.complaint}")

    def prepare(self, *, make: bool) -> None:
        """See the port."""
        try:
            self._run("unlock")  # takes away the locks of processes that are gone, and no others
        except AbsentError:
            if not make:
                raise
            self._run("init")

    def holds(self, path: bytes) -> bool:
        """See the port."""
        return True

    def save(self, order: Order) -> Saved:
        """See the port. The parent is named, since restic's own choice goes by host and path alone."""
        words: list[str | bytes] = ["backup", "--json", "--tag", _TAG, "--tag", order.name, "--host", order.series]
        parent = self._snapshots().get(order.base) if order.base else None
        words += ["--parent", parent.id] if parent else ["--force"]
        words.append(order.view.folder + b"/" + order.series.encode())
        ended = self._run(*words, view=order.view, allowed=(0, _SOME_UNREAD))
        added = sum(message.data_added for message in _messages(ended.out))
        level = None if parent else Level.FULL
        return Saved(handle=order.name, bytes=added, troubles=tuple(troubles(ended)), level=level)

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        """See the port."""
        snapshot = self._snapshots().get(handle)
        if snapshot is None:
            raise ClientError(f"set {handle} is not in the restic repository {self._settings.url} any more")
        # As it was when the set was made: the state folder may be another since.
        view = os.path.dirname(os.fsencode(snapshot.paths[0]))
        words: list[str | bytes] = ["restore", snapshot.id, "--target", target]
        for place in places:
            words += ["--include", _SPECIAL.sub(rb"\\\1", view + b"/" + place)]
        self._run(*words, allowed=(0, 1))
        return target + view

    def _snapshots(self) -> dict[str, _Snapshot]:
        """The snapshots that are ours, by the names of their sets."""
        ended = self._run("snapshots", "--json", "--tag", _TAG)
        found = msgspec.json.decode(ended.out or b"[]", type=list[_Snapshot] | None) or []
        return {tag: each for each in found for tag in each.tags or () if tag != _TAG}

    # --- what others made -----------------------------------------------------------------------------------------

    def others(self) -> list[Snapshot]:
        """See `Snapshots`."""
        ended = self._run("snapshots", "--json", "--no-lock")
        found = msgspec.json.decode(ended.out or b"[]", type=list[_Snapshot] | None) or []
        others = (each for each in found if _TAG not in (each.tags or ()))
        return [Snapshot(id=each.id, host=each.hostname, time=moment(each.time)[0]) for each in others]

    def folders(self, snapshot: str, globs: Sequence[str]) -> Iterator[str]:
        """See `Snapshots`: the folders' own trees alone are read."""

        def below(folders: set[str]) -> Iterator[str]:
            nodes = self._nodes(snapshot, sorted(folders))
            return (node.path for node in nodes if node.type == "dir")

        return expanded(globs, below)

    def listed(self, snapshot: str, folders: Sequence[str]) -> Iterator[Row]:
        """See `Snapshots`."""
        for node in self._nodes(snapshot, folders, "--recursive"):
            yield Row(
                path=os.fsencode(node.path), kind=_KINDS.get(node.type, FileType.SOCKET).value, mode=_mode(node.mode),
                uid=node.uid, gid=node.gid, size=node.size, mtime=moment(node.mtime), ctime=moment(node.ctime),
            )  # fmt: skip

    def _nodes(self, snapshot: str, folders: Sequence[str], *words: str) -> Iterator[_Node]:
        listing: list[str | bytes] = ["--no-lock", *words, "--", snapshot, *map(os.fsencode, folders)]
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as plain:
            self._run("ls", "--json", *listing, output=output)
            output.seek(0)
            if any(_UNDECODED in line for line in output):
                self._run("ls", *listing, output=plain)
            output.seek(0)
            plain.seek(0)
            next(output, None)  # of the snapshot itself
            next(plain, None)
            for line in output:
                node = msgspec.json.decode(line, type=_Node)
                node.path = _verbatim(node.path, plain)
                yield node

    def fetch(self, snapshot: str, places: Sequence[bytes], target: bytes) -> None:
        """See `Snapshots`. Nobody else has a digest of it: what restic brought with errors is not relied on."""
        words: list[str | bytes] = ["restore", "--no-lock", snapshot, "--target", target]
        for place in places:
            words += ["--include", _SPECIAL.sub(rb"\\\1", place)]
        self._run(*words)

    def tails(self) -> list[str] | None:
        """See the port."""
        return [name for name in self._snapshots() if name.endswith(TAIL)]

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        """See the port."""
        names = names_of(gone, unfinished)
        there = self._snapshots()
        ids = [there[name].id for name in sorted(names) if name in there]
        if dry_run:
            return Pruned(freed_bytes=0, held_bytes=0, objects=len(ids)), []
        before = storage_size.of(self._settings.url)
        self._run("unlock")
        if ids:
            self._run("forget", *ids)
        self._run("prune")
        freed = max(before - storage_size.of(self._settings.url), 0)
        return Pruned(freed_bytes=freed, held_bytes=0, objects=len(ids)), [held.point.id for held in gone]

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        """See the port."""
        there = self._snapshots()
        words = ["check"]
        if read_data:
            words.append("--read-data" if read_data >= 1 else f"--read-data-subset={read_data * 100:.2f}%")
        ended = self._run(*words, allowed=(0, 1))
        damage = missing(held, there, "snapshot")
        if ended.status:
            damage.append(Damage(object=self._settings.url, message=f"restic check: {ended.complaint}"))
        read = int(storage_size.of(self._settings.url) * read_data)
        return Verification(objects=len(there), bytes_read=read, damage=tuple(damage))


def _verbatim(path: str, plain: IO[bytes]) -> str:
    """A listed path as it is: the next of a listing as text, which has it with a byte where the other has a replacement."""
    told = os.fsdecode(b"".join(plain.readline() for _ in range(path.count("\n") + 1)).removesuffix(b"\n"))
    return told if _NO_TEXT.sub("\ufffd", told) == path else path


def _mode(mode: int) -> int:
    """A mode's bits, of Go's."""
    return mode & 0o777 | sum(bit for theirs, bit in _BITS if mode & theirs)


def _messages(output: bytes) -> Iterator[_Message]:
    for line in output.splitlines():
        try:
            yield msgspec.json.decode(line, type=_Message)
        except msgspec.MsgspecError:
            continue


def troubles(ended: box.Ended) -> Iterator[Trouble]:
    """What restic says it could not read; where it only says that there was something, that."""
    named = False
    for message in _messages(ended.err + b"\n" + ended.out):
        if message.message_type == "error":
            named = True
            yield Trouble(path=os.fsencode(message.item), message=bytes(message.error).decode("utf-8", "replace"))
    if ended.status == _SOME_UNREAD and not named:
        yield Trouble(path=b"", message=f"some files could not be read: {ended.complaint}")
