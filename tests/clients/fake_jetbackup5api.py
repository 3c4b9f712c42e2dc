"""A stand-in for JetBackup's ``jetbackup5api``, which needs a licence: a small state machine in one file of JSON.

It speaks as the real one is described: one ``-D`` with everything percent-encoded, lists in pieces, nothing as an empty list, an
unknown function with status 0. ``script`` in its state says what goes wrong.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

STATE = Path(__file__).with_name("state.json")
Document = dict[str, Any]
BACKUP, DOWNLOAD = 1, 4


def main() -> int:
    state = json.loads(STATE.read_text())
    state["calls"].append(sys.argv[1:])
    script = state["script"]
    function, given = _arguments(sys.argv[1:])
    try:
        answer = Api(state).answer(function, given)
    finally:
        STATE.write_text(json.dumps(state))
    if function in script.get("garbage", []):
        print("Warning: something of PHP's\n{")
        return 0
    success, message, data = answer
    system = {"version": "5.3.14", "tier": "EDGE", "licenseIssue": script.get("licence", 0), "dr": 0, "retry_ms": 0}
    print(json.dumps({"success": success, "message": message, "data": data or [], "system": system}))
    return int(script.get("status", {}).get(function, 0))


def _arguments(argv: list[str]) -> tuple[str, dict[str, str]]:
    options = list(zip(argv[::2], argv[1::2], strict=True))
    data = [value for name, value in options if name == "-D"]
    assert len(data) <= 1, "several -D are ignored by some functions"
    assert ("-O", "json") in options, "plain text is the default"
    pairs = [pair.partition("=") for pair in data[0].split("&")] if data else []
    for name, _, value in pairs:
        assert re.fullmatch(r"[A-Za-z0-9_]+(\[[A-Za-z0-9_]+\])*", name), name
        assert re.fullmatch(r"([A-Za-z0-9_]|%[0-9A-F]{2})*", value), value
    return dict(options)["-F"], {name: unquote_to_bytes(value).decode() for name, _, value in pairs}


class Api:
    def __init__(self, state: Document) -> None:
        self.state, self.script = state, state["script"]

    def answer(self, function: str, given: dict[str, str]) -> tuple[int, str, Any]:
        handler = getattr(self, f"do_{function}", None)
        if handler is None or function in self.script.get("unknown", []):
            return 0, f"Function {function} not found", []
        return handler(given)  # type: ignore[no-any-return]

    def _list(self, key: str, found: list[Document], given: dict[str, str]) -> tuple[int, str, Any]:
        skip, limit = int(given.get("skip", 0)), min(int(given.get("limit", 20)), self.script.get("most", 1000))
        if self.script.get("stuck"):
            return 1, "", found[:limit]
        return 1, "", {key: found[skip : skip + limit], "total": len(found)}

    def do_getInfo(self, given: dict[str, str]) -> tuple[int, str, Any]:
        return 1, "", []

    def do_listAccounts(self, given: dict[str, str]) -> tuple[int, str, Any]:
        wanted = given.get("find[username]")
        return self._list("accounts", [a for a in self.state["accounts"] if wanted in (None, a["username"])], given)

    def do_listBackupJobs(self, given: dict[str, str]) -> tuple[int, str, Any]:
        return self._list("jobs", self.state["jobs"], given)

    def do_listBackupForAccounts(self, given: dict[str, str]) -> tuple[int, str, Any]:
        found = []
        for account in self.state["accounts"]:
            backups = self._backups(account["_id"], given)
            if backups:
                summary = {"account_id": account["_id"], "account": account["username"], "backup": backups[-1]}
                found.append(summary | {"total_backups": len(backups)})
        return self._list("accounts", found, given)

    def _backups(self, account: str, given: dict[str, str]) -> list[Document]:
        assert given["type"] == "1"
        mask = int(given["contains"])
        return [b for b in self.state["backups"] if b["account_id"] == account and b["backup_contains"] == mask]

    def do_listBackups(self, given: dict[str, str]) -> tuple[int, str, Any]:
        return self._list("backups", self._backups(given["account_id"], given), given)

    def do_createBackupOnDemand(self, given: dict[str, str]) -> tuple[int, str, Any]:
        account = next(a for a in self.state["accounts"] if a["_id"] == given["account_id"])
        if not self.script.get("unstarted"):
            self._group(BACKUP, {"account_id": account["_id"], "account": account["username"]}, account)
        return 1, "Backup on demand was added", []

    def do_runBackupJobManually(self, given: dict[str, str]) -> tuple[int, str, Any]:
        job = next((j for j in self.state["jobs"] if j["_id"] == given["_id"]), None)
        if job is None:
            return 0, "Backup Job not found", []
        if not self.script.get("unstarted"):
            self._group(BACKUP, {"_id": job["_id"], "name": job["name"]}, *self.state["accounts"])
        return 1, "Job was added to the queue; hooks or conditions may still abort it", job

    def do_addQueueItems(self, given: dict[str, str]) -> tuple[int, str, Any]:
        assert given["type"] == str(DOWNLOAD)
        backup = next(b for b in self.state["backups"] if b["parent_id"] == given["snapshot_id"])
        account = next(a for a in self.state["accounts"] if a["_id"] == backup["account_id"])
        return 1, "Added", self._group(DOWNLOAD, {"snapshot_id": given["snapshot_id"]}, account)

    def _group(self, kind: int, data: Document, *accounts: Document) -> Document:
        group = {"_id": f"{len(self.state['groups']) + 0xA0:024x}", "type": kind, "status": 1, "data": data}
        self.state["groups"].append(group | {"accounts": accounts})
        return group

    def do_listQueueGroups(self, given: dict[str, str]) -> tuple[int, str, Any]:
        return self._list("groups", [g for g in self.state["groups"] if g["type"] == int(given["type"])], given)

    def do_getQueueGroup(self, given: dict[str, str]) -> tuple[int, str, Any]:
        group = self._of(given)
        self._move(group)
        return 1, "", {key: group[key] for key in ("_id", "type", "status", "data")} | {"progress": {"percentage": 50}}

    def _of(self, given: dict[str, str]) -> Document:
        return next(g for g in self.state["groups"] if g["_id"] == given["_id"])

    def _move(self, group: Document) -> None:
        """On each look one step: waiting, running, ended; told to stop, it is aborted one look later."""
        status = group["status"]
        if status == 1:
            group["status"] = 2
        elif status == 2 and group.get("stopping"):
            group["status"] = 103
        elif status == 2 and not self.script.get("never"):
            group["status"] = self.script.get("final", 100)
            if group["status"] in (100, 101):
                self._done(group)

    def _done(self, group: Document) -> None:
        if group["type"] == DOWNLOAD:
            name = f"download_{group['accounts'][0]['username']}_{int(time.time())}_{len(self.state['groups'])}.tar.gz"
            if self.state["archive"]:
                shutil.copyfile(self.state["archive"], Path(self.state["downloads"]) / name)
        elif not self.script.get("lost"):
            for account in group["accounts"]:
                made = backup(len(self.state["backups"]), account, "2026-11-25T03:00:00+01:00")
                self.state["backups"].append(made)

    def do_stopQueueGroup(self, given: dict[str, str]) -> tuple[int, str, Any]:
        self._of(given)["stopping"] = True
        return 1, "", []

    def do_listQueueItems(self, given: dict[str, str]) -> tuple[int, str, Any]:
        items = [
            {"status": 100, "message": "Done"},
            {"status": self.script.get("final", 100), "message": "no space\n left"},
        ]
        return self._list("items", items, given)

    def do_listAlerts(self, given: dict[str, str]) -> tuple[int, str, Any]:
        assert given["sort[created]"] == "-1"
        return self._list("alerts", [{"title": "Job not started", "message": "destination is disabled"}], given)


def backup(number: int, account: Document, created: str, **more: Any) -> Document:
    """A backup of JetBackup's, with a parent of its own."""
    found = {
        "_id": f"{number + 0x100:024x}",
        "parent_id": f"{number + 0x200:024x}",
        "account_id": account["_id"],
        "account": account["username"],
        "created": created,
        "backup_type": 1,
        "backup_contains": 511,
        "backup_structure": 1,
        "destination_name": "disk",
        "size": 1000,
        "damaged": 0,
        "deleted": False,
        "disabled": 0,
        "encrypted": 0,
        "encryption_key_required": 0,
        "encryption_key_exists": 0,
    }
    return found | more


if __name__ == "__main__":
    sys.exit(main())
