"""The machine that figures belong to, and what lies on its disk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def facts(folder: str) -> dict[str, str]:
    """Processor, cores, memory, system and file system of `folder`, as text."""
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) / (1 << 20):.0f} GiB",
        "system": _line("/etc/os-release", "PRETTY_NAME").strip('"'),
        "kernel": os.uname().release,
        "file system": _file_system(folder),
    }


def revision() -> str:
    """The commit that is measured, with a ``+`` when files differ from it; empty outside a checkout."""
    try:
        run = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return run.stdout.strip()


def count(folder: str) -> dict[str, int]:
    """Entries, plain files, folders and bytes of content below a folder, that folder not counted."""
    entries = files = folders = size = 0
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                entries += 1
                if entry.is_dir(follow_symlinks=False):
                    folders += 1
                    waiting.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_size
    return {"entries": entries, "files": files, "folders": folders, "bytes": size}


def occupied(folder: str) -> int:
    """The bytes that all below a folder takes on disk."""
    total = 0
    for path, _, names in os.walk(folder):
        total += sum(os.lstat(f"{path}/{name}").st_blocks * 512 for name in (".", *names))
    return total


def _line(path: str, key: str) -> str:
    """The value of a key in a file of keys and values."""
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition("=" if "=" in line else ":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def _file_system(folder: str) -> str:
    """The type of the file system that holds a folder, with its mount's options."""
    real = os.path.realpath(folder)
    best, found = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        if len(point) >= len(best) and os.path.commonpath([real, point]) == point:
            best, found = point, f"{kind} ({options})"
    return found
