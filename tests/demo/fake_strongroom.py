"""A stand-in for the program: it keeps whole copies and speaks the interface's JSON.

``FAULT`` in the environment makes it a bad one: ``poor`` loses a file and a mode and says that its first point is
incomplete, ``crash`` does not restore.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests.demo.exact_copy import copy

FAULT = os.environ.get("FAULT", "")
LEFT_OUT = {"data": ("var/lib/mysql", "var/lib/pgsql"), "info": ("work",)}
TREES = {"data": "shadow", "info": "info"}


def _backup(virtual: Path, points: Path) -> dict[str, Any]:
    made = []
    for site in sorted(virtual.glob("site?")):
        name = f"{len(list(points.iterdir())):03d}-{site.name}"
        for tree, folder in TREES.items():
            (points / name).mkdir(exist_ok=True)
            copy(str(site / folder), str(points / name / tree), LEFT_OUT[tree])
        made.append(_point(name, site.name))
    made.append(_point("server", "server"))
    status = "incomplete" if FAULT == "poor" else "complete"
    made[0]["warnings"] = [{"path": "/x", "message": "could not be read"}] if FAULT == "poor" else []
    return {"status": status, "points": made}


def _point(name: str, account: str) -> dict[str, Any]:
    files = {"seen": 100, "changed": 3, "unchanged": 97, "removed": 0, "bytes_read": 10**6}
    return {"id": name, "account": account, "level": "full", "files": files, "stored_bytes": 1000, "warnings": []}


def _restore(virtual: Path, points: Path, arguments: list[str]) -> dict[str, Any]:
    account = arguments.pop(0)
    options = dict(zip(arguments, arguments[1:], strict=False))
    names = sorted(point.name for point in points.iterdir() if point.name.endswith(account))
    point = points / options.get("--point", names[-1])
    if "--to" in options:
        target = Path(options["--to"])
        path = arguments[0].lstrip("/") if arguments[0].startswith("/") else ""
        if path:
            (target / "data" / path).parent.mkdir(parents=True)
            subprocess.run(["cp", "-a", point / "data" / path, target / "data" / path], check=True)
        else:
            for tree in TREES:
                copy(str(point / tree), str(target / tree))
    else:
        for tree, folder in TREES.items():
            copy(str(point / tree), str(virtual / account / folder))
        _spoil(virtual / account / "shadow/var/www/html")
    return {"status": "complete", "files": {"written": 5, "bytes": 10**6}, "warnings": []}


def _spoil(folder: Path) -> None:
    if FAULT == "poor":
        before = folder.stat()
        (folder / "index.php").unlink()
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
        (folder / "wp-includes").chmod(0o700)


def main() -> int:
    _, configuration, _, command, *arguments = sys.argv[1:]
    config = tomllib.loads(Path(configuration).read_text())
    virtual = Path(config["server"]["root"]) / "home/virtual"
    points = Path(config["vault"]["url"]) / "points"
    if FAULT == "crash" and command == "restore":
        print(json.dumps({"error": {"code": "client", "message": "the vault burned down"}}))
        return 2
    answer: Any
    if command == "init":
        points.mkdir(parents=True)
        answer = {"vault": config["vault"]["url"], "created": True}
    elif command == "backup":
        answer = _backup(virtual, points)
    elif command == "restore":
        answer = _restore(virtual, points, arguments)
    else:
        answer = {
            "history": [{"version": 1}, {"version": 2}],
            "find": [],
            "check": {"status": "clean", "objects": 3, "bytes_read": 10**6, "damage": []},
            "status": {"status": "ok", "accounts": [{}] * 6},
        }[command]
    print(json.dumps(answer))
    return 1 if FAULT == "poor" and command == "backup" else 0


if __name__ == "__main__":
    sys.exit(main())
