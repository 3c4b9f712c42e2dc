"""``clients``: the clients that there are, what each can do, and the proof of it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command
from strongroom.cli.output import escaped, table
from strongroom.errors import StrongroomError, UnknownError, UsageError

if TYPE_CHECKING:
    from strongroom.clients.base import Client
    from strongroom.clients.verdicts import Verdict


@command()
@click.option("--probe", metavar="NAME", help="Back up a small hostile tree with this client, restore it, compare.")
@click.option("--configure", metavar="NAME", help="Write the configuration of this client's director (Bacula).")
@click.pass_obj
def clients(invocation: Invocation, probe: str | None, configure: str | None) -> int:
    """List the clients, and what each can do.

    A probe runs by itself before a client's first backup, and whenever its software or its configuration changed; a client
    that loses anything makes incomplete points only.
    """
    if configure is not None:
        return _configure(invocation, configure, probe)
    names = ["vault", *invocation.config.clients] if probe is None else [probe]
    rows = [_row(invocation, name, probe=probe is not None) for name in names]
    lines = table(("CLIENT", "DRIVER", "VERSION", "LEVELS", "PROBE"), [_shown(row) for row in rows])
    lost = [f"{escaped(line)}" for row in rows for line in (row["probe"] or {}).get("lost", ())] if probe else []
    invocation.answer(rows, [*lines, *lost])
    return 1 if lost else 0


def _configure(invocation: Invocation, name: str, probe: str | None) -> int:
    """Write the configuration of a client's director."""
    from strongroom.clients.bacula.configuring import configure

    if probe is not None:
        raise UsageError("--probe and --configure: one of them")
    if name not in invocation.config.clients:
        raise UnknownError(f"no client '{name}' in the configuration; it has: {', '.join(invocation.config.clients)}")
    accounts = [*invocation.layout.accounts(), *filter(None, [invocation.layout.server()])]
    files = [os.fsdecode(path) for path in configure(invocation.config, name, accounts, _export(invocation))]
    invocation.answer({"client": name, "files": files}, [f"written {escaped(path)}" for path in files], summary=True)
    return 0


def _export(invocation: Invocation) -> list[str]:
    """The command that exports every database, with this configuration."""
    program = os.path.join(os.path.dirname(sys.executable), "backup_dbs")
    return ["/usr/bin/env", f"STRONGROOM_CONFIG={os.fsdecode(invocation.config.path)}", program, "--force"]


def _row(invocation: Invocation, name: str, *, probe: bool) -> dict[str, Any]:
    from strongroom.clients.foreign import ForeignClient

    try:
        client = invocation.client(name)
    except StrongroomError as error:
        if probe:
            raise
        return _absent(invocation, name, error)
    if probe:
        from strongroom.restores.probe import probe as prove

        return _described(name, client, prove(client, invocation.config, invocation.teller))
    return _described(name, client, client.verdict() if isinstance(client, ForeignClient) else None)


def _described(name: str, client: Client, verdict: Verdict | None) -> dict[str, Any]:
    can = client.capabilities()
    told = (
        {"status": "failed" if verdict.lost else "passed", "time": verdict.time, "lost": verdict.lost}
        if verdict
        else None
    )
    return {
        "name": name,
        "driver": can.driver,
        "version": can.version,
        "available": can.version is not None,
        "levels": [level.value for level in can.levels],
        "keeps": list(can.keeps),
        "sidecar": list(can.sidecar),
        "partial": can.partial,
        "encrypted": can.encrypted,
        "remote": can.remote,
        "probe": told,
    }


def _absent(invocation: Invocation, name: str, error: StrongroomError) -> dict[str, Any]:
    """A client that cannot be opened; the reason stands in the place of what it can do."""
    driver = invocation.config.clients[name].driver if name in invocation.config.clients else name
    nothing: dict[str, Any] = {"version": None, "available": False, "levels": [], "keeps": [], "sidecar": []}
    more = {"partial": False, "encrypted": False, "remote": False, "probe": None, "error": str(error)}
    return {"name": name, "driver": driver} | nothing | more


def _shown(row: dict[str, Any]) -> tuple[str, ...]:
    # Of what keeps nothing for certain there is nothing to prove.
    proven = row["name"] == "vault" or not row["keeps"]
    probe = row["probe"]["status"] if row["probe"] else "" if proven else "not yet"
    version = escaped(row["version"] or row.get("error", "not installed"))
    return escaped(row["name"]), escaped(row["driver"]), version, ", ".join(row["levels"]), probe
