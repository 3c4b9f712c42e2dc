"""A tool of a few lines: sets are copies of what the view shows. It keeps what `cp -a` keeps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from strongroom.clients import box
from strongroom.clients.tool import TAIL, Held, Order, Saved, Trouble
from strongroom.errors import ClientError
from strongroom.model import Level, Pruned, Verification


class Shelf:
    """``meanwhile`` is called while a set is made, after the copy; ``troubles`` is what is said to be unread."""

    driver = "shelf"
    levels: tuple[Level, ...] = tuple(Level)
    alone = True
    replays = False
    merges = False
    partial = False
    keeps: tuple[str, ...] = ()
    encrypted = False
    remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meanwhile: Callable[[], None] = lambda: None
        self.troubles: Callable[[bytes], tuple[Trouble, ...]] = lambda top: ()
        self.orders: list[Order] = []
        self.consolidated: list[list[str]] = []

    def version(self) -> str | None:
        return "1"

    def prepare(self, *, make: bool) -> None:
        pass

    def holds(self, path: bytes) -> bool:
        return True

    def save(self, order: Order) -> Saved:
        self.orders.append(order)
        source = order.view.folder + b"/" + order.series.encode()
        target = os.fsencode(self.folder / order.name)
        os.mkdir(target)
        ended = box.run([b"cp", b"-a", b"--", source, target], view=order.view)
        assert ended.status == 0, ended.err
        if order.tail:
            return Saved(handle=order.name.removesuffix(TAIL))  # as a tool does that calls its sets by seconds
        self.meanwhile()
        return Saved(handle=order.name, troubles=self.troubles(source))

    def bring(self, handle: str, series: str, places: Sequence[bytes], target: bytes, *, tail: bool = False) -> bytes:
        handle += TAIL if tail else ""
        if not (self.folder / handle).is_dir():
            raise ClientError(f"there is no set {handle}")
        shutil.copytree(self.folder / handle, os.fsdecode(target) + "/all", symlinks=True)
        return target + b"/all"

    def consolidate(self, name: str, chain: Sequence[Held]) -> Saved:
        shutil.copytree(self.folder / chain[-1].data, self.folder / name, symlinks=True)
        self.consolidated.append([held.data for held in chain])
        return Saved(handle=name)

    def tails(self) -> list[str] | None:
        return [name.removesuffix(TAIL) for name in os.listdir(self.folder) if name.endswith(TAIL)]

    def prune(
        self, gone: Sequence[Held], kept: Sequence[Held], unfinished: Sequence[str], *, dry_run: bool
    ) -> tuple[Pruned, list[str]]:
        return Pruned(freed_bytes=0, held_bytes=0, objects=len(gone)), [held.point.id for held in gone]

    def verify(self, held: Sequence[Held], *, read_data: float) -> Verification:
        return Verification(objects=len(held), bytes_read=0)
