"""An export taken whole into memory, and how it reads back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from strongroom.exports import manifest
from strongroom.exports.base import Export
from strongroom.exports.manifest import Manifest
from strongroom.exports.names import file_name
from strongroom.model import DatabaseCopy, Remark


class Taken(NamedTuple):
    """An export's files by their path below the database's folder, the failures, and the verdict."""

    files: dict[str, bytes]
    failures: dict[str, str]
    copy: DatabaseCopy
    remarks: tuple[Remark, ...]
    opened: float

    @property
    def manifest(self) -> Manifest:
        return manifest.decode(self.files["manifest.json"])

    @property
    def said(self) -> str:
        return "\n".join(remark.message for remark in self.remarks)

    def read(self, path: str) -> Iterator[bytes]:
        """One file in pieces of an odd size, as a client might give them."""
        content = self.files[path]
        yield from (content[at : at + 7001] for at in range(0, len(content), 7001))


def take(opening: AbstractContextManager[Export]) -> Taken:
    files: dict[str, bytes] = {}
    failures: dict[str, str] = {}
    folders: set[tuple[str, str]] = set()
    with opening as export:
        for file in export.files():
            content = b"".join(file.pieces)
            engine, database, path = file.path.decode().split("/", 2)
            folders.add((engine, database))
            files[path] = content
            if file.failure:
                failures[path] = file.failure
        copy, remarks = export.result()
        assert folders <= {(copy.engine, file_name(copy.name))}
        return Taken(files, failures, copy, remarks, export.opened)
