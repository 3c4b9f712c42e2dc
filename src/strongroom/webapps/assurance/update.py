"""An update of one app: snapshot, look, change, look, decide; then it is confirmed, or rolled back and proven so.

Whatever ends this in between leaves an entry in the journal; `recover` brings the app back to before it, or finishes what
was confirmed already. Nothing of it rests on this process being alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from msgspec.structs import replace

from strongroom.config.values import Webapps
from strongroom.errors import AssuranceError, StrongroomError
from strongroom.model import Account, Status
from strongroom.restores.syncfs import sync_file_system
from strongroom.webapps.assurance.confirming import confirmations
from strongroom.webapps.assurance.ground import Ground, opened
from strongroom.webapps.assurance.journal import Entry, Journal, Stage
from strongroom.webapps.assurance.look import Look, Task, Wanted
from strongroom.webapps.assurance.outcome import Outcome, Step, Verdict
from strongroom.webapps.assurance.probe import Prober
from strongroom.webapps.assurance.verdict import Evidence, Sort, compare, failed
from strongroom.webapps.base import App, Snapshots
from strongroom.webapps.states import States


class Change(Protocol):
    """What an update does to an app: a command, or new files and the app's own upgrade."""

    what: str

    def __call__(self, ground: Ground) -> list[Evidence]:
        """Do it, and say what speaks against it. Raise AssuranceError when it cannot be done."""


class Updater:
    """Updates apps of this server, one at a time each."""

    def __init__(
        self,
        limits: Webapps,
        journal: Journal,
        states: States,
        snapshots: Snapshots,
        prober: Prober,
        note: Callable[[str], None],
    ) -> None:
        """``note`` is told each step."""
        self._limits = limits
        self._journal = journal
        self._states = states
        self._snapshots = snapshots
        self._prober = prober
        self._note = note

    def update(self, app: App, account: Account, change: Change, task: Task) -> Outcome:
        """Do one update; ``task`` is how the app is looked at.

        Raise BusyError while another is at work, and what the snapshot and the first look raise: nothing is changed then.
        """
        with self._journal.alone(app):
            self._recovered(app)
            return _Run(self, app, account, change, task).outcome()

    def recover(self, app: App) -> str | None:
        """End what a killed update left; says what was done, None when there was nothing. Raise as a rollback does."""
        with self._journal.alone(app):
            return self._recovered(app)

    def _recovered(self, app: App) -> str | None:
        entry = self._journal.read(app)
        if entry is None:
            return None
        if entry.stage is Stage.CONFIRMED:
            self._states.change(app, updated=entry.started, failed="")
            self._journal.remove(app)
            return f"{app.app}: the update that was interrupted ({entry.what}) had been confirmed, and stays"
        self._note(f"{app.app}: an update was interrupted; going back to before it")
        back = self._snapshots.rollback(app, entry.snapshot)
        if back.status is not Status.COMPLETE:
            said = "; ".join(remark.message for remark in back.warnings[:3])
            raise AssuranceError(f"{app.app}: {_cure(app, entry.snapshot)}: {said}")
        self._journal.remove(app)
        return f"{app.app}: an update that was interrupted ({entry.what}) was rolled back"


