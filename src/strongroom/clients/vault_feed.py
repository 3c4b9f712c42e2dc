"""An account's exports as the vault's feed, and what a point says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from strongroom.clients.base import ExportFile, Exports
from strongroom.model import DATABASES, Exported, FileCounts, Remark, Synchrony
from strongroom.vault.messages import Counts
from strongroom.vault.series import Outcome

_BILLION = 1_000_000_000


class ExportFeed:
    """The vault's port `strongroom.vault.feed.Feed` over an account's exports."""

    name = DATABASES

    def __init__(self, exports: Exports) -> None:
        self._exports = exports

    @property
    def opened_ns(self) -> int | None:
        """See the port."""
        opened = self._exports.opened
        return None if opened is None else int(opened * _BILLION)

    @property
    def roots(self) -> Mapping[str, bytes]:
        """See the port."""
        return self._exports.roots

    def files(self) -> Iterator[ExportFile]:
        """See the port."""
        return self._exports.files()

    def result(self) -> bytes:
        """See the port."""
        return msgspec.msgpack.encode(self._exports.result())

    def release(self) -> None:
        """See the port."""
        self._exports.release()


def exported(outcome: Outcome) -> Exported:
    """What a feed told at its end."""
    return msgspec.msgpack.decode(outcome.told, type=Exported) if outcome.told else Exported()


def synchrony(outcome: Outcome, told: Exported) -> Synchrony:
    """How far apart databases and files are: from the first open transaction until the last file was read or frozen."""
    gap = 0.0
    if told.opened is not None and outcome.request.sources:
        gap = max(0.0, (told.frozen or outcome.finished / _BILLION) - told.opened)
    walked = bool(outcome.request.sources)
    return Synchrony(
        method="freeze" if told.frozen else "sequence",
        transaction_opened=_moment(told.opened),
        exports_started=_moment(told.started),
        files_started=iso(outcome.walked) if walked else None,
        files_finished=iso(outcome.finished) if walked else None,
        gap_seconds=round(gap, 6),
        changed_in_gap=outcome.younger_count,
        changed_paths=outcome.younger,
    )


def remarks(outcome: Outcome, told: Exported) -> Iterator[Remark]:
    """What is to be said of a point: of its databases first."""
    for said in told.remarks:
        yield Remark(path=DATABASES.encode() + b"/" + said.path, message=said.message)
    for each in outcome.remarks:
        yield Remark(path=each.path, message=each.message)


def counts_of(counts: Counts) -> FileCounts:
    """What the vault counted, in our words."""
    return FileCounts(
        seen=counts.seen,
        changed=counts.changed,
        unchanged=counts.unchanged,
        removed=counts.removed,
        bytes_read=counts.bytes_read,
    )


def iso(nanoseconds: int) -> str:
    """A moment of this run in UTC, to the microsecond."""
    seconds, rest = divmod(nanoseconds, _BILLION)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else iso(int(seconds * _BILLION))
