"""``timers`` and ``nightly``: the nightly job, when it begins and what it does."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from strongroom.cli.invocation import Invocation
from strongroom.cli.options import Group, command
from strongroom.cli.output import escaped, table
from strongroom.errors import UsageError

if TYPE_CHECKING:
    from strongroom.settings.nightly import Part, Record
    from strongroom.settings.timers import State, Timers

_TIMER = "strongroom-nightly.timer"


@click.group(cls=Group)
def timers() -> None:
    """The nightly job: a systemd timer, or cron.daily for anacron."""


@timers.command()
@click.option("--systemd", is_flag=True, help="As a systemd timer.")
@click.option("--cron", is_flag=True, help="As a script in cron.daily.")
@click.pass_obj
def install(invocation: Invocation, systemd: bool, cron: bool) -> None:
    """Install the nightly job; without an option, as suits this server."""
    from strongroom.settings.timers import How, is_running_systemd, tell_systemd

    if systemd and cron:
        raise UsageError("--systemd and --cron: one of them")
    found = _timers(invocation)
    how = How.SYSTEMD if systemd else How.CRON if cron else found.choose()
    advice = found.install(how)
    if is_running_systemd(invocation.config):
        tell_systemd(["daemon-reload"], *([["start", _TIMER]] if how is How.SYSTEMD else []))
    state = found.show(invocation.now)
    for line in advice:
        invocation.teller.note(line)
    invocation.answer(_document(state), _lines(state), summary=True)


@timers.command()
@click.pass_obj
def show(invocation: Invocation) -> None:
    """Show when the nightly job begins next, and how the last one ended."""
    state = _timers(invocation).show(invocation.now)
    invocation.answer([_document(state)], _lines(state))


@timers.command()
@click.pass_obj
def remove(invocation: Invocation) -> None:
    """Take the nightly job away."""
    from strongroom.settings.timers import is_running_systemd, tell_systemd

    running = is_running_systemd(invocation.config)
    found = _timers(invocation)
    if running and found.installed() == "systemd":
        tell_systemd(["stop", _TIMER])
    removed = [os.fsdecode(path) for path in found.remove()]
    if running:
        tell_systemd(["daemon-reload"])
    lines = [f"removed {escaped(path)}" for path in removed] or ["there was none"]
    invocation.answer({"removed": removed}, lines, summary=True)


@command()
@click.option("--notify", is_flag=True, help="Mail what failed to whom the scope cron.notify names.")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@click.pass_obj
def nightly(invocation: Invocation, notify: bool, dry_run: bool) -> int:
    """Do the nightly job: exports, backup, forget, prune.

    Quiet when all went well; never two at once.
    """
    from strongroom.settings.nightly import Night, plan
    from strongroom.settings.scopes import TIME_LIMIT, limit_seconds

    parts = plan(invocation.config, invocation.scopes, invocation.now)
    if dry_run:
        invocation.answer({"dry_run": True, "would": [_part(part) for part in parts]}, _forecast(parts))
        return 0
    for part in parts:
        if part.skipped:
            invocation.teller.note(f"{part.name}: skipped: {part.skipped}")
    night = Night(invocation.config, parts, invocation.teller.error, limit_seconds(invocation.scopes.get(TIME_LIMIT)))
    record = night.run()
    if notify and record.exit_status:
        _notify(invocation, record, night.said)
    invocation.answer(_night(record), ())
    return record.exit_status


def refresh(invocation: Invocation) -> None:
    """After a change of when the job begins: write an installed timer anew."""
    from strongroom.settings.timers import How, is_running_systemd, tell_systemd

    found = _timers(invocation)
    if found.installed() is How.SYSTEMD:
        found.install(How.SYSTEMD)
        if is_running_systemd(invocation.config):
            tell_systemd(["daemon-reload"])


def _timers(invocation: Invocation) -> Timers:
    from strongroom.settings.timers import Timers

    return Timers(invocation.config, invocation.scopes)


def _notify(invocation: Invocation, record: Record, said: str) -> None:
    from strongroom.settings.scopes import NOTIFY

    to = str(invocation.scopes.get(NOTIFY))
    invocation.mail(to, f"Strongroom on {os.uname().nodename}: nightly job {record.result}", said)


def _document(state: State) -> dict[str, Any]:
    return {
        "name": state.name,
        "enabled": state.enabled,
        "next": state.next,
        "last": state.last,
        "result": state.result,
        "how": state.how,
    }


def _lines(state: State) -> list[str]:
    row = (
        state.name,
        state.how or "not installed",
        state.next or "",
        state.last or "never",
        state.result or "",
    )
    return table(("NAME", "BY", "NEXT, NOT BEFORE", "LAST", "RESULT"), [row])


def _forecast(parts: list[Part]) -> list[str]:
    return [f"{part.name}: {part.skipped or f'strongroom {chr(32).join(part.arguments)}'}" for part in parts]


def _part(part: Part) -> dict[str, Any]:
    return {"name": part.name, "arguments": list(part.arguments), "skipped": part.skipped or None}


def _night(record: Record) -> dict[str, Any]:
    return {
        "started": record.started,
        "finished": record.finished,
        "result": record.result,
        "parts": [
            {"name": part.name, "status": part.status, "skipped": part.skipped or None, "late": part.late}
            for part in record.parts
        ],
    }
