"""Bacula as a client: a foreign one whose sets are jobs, beside the jobs that others made, which are adopted as points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from strongroom.clients import opening, verdicts
from strongroom.clients.adopting import AdoptingClient
from strongroom.clients.bacula.adoption import Adoption
from strongroom.clients.bacula.tool import BaculaTool, ConsolidatingBacula
from strongroom.clients.places import Places
from strongroom.clients.tool import Held
from strongroom.clients.vault_ledger import open_ledger
from strongroom.clients.workroom import Workroom
from strongroom.config import Bacula, Config
from strongroom.config.identity import server_id
from strongroom.errors import ClientError
from strongroom.model import Point, ReadPlan, ReadStep


class BaculaClient(AdoptingClient):
    """The port `clients.base.Client` over a `BaculaTool`."""

    def __init__(self, config: Config, name: str, settings: Bacula) -> None:
        folder = opening.folder_of(config, name)
        kind = BaculaTool if settings.next_pool is None else ConsolidatingBacula
        tool, room = kind(settings, name, folder), Workroom(folder)
        adoption = Adoption(tool, settings.client, name, server_id(config.server), Places(config), folder)
        digest = verdicts.configuration_digest(config, name)
        super().__init__(name, tool, room, open_ledger(config, name), digest, adoption)
        self.bacula = tool

    @classmethod
    def open(cls, config: Config, name: str) -> BaculaClient:
        """The client that a table of the configuration describes."""
        settings = config.clients[name]
        assert isinstance(settings, Bacula)  # noqa: S101  (the driver's name says so)
        return cls(config, name, settings)

    # --- chains ---------------------------------------------------------------------------------------------------

    def chain(self, held: Held) -> list[Held]:
        """See `ForeignClient`: Bacula's own retention, or a person, may have purged a job."""
        chain = super().chain(held)
        self._lies(held, chain)
        return chain

    def _prepare(self) -> None:
        """What killed runs left is part of no point: nothing may be built on it."""
        super()._prepare()
        left = self._holdings.unfinished()
        self.bacula.remove(left)
        self._holdings.finish(*left)

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port. Each step names its job and the volumes that it lies on."""
        if point.id in self._adopted:
            return super().plan(point, paths)
        held = self.held(point.id)
        lies = self._lies(held, super().chain(held))
        plan = super().plan(point, paths)
        return msgspec.structs.replace(plan, reads=tuple(_placed(plan.reads, lies)))

    def _lies(self, held: Held, chain: Sequence[Held]) -> dict[str, str]:
        """Where the sets that a point needs lie, by run. Raise ClientError where one is purged."""
        jobs = self.bacula.jobs.named([link.data for link in chain])
        for link in chain:
            if link.data not in jobs:
                needs = "" if link is held else f", which point {held.point.id} needs,"
                raise ClientError(f"job {link.data} of point {link.point.id}{needs} is purged from Bacula's catalog")
        volumes = self.bacula.jobs.volumes([job.id for job in jobs.values()])
        return {link.point.run: _where(jobs[link.data].id, volumes) for link in chain}


def _placed(steps: Iterable[ReadStep], lies: dict[str, str]) -> Iterator[ReadStep]:
    for step in steps:
        yield msgspec.structs.replace(step, what=f"{step.what}; {lies[step.run]}")


def _where(job: int, volumes: dict[int, list[str]]) -> str:
    return f"job {job} on {', '.join(volumes.get(job, ())) or 'no volume'}"
