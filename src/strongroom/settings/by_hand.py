"""A database to a file of its owner's, and a file of the owner's into a database, when somebody asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from strongroom.errors import ExportError, SettingError, UsageError
from strongroom.model import Account, Frozen, text
from strongroom.settings.databases import Databases
from strongroom.settings.dump_folder import DumpFolder, dump_folder, folder_of
from strongroom.settings.dumping import free_name, pour
from strongroom.settings.schedules import Target
from strongroom.settings.unpacking import unpacked

# What a file's name says of how it is packed.
_BY_SUFFIX = {".sql": "none", ".gz": "gz", ".bz2": "bz", ".zip": "zip"}
_USUAL = "gz"


class Written(Frozen):
    """A dump: the owner's name of the file, and its size in bytes."""

    path: str
    bytes: int


class Loaded(Frozen):
    """What came of an import: what had to be left out of the text."""

    warnings: tuple[str, ...]


def extension_of(path: bytes) -> str:
    """How a file of this name is packed, as schedules say it; raise UsageError."""
    found = next((packed for suffix, packed in _BY_SUFFIX.items() if path.endswith(suffix.encode())), None)
    if found is None:
        raise UsageError(f"{text(path)}: its name has to end in {', '.join(_BY_SUFFIX)}, and so say how to pack it")
    return found


def export(
    databases: Databases, target: Target, path: bytes | None, moment: datetime, *, broken_views: bool = False
) -> Written:
    """Dump a database to a file of the account's, the owner's and 0600; without a path beside the owner's other dumps.
    ``broken_views``: what the server cannot use itself is no error, since it is to be replaced.

    ``path`` is as the owner sees it. Raise ExportError or SettingError; then there is no file, or still the empty one.
    """
    account = databases.accounts[target.account]
    if path is None:
        with dump_folder(account, target.engine, make=True) as folder:
            name = free_name(folder, target.database, moment, _USUAL)
            return _write(databases, target, folder, name, _USUAL, moment, broken_views)
    extension = extension_of(path)
    with folder_of(account, path) as (folder, name):
        if not folder.is_free(name):
            raise SettingError(f"{text(path)} is there already and not empty; take another name, or remove it")
        return _write(databases, target, folder, name, extension, moment, broken_views)


def _write(
    databases: Databases,
    target: Target,
    folder: DumpFolder,
    name: str,
    extension: str,
    moment: datetime,
    broken_views: bool,
) -> Written:
    path = f"{folder.path}/{name}"
    try:
        with folder.draft(name) as file:
            server = databases.servers[target.engine]
            pour(server, target.database, file, extension, name, moment, broken_views=broken_views)
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        raise SettingError(f"{path}: {error.strerror or error}") from None
    return Written(path=path, bytes=size)


def look(databases: Databases, target: Target, path: bytes) -> int:
    """Read a file that is to be loaded to its end, and return the bytes of its text; raise ExportError or SettingError.

    So that what is cut, damaged or no dump of a database is known while the live database is still whole.
    """
    account = databases.accounts[target.account]
    with _read(account, path) as pieces:
        size = sum(map(len, pieces))
    with _read(account, path) as pieces:
        try:
            fault = databases.servers[target.engine].fault(pieces)
        except ExportError as error:
            fault = str(error)
    if fault:
        raise ExportError(f"{text(path)} is not loaded, and {target.name} is as it was: {fault}")
    return size


def load(databases: Databases, target: Target, path: bytes, before: Written) -> Loaded:
    """Replace what a database holds by the text of a file of the account's; ``before`` is where it was dumped.

    Raise ExportError, which says so.
    """
    account = databases.accounts[target.account]

    def held() -> Iterator[bytes]:
        try:
            with _read(account, before.path.encode()) as pieces:
                yield from pieces
        except SettingError as error:
            raise ExportError(str(error)) from None

    try:
        with _read(account, path) as pieces:
            left_out = databases.servers[target.engine].load(target.database, pieces, held)
    except (ExportError, SettingError) as error:
        raise ExportError(f"{target.name} was not loaded: {error}; what it held before is in {before.path}") from None
    return Loaded(warnings=tuple(left_out))


@contextmanager
def _read(account: Account, path: bytes) -> Iterator[Iterator[bytes]]:
    with folder_of(account, path) as (folder, name), folder.reading(name, account.users) as file:
        yield unpacked(file, text(path))
