"""An update of one app: snapshot, look, change, look, decide; then it is confirmed, or rolled back and proven so.

Whatever ends this in between leaves an entry in the journal; `recover` brings the app back to before it, or finishes what
was confirmed already. Nothing of it rests on this process being alive.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from msgspec.structs import replace

from strongroom.config.values import Webapps
from strongroom.counting import counted
from strongroom.errors import AssuranceError, SnapshotError, StrongroomError
from strongroom.model import Account, Status, text
from strongroom.restores.syncfs import sync_file_system
from strongroom.runs.locks import Changes
from strongroom.webapps.assurance.clearing import sweep
from strongroom.webapps.assurance.ground import opened
from strongroom.webapps.assurance.journal import Entry, Journal, Stage
from strongroom.webapps.assurance.outcome import Outcome, Verdict
from strongroom.webapps.assurance.probe import Prober
from strongroom.webapps.assurance.trial import Change, Subject, Trial
from strongroom.webapps.assurance.verdict import Evidence, Sort
from strongroom.webapps.base import App, RolledBack, Snapshots
from strongroom.webapps.snapshots import refuge
from strongroom.webapps.states import States


class Updater:
    """Updates apps of this server, one at a time each."""

    def __init__(
        self,
        limits: Webapps,
        journal: Journal,
        states: States,
        snapshots: Snapshots,
        changes: Changes,
        prober: Prober,
        note: Callable[[str], None],
    ) -> None:
        """An account is changed as ``changes`` allows; ``note`` is told each step."""
        self._limits = limits
        self._journal = journal
        self._states = states
        self._snapshots = snapshots
        self._changes = changes
        self._prober = prober
        self._note = note

    def update(self, subject: Subject, change: Change) -> Outcome:
        """Do one update.

        Raise BusyError while another is at work, and what the snapshot and the first look raise: nothing is changed then.
        """
        app = subject.app
        # No backup has the app half-updated, and none is in the way of going back.
        with self._journal.alone(app), self._changes.of(app.account):
            self._recovered(app, subject.account)
            trial = Trial(subject, change, self._limits, self._prober, self._note)
            started = datetime.now(UTC).isoformat(timespec="seconds")
            with trial.step("snapshot"):
                snapshot = self._taken(app, change)
            trial.before()
            entry = Entry(app=app, snapshot=snapshot, what=change.what, started=started)
            self._journal.write(app, entry)
            self._shelter(trial)
            try:
                trial.changed()
                if not trial.failed:
                    self._confirm(trial, entry)
            except BaseException:
                # Interrupted: back at once, rather than when the next command comes.
                self._recovered(app, subject.account)
                raise
            outcome = self._rolled_back(trial, snapshot) if trial.failed else trial.outcome(Verdict.CONFIRMED)
            return replace(outcome, snapshot=snapshot)

    def recover(self, app: App, account: Account) -> str | None:
        """End what a killed update left of an app; says what was done, None when there was nothing.

        Raise BusyError where another update is under way, else as a rollback does; a backup is not waited for.
        """
        with self._journal.alone(app), self._changes.of(app.account, wait=False):
            return self._recovered(app, account)

    def forget(self, app: App, account: Account) -> None:
        """Keep no way back of an update any more: it is ended, or nobody wants it ended."""
        refuge.leave(account, app)
        self._journal.remove(app)

    def _taken(self, app: App, change: Change) -> str:
        """What there is to go back to."""
        taken = self._snapshots.take(app, f"Before update: {change.what}")
        if taken.status is not Status.COMPLETE:
            why = "; ".join(remark.message for remark in taken.warnings[:3])
            raise AssuranceError(
                f"{app.app} is not updated: its snapshot is incomplete, so there is no way back: {why}"
            )
        return taken.id

    def _shelter(self, trial: Trial) -> None:
        """Keep the way back where the change cannot take it away. Without that an update is as safe as its command is."""
        try:
            refuge.take_in(trial.account, trial.app)
        except SnapshotError as error:
            self._note(f"{trial.app.app}: {error}")

    def _have_way_back(self, app: App, account: Account, snapshot: str) -> None:
        """Where the change took the repository away, put it back."""
        if not self._snapshots.holds(app, snapshot) and refuge.bring_back(account, app):
            self._note(f"{app.app}: its snapshots were taken away, and are put back")

    def _confirm(self, trial: Trial, entry: Entry) -> None:
        app, account = trial.app, trial.account
        with trial.step("confirm"), opened(app, account) as ground:
            self._have_way_back(app, account, entry.snapshot)
            sync_file_system(ground.folder)
            self._journal.write(app, replace(entry, stage=Stage.CONFIRMED))
            self._states.change(app, updated=entry.started)
            self.forget(app, account)

    def _rolled_back(self, trial: Trial, snapshot: str) -> Outcome:
        app = trial.app
        left: list[str] = []
        with trial.step("roll back"):
            try:
                back = self._back(app, trial.account, snapshot)
                if back.status is not Status.COMPLETE:
                    left += [*_said(back), _cure(app, snapshot)]
                left += _lost(app, back)
                trial.evidence += _staying(app, back)
            except StrongroomError as error:
                left += [str(error), _cure(app, snapshot)]
        reasons = trial.outcome(Verdict.FAILED).reasons
        self._states.change(app, failed=f"{trial.change.what}: {reasons[0]}"[:500])
        # What could not be done is told, and is not tried again behind the back of whoever mends it.
        self.forget(app, trial.account)
        if left:
            return replace(trial.outcome(Verdict.FAILED), left=tuple(left))
        proof, left = trial.proof()
        outcome = trial.outcome(Verdict.FAILED if left else Verdict.ROLLED_BACK)
        return replace(outcome, proof=proof, left=tuple(left))

    def _back(self, app: App, account: Account, snapshot: str) -> RolledBack:
        if refuge.folder_back(account, app):
            self._note(f"{app.app}: its folder had another name, and has its own again")
        self._have_way_back(app, account, snapshot)
        with opened(app, account) as ground:
            sweep(ground)
        return self._snapshots.rollback(app, snapshot)

    def _recovered(self, app: App, account: Account) -> str | None:
        entry = self._journal.read(app)
        if entry is None:
            return None
        if entry.stage is Stage.CONFIRMED:
            self._states.change(app, updated=entry.started)
            self.forget(app, account)
            return f"{app.app}: the update that was interrupted ({entry.what}) had been confirmed, and stays"
        self._note(f"{app.app}: an update was interrupted; going back to before it")
        back = self._back(app, account, entry.snapshot)
        if back.status is not Status.COMPLETE:
            raise AssuranceError(f"{app.app}: {'; '.join(_said(back)[:3])}; {_cure(app, entry.snapshot)}")
        self.forget(app, account)
        return f"{app.app}: an update that was interrupted ({entry.what}) was rolled back"


def _said(back: RolledBack) -> list[str]:
    return [remark.message for remark in back.warnings]


def _lost(app: App, back: RolledBack) -> list[str]:
    """What to do where files are gone that no snapshot has."""
    if not back.lost:
        return []
    first, what = _few(app, back.lost)
    return [
        f"{what} not as before, and snapshots do not keep what is in such files; the account's points do: "
        f"strongroom restore {app.account} {first}"
    ]


def _staying(app: App, back: RolledBack) -> list[Evidence]:
    """What came since the snapshot, and was not taken away: it may be a visitor's, and nobody else has it."""
    if not back.stays:
        return []
    what = _few(app, back.stays)[1]
    return [Evidence(sort=Sort.STAYS, text=f"{what} new, and left where no snapshot would have it", fails=False)]


def _few(app: App, paths: tuple[bytes, ...]) -> tuple[str, str]:
    """The first of some files, and all of them in words that a verb follows."""
    first, more = text(app.path.rstrip(b"/") + paths[0][len(app.stored) :]), len(paths) - 1
    return first, f"{first} and {counted(more, 'file')} more are" if more else f"{first} is"


def _cure(app: App, snapshot: str) -> str:
    return f"see what is in the way, then: strongroom apps rollback {app.app} {snapshot[:12]}"
