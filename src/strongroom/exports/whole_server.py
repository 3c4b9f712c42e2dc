"""What belongs to no account, for a rebuild: users and grants of each server, and the panel's map of mail."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from strongroom.errors import ExportError
from strongroom.exports.base import DatabaseServer, ExportFile
from strongroom.model import Exported, Remark


class ServerExports:
    """The exports of the account ``server``; one that fails stops no other, is named, and makes the point incomplete.

    ``made_elsewhere`` are those that the server itself makes and that are fresh. Read `files` to the end, then ask for
    `result`.
    """

    opened: float | None = None
    roots: Mapping[str, bytes] = {}

    def __init__(self, servers: Sequence[DatabaseServer], made_elsewhere: Collection[bytes]) -> None:
        self._servers, self._made_elsewhere = servers, made_elsewhere
        self._started: float | None = None
        self._remarks: list[Remark] = []

    def files(self) -> Iterator[ExportFile]:
        """Each file, to be read to its end before the next is asked for."""
        self._started = time.time()
        for server in self._servers:
            try:
                for file in server.whole(self._made_elsewhere):
                    yield file
                    if file.failure:
                        self._lost(file.path, file.failure)
            except ExportError as error:
                self._lost(server.engine.encode(), str(error))

    def result(self) -> Exported:
        """What came of it all."""
        return Exported(started=self._started, remarks=tuple(self._remarks), incomplete=bool(self._remarks))

    def release(self) -> None:
        """Nothing is held."""

    def _lost(self, path: bytes, why: str) -> None:
        self._remarks.append(Remark(path=path, message=f"what the whole server has of its own is not whole: {why}"))
