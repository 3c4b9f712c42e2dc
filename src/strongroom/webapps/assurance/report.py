"""Reports of updates, in a folder of the owner's home that nobody else can enter; the last few of each app."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime

from strongroom.errors import StrongroomError
from strongroom.model import Account, text
from strongroom.settings.dump_folder import DumpFolder, owners_folder
from strongroom.webapps.assurance.ground import data_folder
from strongroom.webapps.assurance.outcome import Outcome
from strongroom.webapps.assurance.page import page
from strongroom.webapps.base import REPORTS, App

_MOST_REPORTS = 20
_ODD = re.compile(r"[^A-Za-z0-9.-]+")


def write(outcome: Outcome, app: App, account: Account) -> str:
    """Write an update's report; its server path. Raise SettingError or OSError when that cannot be."""
    with owners_folder(account, REPORTS, make=True) as folder:
        begins = _begins(app)
        name = f"{begins}{datetime.now(UTC):%Y%m%d%H%M%S%f}.html"
        with folder.draft(name) as file:
            file.write(page(outcome).encode("utf-8", "backslashreplace"))
        _forget(folder, begins)
        return text(os.path.join(data_folder(account), os.fsencode(folder.path).lstrip(b"/"), name.encode()))


def written(outcome: Outcome, app: App, account: Account) -> tuple[str, str]:
    """An update's report where it can be written, and what was in the way where it cannot: an update does not fail by it."""
    try:
        return write(outcome, app, account), ""
    except StrongroomError as error:
        return "", str(error)
    except OSError as error:
        return "", f"{error.strerror}: the report of {outcome.app}"


def _begins(app: App) -> str:
    return f"{_ODD.sub('-', text(app.path)).strip('-') or 'app'}-"[:100]


def _forget(folder: DumpFolder, begins: str) -> None:
    reports = re.compile(re.escape(begins) + r"\d{20}\.html")
    ours = sorted(name for name, _ in folder.files() if reports.fullmatch(name))
    folder.remove(ours[:-_MOST_REPORTS])
