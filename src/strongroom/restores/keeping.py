"""What a restore of a database replaces, dumped first: beside the owner's other dumps, else in the state folder."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime

from strongroom.errors import RestoreError, SettingError
from strongroom.model import Account, text
from strongroom.settings.dump_folder import dump_folder
from strongroom.settings.dumping import free_name
from strongroom.settings.naming import dump_name
from strongroom.settings.packing import pack

_FOLDER = b"replaced"


class Keeper:
    """Keeps dumps of live databases; call it with engine, name and the dump's pieces. Returns the file's name.

    What the pieces raise goes through, and leaves nothing that looks like a whole dump.
    """

    def __init__(self, account: Account, state: bytes) -> None:
        self._account, self._state = account, state

    def __call__(self, engine: str, database: str, pieces: Iterator[bytes]) -> str:
        """Write one dump."""
        try:
            return self._written(engine, database, pieces, datetime.now())
        finally:
            # What makes the pieces ends now, and not when the last trace of a failure is cleared away.
            if isinstance(pieces, Generator):
                pieces.close()

    def _written(self, engine: str, database: str, pieces: Iterator[bytes], moment: datetime) -> str:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(dump_folder(self._account, engine, make=True))
            except SettingError:
                # The account has no home (any more), or something else stands there: the administrator keeps it.
                return self._aside(f"{engine}-{dump_name(database, moment, 'gz')}", pieces, moment)
            name = free_name(folder, database, moment, "gz")
            with folder.draft(name) as file:
                pack(pieces, file, "gz", name.removesuffix(".gz"), moment)
            return f"{folder.path}/{name}"

    def _aside(self, name: str, pieces: Iterator[bytes], moment: datetime) -> str:
        folder = os.path.join(self._state, _FOLDER)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, os.fsencode(name))
        if os.path.exists(path):
            raise RestoreError(f"{text(path)} is there already, from this very second; run the restore again")
        draft = path + b".part"
        try:
            with open(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "r+b") as file:
                pack(pieces, file, "gz", name.removesuffix(".gz"), moment)
                file.flush()
                os.fsync(file.fileno())
            os.rename(draft, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft)
            raise
        return text(path)
