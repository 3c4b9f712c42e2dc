"""Which backups JetBackup has of which account: each of its snapshots is a point.

An account's list is asked for again only when JetBackup's own summary of it has changed; what it said before is kept in the
state folder, and may vanish.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from strongroom.clients.holdings import put
from strongroom.clients.jetbackup_api import Api, Document, number, truth
from strongroom.errors import ClientError
from strongroom.model import Frozen

ACCOUNTS = 1
# All that one backup of an account can hold: its panel's configuration, files, databases, mail, and more.
EVERYTHING = 511
_ID = re.compile(r"[0-9a-f]{24}")
_FILE = b"snapshots.json"


class Snapshot(Frozen):
    """One backup of one account: JetBackup's ``parent_id``. ``created`` is ISO 8601 in UTC, ``size`` bytes in its storage.

    ``broken`` is why it cannot be brought back, empty where it can.
    """

    id: str
    account: str
    account_id: str
    created: str
    size: int = 0
    destination: str = ""
    broken: str = ""


class _Known(Frozen):
    """What is known of one account: JetBackup's summary of then, and the snapshots of then."""

    summary: str
    snapshots: tuple[Snapshot, ...]


class Backups:
    """All snapshots of accounts; ``folder`` is where what was learnt is kept."""

    def __init__(self, api: Api, folder: bytes) -> None:
        self._api, self._folder = api, folder
        self._all: dict[str, Snapshot] | None = None

    def all(self, *, anew: bool = False) -> dict[str, Snapshot]:
        """The snapshots by id; asked for once, and ``anew`` without what was learnt before. Raise ClientError."""
        if self._all is None or anew:
            before = {} if anew else self._read()
            masks = self._masks()
            known = {
                account: before[account]
                if account in before and before[account].summary == summary
                else _Known(summary=summary, snapshots=tuple(self._of(account, name, masks)))
                for account, (name, summary) in self._summaries(masks).items()
            }
            if known != before:
                self._keep(known)
            self._all = {each.id: each for one in known.values() for each in one.snapshots}
        return self._all

    def forget(self) -> None:
        """Ask again the next time."""
        self._all = None

    def _masks(self) -> list[int]:
        """What the jobs that back up accounts put into their backups."""
        jobs = self._api.all("listBackupJobs", "jobs")
        found = {number(job.get("contains")) for job in jobs if number(job.get("type")) == ACCOUNTS}
        return sorted({EVERYTHING, *found} - {0}, reverse=True)

    def _summaries(self, masks: Iterable[int]) -> dict[str, tuple[str, str]]:
        """By account's id: its name, and what changes when its backups do."""
        found: dict[str, tuple[str, list[object]]] = {}
        for mask in masks:
            arguments = {"type": ACCOUNTS, "contains": mask}
            for each in self._api.all("listBackupForAccounts", "accounts", arguments):
                account, name = str(each.get("account_id") or ""), str(each.get("account") or "")
                backup = each.get("backup")
                newest = backup.get("_id") if isinstance(backup, dict) else backup
                if account:
                    summary = [mask, str(newest), number(each.get("total_backups"))]
                    found.setdefault(account, (name, []))[1].append(summary)
        return {account: (name, json.dumps(summary)) for account, (name, summary) in found.items()}

    def _of(self, account: str, name: str, masks: Iterable[int]) -> Iterable[Snapshot]:
        """The snapshots of one account, from the backups that they consist of."""
        parts: dict[str, dict[str, Document]] = {}
        for mask in masks:
            arguments = {"type": ACCOUNTS, "contains": mask, "account_id": account}
            for backup in self._api.all("listBackups", "backups", arguments):
                parent = str(backup.get("parent_id") or backup.get("_id") or "")
                if _ID.fullmatch(parent) and not truth(backup.get("deleted")):
                    parts.setdefault(parent, {})[str(backup.get("_id"))] = backup
        return [_snapshot(id, account, name, list(backups.values())) for id, backups in parts.items()]

    def _read(self) -> dict[str, _Known]:
        with contextlib.suppress(OSError, msgspec.MsgspecError), open(os.path.join(self._folder, _FILE), "rb") as file:
            return msgspec.json.decode(file.read(), type=dict[str, _Known])
        return {}

    def _keep(self, known: dict[str, _Known]) -> None:
        """Remember what was learnt; where that cannot be written, it is asked for again."""
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            put(os.path.join(self._folder, _FILE), msgspec.json.encode(known))


def _snapshot(id: str, account: str, name: str, backups: list[Document]) -> Snapshot:
    named = next((str(each["account"]) for each in backups if each.get("account")), "")
    return Snapshot(
        id=id,
        account=next((each for each in (name, named) if each and not _ID.fullmatch(each)), account),
        account_id=account,
        created=min(_moment(each.get("created")) for each in backups),
        size=sum(number(each.get("size")) for each in backups),
        destination=str(backups[0].get("destination_name") or ""),
        broken=next(filter(None, map(_broken, backups)), ""),
    )


def _broken(backup: Document) -> str:
    if truth(backup.get("damaged")):
        return "JetBackup says that it is damaged"
    if truth(backup.get("disabled")):
        return "JetBackup has disabled it, or where it lies"
    needs, has = truth(backup.get("encryption_key_required")), truth(backup.get("encryption_key_exists"))
    return "it is encrypted, and JetBackup does not have the key" if needs and not has else ""


def _moment(told: object) -> str:
    try:
        found = datetime.fromisoformat(str(told))
    except ValueError:
        raise ClientError(f"JetBackup says {told!r} of when a backup was made, which is no time") from None
    return found.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
