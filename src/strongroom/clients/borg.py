"""borg 1.x: a repository of archives, each of which stands alone; one writer at a time.

Exit status 1 is a warning: what could not be read is named in it. What a warning says of no file of ours is told as it is.
"""

from __future__ import annotations

import json
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
from strongroom.clients.snapshots import Snapshot, moment
from strongroom.clients.tool import TAIL, AbsentError, Held, Order, Saved, Trouble
from strongroom.config import Config
from strongroom.config.values import Repository
from strongroom.errors import AwayError, ClientError
from strongroom.model import Damage, FileType, Level, Pruned, Verification

_WARNED = 1
_WAIT = "60"
_NOT_THERE = "never matched"
_NOTHING_THERE = "Repository.DoesNotExist"
# borg forgets files that it has not seen for so many archives; all accounts share one repository.
_FILES_CACHE_ARCHIVES = "10000"
_OWN_NAME = re.compile(rf"[0-9a-f]{{16}}(?:{re.escape(TAIL)})?(?:\.checkpoint.*)?")
_PATH = re.compile(rb'^ +"path": (".*"),?$')
_HEXADECIMAL = "\x7f"
_KINDS = {
    "-": FileType.FILE,
    "d": FileType.DIR,
    "l": FileType.SYMLINK,
    "p": FileType.FIFO,
    "c": FileType.CHAR,
    "b": FileType.BLOCK,
}
_NO_ROOM = "Repository.InsufficientFreeSpaceError"
_MESSAGES = {
    "PassphraseWrong": "the passphrase does not open the borg repository {url}",
    "NoPassphraseFailure": "the borg repository {url} is encrypted: set passphrase_file in the client's table",
    _NOTHING_THERE: "there is no borg repository at {url}: mount its disk, or back up first",
    _NO_ROOM: "no room for the borg repository {url}; make room there",
    "ConnectionClosed": "{url} cannot be reached, or there is no borg on its host",
    "ConnectionClosedWithHint": "{url} cannot be reached, or there is no borg on its host",
    "LockTimeout": "another program holds the borg repository {url}; run again when it has ended",
}


class _Message(msgspec.Struct):
    type: str = ""
    levelname: str = ""
    name: str = ""
    message: str = ""
    msgid: str = ""


class _Stats(msgspec.Struct, frozen=True):
    deduplicated_size: int = 0


class _Archive(msgspec.Struct, frozen=True):
    name: str = ""
    hostname: str = ""
    time: str = ""
    stats: _Stats = _Stats()


class _Created(msgspec.Struct):
    archive: _Archive = _Archive()


class _Listed(msgspec.Struct):
    archives: list[_Archive] = []


class _Item(msgspec.Struct):
    path: str = ""
    name: str = ""  # the path as it is, where the listing does not have it so
    type: str = ""
    mode: str = ""
    uid: int = 0
    gid: int = 0
    size: int = 0
    source: str = ""
    mtime: str = ""
    ctime: str = ""


