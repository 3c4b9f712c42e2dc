"""An account with two points, as most questions need it."""

from __future__ import annotations

from pathlib import Path

from tests.panel.servers import write
from tests.whole.ground import started


class Nights:
    """site1 with two points: index.php changed, `gone` removed and `new` added between them; and site2."""

    def __init__(self, folder: Path) -> None:
        self.server = started(folder)
        self.data = self.server.site(1, "example.com")
        self.server.site(2, "example.org", uid=20000)
        self.html = self.data / "var/www/html"
        write(self.html / "index.php", b"<?php // one")
        write(self.html / "gone", b"gone")
        write(self.html / "same", b"same")
        self.first = self.server.backup("site1")
        (self.html / "gone").unlink()
        write(self.html / "index.php", b"<?php // two, longer")
        write(self.html / "new", b"new")
        self.second = self.server.backup("example.com")

    def ids(self) -> tuple[str, str]:
        return self.first["id"], self.second["id"]
