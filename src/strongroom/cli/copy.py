"""``copy``: carry a point to another client, or make a chain into a new full point."""

from __future__ import annotations

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import command
from strongroom.cli.output import escaped, size


@command()
@click.argument("point", metavar="POINT")
@click.option("--client", metavar="NAME", required=True, help="The client that it is carried to.")
@click.pass_obj
def copy(invocation: Invocation, point: str, client: str) -> int:
    """Carry a point to another client, with its time.

    The copy is a full point that needs no other; where it is there already, nothing is done. With the point's own client, the
    chain that it is the end of is made into a new full point, without the server being read: later increments are built on
    that, and the older links can be forgotten and pruned.
    """
    from strongroom.cli import documents
    from strongroom.cli.backup import prove
    from strongroom.model import Status
    from strongroom.runs.copying import copy

    found = invocation.named_point(point)
    source, target, catalog = invocation.client(found.client), invocation.client(client), invocation.catalog()
    invocation.catalog(client)
    prove(invocation, client)
    copied = copy(found, source, target, catalog, invocation.config.server.state, invocation.teller)
    made = copied.point
    if copied.made:
        what = f"{found.id[:12]} of {escaped(found.account)}, {found.time}"
        line = f"{what}: copied to {escaped(client)} as {made.id[:12]}, {size(made.bytes)}"
    elif made.id == found.id:
        line = f"{found.id[:12]} stands alone in {escaped(client)} already; nothing was done"
    else:
        line = f"{found.id[:12]} is in {escaped(client)} already, as {made.id[:12]}; nothing was done"
    invocation.answer(documents.point(made, warnings=True) | {"copied": copied.made}, [line], summary=True)
    return 0 if made.status is Status.COMPLETE else 1
