"""WordPress."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps import php
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import login, settings

# What WordPress's own upgrade page does; nothing of it looks at the network. It goes on after statements that failed, and
# only keeps them: whoever wants to know has to ask.
_UPGRADE = (
    "define('WP_INSTALLING', true); define('WP_HTTP_BLOCK_EXTERNAL', true); "
    "$_SERVER += ['HTTP_HOST' => 'localhost', 'REQUEST_URI' => '/', 'SERVER_PROTOCOL' => 'HTTP/1.1']; "
    "require 'wp-load.php'; require ABSPATH . 'wp-admin/includes/upgrade.php'; wp_upgrade(); "
    "foreach ($GLOBALS['EZSQL_ERROR'] ?? [] as $failed) { fwrite(STDERR, $failed['error_str'] . PHP_EOL); } "
    "exit(empty($GLOBALS['EZSQL_ERROR']) && get_option('db_version') == $GLOBALS['wp_db_version'] ? 0 : 1);"
)


class WordPress(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "wordpress"
    title = "WordPress"
    tried = True
    marks = (b"wp-includes/version.php",)
    caches = ("/wp-content/cache/*", "/wp-content/upgrade/*", "/wp-content/wflogs/*", "/wp-content/et-cache/*")
    uploads = ("/wp-content/uploads/", "/wp-content/blogs.dir/", "/wp-content/updraft/", "/wp-content/ai1wm-backups/")
    writable = {
        "max": (
            b"wp-content/uploads",
            b"wp-content/cache",
            b"wp-content/wflogs",
            b"wp-content/updraft",
            b"wp-content/w3tc-config/master.php",
        ),
        "min": (b"wp-content", b".htaccess", b"wp-config.php"),
    }
    upgrade = ("php", "-r", _UPGRADE)

    def recognise(self, folder: Folder) -> Found | None:
        """The version, and what wp-config.php says."""
        version = php.word(settings(folder, b"wp-includes/version.php").variables.get("wp_version"))
        config = settings(folder, b"wp-config.php")
        said = config.constants
        database = login(
            "mysql",
            said.get("DB_NAME"),
            said.get("DB_USER"),
            said.get("DB_PASSWORD"),
            said.get("DB_HOST"),
            config.variables.get("table_prefix"),
        )
        return Found(version=version, login=database, url=php.word(said.get("WP_HOME") or said.get("WP_SITEURL")))
