"""Bacula as a client: a foreign one whose sets are jobs, beside the jobs that others made, which are adopted as points."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from strongroom.clients import opening, verdicts
from strongroom.clients.bacula.adopted import AdoptedReader
from strongroom.clients.bacula.adoption import Adopted, Adoption
from strongroom.clients.bacula.places import Places
from strongroom.clients.bacula.tool import BaculaTool, ConsolidatingBacula
from strongroom.clients.base import Client, Monitor
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.holdings import LocalLedger, State
from strongroom.clients.sidecar import Sidecar
from strongroom.clients.tool import Held
from strongroom.clients.vault_ledger import open_ledger
from strongroom.clients.workroom import Workroom
from strongroom.config import Bacula, Config
from strongroom.config.identity import server_id
from strongroom.errors import ClientError
from strongroom.model import Entry, Point, ReadPlan, ReadStep


class BaculaClient(ForeignClient):
    """The port `clients.base.Client` over a `BaculaTool`."""

    def __init__(self, config: Config, name: str, settings: Bacula) -> None:
        folder = opening.folder_of(config, name)
        kind = BaculaTool if settings.next_pool is None else ConsolidatingBacula
        tool, room = kind(settings, name, folder), Workroom(folder)
        super().__init__(name, tool, room, open_ledger(config, name), verdicts.configuration_digest(config, name))
        self.bacula = tool
        self._adoption = Adoption(tool.console, settings.client, name, server_id(config.server), Places(config), folder)
        self._reader = AdoptedReader(tool, room)
        self._passed = LocalLedger(os.path.join(folder, b"passed"))

    @classmethod
    def open(cls, config: Config, name: str) -> BaculaClient:
        """The client that a table of the configuration describes."""
        settings = config.clients[name]
        assert isinstance(settings, Bacula)  # noqa: S101  (the driver's name says so)
        return cls(config, name, settings)

    def close(self) -> None:
        """See the port."""
        self._reader.close()
        super().close()

    # --- points ---------------------------------------------------------------------------------------------------

    @cached_property
    def _adopted(self) -> dict[str, Adopted]:
        """The points that others made, without those that somebody forgot here."""
        if self.bacula.version() is None:
            return {}
        passed = self._passed.read()
        return {id: adopted for id, adopted in self._adoption.all().items() if id not in passed}

    def ids(self) -> set[str]:
        """See the port."""
        return super().ids() | self._adopted.keys()

    def forget(self, ids: Sequence[str]) -> None:
        """See the port. What was adopted is only passed over from now on: it is another's to take away."""
        for id in ids:
            if id in self._adopted:
                self._passed.write(id, State.FORGOTTEN)
                del self._adopted[id]
        super().forget([id for id in ids if id in self._holdings.all()])

    def held(self, id: str) -> Held:
        """See `ForeignClient`."""
        adopted = self._adopted.get(id)
        return Held(point=adopted.point, series="", data=adopted.chain[-1].name) if adopted else super().held(id)

    def _sidecar(self, held: Held) -> Sidecar:
        adopted = self._adopted.get(held.point.id)
        return self._reader.sidecar(adopted) if adopted else super()._sidecar(held)

    def walk(self, point: Point, paths: Sequence[bytes], *, listing: bool = False) -> Iterator[Entry]:
        """See the port."""
        adopted = self._adopted.get(point.id)
        if adopted is None or listing:
            yield from super().walk(point, paths, listing=listing)
            return
        yield from self._reader.walk(adopted, self._rows(self.held(point.id), paths), paths)

    def contents(self, point: Point, entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
        """See the port."""
        adopted = self._adopted.get(point.id)
        yield from self._reader.contents(adopted, entries) if adopted else super().contents(point, entries)

    # --- chains ---------------------------------------------------------------------------------------------------

    def chain(self, held: Held) -> list[Held]:
        """See `ForeignClient`: Bacula's own retention, or a person, may have purged a job."""
        chain = super().chain(held)
        self._lies(held, chain)
        return chain

    def carry(self, point: Point, source: Client, monitor: Monitor) -> Point:
        """See the port."""
        if source is self and point.id in self._adopted:
            raise ClientError(
                f"point {point.id} is adopted from jobs of others: copy it to another client, such as vault"
            )
        return super().carry(point, source, monitor)

    def _prepare(self) -> None:
        """What killed runs left is part of no point: nothing may be built on it."""
        super()._prepare()
        left = self._holdings.unfinished()
        self.bacula.remove(left)
        self._holdings.finish(*left)

    def plan(self, point: Point, paths: Sequence[bytes]) -> ReadPlan:
        """See the port. Each step names its job and the volumes that it lies on."""
        if adopted := self._adopted.get(point.id):
            held = self.held(point.id)
            return self._reader.plan(adopted, list(self._rows(held, paths or self._trees(held))))
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
