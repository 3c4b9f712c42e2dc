"""Magento 2."""

from __future__ import annotations

import re

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import decoded, login, settings


class Magento(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "magento"
    title = "Magento"
    marks = (b"bin/magento", b"app/etc/di.xml")
    caches = (
        "/var/cache/*",
        "/var/page_cache/*",
        "/var/view_preprocessed/*",
        "/var/session/*",
        "/var/log/*",
        "/var/tmp/*",  # noqa: S108
        "/generated/*",
        "/pub/static/*",
    )
    uploads = ("/pub/media/", "/var/backups/")
    writable = {"max": (b"var", b"generated", b"pub/static", b"pub/media")}
    document_root = b"pub"
    upgrade = ("php", "bin/magento", "setup:upgrade")

    def recognise(self, folder: Folder) -> Found | None:
        """The version that Composer was asked for, and what env.php says."""
        composer = decoded(folder, b"composer.json")
        wanted = [
            php.below(composer, "require", f"magento/product-{edition}-edition")
            for edition in ("community", "enterprise")
        ]
        version = next(filter(None, map(php.word, [*wanted, php.below(composer, "version")])), "")
        said = settings(folder, b"app/etc/env.php").returned
        connection = php.below(said, "db", "connection", "default")
        database = login(
            "mysql",
            php.below(connection, "dbname"),
            php.below(connection, "username"),
            php.below(connection, "password"),
            php.below(connection, "host"),
            php.below(said, "db", "table_prefix"),
        )
        return Found(version=re.sub(r"^[^\d]*", "", version), login=database)
