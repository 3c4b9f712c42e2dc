"""Makes a golden vault: `python -m tests.golden.make VERSION` (as root) writes `tests/golden/VERSION/`.

A vault of each released format stays in the tree and has to be readable for ever: no golden vault is ever made again under
the same name. It holds every kind of object and of entry; `expected.json` says what its points hold, as the file system
showed it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from blake3 import blake3

from strongroom.model import FileType
from strongroom.vault import header, session, sweep
from strongroom.vault.session import Lost, Pin
from tests.vault.feeds import changed, feed_of, rows
from tests.vault.plot import SMALL_CHUNKS, Ground, Seen

HERE = Path(__file__).parent
TABLE = b"mysql/shop/tables/posts.sql"
# What a person thought of opens it as well, by a slot that stretches it in full.
SECOND_PASSPHRASE = "zweiter Schlüssel".encode()


def first_night(root: Path) -> None:
    """Every kind of entry."""
    noise = random.Random(1)
    (root / "web/deep/deeper").mkdir(parents=True)
    (root / "web/index.php").write_bytes(b"<?php echo 'golden';\n" * 40)
    (root / "web/same.php").write_bytes(b"<?php echo 'golden';\n" * 40)
    (root / "web/deep/deeper/empty").touch()
    (root / "empty folder").mkdir()
    (root / "picture.jpg").write_bytes(b"\xff\xd8\xff" + noise.randbytes(2000))
    # Cut into more chunks than a row takes, of few distinct ones: a list node.
    (root / "large").write_bytes(noise.randbytes(9_000) * 130)
    with open(root / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"in the middle")
        file.truncate(3 << 20)
    (root / "all hole").touch()
    os.truncate(root / "all hole", 16 << 20)
    (root / "link to nowhere").symlink_to("/does/not/exist")
    os.symlink(b"\xff\xfe target", os.fsencode(root) + b"/name \xff\xfe\x01\n")
    (root / "hard one").write_bytes(b"two names")
    (root / "web/hard two").hardlink_to(root / "hard one")
    os.mkfifo(root / "pipe")
    os.mknod(root / "whiteout", 0o020000, os.makedev(0, 0))
    os.mknod(root / "device", 0o060660, os.makedev(7, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
    (root / ("n" * 255)).write_bytes(b"the longest name")
    _attributes(root)


def _attributes(root: Path) -> None:
    os.setxattr(root / "web/index.php", "user.note", b"small")
    os.setxattr(root / "web/index.php", "user.empty", b"")
    os.setxattr(root / "web", "user.large", random.Random(2).randbytes(3000))
    os.setxattr(root / "whiteout", "trusted.overlay.origin", b"\x00\xfb")
    subprocess.run(["setfacl", "-m", "u:48:rx,g:1001:---", root / "web/same.php"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:48:rwx", root / "web/deep"], check=True)
    os.chown(root / "picture.jpg", 4_000_000_000, 1001)
    os.chmod(root / "picture.jpg", 0o4750)
    os.chmod(root / "empty folder", 0o1777)
    os.chmod(root / "web/deep/deeper/empty", 0)
    os.utime(root / "large", ns=(0, -86_400 * 365 * 5 * 10**9 - 7))
    os.utime(root / "picture.jpg", ns=(0, 4_102_444_800 * 10**9 + 123_456_789))


def second_night(root: Path) -> None:
    """What an ordinary day changes."""
    (root / "web/index.php").write_bytes(b"<?php echo 'changed';\n" * 40)
    (root / "web/new").mkdir()
    (root / "web/new/file").write_bytes(b"new")
    (root / "pipe").unlink()
    (root / "pipe").mkdir()


def exported(ground: Ground, id: str, content: dict[bytes, bytes]) -> dict[bytes, Seen]:
    """The part of a point that a feed made: what it has to hold is known, the moment when it was made is not."""
    seen = {path: item for path, item in ground.read(id).items() if path.startswith(b"databases")}
    files = {path: item.content for path, item in seen.items() if item.type is FileType.FILE}
    assert files == {b"databases/" + path: data for path, data in content.items()}
    return seen


def shown(seen: Seen) -> dict[str, Any]:
    """An entry as it stands in ``expected.json``; content as its BLAKE3."""
    return {
        "type": seen.type.value, "mode": seen.mode, "uid": seen.uid, "gid": seen.gid, "mtime": seen.mtime,
        "size": seen.size, "content": blake3(seen.content).hexdigest(), "target": os.fsdecode(seen.target),
        "rdev": list(seen.rdev), "links": os.fsdecode(seen.links),
        "xattrs": {os.fsdecode(name): value.hex() for name, value in seen.xattrs},
    }  # fmt: skip


def make(version: str) -> None:
    """Make one."""
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder), chunker=SMALL_CHUNKS)
        content = {TABLE: b"".join(rows(1700)), b"mysql/shop/before.sql": b"CREATE TABLE posts;"}
        ground.feed = feed_of(content)
        vault = ground.vault()
        assert vault.keys.private is not None
        header.add_slot(ground.storage, vault.header.id, vault.keys.private, SECOND_PASSPHRASE, label="a person's")
        first_night(ground.source)
        expected = {}
        for level in ("full", "incremental", "differential"):
            if level == "incremental":
                second_night(ground.source)
                # Stored against the first night's: frames that rest on others.
                content[TABLE] = b"".join(changed(rows(1700), 100, seed=1))
                ground.feed = feed_of(content)
            outcome = ground.backup(level)
            assert outcome.complete
            assert outcome.level == level
            points = ground.live() | exported(ground, outcome.id, content)
            expected[outcome.id] = {os.fsdecode(path): shown(seen) for path, seen in points.items()}
        assert "features/read-prefixed" in {item.name for item in ground.storage.list("features/")}
        forgotten = outcome.id
        del expected[forgotten]
        sweep.forget(ground.vault(), [forgotten])
        session.put_record(ground.storage, vault.keys, Pin(snapshot=next(iter(expected)), note="golden"))
        lost = Lost(chunks=[b"\1" * 20], packs=[b"\2" * 16], records=[b"\3" * 20])
        session.put_record(ground.storage, vault.keys, lost)
        place = HERE / version
        shutil.copytree(ground.folder, place / "vault", ignore=shutil.ignore_patterns("tmp", "sessions"))
        told = {"points": expected, "forgotten": forgotten}
        (place / "expected.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    make(sys.argv[1])
