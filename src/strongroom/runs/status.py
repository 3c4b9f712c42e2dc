"""Is every account covered: when last, by what, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from strongroom.model import Account, Frozen, Point, Status, text
from strongroom.runs import times
from strongroom.runs.catalog import Catalog, Identity

# A nightly job, and two hours for a night that took longer than the one before.
MAX_AGE_HOURS = 26


class Coverage(Frozen):
    """How well one account is covered: its last complete point (if any), that point's age, and what is wrong."""

    account: str
    last_complete: str | None
    point: str | None
    client: str | None
    age_seconds: float | None
    problems: tuple[str, ...]


class Report(Frozen):
    """Coverage of each account of the server; ``gone`` are accounts that have points and are not on it (no failure)."""

    accounts: tuple[Coverage, ...]
    gone: tuple[str, ...]

    @property
    def attention(self) -> bool:
        """Whether somebody has to look."""
        return not self.accounts or any(coverage.problems for coverage in self.accounts)


def report(
    accounts: Sequence[Account], catalog: Catalog, server: str, now: datetime, max_age_hours: float = MAX_AGE_HOURS
) -> Report:
    """Judge the accounts by what the catalog holds. An account's last complete point must not be older than given."""
    here = {account.name for account in accounts}
    gone = [who.account for who in catalog.identities() if who.server == server and who.account not in here]
    return Report(
        accounts=tuple(
            _coverage(account, Identity(server=server, account=account.name), catalog, now, max_age_hours)
            for account in accounts
        ),
        gone=tuple(gone),
    )


def _coverage(account: Account, who: Identity, catalog: Catalog, now: datetime, max_age_hours: float) -> Coverage:
    newest = catalog.newest(who)
    complete = catalog.newest(who, covering=True)
    age = (now - datetime.fromisoformat(complete.time)).total_seconds() if complete else None
    return Coverage(
        account=who.account,
        last_complete=complete.time if complete else None,
        point=complete.id if complete else None,
        client=complete.client if complete else None,
        age_seconds=age,
        problems=(*_lost(account), *_problems(newest, complete, age, max_age_hours)),
    )


def _lost(account: Account) -> list[str]:
    """The folders that every such account has, and this one has not."""
    return [f"there is no folder {text(path)}" for _, path in account.absent]


def _problems(newest: Point | None, complete: Point | None, age: float | None, max_age_hours: float) -> list[str]:
    if newest is None:
        return ["no point"]
    problems = []
    if newest.status is not Status.COMPLETE:
        problems.append(f"newest point {newest.id} is {newest.status}{_first_reason(newest)}")
    if complete is None:
        problems.append("no complete point")
    elif age is not None and age > max_age_hours * 3600:
        problems.append(f"last complete point is {times.ago(age)} old")
    elif age is not None and age < 0:
        problems.append(f"last complete point {complete.id} is dated in the future; check the clock")
    return problems


def _first_reason(point: Point) -> str:
    failed = [f"{copy.engine}:{copy.name}" for copy in point.databases if copy.status is not Status.COMPLETE]
    if failed:
        return f": databases not whole: {', '.join(failed)}"
    if not point.warnings:
        return ""
    more = f" (and {len(point.warnings) - 1} more)" if len(point.warnings) > 1 else ""
    return f": {point.warnings[0].message}{more}"
