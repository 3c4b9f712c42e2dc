"""How an app of each kind is looked at: which addresses it has, and where logs tell of it."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from strongroom.config.values import Webapps
from strongroom.errors import UsageError
from strongroom.model import Account, text
from strongroom.webapps.assurance import browser
from strongroom.webapps.assurance.ground import data_folder, opened
from strongroom.webapps.assurance.look import Task
from strongroom.webapps.base import App

_LOGINS = {
    "wordpress": ("wp-login.php",),
    "dokuwiki": ("doku.php?do=login",),
    "mediawiki": ("index.php?title=Special:UserLogin",),
    "drupal": ("user/login",),
    "joomla": ("administrator/",),
    "nextcloud": ("login",),
    "phpbb": ("ucp.php?mode=login",),
    "ghost": ("ghost/",),
    "laravel": ("login",),
}
# As panels and Debian lay an account's logs out, below its own folders.
_VISITS = (b"var/log/httpd/access_log", b"logs/access_log", b"var/log/apache2/access.log")
_ERRORS = (b"var/log/httpd/error_log", b"logs/error_log", b"var/log/php_errors.log")
# And below the app's.
_OWN_ERRORS = (b"error_log", b"wp-content/debug.log", b"storage/logs/laravel.log", b"var/log/system.log")
_PICTURES = 3


def task(app: App, account: Account, limits: Webapps, url: str | None = None) -> Task:
    """How to look at an app, at ``url`` where that is given. Raise UsageError where nobody knows an address."""
    address = url or app.url
    if not address:
        raise UsageError(f"{app.app} does not know its own address; say it with --url")
    data = data_folder(account)
    with opened(app, account) as ground:
        owner = ground.owner
    return Task(
        url=whole(address),
        uid=owner.uid,
        gid=owner.gid,
        login=_LOGINS.get(app.kind, ()),
        visits=tuple(text(os.path.join(data, path)) for path in _VISITS),
        logs=tuple(text(os.path.join(data, path)) for path in _ERRORS)
        + tuple(text(os.path.join(app.place, path)) for path in _OWN_ERRORS),
        most_pages=limits.pages,
        page_seconds=limits.page_seconds,
        slow_seconds=limits.slow_seconds,
        browser=browser.found() if limits.browser == "auto" else "",
        picture_of=_PICTURES,
    )


def whole(address: str) -> str:
    """An address to look at, as given. Raise UsageError for what is none."""
    try:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return address if parts.path else f"{address}/"
    except ValueError:
        pass
    raise UsageError(f"{address!r} is no address of a web page; such as https://www.example.com/")
