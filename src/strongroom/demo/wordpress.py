"""A shop on WordPress: Debian's files, uploads, a cache, and the ACLs that Fortification sets."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

from strongroom.demo.ground import Ground
from strongroom.demo.pictures import jpeg, png
from strongroom.errors import SourceError

APACHE = 48
DOCROOT = b"var/www/html"
CONFIG = DOCROOT + b"/wp-config.php"
# The database and its user are called the same, as panels do.
DATABASE, PASSWORD = "shopkeeper_wp", "only-a-demo"
PREFERENCES: dict[str, object] = {
    "language": "en",
    "webapps": {
        "paths": {
            "/var/www/html": {
                "type": "wordpress",
                "version": "6.1.9",
                "hostname": "www.shop.example",
                "path": "",
                "options": {"autoupdate": True, "fortify": "max", "verlock": "minor", "git": False},
            }
        }
    },
}
# It must not look beyond this machine, nor work while nobody asks for a page.
_SETTINGS = """<?php
define( 'DB_NAME', '{database}' );
define( 'DB_USER', '{database}' );
define( 'DB_PASSWORD', '{password}' );
define( 'DB_HOST', 'localhost:{socket}' );
define( 'DB_CHARSET', 'utf8mb4' );
$table_prefix = 'wp_';
define( 'WP_HOME', 'http://www.shop.example' );
define( 'WP_SITEURL', WP_HOME );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
define( 'DISABLE_WP_CRON', true );
define( 'WP_DEBUG', false );
if ( ! defined( 'ABSPATH' ) ) {{
\tdefine( 'ABSPATH', __DIR__ . '/' );
}}
require_once ABSPATH . 'wp-settings.php';
"""


def build(ground: Ground, packages: bytes, socket: Path) -> None:
    """Fill an account's data with WordPress; ``packages`` is the folder into which Debian's packages are unpacked.

    ``socket`` is that of its database's server.
    """
    ground.folder(DOCROOT)
    _copy(ground, packages, b"usr/share/wordpress", DOCROOT)
    settings = _SETTINGS.format(database=DATABASE, password=PASSWORD, socket=socket)
    ground.file(CONFIG, settings.encode(), mode=0o640)
    ground.file(DOCROOT + b"/.htaccess", b"RewriteEngine On\nRewriteRule . /index.php [L]\n")
    _uploads(ground)
    _cache(ground)
    for name in (b"uploads", b"cache"):
        fortify(ground, DOCROOT + b"/wp-content/" + name)


def needs(path: bytes) -> bool:
    """Whether the shop's page could not be made without a file of the account, by its path there."""
    made = (DOCROOT + b"/wp-content/uploads/", DOCROOT + b"/wp-content/cache/")
    return path.startswith(DOCROOT) and not path.startswith(made) and path.endswith((b".php", b".json", b".html"))


def fortify(ground: Ground, path: bytes) -> None:
    """Let the web server and the owner write below a folder, now and in what is made there later.

    Numeric ids, links not followed, as the panel does. Raise SourceError without setfacl.
    """
    ids = (APACHE, ground.uid)
    entries = ",".join([*(f"u:{uid}:rwX" for uid in ids), *(f"d:u:{uid}:rwX" for uid in ids)])
    try:
        done = subprocess.run(["setfacl", "-R", "-P", "-m", entries, "--", ground.at(path)], capture_output=True)
    except FileNotFoundError:
        raise SourceError("setfacl is not on this machine; install Debian's package acl") from None
    if done.returncode:
        ground.skipped.add("ACLs")


def _copy(ground: Ground, packages: bytes, source: bytes, target: bytes) -> None:
    """Copy a package's folder; links into other packages become what they point to, as in every copy on a server."""
    for entry in sorted(os.scandir(os.path.join(packages, source)), key=lambda entry: entry.name):
        inside, copy = source + b"/" + entry.name, target + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            ground.folder(copy)
            _copy(ground, packages, inside, copy)
            continue
        real = _resolved(packages, inside)
        if real is None:
            ground.link(copy, os.readlink(entry.path))
            continue
        shutil.copyfile(real, ground.at(copy))
        info = os.stat(real)
        os.chown(ground.at(copy), ground.uid, ground.gid)
        os.chmod(ground.at(copy), stat.S_IMODE(info.st_mode))
        os.utime(ground.at(copy), ns=(info.st_atime_ns, info.st_mtime_ns))


def _resolved(packages: bytes, path: bytes) -> bytes | None:
    """The file a path of a package stands for, links read as if the packages were installed; None when it dangles."""
    while True:
        whole = os.path.join(packages, path)
        if not os.path.islink(whole):
            return whole if os.path.isfile(whole) else None
        path = os.path.normpath(os.path.join(b"/", os.path.dirname(path), os.readlink(whole))).lstrip(b"/")


def _uploads(ground: Ground) -> None:
    """Pictures as WordPress stores them: the original, and smaller ones beside it, written by the web server."""
    uploads = DOCROOT + b"/wp-content/uploads"
    sizes = ((150, 150), (300, 225), (640, 480))
    for number in range(36):
        month = uploads + b"/2025/%02d/" % (number % 9 + 1)
        for width, height in sizes:
            draw, kind = (png, b"png") if number % 6 == 0 else (jpeg, b"jpg")
            ground.file(
                month + b"photo-%02d-%dx%d.%s" % (number, width, height, kind),
                draw(ground.random, width, height),
                uid=APACHE,
            )
    ground.file(uploads + b"/2025/catalogue.pdf", b"%PDF-1.4\n" + ground.random.randbytes(6 << 20), uid=APACHE)


def _cache(ground: Ground) -> None:
    for number in range(120):
        name = b"%032x" % ground.random.getrandbits(128)
        page = b"<html><!-- cached page %d -->%s</html>\n" % (number, b"<p>offer</p>" * ground.random.randrange(400))
        ground.file(DOCROOT + b"/wp-content/cache/" + name[:2] + b"/" + name + b".html", page, uid=APACHE)
