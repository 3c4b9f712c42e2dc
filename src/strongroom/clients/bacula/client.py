"""Bacula as a client: a foreign one whose sets are jobs, with volumes that plans name, and jobs that others purge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from strongroom.clients import opening, verdicts
from strongroom.clients.bacula.tool import BaculaTool
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.holdings import Ledger
from strongroom.clients.tool import Held
from strongroom.clients.vault_ledger import open_ledger
from strongroom.clients.workroom import Workroom
from strongroom.config import Bacula, Config
from strongroom.errors import ClientError
from strongroom.model import Point, ReadPlan, ReadStep


class BaculaClient(ForeignClient):
    """The port `clients.base.Client` over a `BaculaTool`."""

    def __init__(self, name: str, tool: BaculaTool, room: Workroom, ledger: Ledger | None, configuration: str) -> None:
        super().__init__(name, tool, room, ledger, configuration)
        self._bacula = tool

    @classmethod
    def open(cls, config: Config, name: str) -> BaculaClient:
        """The client that a table of the configuration describes."""
        settings = config.clients[name]
        assert isinstance(settings, Bacula)  # noqa: S101  (the driver's name says so)
        folder = opening.folder_of(config, name)
        ledger, digest = open_ledger(config, name), verdicts.configuration_digest(config, name)
        return cls(name, BaculaTool(settings, name, folder), Workroom(folder), ledger, digest)

    def intact(self, held: Held) -> None:
        """See `ForeignClient`: Bacula's own retention, or a person, may have purged a job."""
        super().intact(held)
        self._lies(held)

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port. Each step names its job and the volumes that it lies on."""
        held = self._holdings.held(point.id)
        lies = self._lies(held)
        plan = super().plan(point, paths)
        return msgspec.structs.replace(plan, reads=tuple(self._placed(plan.reads, lies)))

    def _placed(self, steps: Sequence[ReadStep], lies: dict[str, str]) -> Iterator[ReadStep]:
        for step in steps:
            yield msgspec.structs.replace(step, what=f"{step.what}; {lies[step.run]}")

    def _lies(self, held: Held) -> dict[str, str]:
        """Where the sets that a point needs lie, by run. Raise ClientError where one is purged."""
        chain = self._holdings.chain(held)
        jobs = self._bacula.jobs.named([link.data for link in chain])
        for link in chain:
            if link.data not in jobs:
                needs = f"point {held.point.id} needs" if link is not held else "that is"
                raise ClientError(
                    f"{needs} point {link.point.id}, whose job {link.data} is purged from Bacula's catalog"
                )
        volumes = self._bacula.jobs.volumes([job.id for job in jobs.values()])
        return {link.point.run: _where(jobs[link.data].id, volumes) for link in chain}


def _where(job: int, volumes: dict[int, list[str]]) -> str:
    names = volumes.get(job, [])
    return f"job {job} on volume{'s' if len(names) > 1 else ''} {', '.join(names) or 'none'}"
