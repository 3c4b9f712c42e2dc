"""A stand-in for the program: it keeps whole copies made by ``cp -a`` and speaks the interface's JSON.

``FAULT`` in the environment makes it a bad one: ``lose`` (a file does not come back), ``mode``, ``incomplete``, ``crash``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from strongroom.demo import inode_flags

FAULT = os.environ.get("FAULT", "")
LEFT_OUT = {"data": ("var/lib/mysql", "var/lib/pgsql"), "info": ("work",)}
TREES = {"data": "shadow", "info": "info"}


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=never", "--", source, target], check=True)
    for path in source.rglob("*"):
        if path.is_file() and not path.is_symlink():
            fd = os.open(path, os.O_RDONLY)
            flags = inode_flags.read(fd)
            os.close(fd)
            if flags:
                inode_flags.mark(os.fsencode(target / path.relative_to(source)), flags)


def _backup(virtual: Path, points: Path) -> dict[str, Any]:
    made = []
    for site in sorted(virtual.glob("site?")):
        name = f"{len(list(points.iterdir())):03d}-{site.name}"
        for tree, folder in TREES.items():
            (points / name).mkdir(parents=True, exist_ok=True)
            _copy(site / folder, points / name / tree)
            for path in LEFT_OUT[tree]:
                parent = (points / name / tree / path).parent
                before = parent.stat()
                shutil.rmtree(points / name / tree / path)
                os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        made.append(_point(name, site.name))
    made.append(_point("server", "server"))
    status = "incomplete" if FAULT == "incomplete" else "complete"
    made[0]["warnings"] = [{"path": "/x", "message": "could not be read"}] if FAULT == "incomplete" else []
    return {"status": status, "points": made}


def _point(name: str, account: str) -> dict[str, Any]:
    files = {"seen": 100, "changed": 3, "unchanged": 97, "removed": 0, "bytes_read": 10**6}
    return {"id": name, "account": account, "level": "full", "files": files, "stored_bytes": 1000, "warnings": []}


def _restore(virtual: Path, points: Path, arguments: list[str]) -> dict[str, Any]:
    account = arguments.pop(0)
    options = dict(zip(arguments[-4::2], arguments[-3::2], strict=True)) if "--to" in arguments else {}
    names = sorted(point.name for point in points.iterdir() if point.name.endswith(account))
    point = points / options.get("--point", names[-1])
    if "--to" in arguments:
        target = Path(arguments[arguments.index("--to") + 1])
        path = arguments[0].lstrip("/") if arguments[0].startswith("/") else ""
        (target / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        _copy(point / "data" / path, target / "data" / path)
        if not path:
            _copy(point / "info", target / "info")
    else:
        for tree, folder in TREES.items():
            _copy(point / tree, virtual / account / folder)
        _spoil(virtual / account / "shadow/var/www/html/index.php")
    return {"status": "complete", "files": {"written": 5, "bytes": 10**6}, "warnings": []}


def _spoil(path: Path) -> None:
    before = path.parent.stat()
    if FAULT == "lose":
        path.unlink()
        os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    if FAULT == "mode":
        path.chmod(0o600)


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
    return 1 if FAULT == "incomplete" and command == "backup" else 0


if __name__ == "__main__":
    sys.exit(main())
