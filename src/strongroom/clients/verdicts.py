"""What a client's probe said, remembered with what it said it of: driver, version and configuration."""

from __future__ import annotations

import os

import msgspec
from blake3 import blake3

from strongroom.clients.holdings import put
from strongroom.config import Config
from strongroom.model import Frozen

_NAME = b"verdict.json"


class Verdict(Frozen):
    """The result of a probe; ``lost`` is what did not come back as it was, one line each (none: it passed)."""

    driver: str
    version: str
    configuration: str
    time: str
    lost: tuple[str, ...] = ()


def configuration_digest(config: Config, name: str) -> str:
    """Changes whenever a client's table of the configuration does."""
    return blake3(msgspec.json.encode(config.clients[name], enc_hook=repr)).hexdigest(16)


def read(folder: bytes, driver: str, version: str, configuration: str) -> Verdict | None:
    """What the last probe said, if it was of this driver, version and configuration."""
    try:
        with open(os.path.join(folder, _NAME), "rb") as file:
            found = msgspec.json.decode(file.read(), type=Verdict)
    except (OSError, msgspec.MsgspecError):
        return None
    same = (found.driver, found.version, found.configuration) == (driver, version, configuration)
    return found if same else None


def remember(folder: bytes, verdict: Verdict) -> None:
    """Keep what a probe said."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    put(os.path.join(folder, _NAME), msgspec.json.encode(verdict))
