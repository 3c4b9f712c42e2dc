"""``apps update``: updates that are looked at before and after, and rolled back where they break an app."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.apps_command import AppCommand
from strongroom.cli.invocation import Invocation
from strongroom.cli.output import escaped
from strongroom.errors import AssuranceError, StrongroomError, UsageError

if TYPE_CHECKING:
    from strongroom.model import Account
    from strongroom.webapps.assurance.look import Task
    from strongroom.webapps.assurance.outcome import Outcome
    from strongroom.webapps.assurance.session import Done, Session, Wish
    from strongroom.webapps.assurance.trial import Change, Subject
    from strongroom.webapps.base import App


# Where what stands after "--" is kept: of it, click tells no more than that it is an argument.
_AFTER = "strongroom.after"


class _Update(AppCommand):
    """The command that has another one after ``--``."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """Put the other one aside."""
        if "--" in arguments:
            at = arguments.index("--")
            context.meta[_AFTER] = tuple(arguments[at + 1 :])
            arguments = arguments[:at]
        return super().parse_args(context, arguments)


@click.command("update", cls=_Update)
@click.argument("words", nargs=-1, metavar="[APP] [-- COMMAND...]")
@click.option("--all", "everything", is_flag=True, help="Every app that is assured, one after the other.")
@click.option("--from", "source", metavar="PATH", help="A folder or an archive with a new core, plugins or themes.")
@click.option("--url", metavar="URL", help="Where the app is seen, if it does not know that itself.")
@click.option("--dry-run", is_flag=True, help="Try it on a copy from the latest point; the app is not touched.")
@click.option("--notify", is_flag=True, help="Mail what failed to the account's address, else as cron.notify says.")
@click.pass_obj
def update(
    invocation: Invocation,
    words: tuple[str, ...],
    everything: bool,
    source: str | None,
    url: str | None,
    dry_run: bool,
    notify: bool,
) -> int:
    """Update an app, and roll it back where that breaks it.

    COMMAND runs as the account in the app's folder. Before and after it the app's pages are looked at. Exit status 0: the
    update stays; 1: it was rolled back, and everything is as before; 2: it was not, and what is left to do is said.
    """
    from strongroom.webapps.assurance.session import Done, why_not

    wish = _wish(words, source, everything=everything)
    if everything and (url or dry_run):
        raise UsageError(f"{'--url' if url else '--dry-run'} is for one APP, and contradicts --all")
    if notify and dry_run:
        raise UsageError("--notify and --dry-run contradict each other: a rehearsal is for whoever asked for it")
    session = _session(invocation, url, dry_run=dry_run)
    if everything:
        return _all(invocation, session, wish, notify=notify)
    app = invocation.finder.find(words[0])
    if not dry_run and (reason := why_not(app)):
        raise AssuranceError(reason)
    try:
        done = session.one(app, wish)
    except StrongroomError as error:
        if notify:
            _notify(invocation, Done(app=app.app, error=str(error)))
        raise
    if done.error and not done.outcomes:
        raise AssuranceError(done.error)
    _tell_what_is_left(invocation, done)
    if notify and done.status:
        _notify(invocation, done)
    invocation.answer(_document(done), _lines(done))
    return done.status


def _wish(words: tuple[str, ...], source: str | None, *, everything: bool) -> Wish:
    """What is to be done. Raise UsageError for what contradicts itself."""
    from strongroom.webapps.assurance.session import Wish

    after: tuple[str, ...] | None = click.get_current_context().meta.get(_AFTER)
    if everything and words and after is not None:
        raise UsageError(f"APP '{escaped(words[0])}' and --all contradict each other: leave one out")
    if not everything and not words:
        raise UsageError("say which APP, or --all; 'strongroom apps list' shows them")
    given = (*(words if everything else words[1:]), *(after or ()))
    if bool(given) == (source is not None):
        raise UsageError("say where the update comes from: either -- COMMAND, or --from FOLDER_OR_ARCHIVE")
    if source == "":
        raise UsageError("--from needs the PATH of a folder or an archive")
    return Wish(command=given, source=os.path.abspath(os.fsencode(source)) if source is not None else None)


def _all(invocation: Invocation, session: Session, wish: Wish, *, notify: bool) -> int:
    found = session.many(list(invocation.finder.all()), wish)
    for done in found:
        _tell_what_is_left(invocation, done)
        if notify and done.status:
            _notify(invocation, done)
    lines = [line for done in found for line in _lines(done)]
    invocation.answer([_document(done) for done in found], lines or ["no web apps on this server"])
    return max((done.status for done in found), default=0)


def _tell_what_is_left(invocation: Invocation, done: Done) -> None:
    """Say what a panel wants after an account's files were put back."""
    if any(outcome.verdict.value != "confirmed" and not outcome.rehearsed for outcome in done.outcomes):
        account = done.app.partition(":")[0]
        if (left := invocation.layout.after_restore(account)) is not None:
            invocation.teller.note(left)


