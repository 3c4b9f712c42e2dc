"""Fetches the content of many files from a client, in the client's own order, whatever becomes of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from strongroom.clients.base import Readable
from strongroom.errors import AwayError, ClientError
from strongroom.model import Entry, Point

# A client decodes each of its bundles once for a batch, so batches are many files; whoever takes the pieces keeps a
# descriptor for each file that comes in several, so they are not too many bytes.
BATCH_FILES = 2048
BATCH_BYTES = 64 << 20


class Recipient(Protocol):
    """Takes the pieces of one file."""

    entry: Entry

    def take(self, offset: int, data: bytes) -> None:
        """Take one piece."""

    @property
    def done(self) -> bool:
        """Whether all of it came, or no more is wanted."""

    def restart(self) -> None:
        """Forget the pieces that came; they will come again."""

    def fail(self, why: str) -> None:
        """Be told that the content does not come."""


def deliver(client: Readable, point: Point, recipients: Sequence[Recipient]) -> None:
    """Give every recipient its file's pieces. A damaged one fails alone: its batch is fetched by halves, down to it.

    Raise AwayError where the client's storage cannot be read at all.
    """
    if not recipients:
        return
    try:
        _stream(client, point, recipients)
    except AwayError:
        raise
    except ClientError as error:
        if len(recipients) == 1:
            recipients[0].fail(str(error))
            return
        left = [recipient for recipient in recipients if not recipient.done]
        for recipient in left:
            recipient.restart()
        half = (len(left) + 1) // 2
        deliver(client, point, left[:half])
        deliver(client, point, left[half:])


def _stream(client: Readable, point: Point, recipients: Sequence[Recipient]) -> None:
    for number, offset, data in client.contents(point, [recipient.entry for recipient in recipients]):
        recipient = recipients[number]
        if offset < 0 or offset + len(data) > recipient.entry.size:
            raise ClientError("a piece of it lies beyond its end; check the client's storage")
        recipient.take(offset, data)
    if not all(recipient.done for recipient in recipients):
        raise ClientError("less of it came than the point says; check the client's storage")


class Batch:
    """Recipients that wait to be delivered together."""

    def __init__(self, client: Readable, point: Point) -> None:
        self._client = client
        self._point = point
        self._waiting: list[Recipient] = []
        self._bytes = 0
        self._delivering = False

    def add(self, recipient: Recipient) -> None:
        """Add one, and deliver all when the batch is full."""
        self._waiting.append(recipient)
        self._bytes += recipient.entry.stored
        if not self._delivering and (len(self._waiting) >= BATCH_FILES or self._bytes >= BATCH_BYTES):
            self.flush()

    def flush(self) -> None:
        """Deliver all that wait; delivering may add more."""
        self._delivering = True
        while self._waiting:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            deliver(self._client, self._point, waiting)
        self._delivering = False
