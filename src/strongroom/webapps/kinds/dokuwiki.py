"""DokuWiki, which has no database: its pages are files, and are kept like the program's."""

from __future__ import annotations

from strongroom.panel.folder import Folder
from strongroom.webapps.base import Found, Kind
from strongroom.webapps.kinds.settings import matched


class DokuWiki(Kind):
    """See `strongroom.webapps.base.Kind`."""

    name = "dokuwiki"
    title = "DokuWiki"
    tried = True
    marks = (b"doku.php", b"inc/init.php")
    caches = ("/data/cache/*", "/data/tmp/*", "/data/locks/*", "/data/index/*", "/data/log/*")
    uploads = ("/data/media/*", "/data/media_attic/*")
    writable = {"max": (b"data", b"conf", b"lib/plugins", b"lib/tpl")}

    def recognise(self, folder: Folder) -> Found | None:
        """The version, which is a date."""
        return Found(version=matched(folder, b"VERSION", r"^\s*(\S+)"))
