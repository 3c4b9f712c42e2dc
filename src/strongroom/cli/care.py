"""``check``, ``forget``, ``prune`` and ``status``: what keeps a vault worth having."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import client_option, command
from strongroom.cli.output import escaped, size, table
from strongroom.counting import counted
from strongroom.paths import owners

if TYPE_CHECKING:
    from strongroom.clients.base import Client
    from strongroom.model import Verification
    from strongroom.runs.catalog import Catalog
    from strongroom.runs.retention import Verdict
    from strongroom.runs.status import Coverage, Report

# Paths of one damaged object that are printed without -v.
_SHOWN = 10


class _Percent(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer click alone
    name = "percent"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            share = float(str(value).removesuffix("%"))
        except ValueError:
            share = -1.0
        if not 0 < share <= 100:
            self.fail(f"'{value}' is not a percentage above 0, up to 100", param, ctx)
        return share / 100


class _Hours(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    name = "hours"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            hours = float(value)
        except ValueError:
            hours = 0.0
        if not 0 < hours < float("inf"):
            self.fail(f"'{value}' is not a number of hours above 0", param, ctx)
        return hours


@command()
@click.option(
    "--read-data",
    type=_Percent(),
    is_flag=False,
    flag_value="100",
    metavar="[PERCENT]",
    help="Read back, decrypt and hash this share of the content too (all of it, when no number is given).",
)
@click.option("--repair", is_flag=True, help="Mend what can be mended.")
@client_option
@click.pass_obj
def check(invocation: Invocation, read_data: float | None, repair: bool, client: str | None) -> int:
    """Verify the vault's structure and, with --read-data, content."""
    from strongroom.cli import documents

    invocation.catalog(client)  # says which points vanished: what is not there, a check of what is there cannot miss
    found = invocation.client(client).verify(read_data=read_data or 0.0, repair=repair, monitor=invocation.teller)
    invocation.answer(documents.check(found), _damage(found, verbose=bool(invocation.verbose)))
    return 1 if found.damage else 0


def _damage(found: Verification, *, verbose: bool) -> Iterator[str]:
    for damage in found.damage:
        points = "point" if len(damage.points) == 1 else "points"
        hurt = f" (hurts {points} {', '.join(damage.points)})" if damage.points else ""
        named = damage.message.startswith(damage.object)
        yield f"{'' if named else f'{escaped(damage.object)}: '}{escaped(damage.message)}{hurt}"
        shown = damage.paths if verbose else damage.paths[:_SHOWN]
        for path in shown:
            yield f"    {escaped(owners(path))}"
        if len(damage.paths) > len(shown):
            yield f"    … and {len(damage.paths) - len(shown):,} more; -v shows all"
    state = f"damaged: {len(found.damage)} of them" if found.damage else "clean"
    yield f"{counted(found.objects, 'object')}, {size(found.bytes_read)} read: {state}"


@command()
@click.argument("points", nargs=-1, metavar="[POINT]...")
@client_option
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten, and why the rest stays.")
@click.pass_obj
def forget(invocation: Invocation, points: tuple[str, ...], client: str | None, dry_run: bool) -> None:
    """Apply the retention, or forget just the named points."""
    from strongroom.runs.retention import Verdict, judge

    catalog = invocation.catalog(client)
    opened = invocation.client(client)
    unread = _unread(points, opened, catalog)
    if points:
        readable = [point for point in points if point not in unread]
        named = {found.id: found for found in (invocation.named_point(point, client) for point in readable)}
        verdict = Verdict(forget=(*named, *sorted(unread)), kept=())
    else:
        known = {found.id: found for found in catalog.all(client=opened.name)}
        verdict = judge(known.values(), invocation.config.retention, server=invocation.server, now=invocation.now)
        named = {name: known[name] for name in verdict.forget}
    if not dry_run:
        by_client: dict[str, list[str]] = defaultdict(list)
        by_client[opened.name] += sorted(unread)
        for found in named.values():
            by_client[found.client].append(found.id)
        for name, ids in by_client.items():
            invocation.client(name).forget(ids)
            catalog.drop(ids)
    document = {
        "forgotten": list(verdict.forget),
        "kept": [{"id": each.id, "because": each.because} for each in verdict.kept],
    }
    described = dict.fromkeys(unread, ("", "cannot be read"))
    described |= {each.id: (each.account, each.time) for each in (*named.values(), *catalog.all(client=opened.name))}
    invocation.answer(document | ({"dry_run": True} if dry_run else {}), _verdict(verdict, described, dry_run=dry_run))


