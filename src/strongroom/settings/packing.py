"""A dump's text, compressed into a file while it comes."""

from __future__ import annotations

import bz2
import gzip
import zipfile
from collections.abc import Iterable
from datetime import datetime
from typing import IO


def pack(pieces: Iterable[bytes], file: IO[bytes], extension: str, text_name: str, moment: datetime) -> None:
    """Write pieces of SQL to a file as a schedule's extension says; ``text_name`` is what they are called in it.

    ``file`` can seek. Whatever the pieces raise goes through; the file is not whole then.
    """
    if extension == "gz":
        with gzip.GzipFile(text_name, "wb", compresslevel=6, fileobj=file, mtime=moment.timestamp()) as packed:
            _pour(pieces, packed)
    elif extension == "bz":
        with bz2.BZ2File(file, "wb") as bzipped:
            _pour(pieces, bzipped)
    elif extension == "zip":
        member = zipfile.ZipInfo(text_name, moment.timetuple()[:6])
        member.compress_type = zipfile.ZIP_DEFLATED
        member.external_attr = 0o100600 << 16
        # Nobody knows the size beforehand, and it may be more than the old form of zip can say.
        with zipfile.ZipFile(file, "w") as archive, archive.open(member, "w", force_zip64=True) as zipped:
            _pour(pieces, zipped)
    else:
        _pour(pieces, file)


def _pour(pieces: Iterable[bytes], into: object) -> None:
    for piece in pieces:
        into.write(piece)  # type: ignore[attr-defined]
