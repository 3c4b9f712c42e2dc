"""Points that others made with the same software: what is known of one, and what a tool has to say of them.

Nothing of them is ever changed. What was found is kept in the state folder, so that no point is hidden by storage that is away.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
from blake3 import blake3

from strongroom.clients.holdings import put
from strongroom.clients.places import Place
from strongroom.clients.sidecar import Row
from strongroom.model import FileCounts, Frozen, Level, Point, ReadPlan, Remark, Status

# Adopted points come before all of ours in order, and by their times among themselves.
_BEFORE_ALL = 1 << 40
# What a row has for a digest, with something of its own behind it, where nobody knows one of its content.
UNSIGNED = b"unsigned:"


class Link(Frozen):
    """A set that a restore reads; ``id`` is its number, where its tool has one."""

    id: int
    name: str
    level: Level


class Adopted(Frozen):
    """A point, and where it lies: its chain, the full set first, and the account's folders by tree, as the backup names them."""

    point: Point
    chain: tuple[Link, ...]
    places: tuple[tuple[str, str], ...]


class Found(Frozen):
    """What was found, and the mark that the storage had then; ``seen`` are the sets that were looked into."""

    mark: str
    found: tuple[Adopted, ...] = ()
    seen: tuple[str, ...] = ()


class Adoption(Protocol):
    """What a tool says of the sets that others made. Errors are ClientError."""

    driver: str

    def all(self) -> dict[str, Adopted]:
        """What there is, by the ids of the points; asked once."""

    def rows(self, adopted: Adopted) -> Iterator[Row]:
        """What a point holds, in any order, as far as that is known without its content being read."""

    def plan(self, adopted: Adopted, rows: Sequence[Row]) -> ReadPlan:
        """What bringing rows back reads."""

    def bring(self, adopted: Adopted, places: Sequence[bytes], target: bytes) -> bytes:
        """Bring places of the backup back below an empty folder; return the folder that stands for the backup's root."""

    def is_content(self, row: Row, pieces: Iterable[bytes]) -> bool:
        """Whether pieces are the content that was backed up, as far as a digest is known."""


def read(folder: bytes) -> Found | None:
    """What was found the last time."""
    with contextlib.suppress(OSError, msgspec.MsgspecError), open(os.path.join(folder, b"adopted"), "rb") as file:
        return msgspec.msgpack.decode(file.read(), type=Found)
    return None


def keep(folder: bytes, found: Found) -> None:
    """Keep what was found."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    put(os.path.join(folder, b"adopted"), msgspec.msgpack.encode(found))


def by_account(places: Iterable[Place]) -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """Accounts, and the folders of each."""
    accounts: dict[str, list[tuple[str, str]]] = {}
    for place in places:
        accounts.setdefault(place.account, []).append((place.tree, place.path))
    for account, folders in accounts.items():
        yield account, tuple(sorted(folders))


def point(
    account: str, run: str, level: Level, *, begun: float, ended: float, client: str, server: str, warning: str
) -> Point:
    """The point of an account that a set of others is; times in seconds since 1970."""
    id = blake3(f"{client}/{run}/{account}".encode("utf-8", "surrogateescape")).hexdigest(8)
    return Point(
        id=id,
        account=account,
        time=_iso(begun),
        level=level,
        client=client,
        status=Status.INCOMPLETE,
        run=run,
        seq=int(ended) - _BEFORE_ALL,
        server=server,
        started=_iso(begun),
        finished=_iso(ended),
        files=FileCounts(),
        warnings=(Remark(path=b"", message=warning),),
        pinned=True,
    )


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