class BorgTool:
    """The port `Tool` over borg; a set's handle is its name, which is its archive's."""

    driver = "borg"
    levels: tuple[Level, ...] = (Level.FULL, Level.INCREMENTAL)
    alone = True
    replays = False
    merges = False
    partial = True
    keeps: tuple[str, ...] = ("acl", "xattr", "hardlinks", "nanoseconds", "devices", "flags", "odd names")

    def __init__(self, settings: Repository, folder: bytes) -> None:
        self._settings, self._folder = settings, folder
        self.encrypted = settings.passphrase_file is not None
        self.remote = not settings.url.startswith("/")
        self._environ = {
            "BORG_BASE_DIR": os.fsdecode(folder) + "/cache",
            "BORG_FILES_CACHE_TTL": _FILES_CACHE_ARCHIVES,
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_REPO": settings.url,
            "TZ": "UTC",  # in which it prints times, without saying so
        }

    @classmethod
    def open(cls, config: Config, name: str) -> ForeignClient:
        """The client that a table of the configuration describes."""
        settings, folder = opening.repository(config, name)
        return opening.adopting(config, name, cls(settings, folder), settings.url)

    def version(self) -> str | None:
        """See the port."""
        if shutil.which("borg") is None:
            return None
        found = re.search(rb"borg (\S+)", box.run(["borg", "--version"], environ=self._environ).out)
        return found.group(1).decode() if found else "unknown"

    def _run(
        self,
        *words: str | bytes,
        view: box.View | None = None,
        folder: bytes | None = None,
        allowed: Sequence[int] = (0,),
        output: IO[bytes] | None = None,
        wait: str = _WAIT,
    ) -> box.Ended:
        os.makedirs(self._folder + b"/cache", mode=0o700, exist_ok=True)
        file = self._settings.passphrase_file
        arguments: list[str | bytes] = ["borg", "--log-json", "--lock-wait", wait, *words]
        if file is None:
            ended = box.run(arguments, environ=self._environ, view=view, folder=folder, output=output)
        else:
            with box.handed(opening.passphrase(file)) as secret:
                environ = {**self._environ, "BORG_PASSPHRASE_FD": str(secret)}
                handed = [secret]
                ended = box.run(arguments, environ=environ, view=view, folder=folder, descriptors=handed, output=output)
        if ended.status not in allowed:
            raise self._failed(words[0], ended)
        return ended

    def _failed(self, word: str | bytes, ended: box.Ended) -> ClientError:
        said = [message for message in _messages(ended.err) if message.levelname in ("ERROR", "CRITICAL")]
        for message in said:
            if message.msgid in _MESSAGES:
                kind = {_NOTHING_THERE: AbsentError, _NO_ROOM: ClientError}.get(message.msgid, AwayError)
                return kind(_MESSAGES[message.msgid].format(url=self._settings.url))
        lines = [line for message in said for line in message.message.splitlines() if line.strip()]
        told = next((line for line in lines if "No space left" in line), lines[0] if lines else ended.complaint)
        return ClientError(f"borg {os.fsdecode(word)} ended with status {ended.status}: {told.strip()}")

    def prepare(self, *, make: bool) -> None:
        """See the port."""
        try:
            self._run("info")
        except AbsentError:
            if not make:
                raise
            self._run("init", "--encryption", "repokey-blake2" if self.encrypted else "none", "--make-parent-dirs")

    def holds(self, path: bytes) -> bool:
        """See the port."""
        return True

    def save(self, order: Order) -> Saved:
        """See the port. A full set reads every file again, whatever borg remembers of it."""
        cache = "disabled" if order.tail else "ctime,size,inode" if order.base else "rechunk,ctime"
        words = ["create", "--json", "--compression", "zstd,3", "--noatime", "--files-cache", cache]
        ended = self._run(
            *words, f"::{order.name}", order.series, view=order.view, folder=order.view.folder, allowed=(0, _WARNED)
        )
        stored = msgspec.json.decode(ended.out, type=_Created).archive.stats.deduplicated_size
        top = order.view.folder + b"/"
        return Saved(handle=order.name, bytes=stored, troubles=tuple(troubles(ended, top, order.series)))

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        """See the port."""
        words = ["extract", "--noflags", "--noacls", "--noxattrs", "--numeric-ids", "--sparse", f"::{handle}"]
        self._run(*words, *(b"pp:" + place for place in places), folder=target, allowed=(0, _WARNED))
        return target

    def _names(self) -> set[str]:
        ended = self._run("list", "--json")
        return {archive.name for archive in msgspec.json.decode(ended.out, type=_Listed).archives}

    # --- what others made -----------------------------------------------------------------------------------------

    def others(self) -> list[Snapshot]:
        """See `Snapshots`. Where another program writes, nothing is waited for."""
        ended = self._run("list", "--json", "--format", "{hostname}{time}", wait="1")
        found = msgspec.json.decode(ended.out, type=_Listed).archives
        others = (each for each in found if not _OWN_NAME.fullmatch(each.name))
        return [Snapshot(id=each.name, host=each.hostname, time=moment(each.time)[0]) for each in others]

    def folders(self, snapshot: str, globs: Sequence[str]) -> Iterator[str]:
        """See `Snapshots`: borg reads what an archive says of all its items for that."""
        items = self._items(snapshot, [f"sh:{glob.lstrip('/')}" for glob in globs], wait="1")
        return ("/" + item.name for item in items if item.type == "d")

    def listed(self, snapshot: str, folders: Sequence[str]) -> Iterator[Row]:
        """See `Snapshots`. A further name of a file is listed with the name that came first, and without its size."""
        sizes: dict[str, int] = {}
        for item in self._items(snapshot, [f"pp:{folder.lstrip('/')}" for folder in folders]):
            kind = _KINDS.get(item.type, FileType.SOCKET)
            sizes[item.path] = item.size or (sizes.get(item.source, 0) if kind is FileType.FILE else 0)
            yield Row(
                path=os.fsencode("/" + item.name), kind=kind.value, mode=_mode(item.mode), uid=item.uid, gid=item.gid,
                size=sizes[item.path], mtime=moment(item.mtime), ctime=moment(item.ctime or item.mtime),
                target=os.fsencode(item.source) if kind is FileType.SYMLINK else b"",
            )  # fmt: skip

    def _items(self, archive: str, patterns: Sequence[str], *, wait: str = _WAIT) -> Iterator[_Item]:
        words = ["list", "--json-lines", "--format", "{type}{mode}{uid}{gid}{size}{source}{mtime}{ctime}{path}"]
        with tempfile.TemporaryFile() as output:
            self._run(
                *words, f"::{archive}", *map(os.fsencode, patterns), allowed=(0, _WARNED), output=output, wait=wait
            )
            output.seek(0)
            # A byte that is no text is listed as a question mark.
            doubtful = any(b"?" in line for line in output)
            real = self._real_paths(archive, wait) if doubtful else {}
            output.seek(0)
            for line in output:
                item = msgspec.convert(json.loads(line), _Item)
                item.name = next(real.get(item.path, iter(())), item.path)
                yield item

    def _real_paths(self, archive: str, wait: str) -> dict[str, Iterator[str]]:
        """What a listing's paths with question marks are, in its order: borg tells it of whole archives alone."""
        found: dict[str, list[str]] = {}
        with tempfile.TemporaryFile() as output:
            self._run("debug", "dump-archive", f"::{archive}", "-", output=output, wait=wait)
            output.seek(0)
            for line in output:
                if told := _PATH.match(line):
                    path = str(json.loads(told.group(1)))
                    path = os.fsdecode(bytes.fromhex(path[1:])) if path.startswith(_HEXADECIMAL) else path
                    found.setdefault(path.encode("utf-8", "replace").decode(), []).append(path)
        return {listed: iter(paths) for listed, paths in found.items() if "?" in listed}

    def fetch(self, snapshot: str, places: Sequence[bytes], target: bytes) -> None:
        """See `Snapshots`. Flags stay away: an immutable file could not be taken away again.

        Nobody else has a digest of it: what borg brought with warnings is not relied on.
        """
        words = ["extract", "--noflags", "--numeric-ids", "--sparse", f"::{snapshot}"]
        named = [b"pp:" + place.lstrip(b"/") for place in places]
        ended = self._run(*words, *named, folder=target, allowed=(0, _WARNED))
        for message in _messages(ended.err):
            if message.levelname in ("WARNING", "ERROR") and _NOT_THERE not in message.message:
                raise ClientError(f"borg extract of {snapshot}: {message.message}")

    def tails(self) -> list[str] | None:
        """See the port."""
        return [name for name in self._names() if name.endswith(TAIL)]

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        """See the port. A run that was killed leaves a checkpoint beside the set's name."""
        wanted = names_of(gone, unfinished)
        names = sorted(name for name in self._names() if name.split(".checkpoint")[0] in wanted)
        if dry_run:
            return Pruned(freed_bytes=0, held_bytes=0, objects=len(names)), []
        before = storage_size.of(self._settings.url)
        if names:
            self._run("delete", f"::{names[0]}", *names[1:])
        self._run("compact")
        freed = max(before - storage_size.of(self._settings.url), 0)
        return Pruned(freed_bytes=freed, held_bytes=0, objects=len(names)), [held.point.id for held in gone]

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        """See the port. borg reads all of the data or none: a share of it counts as all."""
        there = self._names()
        ended = self._run("check", *(["--verify-data"] if read_data else []), allowed=(0, _WARNED))
        damage = missing(held, there, "archive")
        if ended.status:
            said = [message.message for message in _messages(ended.err) if message.levelname in ("ERROR", "WARNING")]
            damage.append(
                Damage(object=self._settings.url, message=f"borg check: {said[0] if said else ended.complaint}")
            )
        read = storage_size.of(self._settings.url) if read_data else 0
        return Verification(objects=len(there), bytes_read=read, damage=tuple(damage))


def _mode(told: str) -> int:
    """A mode's bits, of what is printed of it: a letter of the kind, and nine more."""
    shown = told[1:10]
    plain = sum(0o400 >> number for number, letter in enumerate(shown) if letter not in "-ST")
    return plain | sum(bit for number, bit in ((2, 0o4000), (5, 0o2000), (8, 0o1000)) if shown[number] in "sStT")


def _messages(output: bytes) -> Iterator[_Message]:
    for line in output.splitlines():
        # Python's own decoder: borg writes names that are no text with lone surrogates, which stricter ones refuse.
        try:
            yield msgspec.convert(json.loads(line), _Message)
        except (ValueError, msgspec.ValidationError):
            continue


def troubles(ended: box.Ended, top: bytes, series: str) -> Iterator[Trouble]:
    """What borg warned of. A warning about a file begins with its path, as it was given."""
    for message in _messages(ended.err):
        if message.levelname not in ("WARNING", "ERROR"):
            continue
        path, colon, why = message.message.partition(": ")
        if colon and path.startswith(series + "/"):
            yield Trouble(path=top + os.fsencode(path), message=why)
        else:
            yield Trouble(path=b"", message=message.message)
