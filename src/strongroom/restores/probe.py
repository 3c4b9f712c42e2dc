"""A probe: a small tree with every odd thing goes out through a client and comes back, at every level, and is compared.

The comparer knows nothing of any client (`strongroom.demo.proof`). What it finds lost is remembered: a client that loses
anything makes incomplete points only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime

from strongroom.clients.base import Client, Failure, Monitor, RunHead, Task
from strongroom.clients.foreign import ForeignClient
from strongroom.clients.verdicts import Verdict
from strongroom.config import Config
from strongroom.demo import inode_flags, oddities, proof
from strongroom.demo.ground import Ground
from strongroom.errors import ClientError
from strongroom.model import Account, Level, Location, Point
from strongroom.restores.request import RestoreRequest
from strongroom.restores.restore import restore

NAME = "probe"
_UID = 10000
# So many losses are remembered and shown; the rest are alike.
_MOST = 50


def need(client: Client, config: Config, monitor: Monitor, *, default: bool) -> None:
    """See to it that a client has been probed as it is now; ``default`` says whether it is the configuration's own choice.

    Raise ClientError for a default client that failed.
    """
    if not isinstance(client, ForeignClient):
        return
    client.need()
    verdict = client.verdict()
    if verdict is None:
        monitor.note(f"client {client.name}: first use, or something about it changed; probing it on a small tree")
        verdict = probe(client, config, monitor)
    if verdict.lost and default:
        raise ClientError(
            f"client {client.name} failed its probe ({verdict.lost[0]}), so it cannot be backup.client; "
            f"see: strongroom clients --probe {client.name}"
        )


def probe(client: Client, config: Config, monitor: Monitor) -> Verdict:
    """Probe a client, and remember the verdict on foreign software.

    Raise ClientError where software or storage cannot be used at all.
    """
    if isinstance(client, ForeignClient):
        client.need()
    with _folder(config) as folder:
        tree = os.path.join(folder, b"tree")
        ground = Ground(tree, _UID, _UID, "probe")
        oddities.build(ground)
        lost = list(_rounds(client, tree, folder, monitor))
    if isinstance(client, ForeignClient):
        return client.judge(lost[:_MOST])
    can = client.capabilities()
    return Verdict(
        driver=can.driver, version=can.version or "", configuration="", time=_now(), lost=tuple(lost[:_MOST])
    )


@contextlib.contextmanager
def _folder(config: Config) -> Iterator[bytes]:
    os.makedirs(config.server.state, mode=0o700, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=b"probe-", dir=config.server.state)
    try:
        yield folder
    finally:
        inode_flags.release(folder)
        shutil.rmtree(folder)


def _rounds(client: Client, tree: bytes, folder: bytes, monitor: Monitor) -> Iterator[str]:
    """A full point, and one of each other level after a change; what differs of each, as lines."""
    run = f"probe-{secrets.token_hex(4)}"
    made: list[str] = []
    try:
        for number, level in enumerate(client.capabilities().levels):
            if number:
                _change(tree, number)
            before = proof.take(tree)
            point = _point(client, tree, level, run, monitor)
            made.append(point.id)
            if point.level is not level:
                yield f"{level}: it made a {point.level} point"
            target = os.path.join(folder, b"out-%d" % number)
            request = RestoreRequest(id=secrets.token_hex(8), point=point, paths=(b"data",), to=target)
            result = restore(request, client, monitor)
            for line in proof.differences(before, proof.take(os.path.join(target, b"data"))):
                yield f"{level}: {line}"
            for remark in result.warnings:
                yield f"{level}: {remark.message}"
    finally:
        client.forget(made)


def _change(tree: bytes, number: int) -> None:
    """What a night brings: content, a new file, one that is gone, an attribute, a name."""
    many = tree + b"/" + oddities.ODD + b"/many/"
    with open(many + b"%03d" % number, "wb") as file:
        file.write(b"changed %d\n" % number)
    with open(many + b"new-%d" % number, "wb") as file:
        file.write(b"new\n")
    os.unlink(many + b"%03d" % (10 + number))
    os.chmod(many + b"%03d" % (20 + number), 0o600)
    os.rename(many + b"%03d" % (30 + number), many + b"renamed-%d" % number)


def _point(client: Client, tree: bytes, level: Level, run: str, monitor: Monitor) -> Point:
    account = Account(
        name=NAME,
        users=frozenset({_UID}),
        locations=(Location(tree="data", path=tree, why="what a client must bring back"),),
    )
    head = RunHead(id=run, started=_now(), server=run, workers=1)
    (outcome,) = client.backup([Task(account=account, level=level)], head, monitor)
    if isinstance(outcome, Failure):
        raise ClientError(f"client {client.name} cannot be probed: {outcome.message}")
    return outcome


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
