"""Drupal 8 and later: as one folder, or as a Composer project that is served from ``web``."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import hosted, login, matched, settings


class _Drupal(Kind):
    """Both of them; ``_below`` is where the program's own folder is."""

    name = "drupal"
    title = "Drupal"
    _below: bytes

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what the default site's settings.php says."""
        version = matched(folder, self._below + b"core/lib/Drupal.php", r"const\s+VERSION\s*=\s*'([^']+)'")
        config = settings(folder, self._below + b"sites/default/settings.php").variables
        said = php.below(config, "databases", "default", "default") or {}
        database = login(
            php.below(said, "driver"),
            php.below(said, "database"),
            php.below(said, "username"),
            php.below(said, "password"),
            hosted(php.below(said, "host"), php.below(said, "port")),
            php.below(said, "prefix"),
        )
        return Found(version=version, login=database)


class Drupal(_Drupal):
    """See `strongroom.webapps.base.Kind`."""

    marks = (b"core/lib/Drupal.php",)
    caches = ("/sites/*/files/php/*", "/sites/*/files/css/*", "/sites/*/files/js/*", "/sites/*/files/styles/*")
    uploads = ("/sites/*/files/",)
    writable = {"max": (b"sites/*/files",)}
    upgrade = ("vendor/bin/drush", "--yes", "updatedb")
    _below = b""


class DrupalProject(_Drupal):
    """See `strongroom.webapps.base.Kind`."""

    marks = (b"web/core/lib/Drupal.php", b"composer.json")
    caches = tuple("/web" + pattern for pattern in Drupal.caches)
    uploads = tuple("/web" + pattern for pattern in Drupal.uploads)
    writable = {"max": (b"web/sites/*/files",)}
    document_root = b"web"
    upgrade = Drupal.upgrade
    _below = b"web/"
