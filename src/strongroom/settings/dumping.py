"""One database's dump into a file of its owner's, whoever asked for it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timedelta
from typing import IO

from strongroom.errors import SettingError
from strongroom.settings.databases import DumpingServer
from strongroom.settings.dump_folder import DumpFolder
from strongroom.settings.naming import SUFFIXES, dump_name
from strongroom.settings.packing import pack

# As many dumps of one database may fall into the same second, before something must be wrong.
_MOST_TRIES = 60


def free_name(folder: DumpFolder, database: str, moment: datetime, extension: str) -> str:
    """The panel's name for a dump of this moment, or of the next second whose name is not taken."""
    for late in range(_MOST_TRIES):
        name = dump_name(database, moment + timedelta(seconds=late), extension)
        if not folder.holds(name):
            return name
    raise SettingError(f"{folder.path}: every name of this minute is taken")


def pour(
    server: DumpingServer,
    database: str,
    file: IO[bytes],
    extension: str,
    name: str,
    moment: datetime,
    *,
    broken_views: bool = False,
) -> None:
    """Dump a database into a file that is to be called ``name``, compressed as the extension says."""
    pieces = server.dump(database, broken_views=broken_views)
    packed = SUFFIXES[extension].removeprefix(".sql")
    text_name = name.removesuffix(packed).removesuffix(".sql") + ".sql"
    try:
        pack(pieces, file, extension, text_name, moment)
    finally:
        # What makes the pieces ends now, and not when the last trace of a failure is cleared away.
        if isinstance(pieces, Generator):
            pieces.close()
