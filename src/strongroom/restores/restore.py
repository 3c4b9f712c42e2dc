"""A restore, from a request to its result.

In order: staging is made beside the target; entries are made there and put in place one by one, missing folders are
built there whole; a mirror moves what is extra there; then built folders get their attributes and are put in place,
standing folders get theirs, flags that forbid changes come last, and staging is removed with all that was replaced.
Until that last step, what was replaced is in staging, and a restore that stops leaves it there.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from strongroom.clients.base import Monitor, Readable
from strongroom.errors import RestoreError, StrongroomError, of_system
from strongroom.model import text
from strongroom.restores import flags
from strongroom.restores.attributes import Keeper
from strongroom.restores.beneath import LOOK
from strongroom.restores.exclusions import Exclusions
from strongroom.restores.forecast import forecast
from strongroom.restores.ground import check_destination, parents_of, refuse_in_place, with_known_paths
from strongroom.restores.mirror import extras
from strongroom.restores.policy import policy_of
from strongroom.restores.remarks import Remarks
from strongroom.restores.request import RestoreCounts, RestoreForecast, RestoreRequest, RestoreResult
from strongroom.restores.target import Place, Target
from strongroom.restores.telling import Telling, expected_entries
from strongroom.restores.writer import Writer


def restore(
    request: RestoreRequest, client: Readable, monitor: Monitor, *, porters: int | None = None
) -> RestoreResult:
    """Do what a request asks for (a dry run: say what would be done).

    ``porters`` is the number of processes that write new folders' files; None: one for each processor, where the client
    allows it.

    Raises UnknownError for a path that the point does not have, RestoreError when the restore is refused or stopped
    (the message says where what was replaced is kept), BusyError when another restore of the account is at work.
    """
    if request.to is None:
        refuse_in_place(client)
    request = with_known_paths(request, client)
    check_destination(request)
    remarks = Remarks()
    if request.dry_run:
        told = forecast(request, client, remarks)
        return _result(request, remarks, RestoreCounts(), told)
    exclusions = Exclusions(request.account, request.excludes, request.point)
    target = Target(request, exclusions, remarks)
    try:
        target.open()
        counts = _Restore(request, client, monitor, target, exclusions, remarks, porters).run()
        target.dissolve()
    except BaseException as error:
        target.abandon()
        kept = f"what was replaced so far is kept in {_where(request, target)}" if target.kept else ""
        if isinstance(error, OSError) or (kept and isinstance(error, StrongroomError)):
            said = of_system(error) if isinstance(error, OSError) else str(error)
            raise RestoreError("; ".join(filter(None, (said, kept)))) from error
        if kept:
            monitor.note(kept)
        raise
    finally:
        target.close()
    return _result(request, remarks, counts, None)


class _Restore:
    def __init__(
        self,
        request: RestoreRequest,
        client: Readable,
        monitor: Monitor,
        target: Target,
        exclusions: Exclusions,
        remarks: Remarks,
        porters: int | None,
    ) -> None:
        self._request = request
        self._client = client
        self._target = target
        self._exclusions = exclusions
        self._remarks = remarks
        self._keeper = Keeper(remarks)
        self._writer = Writer(request, client, target, policy_of(request, client), remarks, porters)
        self._telling = Telling(monitor, request.point.account, expected_entries(request.point, request.paths))

    def run(self) -> RestoreCounts:
        request, writer = self._request, self._writer
        try:
            for entry in parents_of(request, self._client):
                writer.take(entry, asked=False)
            for entry in self._client.walk(request.point, request.paths):
                writer.take(entry)
                self._tell()
            writer.flush()
        finally:
            writer.close()
        deleted = self._take_extras() if request.mirrors else 0
        self._finish_built()
        self._finish_standing()
        self._finish_flags()
        return msgspec.structs.replace(writer.counts, deleted=writer.counts.deleted + deleted)

    def _take_extras(self) -> int:
        deleted = 0
        for place in self._writer.places:
            entry = place.entry
            if place.built or entry is None or entry.defect or self._exclusions.holds(place.path, folder=True):
                continue
            for holder, extra in list(extras(self._target.folders, place, place.names, self._exclusions)):
                try:
                    self._target.take_away(place, extra, holder)
                    deleted += extra.entries
                except OSError as error:
                    self._remarks.warn(extra.path, f"cannot be taken away: {error.strerror}")
        return deleted

    def _finish_built(self) -> None:
        for place in reversed(self._writer.places):
            if place.built:
                self._guarded(place, self._finish_one)
        for place in reversed(self._writer.places):
            self._guarded(place, self._target.settle)

    def _finish_one(self, place: Place) -> None:
        fd = self._target.folders.fd(place)
        if place.entry is not None:
            self._keeper.finish_file(fd, place.entry)
        else:
            os.fchmod(fd, 0o755)

    def _finish_standing(self) -> None:
        for place in reversed(self._writer.places):
            if not place.built and place.entry is not None:
                self._guarded(place, self._mend)

    def _mend(self, place: Place) -> None:
        fd = self._target.folders.fd(place)
        entry = place.entry
        if entry is None:
            return
        frozen = flags.get_flags(fd) & flags.FORBIDDING
        if frozen:
            flags.set_flags(fd, 0, frozen)
            place.frozen |= frozen
        self._keeper.mend_folder(fd, entry)

    def _finish_flags(self) -> None:
        for wanted, identity in self._writer.frozen:
            try:
                fd = os.open(wanted.name, LOOK, dir_fd=self._target.folders.fd(wanted.parent))
                try:
                    status = os.fstat(fd)
                    if (status.st_dev, status.st_ino) == identity:
                        self._keeper.set_flags(fd, wanted.entry, flags.FORBIDDING)
                finally:
                    os.close(fd)
            except (OSError, RestoreError) as error:
                self._remarks.warn(wanted.entry.path, f"its flags cannot be set: {error}")
        for place in reversed(self._writer.places):
            self._guarded(place, self._freeze)

    def _freeze(self, place: Place) -> None:
        if place.entry is not None and place.entry.flags & flags.FORBIDDING:
            self._keeper.set_flags(self._target.folders.fd(place), place.entry, flags.FORBIDDING)
        elif place.entry is None and place.frozen:
            flags.set_flags(self._target.folders.fd(place), place.frozen, flags.FORBIDDING)

    def _guarded(self, place: Place, act: Callable[[Place], object]) -> None:
        """Do something to one folder; what goes wrong with it is a warning about it alone."""
        try:
            act(place)
        except OSError as error:
            self._remarks.warn(place.path, f"cannot be finished: {error.strerror}")
        except RestoreError as error:
            self._remarks.warn(place.path, str(error))

    def _tell(self) -> None:
        counts = self._writer.counts
        self._telling.tell(written=counts.written, unchanged=counts.unchanged, read=counts.bytes)


def _where(request: RestoreRequest, target: Target) -> str:
    above = request.to or os.path.dirname(next(iter(request.targets.values())))
    return ", ".join(text(os.path.join(above, name)) for name in target.kept)


def _result(
    request: RestoreRequest, remarks: Remarks, counts: RestoreCounts, told: RestoreForecast | None
) -> RestoreResult:
    return RestoreResult(
        id=request.id,
        status=remarks.status,
        account=request.point.account,
        point=request.point.id,
        files=counts,
        warnings=remarks.all(),
        forecast=told,
    )
