"""A stand-in for the program: it keeps whole copies and speaks the interface's JSON.

``FAULT`` in the environment makes it a bad one: ``poor`` loses a file and a mode and says that its first point is
incomplete, ``crash`` does not restore, ``interrupt`` is what a terminal does to whoever called us while we back up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from strongroom.demo.wordpress import DATABASE
from tests.demo.exact_copy import copy

FAULT = os.environ.get("FAULT", "")
LEFT_OUT = {"data": ("var/lib/mysql", "var/lib/pgsql"), "info": ("work",)}
TREES = {"data": "shadow", "info": "info"}


USER = f"{DATABASE}@localhost"


def _mysql(socket: str, statements: str) -> str:
    command = ["mariadb", "--no-defaults", f"--socket={socket}", "--batch", "--raw", "--skip-column-names"]
    return subprocess.run(command, input=statements, capture_output=True, text=True, check=True).stdout


def _dump(socket: str) -> str:
    command = ["mariadb-dump", "--no-defaults", f"--socket={socket}", "--databases", DATABASE]
    dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    users = _mysql(socket, f"SHOW CREATE USER {USER}; SHOW GRANTS FOR {USER};")
    return dump + "".join(f"{line};\n" for line in users.splitlines())


def _backup(virtual: Path, points: Path, socket: str) -> dict[str, Any]:
    made = []
    for site in sorted(virtual.glob("site?")):
        name = f"{len(list(points.iterdir())):03d}-{site.name}"
        for tree, folder in TREES.items():
            (points / name).mkdir(exist_ok=True)
            copy(str(site / folder), str(points / name / tree), LEFT_OUT[tree])
        made.append(_point(name, site.name))
        if site.name == "site1":
            (points / name / "dump.sql").write_text(_dump(socket))
            made[-1]["databases"] = [{"name": DATABASE, "position": "server.000001:4"}]
            made[-1]["synchrony"] = {"gap_seconds": 0.25, "changed_in_gap": 3}
    made.append(_point("server", "server"))
    status = "incomplete" if FAULT == "poor" else "complete"
    made[0]["warnings"] = [{"path": "/x", "message": "could not be read"}] if FAULT == "poor" else []
    return {"status": status, "points": made}


def _point(name: str, account: str) -> dict[str, Any]:
    files = {"seen": 100, "changed": 3, "unchanged": 97, "removed": 0, "bytes_read": 10**6}
    return {"id": name, "account": account, "level": "full", "files": files, "stored_bytes": 1000, "warnings": []}


def _restore(virtual: Path, points: Path, socket: str, arguments: list[str]) -> dict[str, Any]:
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
        _mysql(socket, (point / "dump.sql").read_text())
        _spoil(virtual / account / "shadow/var/www/html", socket)
    return {"status": "complete", "files": {"written": 5, "bytes": 10**6}, "warnings": []}


def _spoil(folder: Path, socket: str) -> None:
    if FAULT == "poor":
        before = folder.stat()
        (folder / "index.php").unlink()
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
        (folder / "wp-includes").chmod(0o700)
        _mysql(socket, f"UPDATE {DATABASE}.wp_options SET option_value = 'x'")


def main() -> int:
    _, configuration, _, command, *arguments = sys.argv[1:]
    config = tomllib.loads(Path(configuration).read_text())
    virtual = Path(config["server"]["root"]) / "home/virtual"
    points = Path(config["vault"]["url"]) / "points"
    socket = config.get("databases", {}).get("mysql", {}).get("socket", "")
    if FAULT == "crash" and command == "restore":
        print(json.dumps({"error": {"code": "client", "message": "the vault burned down"}}))
        return 2
    answer: Any
    if command == "init":
        points.mkdir(parents=True)
        answer = {"vault": config["vault"]["url"], "created": True}
    elif command == "backup" and FAULT == "interrupt":
        os.kill(os.getppid(), signal.SIGINT)
        signal.pause()
    elif command == "backup":
        answer = _backup(virtual, points, socket)
    elif command == "restore":
        answer = _restore(virtual, points, socket, arguments)
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
