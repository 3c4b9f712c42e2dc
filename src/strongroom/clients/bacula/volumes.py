"""Bacula's volumes: which there are, which cannot be read, and how the room of jobs is freed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from strongroom.clients.bacula.console import Console, literal
from strongroom.clients.bacula.jobs import Job, Jobs
from strongroom.errors import ClientError

_MISSING = re.compile(r'read Volume "([^"]+)"|Volume "([^"]+)" failed')
_PURGED = ("Purged", "Recycle", "Error")
# So many volumes that are gone are looked for one after another; with more, something larger is wrong.
_MOST_MISSING = 20


class Volumes:
    """The volumes that a client's jobs lie on."""

    def __init__(self, console: Console, jobs: Jobs, storage: str) -> None:
        self._console, self._jobs, self._storage = console, jobs, storage

    def remove(self, ids: Sequence[int]) -> int:
        """Take jobs out of the catalog, and empty the volumes that have no other; returns how many bytes that freed."""
        if not ids:
            return 0
        names = sorted({name for names in self._jobs.volumes(ids).values() for name in names})
        before = self._bytes(names)
        self._console.told(*(f"delete jobid={id}" for id in ids))
        if left := [job.name for job in self._jobs.select(f"JobId IN ({','.join(map(str, ids))})")]:
            raise ClientError(f"Bacula did not delete job {left[0]} from its catalog")
        for name, pool in self._unused(names):
            self._console.told(
                f'update volume="{name}" actiononpurge=Truncate',
                f'purge volume="{name}"',
                f'truncate volume="{name}" pool="{pool}" storage="{self._storage}" yes',
            )
        return max(before - self._bytes(names), 0)

    def _bytes(self, names: Sequence[str]) -> int:
        if not names:
            return 0
        rest = f"FROM Media WHERE VolumeName IN ({','.join(map(literal, names))})"
        return sum(int(size) for (size,) in self._console.rows(("VolBytes",), rest))

    def _unused(self, names: Sequence[str]) -> list[tuple[str, ...]]:
        """Those of several volumes that no job lies on, with their pools."""
        if not names:
            return []
        none = "NOT EXISTS (SELECT 1 FROM JobMedia WHERE JobMedia.MediaId=Media.MediaId)"
        rest = f"FROM Media JOIN Pool ON Pool.PoolId=Media.PoolId WHERE {none}"
        return self._console.rows(
            ("Media.VolumeName", "Pool.Name"), f"{rest} AND Media.VolumeName IN ({','.join(map(literal, names))})"
        )

    def unread(self, jobs: Sequence[Job], touch: Callable[[Sequence[int]], None]) -> dict[str, str]:
        """Which jobs cannot be read, and why; ``touch`` brings something of each of several jobs back, or raises."""
        lie = self._jobs.volumes([job.id for job in jobs])
        lost = {job.name: "no volume of it is in Bacula's catalog" for job in jobs if job.id not in lie and job.files}
        bad = self._bad(sorted({name for names in lie.values() for name in names}))
        for _ in range(_MOST_MISSING):
            lost |= _hit(jobs, lie, bad)
            rest = [job.id for job in jobs if job.name not in lost and job.id in lie]
            if not rest:
                return lost
            try:
                touch(rest)
            except ClientError as error:
                missing = _MISSING.search(str(error))
                if missing is None:
                    raise
                bad[missing.group(1) or missing.group(2)] = str(error)
            else:
                return lost
        raise ClientError(
            f"more than {_MOST_MISSING} of Bacula's volumes cannot be read: {', '.join(sorted(bad)[:3])} …"
        )

    def _bad(self, names: Sequence[str]) -> dict[str, str]:
        if not names:
            return {}
        rest = f"FROM Media WHERE VolumeName IN ({','.join(map(literal, names))})"
        rows = self._console.rows(("VolumeName", "VolStatus"), rest)
        return {name: f"volume {name} is marked {status}" for name, status in rows if status in _PURGED}


def _hit(jobs: Sequence[Job], lie: dict[int, list[str]], bad: dict[str, str]) -> dict[str, str]:
    return {job.name: bad[name] for job in jobs for name in lie.get(job.id, ()) if name in bad}
