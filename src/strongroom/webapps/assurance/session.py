"""Updates of one or many apps from one source: each step an update of its own, each app whatever became of the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

from msgspec.structs import replace

from strongroom.errors import BusyError, StrongroomError, UsageError
from strongroom.model import Account, Frozen
from strongroom.panel.folder import Folder
from strongroom.runs.locks import ChangedError
from strongroom.webapps.assurance import report
from strongroom.webapps.assurance.changes import ByCommand, ByComponent
from strongroom.webapps.assurance.component import Part
from strongroom.webapps.assurance.ground import opened
from strongroom.webapps.assurance.look import Task
from strongroom.webapps.assurance.outcome import Outcome, Verdict
from strongroom.webapps.assurance.plan import plan
from strongroom.webapps.assurance.source import NothingForIt, components
from strongroom.webapps.assurance.trial import Change, Subject
from strongroom.webapps.assurance.update import Updater
from strongroom.webapps.base import App, Kind


class Wish(Frozen):
    """What an update is to come from: a command, or a server path of what is new."""

    command: tuple[str, ...] = ()
    source: bytes | None = None


class Done(Frozen):
    """What came of one app: an outcome for each step that was tried, and why anything was not."""

    app: str
    outcomes: tuple[Outcome, ...] = ()
    skipped: tuple[str, ...] = ()
    error: str = ""

    @property
    def status(self) -> int:
        """0: all confirmed; 1: something was rolled back; 2: something was not, or nothing could be tried."""
        if self.error or any(each.verdict is Verdict.FAILED for each in self.outcomes):
            return 2
        return 1 if any(each.verdict is Verdict.ROLLED_BACK for each in self.outcomes) else 0


class Session:
    """Updates apps; ``attempt`` does one step of one app: an `Updater`'s, or a rehearsal's."""

    def __init__(
        self,
        accounts: Callable[[str], Account],
        find: Callable[[str], App],
        kinds: Sequence[Kind],
        task: Callable[[App, Account], Task],
        attempt: Callable[[Subject, Change], Outcome],
        seconds: float,
        note: Callable[[str], None],
    ) -> None:
        """``task`` is how an app is looked at, ``seconds`` how long a command may take, ``note`` is told what is odd."""
        self._accounts, self._find = accounts, find
        self._kinds = {kind.name: kind for kind in kinds}
        self._task, self._attempt = task, attempt
        self._seconds, self._note = seconds, note

    def one(self, app: App, wish: Wish) -> Done:
        """Update one app. Raise whatever stands in the way before its first step."""
        if wish.command:
            return Done(app=app.app, outcomes=(self._step(app, ByCommand(wish.command, self._seconds)),))
        assert wish.source is not None  # noqa: S101  (there is no third)
        account, kind = self._accounts(app.account), self._kinds[app.kind]
        with ExitStack() as stack:
            ground = stack.enter_context(opened(app, account))
            offered = stack.enter_context(components(wish.source, kind, ground.owner))
            with Folder(os.dup(ground.folder)) as folder:
                planned = plan(app, kind, offered, folder)
            outcomes: list[Outcome] = []
            skipped = list(planned.skipped)
            for number, component in enumerate(planned.steps):
                try:
                    outcomes.append(self._step(self._find(app.app), ByComponent(component, self._seconds)))
                except StrongroomError as error:
                    if not number:
                        raise
                    left = [each.shown for each in planned.steps[number:]]
                    return Done(app=app.app, outcomes=tuple(outcomes), skipped=(*skipped, *left), error=str(error))
                # The ladder ends where a step breaks, or the app is not as it was; a plugin says nothing of the next.
                broken = outcomes[-1].verdict
                if broken is Verdict.FAILED or (broken is Verdict.ROLLED_BACK and component.part is Part.CORE):
                    skipped += [
                        f"{each.shown}: not tried after {component.shown}" for each in planned.steps[number + 1 :]
                    ]
                    break
            return Done(app=app.app, outcomes=tuple(outcomes), skipped=tuple(skipped))

    def many(self, apps: Iterable[App], wish: Wish) -> list[Done]:
        """Update all apps that can be: those locked out, failed or not assured are told with the reason."""
        done = []
        for app in apps:
            reason = why_not(app)
            if reason:
                done.append(Done(app=app.app, skipped=(reason,)))
                continue
            try:
                done.append(self.one(app, wish))
            except (UsageError, BusyError, NothingForIt) as error:
                # A source for one kind of app is none for another.
                done.append(Done(app=app.app, skipped=(str(error),)))
            except StrongroomError as error:
                done.append(Done(app=app.app, error=str(error)))
        return done

    def _step(self, app: App, change: Change) -> Outcome:
        account = self._accounts(app.account)
        subject = Subject(app=app, account=account, kind=self._kinds[app.kind], task=self._task(app, account))
        outcome = self._attempt(subject, change)
        path, problem = report.written(outcome, app, account)
        if problem:
            self._note(f"no report: {problem}")
        return replace(outcome, report=path)


def why_not(app: App) -> str:
    """Why an app is not updated now; empty when nothing is in the way."""
    if not app.assurance:
        return f"{app.app} has no snapshots to go back to; begin them with: strongroom apps enable {app.app}"
    if app.state.failed:
        return f"{app.app}: its last update failed ({app.state.failed}); when that is mended: strongroom apps reset {app.app}"
    return ""


def recover(
    apps: Iterable[App], accounts: Callable[[str], Account], updater: Updater, note: Callable[[str], None]
) -> None:
    """End what killed updates have left; what is under way is let be, and what cannot be ended now is told."""
    for app in apps:
        try:
            said = updater.recover(app, accounts(app.account))
        except ChangedError as error:
            said = f"{app.app}: its update was interrupted, and is ended later: {error}"
        except BusyError:
            continue
        except StrongroomError as error:
            said = str(error)
        if said:
            note(said)
