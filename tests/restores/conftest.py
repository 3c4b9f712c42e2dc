from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from strongroom.model import Account, Exclusion, Location
from strongroom.restores.request import Mode, RestoreRequest, RestoreResult
from strongroom.restores.restore import restore
from tests.restores.backup import Memory, Quiet

OWNER = 1001


class Server:
    """A site with its own folder, as the panel lays it out: ``site1/shadow`` and ``site1/info``."""

    def __init__(self, top: Path) -> None:
        self.site = os.fsencode(top / "site1")
        self.shadow = self.site + b"/shadow"
        self.info = self.site + b"/info"
        for folder in (self.site, self.shadow, self.info):
            os.mkdir(folder, 0o711)
        self.exclude: tuple[bytes, ...] = ()

    @property
    def account(self) -> Account:
        left_out = tuple(Exclusion(pattern=pattern, reason="a test") for pattern in self.exclude)
        locations = (
            Location(tree="data", path=self.shadow, why="data", exclude=left_out),
            Location(tree="info", path=self.info, why="info"),
        )
        return Account(name="site1", users=frozenset({OWNER}), locations=locations)

    @property
    def targets(self) -> dict[str, bytes]:
        return {"data": self.shadow, "info": self.info}

    def write(self, path: bytes, content: bytes = b"content\n", uid: int = OWNER, mode: int = 0o644) -> bytes:
        place = self.shadow + b"/" + path
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as file:
            file.write(content)
        os.chown(place, uid, uid)
        os.chmod(place, mode)
        return place

    def staging(self) -> list[bytes]:
        return [name for name in os.listdir(self.site) if name.startswith(b".strongroom")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    yield Server(tmp_path)
    subprocess.run(["chattr", "-R", "-f", "-i", "-a", str(tmp_path)], check=False)
    # pytest's own clearing away recurses, and cannot remove what is very deep.
    subprocess.run(["rm", "-rf", str(tmp_path)], check=False)


Back = Callable[..., RestoreResult]


@pytest.fixture
def back(server: Server) -> Back:
    """Restores into the account, or to a folder, and gives the result."""

    def run(client: Memory, *paths: bytes, **more: object) -> RestoreResult:
        point = more.pop("point", None) or client.point()
        fields: dict[str, object] = {
            "id": "0123abcd",
            "point": point,
            "paths": paths or (b"data",),
            "account": server.account,
            "targets": {} if "to" in more else server.targets,
        }
        return restore(RestoreRequest(**{**fields, **more}), client, Quiet())  # type: ignore[arg-type]

    return run


MERGE, MIRROR = Mode.MERGE, Mode.MIRROR