def _notify(invocation: Invocation, done: Done) -> None:
    """Mail what came of an app's update to whom the panel has for the account, else to whom it has for its own jobs."""
    from strongroom.settings.schedules import is_address
    from strongroom.settings.scopes import NOTIFY

    account = invocation.layout.account(done.app.partition(":")[0])
    to = account.email if is_address(account.email) else str(invocation.scopes.get(NOTIFY))
    how = "rolled back" if done.status == 1 else "FAILED"
    invocation.mail(to, f"Update of {done.app}: {how}", "".join(f"{line}\n" for line in _lines(done)))


def _session(invocation: Invocation, url: str | None, *, dry_run: bool) -> Session:
    from strongroom.webapps.assurance.session import Session
    from strongroom.webapps.assurance.tasks import task
    from strongroom.webapps.kinds import all_kinds

    limits = invocation.config.webapps

    def how(app: App, account: Account) -> Task:
        return task(app, account, limits, url)

    return Session(
        invocation.layout.account,
        invocation.finder.find,
        all_kinds(),
        how,
        _rehearsed(invocation) if dry_run else invocation.updater.update,
        limits.command_seconds,
        invocation.teller.note,
    )


def _rehearsed(invocation: Invocation) -> Callable[[Subject, Change], Outcome]:
    """How a step is tried on a copy from the account's latest point."""
    from strongroom.cli.restore import restorer_of
    from strongroom.runs.choosing import Wanted
    from strongroom.webapps.assurance.probe import look
    from strongroom.webapps.assurance.rehearsal import Rehearsal, Source

    rehearsal = Rehearsal(invocation.config, look, invocation.teller.note)

    def attempt(subject: Subject, change: Change) -> Outcome:
        account = invocation.subject(subject.account.name)
        point = invocation.point_of(account, Wanted())
        source = Source(
            point=point,
            client=invocation.client(point.client),
            restorer=lambda: restorer_of(invocation, account, point),
            monitor=invocation.teller,
        )
        return rehearsal.rehearse(subject, change, source)

    return attempt


def _document(done: Done) -> dict[str, Any]:
    """What came of one app as JSON: the step that decided, and all of them."""
    steps = [_step(outcome) for outcome in done.outcomes]
    worst = max(done.outcomes, key=lambda outcome: _RANK[outcome.verdict.value], default=None)
    nothing: dict[str, Any] = {"app": done.app, "verdict": None, "evidence": [], "report": None}
    deciding = _step(worst) if worst else nothing
    more = {"updates": steps, "skipped": list(done.skipped), "error": done.error or None}
    return deciding | more


_RANK = {"confirmed": 0, "rolled back": 1, "failed": 2}


def _step(outcome: Outcome) -> dict[str, Any]:
    return {
        "app": outcome.app,
        "verdict": outcome.verdict.value,
        "evidence": [
            {
                "kind": each.sort.value,
                "page": each.page or None,
                "text": each.text,
                "fails": each.fails,
                "before": each.before,
                "after": each.after,
            }
            for each in outcome.evidence
        ],
        "report": outcome.report or None,
        "what": outcome.what,
        "was": outcome.was,
        "version": outcome.version,
        "snapshot": outcome.snapshot or None,
        "left": list(outcome.left),
        "dry_run": outcome.rehearsed,
        "modes": list(outcome.modes),
        "steps": [{"name": step.name, "seconds": step.seconds} for step in outcome.steps],
    }


def _lines(done: Done) -> Iterator[str]:
    for outcome in done.outcomes:
        verdict = f"{'would be ' if outcome.rehearsed else ''}{outcome.verdict.value}"
        yield escaped(f"{outcome.app}: {verdict}: {outcome.what}")
        yield from (escaped(f"  {reason}") for reason in outcome.reasons)
        yield from (escaped(f"  left to do: {each}") for each in outcome.left)
        if outcome.report:
            yield escaped(f"  report: {outcome.report}")
    yield from (escaped(f"{done.app}: not updated: {reason}") for reason in done.skipped)
    if done.error:
        yield escaped(f"{done.app}: {done.error}")