def _unread(points: Sequence[str], client: Client, catalog: Catalog) -> set[str]:
    """Those of the named points that the client has and nobody can read: their whole ids are all that is known."""
    return {point for point in points if point in client.ids()}.difference(each.id for each in catalog.all())


def _verdict(verdict: Verdict, described: dict[str, tuple[str, str]], *, dry_run: bool) -> Iterator[str]:
    word = "would go" if dry_run else "forgotten"
    rows = [(word, name[:12], *map(escaped, described[name]), "") for name in verdict.forget]
    rows += [("kept", each.id[:12], *map(escaped, described[each.id]), each.because) for each in verdict.kept]
    yield from table(("", "POINT", "ACCOUNT", "TIME", "BECAUSE"), rows)
    yield f"{len(verdict.forget):,} {'to forget' if dry_run else 'forgotten; strongroom prune frees their room'}"


@command()
@client_option
@click.option("--dry-run", is_flag=True, help="Say how much would be freed.")
@click.pass_obj
def prune(invocation: Invocation, client: str | None, dry_run: bool) -> None:
    """Free the room that no point needs any more."""
    found = invocation.client(client).prune(dry_run=dry_run)
    document: dict[str, Any] = {
        "freed_bytes": found.freed_bytes,
        "held_bytes": found.held_bytes,
        "objects": found.objects,
    }
    held = f"; {size(found.held_bytes)} are still held by a run under way" if found.held_bytes else ""
    line = (
        f"{'would free' if dry_run else 'freed'} {size(found.freed_bytes)} in {counted(found.objects, 'object')}{held}"
    )
    invocation.answer(document | ({"dry_run": True} if dry_run else {}), [line], summary=True)


@command()
@click.option(
    "--max-age",
    type=_Hours(),
    metavar="HOURS",
    help="An account's last complete point may be this old (26 hours).",
)
@click.pass_obj
def status(invocation: Invocation, max_age: float | None) -> int:
    """Show whether every account is covered.

    When last, and by what; the exit status is 1 when one is not.
    """
    from strongroom.cli import documents
    from strongroom.runs.status import MAX_AGE_HOURS, report

    invocation.client().unlock()  # points that nobody can read cover no account
    server = invocation.layout.server()
    accounts = [*invocation.layout.accounts(), *([server] if server else [])]
    found = report(accounts, invocation.catalog(), invocation.server, invocation.now, max_age or MAX_AGE_HOURS)
    invocation.answer(documents.status(found), _coverage(found))
    return 1 if found.attention else 0


def _coverage(report: Report) -> Iterator[str]:
    yield from table(("ACCOUNT", "LAST COMPLETE", "AGE", "POINT", "CLIENT", "PROBLEMS"), map(_covered, report.accounts))
    if report.gone:
        yield f"not on this server any more, and still in points: {', '.join(map(escaped, report.gone))}"
    bad = sum(bool(each.problems) for each in report.accounts)
    yield (
        f"{bad} of {counted(len(report.accounts), 'account')} {'needs' if bad == 1 else 'need'} attention"
        if report.attention
        else f"ok: {counted(len(report.accounts), 'account')}"
    )


def _covered(each: Coverage) -> tuple[str, ...]:
    from strongroom.runs import times

    return (
        escaped(each.account),
        f"{each.last_complete[:19]}Z" if each.last_complete else "never",
        times.ago(each.age_seconds) if each.age_seconds is not None else "",
        (each.point or "")[:12],
        each.client or "",
        escaped("; ".join(each.problems)),
    )
