"""``apps``: web apps, their snapshots, and what becomes of their updates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from strongroom.cli import apps_snapshots, apps_update
from strongroom.cli.apps_command import AppGroup
from strongroom.cli.invocation import Invocation
from strongroom.cli.output import escaped, table

if TYPE_CHECKING:
    from strongroom.webapps.base import App


@click.group(cls=AppGroup)
def apps() -> None:
    """Web apps: snapshots with git, and updates that are assured.

    APP is an id that 'apps list' prints, such as site1:/var/www/html; an account that has one app is enough.
    """


for _command in (
    apps_snapshots.enable,
    apps_snapshots.disable,
    apps_snapshots.snapshot,
    apps_snapshots.snapshots,
    apps_snapshots.diff,
    apps_snapshots.rollback,
    apps_update.update,
    apps_snapshots.reset,
    apps_snapshots.lock,
):
    apps.add_command(_command)


@apps.command("list")
@click.argument("account", required=False)
@click.pass_obj
def list_apps(invocation: Invocation, account: str | None) -> None:
    """List the web apps of an account, or of all."""
    finder = invocation.finder
    found = finder.of(invocation.layout.account(account)) if account else list(finder.all())
    rows = [
        (escaped(app.app), _kind(app), escaped(app.version), escaped(app.url), escaped(app.database), _remarks(app))
        for app in found
    ]
    invocation.answer([document(app) for app in found], table(("APP", "KIND", "VERSION", "URL", "DATABASE", ""), rows))


def document(app: App) -> dict[str, Any]:
    """An app as JSON."""
    from strongroom.model import text

    return {
        "app": app.app,
        "account": app.account,
        "kind": app.kind,
        "title": app.title,
        "tried": app.tried,
        "version": app.version,
        "path": text(app.path),
        "document_root": text(app.document_root),
        "url": app.url,
        "database": app.database or None,
        "snapshots": app.snapshots,
        "assurance": app.assurance,
        "locked": app.state.locked.value,
        "failed": bool(app.state.failed),
        "failed_because": app.state.failed or None,
        "last_update": app.state.updated or None,
    }


def _kind(app: App) -> str:
    return app.kind if app.tried else f"{app.kind} (recognised, not tried)"


def _remarks(app: App) -> str:
    remarks = ["assured" if app.assurance else "snapshots"] if app.snapshots else []
    remarks += [f"locked to {app.state.locked.value}"] if app.state.locked != "none" else []
    remarks += [f"failed: {escaped(app.state.failed)}"] if app.state.failed else []
    return ", ".join(remarks)
