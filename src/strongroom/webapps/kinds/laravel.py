"""Laravel: an application of its owner's on that framework."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import dotenv, hosted, login, matched


class Laravel(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "laravel"
    title = "Laravel"
    marks = (b"artisan", b"bootstrap/app.php")
    caches = (
        "/storage/framework/cache/*",
        "/storage/framework/sessions/*",
        "/storage/framework/views/*",
        "/storage/logs/*",
        "/bootstrap/cache/*",
        "/node_modules/",
    )
    uploads = ("/storage/app/",)
    writable = {
        "max": (
            b"storage/framework/cache",
            b"storage/framework/views",
            b"storage/framework/sessions",
            b"storage/logs",
            b"bootstrap/cache",
        )
    }
    document_root = b"public"
    upgrade = ("php", "artisan", "migrate", "--force")

    def recognise(self, folder: Folder) -> Found | None:
        """The framework's version, and what .env says."""
        framework = b"vendor/laravel/framework/src/Illuminate/Foundation/Application.php"
        version = matched(folder, framework, r"const\s+VERSION\s*=\s*'([^']+)'")
        said = dotenv(folder, b".env")
        database = login(
            said.get("DB_CONNECTION", "mysql"),
            said.get("DB_DATABASE"),
            said.get("DB_USERNAME"),
            said.get("DB_PASSWORD"),
            hosted(said.get("DB_HOST"), said.get("DB_PORT")),
            said.get("DB_PREFIX"),
        )
        return Found(version=version, login=database, url=said.get("APP_URL", ""))