class _Run:
    """One update under way."""

    def __init__(self, updater: Updater, app: App, account: Account, change: Change, task: Task) -> None:
        self._updater = updater
        self._app, self._account, self._change, self._task = app, account, change, task
        self._steps: list[Step] = []
        self._looks: list[Look] = []
        self._evidence: list[Evidence] = []
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def outcome(self) -> Outcome:
        updater, app = self._updater, self._app
        with self._step("snapshot"):
            snapshot = updater._snapshots.take(app, f"Before update: {self._change.what}")
        with self._step("look before"):
            before = self._look()
            said_before = self._confirmed()
        entry = Entry(app=app.app, snapshot=snapshot.id, what=self._change.what, started=self._started)
        updater._journal.write(app, entry)
        try:
            self._do(before, said_before)
            if not failed(self._evidence):
                self._confirm(entry)
        except BaseException:
            # Interrupted: back at once, rather than when the next command comes.
            updater._note(f"{app.app}: interrupted; going back to before the update")
            updater._recovered(app)
            raise
        if failed(self._evidence):
            return self._rolled_back(snapshot.id, before)
        return self._told(Verdict.CONFIRMED, snapshot.id)

    def _confirm(self, entry: Entry) -> None:
        with self._step("confirm"), opened(self._app, self._account) as ground:
            sync_file_system(ground.folder)
            self._updater._journal.write(self._app, replace(entry, stage=Stage.CONFIRMED))
            self._updater._states.change(self._app, updated=self._started, failed="")
            self._updater._journal.remove(self._app)

    def _do(self, before: Look, said_before: dict[str, str]) -> None:
        """Change the app and look at what became of it."""
        with self._step("update"):
            try:
                with opened(self._app, self._account) as ground:
                    self._evidence += self._change(ground)
            except StrongroomError as error:
                self._evidence.append(Evidence(sort=Sort.COMMAND, text=str(error)))
        if failed(self._evidence):
            return
        with self._step("settle"):
            time.sleep(self._updater._limits.settle_seconds)
        with self._step("look after"):
            try:
                after = self._look(before)
            except StrongroomError as error:
                self._evidence.append(Evidence(sort=Sort.PROBE, text=str(error)))
                return
            self._evidence += compare(before, after, self._updater._limits)
            self._evidence += _against(said_before, self._confirmed())

    def _rolled_back(self, snapshot: str, before: Look) -> Outcome:
        updater, app = self._updater, self._app
        left: list[str] = []
        proof: tuple[Evidence, ...] = ()
        with self._step("roll back"):
            try:
                back = updater._snapshots.rollback(app, snapshot)
                if back.status is not Status.COMPLETE:
                    left += [remark.message for remark in back.warnings] or [_cure(app, snapshot)]
            except StrongroomError as error:
                left += [str(error), _cure(app, snapshot)]
        if not left:
            updater._journal.remove(app)
            with self._step("settle"):
                time.sleep(updater._limits.settle_seconds)
            with self._step("look after rollback"):
                proof, left = self._proof(before)
        reason = next(each.text for each in self._evidence if each.fails)
        updater._states.change(app, failed=f"{self._change.what}: {reason}"[:500])
        verdict = Verdict.FAILED if left else Verdict.ROLLED_BACK
        return replace(self._told(verdict, snapshot), proof=proof, left=tuple(left))

    def _proof(self, before: Look) -> tuple[tuple[Evidence, ...], list[str]]:
        try:
            proof = compare(before, self._look(before), self._updater._limits)
        except StrongroomError as error:
            return (), [f"files and database are back, but nobody could look: {error}"]
        return proof, [f"files and database are back, and yet: {each.text}" for each in proof if each.fails]

    def _look(self, before: Look | None = None) -> Look:
        """Look at the app; a second time at the same pages."""
        pages = tuple(Wanted(url=page.url, role=page.role) for page in before.pages) if before else ()
        look = self._updater._prober(replace(self._task, pages=pages))
        self._looks.append(look)
        if before is None and not any(page.answered for page in look.pages):
            first = look.pages[0]
            said = first.failure or f"status {first.status}"
            raise AssuranceError(f"{first.url}: {said}: no page of the app works, so no update could be judged; see --url")
        return look

    def _confirmed(self) -> dict[str, str]:
        with opened(self._app, self._account) as ground:
            return confirmations(ground, self._updater._limits.command_seconds)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._updater._note(f"{self._app.app}: {name}")
        began, clock = time.time(), time.monotonic()
        try:
            yield
        finally:
            self._steps.append(Step(name=name, started=began, seconds=round(time.monotonic() - clock, 3)))

    def _told(self, verdict: Verdict, snapshot: str) -> Outcome:
        return Outcome(
            app=self._app.app,
            what=self._change.what,
            verdict=verdict,
            was=self._app.version,
            snapshot=snapshot,
            evidence=tuple(self._evidence),
            steps=tuple(self._steps),
            looks=tuple(self._looks),
            url=self._task.url,
        )


def _against(before: dict[str, str], after: dict[str, str]) -> Iterator[Evidence]:
    """What the owner's own commands say: one that failed before counts as it was."""
    for name, said in after.items():
        if said:
            fails = not before.get(name)
            yield Evidence(sort=Sort.CONFIRM, text=f"the owner's check {name} {said}", fails=fails, after=said)


def _cure(app: App, snapshot: str) -> str:
    return f"make room and see what is in the way, then: strongroom apps rollback {app.app} {snapshot}"
