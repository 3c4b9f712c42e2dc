"""Which of what is offered an app takes, and in which order: the ladder of its cores, then plugins, then themes."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.errors import UsageError
from strongroom.model import Frozen
from strongroom.panel.folder import Folder
from strongroom.webapps.assurance.component import Component, Part, installed
from strongroom.webapps.assurance.ladder import allowed, climb, number
from strongroom.webapps.base import App, Kind


class Plan(Frozen):
    """The steps, each an update of its own, and what is not taken with the reason."""

    steps: tuple[Component, ...]
    skipped: tuple[str, ...] = ()


def plan(app: App, kind: Kind, offered: Sequence[Component], folder: Folder) -> Plan:
    """Plan an app's updates; ``folder`` is the app's.

    One component alone is taken when it is not older and the lock allows it, else UsageError is raised; of several, those
    that the app has an older version of.
    """
    if len(offered) == 1:
        return Plan(steps=(_only(app, kind, offered[0], folder),))
    cores = {each.version: each for each in offered if each.part is Part.CORE}
    climbed = climb(app.version, cores, app.state.locked)
    steps = [cores[version] for version in climbed]
    skipped = [f"{each.shown}: {_why_not(app, each)}" for version, each in cores.items() if version not in climbed]
    for part in (Part.PLUGIN, Part.THEME):
        for newest in _newest([each for each in offered if each.part is part]):
            has = installed(kind, folder, newest)
            if has is None:
                skipped.append(f"{newest.shown}: the app does not have it")
            elif number(has) >= number(newest.version):
                skipped.append(f"{newest.shown}: the app has {has}")
            else:
                steps.append(newest)
    return Plan(steps=tuple(steps), skipped=tuple(skipped))


def _only(app: App, kind: Kind, component: Component, folder: Folder) -> Component:
    core = component.part is Part.CORE
    has = app.version if core else installed(kind, folder, component)
    if has and number(component.version) < number(has):
        raise UsageError(f"{component.shown} is older than {has}, which {app.app} has; take a newer one")
    if core and app.version and not allowed(app.version, component.version, app.state.locked):
        lock = app.state.locked.value
        raise UsageError(f"{app.app} is locked to its {lock} version of {app.version}; see: strongroom apps lock")
    return component


def _why_not(app: App, component: Component) -> str:
    if not allowed(app.version, component.version, app.state.locked):
        return f"the app is locked to its {app.state.locked.value} version"
    if number(component.version) <= number(app.version):
        return f"the app has {app.version}"
    return "a higher step is taken"


def _newest(offered: Sequence[Component]) -> list[Component]:
    """The newest version of each plugin or theme, by name."""
    found: dict[bytes, Component] = {}
    for each in offered:
        if each.place not in found or number(each.version) > number(found[each.place].version):
            found[each.place] = each
    return [found[place] for place in sorted(found)]
