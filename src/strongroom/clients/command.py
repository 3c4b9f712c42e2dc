"""Any software, described in the configuration by its commands: lists of arguments, no shell between."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence

from blake3 import blake3

from strongroom.clients import box, opening
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.tool import TAIL, Held, Order, Saved, Trouble
from strongroom.config import Config
from strongroom.config.values import Command
from strongroom.errors import ClientError
from strongroom.model import Damage, Level, Pruned, Verification

# A set was made and something is missing or suspect; any higher status: there is none.
_WARNED = 1
_VIEW = re.compile(rb"/clients/[^/]+/view\Z")


class CommandTool:
    """The port `Tool` over commands. A set's handle is its name, which is what ``{point}`` stands for."""

    driver = "command"
    alone = False
    replays = False
    merges = False
    partial = False
    # What it keeps nobody knows, so the sidecar has it all.
    keeps: tuple[str, ...] = ()
    encrypted = False
    remote = False

    def __init__(self, settings: Command) -> None:
        self._settings = settings
        since = any("{since}" in argument for argument in settings.backup)
        self.levels: tuple[Level, ...] = tuple(Level) if since else (Level.FULL,)

    @classmethod
    def open(cls, config: Config, name: str) -> ForeignClient:
        """The client that a table of the configuration describes."""
        settings = config.clients[name]
        assert isinstance(settings, Command)  # noqa: S101  (the driver's name says so)
        return opening.client(config, name, cls(settings))

    def version(self) -> str | None:
        """See the port: a hash of the program, so that another one is probed again."""
        program = shutil.which(self._settings.backup[0])
        if program is None:
            return None
        try:
            with open(program, "rb") as file:
                return blake3(file.read(64 << 20)).hexdigest(8)
        except OSError:
            return None

    def prepare(self, *, make: bool) -> None:
        """See the port: commands make what they need."""

    def holds(self, path: bytes) -> bool:
        """See the port: what a name does to an unknown tool is unknown, so odd ones are not shown to it."""
        return all(0x20 <= byte < 0x7F and byte not in b"*?[]{}\\\"'" for byte in path)

    def save(self, order: Order) -> Saved:
        """See the port. Status 0: all copied; 1: something is missing; more: there is no set. Where the set to compare with
        is not listed any more, all is saved.
        """
        series = order.view.folder + b"/" + order.series.encode()
        sources = [order.view.folder + b"/" + bind.place for bind in order.view.binds]
        names = self._names() if order.since else None
        since = order.since if names is None or order.since in names else ""
        words = {"point": order.name, "since": since}
        arguments: list[bytes | str] = []
        for argument in self._settings.backup:
            arguments += sources if argument == "{sources}" else [_filled(argument, words)]
        ended = box.run(arguments, view=order.view, folder=series)
        if ended.status > _WARNED:
            raise ClientError(f"{self._settings.backup[0]} ended with status {ended.status}: {ended.complaint}")
        troubles = (Trouble(path=b"", message=ended.complaint),) if ended.status == _WARNED else ()
        return Saved(handle=order.name, troubles=troubles, level=None if since else Level.FULL)

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        """See the port: all of a set, since a command knows no parts."""
        words = {"point": handle, "target": os.fsdecode(target)}
        ended = box.run([_filled(argument, words) for argument in self._settings.restore])
        view = _view_below(target)
        if view is None:
            told = f"ended with status {ended.status} ({ended.complaint})"
            raise ClientError(f"{self._settings.restore[0]} {told} and brought nothing of set {handle} back")
        return view

    def tails(self) -> list[str] | None:
        """See the port."""
        names = self._names()
        return None if names is None else [name for name in names if name.endswith(TAIL)]

    def _names(self) -> list[str] | None:
        if self._settings.list is None:
            return None
        ended = box.run(self._settings.list)
        if ended.status:
            raise ClientError(f"{self._settings.list[0]} ended with status {ended.status}: {ended.complaint}")
        return [line.strip() for line in ended.out.decode("utf-8", "replace").splitlines() if line.strip()]

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        """See the port. Without a ``forget`` command nothing goes; how much one frees it does not say."""
        if self._settings.forget is None:
            return Pruned(freed_bytes=0, held_bytes=0, objects=0), []
        names = [name for held in gone for name in (held.data, held.tail) if name]
        if not dry_run:
            for name in names:
                self._forget(name, needed=True)
            for name in unfinished:
                self._forget(name, needed=False)
        return Pruned(freed_bytes=0, held_bytes=0, objects=len(names)), [held.point.id for held in gone]

    def _forget(self, name: str, *, needed: bool) -> None:
        command = self._settings.forget or ()
        ended = box.run([_filled(argument, {"point": name}) for argument in command])
        if ended.status and needed:
            raise ClientError(f"{command[0]} ended with status {ended.status} for set {name}: {ended.complaint}")

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        """See the port: that each set is listed, where the command can list."""
        names = self._names()
        if names is None:
            raise ClientError(
                "this client has no list command, so there is nothing to check it by; add list to its table"
            )
        missing = [each for each in held if each.data not in names or (each.tail and each.tail not in names)]
        damage = tuple(
            Damage(object=each.data, message="the set is not listed any more", points=(each.point.id,))
            for each in missing
        )
        return Verification(objects=len(names), bytes_read=0, damage=damage)


def _view_below(target: bytes) -> bytes | None:
    """The folder that stands for the view, where it was when the set was made: the state folder may be another since."""
    folder = target
    while not _VIEW.search(folder[len(target) :]):
        with os.scandir(folder) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        if len(below) != 1:
            return None
        folder = below[0]
    return folder


def _filled(argument: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        argument = argument.replace(f"{{{word}}}", value)
    return argument
