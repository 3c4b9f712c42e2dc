"""Which points a foreign client holds, and what is needed to bring them back.

The truth is the vault's records where there is a vault, else the second parts that the tool's own storage holds, else (a tool
that cannot list) this machine's state folder. Beside it the state folder keeps copies, sidecars among them, that may vanish
at any time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Protocol

import msgspec

from strongroom.clients.sidecar import Sidecar, corrected, write
from strongroom.clients.tool import AbsentError, Held, Tool
from strongroom.errors import ClientError, UnknownError
from strongroom.model import text


class State(IntEnum):
    """What became of a point; of several words about one the highest counts."""

    HELD = 0
    FORGOTTEN = 1
    GONE = 2


class Ledger(Protocol):
    """Where points are written down, append only."""

    def read(self) -> dict[str, tuple[State, bytes]]:
        """Each point's state and body, by id."""

    def write(self, id: str, state: State, body: bytes = b"") -> None:
        """Add one word about a point, durably."""


class LocalLedger:
    """Files in the state folder; what a tool that lists its sets makes good when they are lost."""

    def __init__(self, folder: bytes) -> None:
        self._folder = folder

    def read(self) -> dict[str, tuple[State, bytes]]:
        """See the port."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.endswith(b".new"):
                    continue
                with open(os.path.join(self._folder, name), "rb") as file:
                    state, body = msgspec.msgpack.decode(file.read(), type=tuple[State, bytes])
                found[os.fsdecode(name)] = (state, body)
        return found

    def write(self, id: str, state: State, body: bytes = b"") -> None:
        """See the port."""
        before = self.read().get(id, (State.HELD, b""))
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        put(os.path.join(self._folder, id.encode()), msgspec.msgpack.encode((max(before[0], state), body or before[1])))


# Brings one second part back and returns its folder; the folder is gone when the context ends.
Bring = Callable[[str], contextlib.AbstractContextManager[bytes]]


class Holdings:
    """All points of one client. ``ledger`` is None where there is no vault."""

    def __init__(self, folder: bytes, tool: Tool, ledger: Ledger | None, bring: Bring) -> None:
        self._folder, self._tool, self._bring = folder, tool, bring
        self._local = LocalLedger(os.path.join(folder, b"points"))
        self._ledger = ledger
        self._known: dict[str, tuple[State, Held]] | None = None

    @property
    def lists(self) -> bool:
        """Whether points are written down in the vault, so that a set needs no second part of its own."""
        return self._ledger is not None

    def all(self) -> dict[str, tuple[State, Held]]:
        """What is there, forgotten or not, by id; read once."""
        if self._known is None:
            self._known = dict(self._read())
        return self._known

    def _read(self) -> Iterator[tuple[str, tuple[State, Held]]]:
        words = (self._ledger or self._local).read()
        if self._ledger is None and (tails := self._tails()) is not None:
            words = self._listed(words, tails)
        for id, (state, body) in words.items():
            if state is not State.GONE and body:
                with contextlib.suppress(msgspec.MsgspecError):
                    yield id, (state, msgspec.msgpack.decode(body, type=Held))

    def _tails(self) -> list[str] | None:
        try:
            return self._tool.tails()
        except AbsentError:
            if self.made:
                raise
            return []

    @property
    def made(self) -> bool:
        """Whether this machine has used the tool's storage before: one that is missing then is not made anew."""
        return os.path.exists(os.path.join(self._folder, b"made"))

    def use(self) -> None:
        """Remember that the tool's storage is there."""
        if not self.made:
            put(os.path.join(self._folder, b"made"), b"")

    def _listed(self, words: dict[str, tuple[State, bytes]], tails: list[str]) -> dict[str, tuple[State, bytes]]:
        """What the tool's storage holds, with this machine's words about it."""
        ours: dict[str, str] = {}
        for id, (_, body) in words.items():
            with contextlib.suppress(msgspec.MsgspecError):
                ours[msgspec.msgpack.decode(body, type=Held).tail] = id
        found = {}
        for handle in tails:
            if handle not in ours:
                with self._bring(handle) as folder:
                    held = msgspec.structs.replace(read_held(folder), tail=handle)
                self._local.write(held.point.id, State.HELD, msgspec.msgpack.encode(held))
                words[held.point.id] = (State.HELD, msgspec.msgpack.encode(held))
                ours[handle] = held.point.id
            found[ours[handle]] = words[ours[handle]]
        return found

    def ids(self) -> set[str]:
        """The points that are not forgotten."""
        return {id for id, (state, _) in self.all().items() if state is State.HELD}

    def held(self, id: str) -> Held:
        """One point, forgotten or not. Raise UnknownError."""
        try:
            return self.all()[id][1]
        except KeyError:
            raise UnknownError(f"point {id} is not held by this client any more; see: strongroom points") from None

    def of(self, series: str) -> list[Held]:
        """An account's points that others may be built on, forgotten or not, oldest first."""
        found = (held for _, held in self.all().values() if held.series == series and not held.aside)
        return sorted(found, key=lambda held: held.point.seq)

    def chain(self, held: Held) -> list[Held]:
        """A point with those that its set is built on, the full one first. Raise ClientError where a link is missing."""
        chain = [held]
        while chain[-1].point.parent is not None:
            parent = self.all().get(chain[-1].point.parent)
            if parent is None:
                missing = chain[-1].point
                raise ClientError(f"point {held.point.id} needs point {missing.parent}, which is not there any more")
            chain.append(parent[1])
        return chain[::-1]

    def add(self, held: Held) -> None:
        """Write a new point down: from here on it exists."""
        body = msgspec.msgpack.encode(held)
        (self._ledger or self._local).write(held.point.id, State.HELD, body)
        self.all()[held.point.id] = (State.HELD, held)

    def mark(self, ids: Iterable[str], state: State) -> None:
        """Write down that points are forgotten, or gone with their sets and copies."""
        for id in ids:
            (self._ledger or self._local).write(id, state)
            if state is State.GONE:
                self.all().pop(id, None)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._cached(id))
            elif id in self.all():
                self.all()[id] = (state, self.all()[id][1])

    # --- sidecars -------------------------------------------------------------------------------------------------

    def _cached(self, id: str) -> bytes:
        return os.path.join(self._folder, b"sidecars", id.encode())

    def keep_sidecar(self, id: str, sidecar: bytes, corrections: bytes | None) -> None:
        """Keep a copy of a point's sidecar, with the corrections of its second part in it."""
        os.makedirs(os.path.dirname(self._cached(id)), mode=0o700, exist_ok=True)
        new = self._cached(id) + b".new"
        first = Sidecar(sidecar)
        second = Sidecar(corrections) if corrections else None
        try:
            write(new, corrected(first.rows(), second.rows() if second else ()))
        finally:
            first.close()
            if second is not None:
                second.close()
        os.rename(new, self._cached(id))

    def has_sidecar(self, id: str) -> bool:
        """Whether this machine has a copy of a point's sidecar."""
        return os.path.exists(self._cached(id))

    def sidecar(self, id: str) -> Sidecar | None:
        """The copy of a point's sidecar, or None where there is none (any more)."""
        try:
            return Sidecar(self._cached(id)) if os.path.exists(self._cached(id)) else None
        except ClientError:
            return None

    # --- sets in the making ---------------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Remember that a set is being made: what is left of it when this run is killed, the next prune takes away."""
        folder = os.path.join(self._folder, b"unfinished")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        put(os.path.join(folder, name.encode()), b"")

    def finish(self, *names: str) -> None:
        """Forget that sets were being made."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._folder, b"unfinished", name.encode()))

    def unfinished(self) -> list[str]:
        """The sets whose run ended before they were part of a point."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.fsdecode(name) for name in os.listdir(os.path.join(self._folder, b"unfinished")))
        return []


def read_held(folder: bytes) -> Held:
    """The point that a second part tells of. Raise ClientError."""
    try:
        with open(os.path.join(folder, b"held"), "rb") as file:
            return msgspec.msgpack.decode(file.read(), type=Held)
    except (OSError, msgspec.MsgspecError) as error:
        raise ClientError(
            f"{text(folder)}: no point's record is in it ({error}); check the client's storage"
        ) from error


def put(path: bytes, data: bytes) -> None:
    """Write a small file whole, or not at all."""
    new = path + b".new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)
