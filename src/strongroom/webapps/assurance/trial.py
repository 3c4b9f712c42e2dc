"""A change between two looks, and what it shows; whether it is kept is for others to decide."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from msgspec.structs import replace

from strongroom.config.values import Webapps
from strongroom.errors import AssuranceError, StrongroomError
from strongroom.model import Account, Frozen
from strongroom.panel.folder import Folder
from strongroom.webapps.assurance.confirming import confirmations
from strongroom.webapps.assurance.fortification import modes
from strongroom.webapps.assurance.ground import Ground, opened
from strongroom.webapps.assurance.ladder import allowed
from strongroom.webapps.assurance.look import Look, Task, Wanted
from strongroom.webapps.assurance.outcome import Outcome, Step, Verdict
from strongroom.webapps.assurance.probe import Prober
from strongroom.webapps.assurance.verdict import Evidence, Sort, compare, failed
from strongroom.webapps.base import App, Kind


class Change(Protocol):
    """What an update does to an app: a command, or new files and the app's own upgrade."""

    what: str

    def __call__(self, ground: Ground) -> list[Evidence]:
        """Do it, and say what speaks against it. Raise AssuranceError when it cannot be done."""


class Subject(Frozen):
    """What a change is tried on: the app, its account, its kind, and how it is looked at."""

    app: App
    account: Account
    kind: Kind
    task: Task


class Trial:
    """One change of one app. ``evidence`` is all that was seen, ``looks`` what was looked at, ``steps`` what took how long."""

    def __init__(
        self, subject: Subject, change: Change, limits: Webapps, prober: Prober, note: Callable[[str], None]
    ) -> None:
        """``note`` is told each step."""
        self.app, self.account, self.task = subject.app, subject.account, subject.task
        self.change = change
        self.evidence: list[Evidence] = []
        self.looks: list[Look] = []
        self.steps: list[Step] = []
        self.version = subject.app.version
        self._kind = subject.kind
        self._limits, self._prober, self._note = limits, prober, note
        self._checks: dict[str, str] = {}
        self._modes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether something was seen that fails the change."""
        return failed(self.evidence)

    def before(self) -> None:
        """Look at the app as it is. Raise AssuranceError when no page of it works."""
        with self.step("look before"):
            look = self._look()
            with opened(self.app, self.account) as ground:
                self._checks, self._modes = self._checked(ground), modes(ground)
        if not any(page.works for page in look.pages):
            first = look.pages[0]
            said = first.failure or next((fault.text for fault in first.faults), f"status {first.status}")
            raise AssuranceError(
                f"{first.url}: {said}: no page of the app works, so no update could be judged; see --url"
            )

    def changed(self) -> None:
        """Do the change; where it went well, look at what became of the app."""
        with self.step("update"):
            try:
                with opened(self.app, self.account) as ground:
                    self.evidence += self.change(ground)
                # Opened anew: another folder may stand there now.
                with opened(self.app, self.account) as ground:
                    self.evidence += self._versions(ground)
            except StrongroomError as error:
                self.evidence.append(Evidence(sort=Sort.COMMAND, text=str(error)))
        if self.failed:
            return
        self.settle()
        with self.step("look after"):
            try:
                self.evidence += compare(self.looks[0], self._look(), self._limits)
                with opened(self.app, self.account) as ground:
                    self.evidence += _against(self._checks, self._checked(ground))
                    self.evidence += self._modes_against(ground)
            except StrongroomError as error:
                self.evidence.append(Evidence(sort=Sort.PROBE, text=str(error)))

    def proof(self) -> tuple[tuple[Evidence, ...], list[str]]:
        """What one more look shows against the first, and what of it must not be."""
        self.settle()
        with self.step("look after rollback"):
            try:
                proof = list(compare(self.looks[0], self._look(), self._limits))
                with opened(self.app, self.account) as ground:
                    proof += self._modes_against(ground, fails=True)
            except StrongroomError as error:
                return (), [f"files and database are back, but nobody could look: {error}"]
        return tuple(proof), [f"files and database are back, and yet: {each.text}" for each in proof if each.fails]

    def settle(self) -> None:
        """Let some time pass, in which PHP forgets what it kept of old files."""
        with self.step("settle"):
            time.sleep(self._limits.settle_seconds)

    def outcome(self, verdict: Verdict) -> Outcome:
        """All of it as a value."""
        return Outcome(
            app=self.app.app,
            what=self.change.what,
            verdict=verdict,
            was=self.app.version,
            version=self.version if verdict is Verdict.CONFIRMED else self.app.version,
            evidence=tuple(self.evidence),
            steps=tuple(self.steps),
            looks=tuple(self.looks),
            url=self.task.url,
            modes=self._modes,
        )

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell of a step and take its time."""
        self._note(f"{self.app.app}: {name}")
        began, clock = time.time(), time.monotonic()
        try:
            yield
        finally:
            self.steps.append(Step(name=name, started=began, seconds=round(time.monotonic() - clock, 3)))

    def _look(self) -> Look:
        """Look at the app; after the first time at the same pages."""
        pages = tuple(Wanted(url=page.url, role=page.role) for page in self.looks[0].pages) if self.looks else ()
        look = self._prober(replace(self.task, pages=pages))
        self.looks.append(look)
        return look

    def _checked(self, ground: Ground) -> dict[str, str]:
        return confirmations(ground, self._limits.command_seconds)

    def _modes_against(self, ground: Ground, *, fails: bool = False) -> Iterator[Evidence]:
        now = modes(ground)
        if now != self._modes:
            before, after = "; ".join(self._modes), "; ".join(now)
            said = f"Fortification changed ({before or 'none'} before, {after or 'none'} now)"
            yield Evidence(sort=Sort.MODES, text=said, before=before, after=after, fails=fails)

    def _versions(self, ground: Ground) -> Iterator[Evidence]:
        """The version that the app has now, and whether its lock lets it."""
        with Folder(os.dup(ground.folder)) as folder:
            known = all(folder.stat(*mark.split(b"/")) for mark in self._kind.marks)
            found = self._kind.recognise(folder) if known else None
        if found is None:
            yield Evidence(sort=Sort.VERSION, text=f"the app's folder is no {self._kind.title} any more")
            return
        self.version = found.version
        lock = self.app.state.locked
        if self.app.version and not allowed(self.app.version, found.version, lock):
            text = f"the update leaves the {lock.value} version that the app is locked to: {found.version}"
            yield Evidence(sort=Sort.VERSION, text=text, before=self.app.version, after=found.version)


def _against(before: dict[str, str], after: dict[str, str]) -> Iterator[Evidence]:
    """What the owner's own commands say: one that failed before counts as it was."""
    for name, said in after.items():
        if said:
            fails = not before.get(name)
            yield Evidence(sort=Sort.CONFIRM, text=f"the owner's check {name} {said}", fails=fails, after=said)
