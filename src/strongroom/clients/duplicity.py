"""duplicity 3.x: for each account a chain of one full set and increments, which it replays itself.

A set is found by its time, as ``20261125T162904Z``: that is its handle. Second parts are full sets of a chain of their own.
Status 0 is success; what could not be read is told in the log, which is read by its machine-readable side.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence

from strongroom.clients import box, duplicity_volumes, opening, storage_size
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.sidecar import Row
from strongroom.clients.tool import AbsentError, Held, Order, Saved, Trouble
from strongroom.config import Config
from strongroom.config.values import Repository
from strongroom.errors import AwayError, ClientError
from strongroom.model import Damage, Level, Pruned, Verification

_TAILS = "strongroom-tails"
_SET = re.compile(rb"^ (full|inc) (\d{8}T\d{6}Z) ", re.MULTILINE)
# Warnings of duplicity's log (`WarningCode` in its log.py) about something that it could not list, stat, read or process, or
# left out for that reason: code, quoted path, and the text in the line below.
_UNREAD = re.compile(rb"^WARNING (?:8|9|10|12|13) '(.*)'$(?:\n\. (.*)$)?", re.MULTILINE)
_GPG_FAILED, _BACKEND_FAILED = 31, 50
_NOTHING_TO_BUILD_ON = 17
_OLDEST = 3


class DuplicityTool:
    """The port `Tool` over duplicity."""

    driver = "duplicity"
    levels: tuple[Level, ...] = (Level.FULL, Level.INCREMENTAL)
    alone = False
    replays = True
    merges = False
    partial = True
    keeps: tuple[str, ...] = ()

    def __init__(self, settings: Repository, folder: bytes) -> None:
        self._settings, self._folder = settings, folder
        self.encrypted = settings.passphrase_file is not None
        self.remote = not settings.url.startswith("file://")

    @classmethod
    def open(cls, config: Config, name: str) -> ForeignClient:
        """The client that a table of the configuration describes."""
        settings, folder = opening.repository(config, name)
        return opening.client(config, name, cls(settings, folder))

    def version(self) -> str | None:
        """See the port."""
        if shutil.which("duplicity") is None:
            return None
        found = re.search(rb"duplicity (\d+)\S*", box.run(["duplicity", "--version"]).out)
        if found is None or int(found.group(1)) < _OLDEST:
            return None
        return found.group(0).split()[1].decode()

    def _run(
        self, word: str, series: str, *words: str | bytes, view: box.View | None = None, allowed: Sequence[int] = (0,)
    ) -> tuple[box.Ended, bytes]:
        """Run an action on one chain; returns how it ended, and its machine-readable log."""
        archive = self._folder + b"/archive"
        os.makedirs(archive, mode=0o700, exist_ok=True)
        common = ["--archive-dir", os.fsdecode(archive), "--name", series, "--num-retries", "1"]
        with self._key() as (secret, options), tempfile.TemporaryFile() as log:
            arguments = ["duplicity", word, *common, *options, "--log-fd", str(log.fileno()), *words]
            ended = box.run(arguments, view=view, descriptors=[log.fileno(), *secret])
            log.seek(0)
            told = log.read(64 << 20)
        if ended.status not in allowed:
            raise self._failed(word, ended)
        return ended, told

    @contextlib.contextmanager
    def _key(self) -> Iterator[tuple[list[int], list[str | bytes]]]:
        """A descriptor of the passphrase for every gpg that duplicity starts, and what has duplicity leave it to them.

        duplicity itself would take it from its environment alone. That it asks "the agent" makes it stand back; gpg, which
        opens the descriptor's memory anew each time, asks none.
        """
        if self._settings.passphrase_file is None:
            yield [], ["--no-encryption"]
            return
        with box.remembered(opening.passphrase(self._settings.passphrase_file) + b"\n") as fd:
            gpg = f"--batch --pinentry-mode=loopback --passphrase-file=/proc/self/fd/{fd}"
            yield [fd], ["--use-agent", f"--gpg-options={gpg}"]

    def _failed(self, word: str, ended: box.Ended) -> ClientError:
        if ended.status == _GPG_FAILED:
            return AwayError(
                f"the passphrase does not open the duplicity sets at {self._settings.url}, or gpg failed"
            )
        kind = AwayError if ended.status == _BACKEND_FAILED else ClientError
        return kind(f"duplicity {word} ended with status {ended.status}: {ended.complaint}")

    def _url(self, series: str) -> str:
        return f"{self._settings.url.rstrip('/')}/{series}"

    def prepare(self, *, make: bool) -> None:
        """See the port: duplicity makes what it needs, but not the folder above a chain's."""
        folder = self._settings.url.removeprefix("file://")
        if self.remote or os.path.isdir(folder):
            return
        if not make:
            raise AbsentError(f"there is no folder {folder}, where duplicity's sets were: mount its disk")
        try:
            os.makedirs(folder, mode=0o700)
        except OSError as error:
            raise ClientError(f"{folder} cannot be made: {error.strerror}") from error

    def holds(self, path: bytes) -> bool:
        """See the port."""
        try:
            return path.decode().isprintable()
        except UnicodeDecodeError:
            return False

    def overlooks(self, before: Row, now: Row) -> bool:
        """See the port: duplicity compares owner, mode and time, and of times whole seconds, all before 1970 being one."""
        owners = (before.mode, before.uid, before.gid) == (now.mode, now.uid, now.gid)
        return owners and max(before.mtime[0], 0) == max(now.mtime[0], 0)

    def save(self, order: Order) -> Saved:
        """See the port. What a killed run left in the chain is cleaned away first."""
        series = _TAILS if order.tail else order.series
        before = storage_size.of(self._url(series))
        if not order.tail and before:
            self._run("cleanup", series, "--force", self._url(series))
        known = order.base and not self._lost(series, order.base)
        words = ["--allow-source-mismatch", "--no-print-statistics", os.fsdecode(order.view.folder), self._url(series)]
        ended, told = self._run(
            "incremental" if known else "full", series, *words, view=order.view, allowed=(0, _NOTHING_TO_BUILD_ON)
        )
        if ended.status:
            known = ""
            _, told = self._run("full", series, *words, view=order.view)
        return Saved(
            handle=self._times(series)[-1],
            bytes=max(storage_size.of(self._url(series)) - before, 0),
            troubles=tuple(troubles(told, order.view.folder)),
            level=None if known else Level.FULL,
        )

    def _lost(self, series: str, handle: str) -> bool:
        """Whether a set is known to be gone; of storage elsewhere duplicity finds out by itself."""
        folder = self._url(series).removeprefix("file://")
        return not self.remote and not glob.glob(f"{glob.escape(folder)}/duplicity-*.{handle}.manifest*")

    def _times(self, series: str) -> list[str]:
        """The times of the sets of a chain's place, oldest first."""
        _, told = self._run("collection-status", series, self._url(series))
        return sorted(found.group(2).decode() for found in _SET.finditer(told))

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        """See the port. duplicity brings one path at a time, so that several are brought with what they have in common."""
        chain = _TAILS if tail else series
        words: list[str | bytes] = ["--time", _iso(handle), "--no-restore-ownership"]
        common = _common(places)
        into = os.path.join(target, common) if common else target + b"/all"
        if common:
            words += ["--path-to-restore", os.fsdecode(common)]
            os.makedirs(os.path.dirname(into), mode=0o700, exist_ok=True)
        self._run("restore", chain, *words, self._url(chain), into)
        return target if common else into

    def reads(self, chain: Sequence[Held], places: Sequence[bytes]) -> list[int]:
        """See the port: each set's volumes that may hold something of what the places have in common."""
        self.prepare(make=False)
        common = _common(places)
        if not all(self._manifest(held) for held in chain):
            self._times(chain[-1].series)  # has duplicity bring what this machine does not have
        return [self._read_of(held, common) for held in chain]

    def _read_of(self, held: Held, path: bytes) -> int:
        manifest = self._manifest(held)
        if not manifest:
            raise ClientError(f"the duplicity set {held.data} of point {held.point.id} is not there any more")
        with open(manifest, "rb") as file:
            found, volumes = duplicity_volumes.containing(file.read(), path)
        if self.remote:
            return held.point.stored_bytes * len(found) // max(volumes, 1)
        folder = glob.escape(self._url(held.series).removeprefix("file://"))
        return sum(self._size(held, f"{folder}/duplicity-*.{held.data}.vol{number}.difftar*") for number in found)

    def _size(self, held: Held, volume: str) -> int:
        there = glob.glob(volume)
        if not there:
            raise ClientError(f"a volume of the duplicity set {held.data} of point {held.point.id} is not there any more")
        return os.path.getsize(there[0])

    def _manifest(self, held: Held) -> str:
        """A set's manifest in the state folder; empty where there is none."""
        folder = glob.escape(f"{os.fsdecode(self._folder)}/archive/{held.series}")
        return next(iter(glob.glob(f"{folder}/duplicity-*.{held.data}.manifest")), "")

    def tails(self) -> list[str] | None:
        """See the port."""
        self.prepare(make=False)
        return self._times(_TAILS)

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        """See the port. duplicity takes whole chains away, the oldest first: what is younger than a needed one waits."""
        before = storage_size.of(self._settings.url)
        oldest: dict[str, str] = {}
        for held in kept:
            oldest[held.series] = min(held.data, oldest.get(held.series, held.data))
        # Of an account that needs nothing any more duplicity would keep the last chain; in a folder we take it away ourselves.
        removed = [held for held in gone if held.data < oldest.get(held.series, "" if self.remote else "~")]
        if not dry_run:
            for series in sorted({held.series for held in removed}):
                self._remove(series, oldest.get(series, ""))
            if tails := [held.tail for held in kept if held.tail]:
                self._remove(_TAILS, min(tails))
        freed = max(before - storage_size.of(self._settings.url), 0)
        ids = [held.point.id for held in removed]
        return Pruned(freed_bytes=freed, held_bytes=0, objects=len(ids)), [] if dry_run else ids

    def _remove(self, series: str, oldest: str) -> None:
        """Take away what is older than the oldest set that is needed; all of it, where none is."""
        if oldest:
            self._run("remove-older-than", series, _iso(oldest), "--force", self._url(series))
            return
        for folder in (self._url(series).removeprefix("file://"), f"{os.fsdecode(self._folder)}/archive/{series}"):
            shutil.rmtree(folder, ignore_errors=True)

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        """See the port: that every set is there; with data, that the newest of each account can be restored."""
        damage: list[Damage] = []
        objects = read = 0
        for series in sorted({each.series for each in held}):
            there = set(self._times(series))
            objects += len(there)
            mine = sorted((each for each in held if each.series == series), key=lambda each: each.data)
            damage += [
                Damage(object=f"{series} {each.data}", message="the set is not there any more", points=(each.point.id,))
                for each in mine
                if each.data not in there
            ]
            if read_data and mine[-1].data in there:
                read += mine[-1].point.bytes
                damage += self._read(mine[-1])
        return Verification(objects=objects, bytes_read=read, damage=tuple(damage))

    def _read(self, held: Held) -> Iterator[Damage]:
        with tempfile.TemporaryDirectory(dir=os.fsdecode(self._folder)) as folder:
            try:
                self.bring(held.data, held.series, [], os.fsencode(folder))
            except ClientError as error:
                yield Damage(object=f"{held.series} {held.data}", message=str(error), points=(held.point.id,))


def _common(places: Sequence[bytes]) -> bytes:
    """The one path that duplicity is asked for to bring several back."""
    return os.path.commonpath(places) if places else b""


def _iso(handle: str) -> str:
    """A set's time as ``--time`` takes it."""
    day, time = handle.rstrip("Z").split("T")
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}+00:00"


def troubles(told: bytes, view: bytes) -> Iterator[Trouble]:
    """What a log names as not read. Paths are quoted there with Python's escapes, and relative to the view or absolute."""
    for found in _UNREAD.finditer(told):
        path = os.fsencode(found.group(1).decode("unicode_escape"))
        place = path if path.startswith(b"/") else view + b"/" + path
        yield Trouble(path=place, message=(found.group(2) or b"could not be read").decode("utf-8", "backslashreplace"))
