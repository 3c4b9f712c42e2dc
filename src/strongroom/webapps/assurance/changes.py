"""What updates do: a command of whoever asked, or new files of a component and then the app's own upgrade."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.errors import AssuranceError
from strongroom.webapps.assurance.acting import act
from strongroom.webapps.assurance.component import Component
from strongroom.webapps.assurance.ground import Ground
from strongroom.webapps.assurance.install_child import MAINTENANCE
from strongroom.webapps.assurance.source import install
from strongroom.webapps.assurance.verdict import Evidence, Sort

_MOST_SHOWN = 200


class ByCommand:
    """A command, run as the account in the app's folder."""

    def __init__(self, command: Sequence[str], seconds: float) -> None:
        """``seconds`` is how long it may take."""
        self._command, self._seconds = tuple(command), seconds
        self.what = " ".join(command)[:_MOST_SHOWN]

    def __call__(self, ground: Ground) -> list[Evidence]:
        """See `strongroom.webapps.assurance.update.Change`."""
        acted = act(ground.owner, ground.folder, self._command, self._seconds)
        if acted.well:
            return []
        return [Evidence(sort=Sort.COMMAND, text=f"the command {acted.complaint}", after=acted.said[-2000:])]


class ByComponent:
    """A component's files put in place, and the app's own upgrade of its database after that, where it has one for it."""

    def __init__(self, component: Component, seconds: float) -> None:
        """``seconds`` is how long the upgrade may take."""
        self._component, self._seconds = component, seconds
        self.what = component.shown

    def __call__(self, ground: Ground) -> list[Evidence]:
        """See `strongroom.webapps.assurance.update.Change`."""
        try:
            install(self._component, ground.folder, ground.owner)
        except AssuranceError as error:
            return [Evidence(sort=Sort.SOURCE, text=str(error))]
        found = self._upgraded(ground)
        if self._component.closes:
            act(ground.owner, ground.folder, ("rm", "-f", "--", MAINTENANCE.decode()), self._seconds)
        return found

    def _upgraded(self, ground: Ground) -> list[Evidence]:
        command = ground.app.upgrade
        if not self._component.upgrades or not command:
            return []
        acted = act(ground.owner, ground.folder, command, self._seconds)
        if acted.well:
            return []
        return [
            Evidence(sort=Sort.UPGRADE, text=f"the upgrade of the database {acted.complaint}", after=acted.said[-2000:])
        ]
