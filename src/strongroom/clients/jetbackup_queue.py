"""Work that JetBackup does in its own time: found in its queue, waited for, and stopped where it takes too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum

from strongroom.clients.jetbackup_api import Api, Arguments, Document, number, truth
from strongroom.errors import ClientError
from strongroom.model import Frozen

BACKUP, DOWNLOAD = 1, 4

# Below it, work is under way; at it, all is done; above it, it is done in part, or not.
_DONE, _PARTLY, _FAILED, _ABORTED = 100, 101, 102, 103
_WORDS = {_FAILED: "failed", _ABORTED: "aborted"}
# How long work may take to show in the queue, how long a stop may take, and how often one looks (seconds).
_APPEARS = 120.0
_STOPS = 60.0
_LOOK = (0.2, 10.0)


class Ending(IntEnum):
    """How work ended that came to something."""

    COMPLETE = 0
    PARTIAL = 1


class Ended(Frozen):
    """The end of some work: how, and what JetBackup said of it."""

    how: Ending
    message: str = ""


class Queue:
    """The queue of one JetBackup. ``patience`` is how long work may take, in seconds; ``tell`` hears of a stop that failed."""

    def __init__(self, api: Api, patience: float, tell: Callable[[str], None]) -> None:
        self._api, self._patience, self._tell = api, patience, tell

    def groups(self) -> set[str]:
        """The ids of all backups that are in the queue, at work or ended."""
        return {str(group.get("_id")) for group in self._api.all("listQueueGroups", "groups", {"type": BACKUP})}

    def started(self, known: set[str], marks: set[str]) -> str:
        """The id of the backup that came into the queue since ``known``, of a job or account that ``marks`` has.

        Who asks for a backup is not told its id, and a hook or condition may still keep it from beginning: then what
        JetBackup said of it lately is the error. Raise ClientError.
        """
        until = time.monotonic() + min(_APPEARS, self._patience)
        pause = _LOOK[0]
        while True:
            found = self._api.all("listQueueGroups", "groups", {"type": BACKUP})
            new = [group for group in found if str(group.get("_id")) not in known]
            mine = [group for group in new if marks & _values(group.get("data"))]
            if mine or (len(new) == 1 and not _names_somebody(new[0])):
                return str((mine or new)[0]["_id"])
            if time.monotonic() > until:
                raise ClientError(f"JetBackup began no backup: {self._alert()}")
            time.sleep(pause)
            pause = min(pause * 2, _LOOK[1])

    def add(self, arguments: Arguments) -> str:
        """Put work into the queue; returns its id. Raise ClientError."""
        group = self._api.one("addQueueItems", arguments)
        if not group.get("_id"):
            raise ClientError("JetBackup took the work, and does not say under which id")
        return str(group["_id"])

    def wait(self, group: str) -> Ended:
        """Wait for the end of some work; whatever ends the wait stops the work too.

        Raise ClientError where it came to nothing.
        """
        try:
            return self._wait(group)
        except BaseException:
            self._stop(group)
            raise

    def _wait(self, group: str) -> Ended:
        until = time.monotonic() + self._patience
        pause = _LOOK[0]
        while True:
            found = self._api.one("getQueueGroup", {"_id": group})
            status = number(found.get("status"))
            if status >= _DONE:
                return self._ended(group, status, found)
            if time.monotonic() > until:
                raise ClientError(
                    f"JetBackup took longer than {self._patience:.0f} seconds (timeout), and was told to stop"
                )
            time.sleep(pause)
            pause = min(pause * 2, _LOOK[1])

    def _ended(self, group: str, status: int, found: Document) -> Ended:
        if status == _DONE:
            return Ended(how=Ending.COMPLETE)
        said = "; ".join(self._complaints(group)) or _said(found) or "it does not say why"
        if status == _PARTLY:
            return Ended(how=Ending.PARTIAL, message=said)
        raise ClientError(f"JetBackup {_WORDS.get(status, f'ended with its status {status}')}: {said}")

    def _complaints(self, group: str) -> list[str]:
        """What the items of some work say, as far as they did not end well."""
        items = self._api.all("listQueueItems", "items", {"group_id": group})
        return list(dict.fromkeys(_said(item) for item in items if number(item.get("status")) != _DONE and _said(item)))

    def _stop(self, group: str) -> None:
        """Tell JetBackup to stop, and see it stop; one that cannot be told is no reason to hide why it should."""
        try:
            found = self._api.one("getQueueGroup", {"_id": group})
            if number(found.get("status")) >= _DONE:
                return
            self._api.call("stopQueueGroup", {"_id": group})
            until, pause = time.monotonic() + _STOPS, _LOOK[0]
            while number(self._api.one("getQueueGroup", {"_id": group}).get("status")) < _DONE:
                if time.monotonic() > until:
                    self._tell("it has not stopped yet")
                    return
                time.sleep(pause)
                pause = min(pause * 2, _LOOK[1])
        except ClientError as error:
            self._tell(str(error))

    def _alert(self) -> str:
        """The last thing that JetBackup wanted an administrator to know."""
        newest = {"sort": {"created": -1}}
        for alert in self._api.all("listAlerts", "alerts", newest):
            return (
                " ".join(f"{alert.get('title') or ''} {alert.get('message') or ''}".split())[:500] or "see its alerts"
            )
        return "it has no alert that would say why"


def _values(data: object) -> set[str]:
    """What the data of some work name: a job, an account."""
    if not isinstance(data, dict):
        return set()
    return {str(value) for value in data.values() if isinstance(value, str | int) and truth(value)}


def _names_somebody(group: Document) -> bool:
    """Whether the data of some work say of which job or account it is."""
    data = group.get("data")
    return isinstance(data, dict) and any(truth(data.get(key)) for key in ("_id", "account", "account_id"))


def _said(found: Document) -> str:
    return " ".join(str(found.get("message") or "").split())[:500]
