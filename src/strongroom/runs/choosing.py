"""Which account and which point a user's words mean."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from strongroom.errors import StrongroomError, UnknownError, UsageError
from strongroom.model import Account, Frozen, Point, Status
from strongroom.panel.base import Layout
from strongroom.runs import times
from strongroom.runs.catalog import Catalog, Identity

LATEST = "latest"


class Subject(Frozen):
    """An account that was named: what the catalog knows it by, and the account itself where this server has it."""

    who: Identity
    account: Account | None


class Wanted(Frozen):
    """Which point of an account: ``point`` an id, a prefix or ``latest``, or ``at`` a TIME; neither: the newest.

    ``complete`` passes over incomplete points, ``client`` over those of other clients. ``part`` is what has to be in it
    (files or databases; None: all that the account has): points that were made of the other part alone are passed over,
    unless there are no others.
    """

    point: str | None = None
    at: str | None = None
    complete: bool = False
    client: str | None = None
    part: str | None = None

    def admits(self, point: Point) -> bool:
        """Whether a point is complete enough."""
        return point.status is Status.COMPLETE or not self.complete

    def has_part(self, point: Point) -> bool:
        """Whether what is wanted was asked for when the point was made."""
        return point.only is None or point.only == self.part


def find_account(name: str, layout: Layout, catalog: Catalog, server: str) -> Subject:
    """The account with a name or domain: on this server, or gone from it and still in points.

    Where two other servers have such an account, neither is preferred. Raise UnknownError or UsageError.
    """
    missing: StrongroomError
    try:
        account = layout.account(name)
        return Subject(who=Identity(server=server, account=account.name), account=account)
    except UsageError:
        raise  # several accounts of this server
    except StrongroomError as error:
        # A bare machine has no layout to speak of, and restores all the same.
        missing = error
    known = catalog.identities(name)
    own = [who for who in known if who.server == server]
    if not known:
        raise missing
    if len(own or known) > 1:
        raise UsageError(
            f"'{name}' means several accounts ({_names(own or known)}); name one of its points with --point"
        )
    return Subject(who=(own or known)[0], account=None)


def _names(identities: list[Identity]) -> str:
    return ", ".join(f"{who.account} of server {who.server[:8] or '?'}" for who in identities)


def choose_point(subject: Subject, wanted: Wanted, catalog: Catalog, now: datetime) -> Point:
    """The point that is wanted of an account. Raise UsageError for a contradiction, UnknownError when there is none."""
    if wanted.point and wanted.at:
        raise UsageError("--point and --at contradict each other: give one of them")
    if wanted.point and wanted.point != LATEST:
        return _named(_own(catalog.point(wanted.point), subject), wanted)
    who = with_points(subject, catalog)
    if wanted.at:
        return _not_after(who, wanted, catalog, now)
    points = catalog.of(who, client=wanted.client)
    found = _best(filter(wanted.admits, points), wanted)
    if found is None:
        kind = "complete point" if points else "point"
        by = f" made by client {wanted.client}" if wanted.client else ""
        raise UnknownError(f"{who.account} has no {kind}{by}; make one with: strongroom backup {who.account}")
    return found


def _best(points: Iterable[Point], wanted: Wanted) -> Point | None:
    """The first point that has the part that is wanted, or else the first."""
    first = None
    for point in points:
        if wanted.has_part(point):
            return point
        first = first or point
    return first


def _own(point: Point, subject: Subject) -> Point:
    """The point, which has to be the account's: by its name or, where a server was rebuilt, by a domain it has."""
    names = {point.account, *point.domains}
    if subject.who.account not in names and not names & set(subject.account.domains if subject.account else ()):
        raise UsageError(
            f"point {point.id} is of {point.account}, not of {subject.who.account}; name the account it is of"
        )
    return point


def _named(point: Point, wanted: Wanted) -> Point:
    """The point, which has to be what else was asked for of it."""
    if wanted.client is not None and point.client != wanted.client:
        raise UsageError(f"point {point.id} is of client {point.client}, not of {wanted.client}; leave --client out")
    if not wanted.admits(point):
        raise UsageError(f"point {point.id} is {point.status}, and --complete passes over such; leave --complete out")
    return point


def with_points(subject: Subject, catalog: Catalog) -> Identity:
    """The identity to look under: a rebuilt server's account finds the points that the old server made of it."""
    if catalog.newest(subject.who) is not None:
        return subject.who
    elsewhere = catalog.identities(subject.who.account)
    if subject.account is not None:
        own_domains = set(subject.account.domains)
        elsewhere = [who for who in elsewhere if own_domains & _domains(who, catalog) or not own_domains]
    if len(elsewhere) > 1:
        raise UsageError(
            f"{subject.who.account} has points of several servers ({_names(elsewhere)}); name one of them with --point"
        )
    return elsewhere[0] if elsewhere else subject.who


def _domains(who: Identity, catalog: Catalog) -> set[str]:
    newest = catalog.newest(who)
    return set(newest.domains) if newest else set()


def _not_after(who: Identity, wanted: Wanted, catalog: Catalog, now: datetime) -> Point:
    moment = times.parse(wanted.at or "", now, times.Edge.END)
    points = list(filter(wanted.admits, catalog.of(who, client=wanted.client)))
    found = _best((point for point in points if times.read(point.time) <= moment), wanted)
    if found is not None:
        return found
    if not points:
        raise UnknownError(f"{who.account} has no point; make one with: strongroom backup {who.account}")
    raise UnknownError(
        f"{who.account} has no point at or before '{wanted.at}'; its first is {points[-1].id} of {points[-1].time}"
    )


def named_point(reference: str, catalog: Catalog, client: str | None = None) -> Point:
    """The point that a POINT means where no account is at hand: an id, a prefix, ``ACCOUNT:latest``, or ``latest``.

    ``latest`` alone is clear only as long as one account has points. Raise UnknownError or UsageError.
    """
    account, colon, word = reference.rpartition(":")
    if word != LATEST:
        return catalog.point(reference)
    known = catalog.identities(account if colon else None)
    if not known:
        raise UnknownError(
            f"no account '{account}' has a point; 'strongroom points' lists them"
            if colon
            else "there is no point yet; make one with: strongroom backup"
        )
    if len(known) > 1:
        names = ", ".join(dict.fromkeys(who.account for who in known))
        raise UsageError(f"'{reference}' could be a point of any of {names}; write ACCOUNT:latest, or the point's id")
    found = catalog.newest(known[0], client=client)
    if found is None:
        raise UnknownError(f"{known[0].account} has no point made by client {client}")
    return found
