"""One file of a point as a stream, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Iterator

from strongroom.clients.base import Client
from strongroom.errors import ClientError
from strongroom.model import Entry, Point, text
from strongroom.restores.pieces import Spool


def stream(client: Client, point: Point, entry: Entry) -> Iterator[bytes]:
    """The content of a file without holes, in order. Raise ClientError when it cannot be read, or less of it comes.

    A client gives pieces in the order that is cheapest to read. That is nearly always the file's own; what comes early
    (the same bytes stand twice in a file) waits on disk.
    """
    position = 0
    with Spool() as early:
        for _, offset, data in client.contents(point, [entry]):
            if offset != position:
                early.put(offset, data)
                continue
            yield data
            position += len(data)
            while (kept := early.at(position)) is not None and position < entry.size:
                yield kept
                position += len(kept)
    if position != entry.size:
        raise ClientError(f"{text(entry.path)}: less of it came than the point says; check the client's storage")
